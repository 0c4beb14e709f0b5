//! A body that is compressed on its way.
//!
//! It works in steps that take less than a millisecond, and lets others have a turn between two of them. It asks the
//! origin for no more before what it has is handed over, so that back-pressure stays; and a body that breaks off is
//! never ended, so that nobody takes it for a whole one.

use std::fmt;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::time::Instant;

use super::Job;
use super::encoder::Encoder;
use crate::dataplane::alarm::Alarm;
use crate::dataplane::response::body::{OriginBody, OriginBodyFailure};

/// What is compressed at once, in bytes.
const STEP: usize = 32 * 1024;

/// The body of an origin's response, compressed.
pub(crate) struct CompressedBody<B = OriginBody> {
    source: B,
    job: Job,
    /// Made when the first byte is there, and gone with the last.
    encoder: Option<Encoder>,
    /// What came and is not compressed yet.
    input: Bytes,
    /// Whether others have had their turn since the last step.
    turn: Turn,
    /// Since when the encoder may hold something back.
    holds_since: Option<Instant>,
    alarm: Alarm,
    trailers: Option<HeaderMap>,
    ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Ours,
    Others,
}

/// What gives a body piece by piece.
pub(crate) trait Source {
    /// The next piece.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next>;
}

type Next = Option<Result<Frame<Bytes>, OriginBodyFailure>>;

impl Source for OriginBody {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        Self::poll_next(self, cx)
    }
}

impl<B> CompressedBody<B> {
    /// Compresses `source`.
    pub(crate) fn new(source: B, job: Job) -> Self {
        Self {
            source,
            job,
            encoder: None,
            input: Bytes::new(),
            turn: Turn::Ours,
            holds_since: None,
            alarm: Alarm::default(),
            trailers: None,
            ended: false,
        }
    }

    /// Whether everything was given.
    pub(crate) fn is_end_stream(&self) -> bool {
        self.ended && self.trailers.is_none()
    }
}

impl<B: Source> CompressedBody<B> {
    /// The next piece of what the viewer gets.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            if self.ended {
                return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let output = if !self.input.is_empty() {
                ready!(self.poll_turn(cx));
                self.step()
            } else {
                match self.source.poll_next(cx) {
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => {
                            self.input = data;
                            continue;
                        }
                        // The last frame there is.
                        Err(frame) => {
                            self.trailers = frame.into_trailers().ok();
                            self.end()
                        }
                    },
                    Poll::Ready(Some(Err(failure))) => return Poll::Ready(Some(Err(failure))),
                    Poll::Ready(None) => self.end(),
                    Poll::Pending => {
                        ready!(self.poll_held_too_long(cx));
                        self.flush()
                    }
                }
            };
            match output {
                Ok(output) if output.is_empty() => {}
                Ok(output) => return Poll::Ready(Some(Ok(Frame::data(output)))),
                Err(error) => {
                    tracing::error!(event = "compression.failed", %error, "an encoder failed; please report it");
                    return Poll::Ready(Some(Err(OriginBodyFailure::Fault)));
                }
            }
        }
    }

    /// Ready when others have had their turn since the last step.
    fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.turn == Turn::Others {
            self.turn = Turn::Ours;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Ready when the origin pauses and something has been held back for long enough.
    fn poll_held_too_long(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.holds_since {
            Some(since) => self.alarm.poll(since + self.job.hold, cx),
            None => Poll::Pending,
        }
    }

    fn step(&mut self) -> std::io::Result<Bytes> {
        let piece = self.input.split_to(self.input.len().min(STEP));
        self.turn = Turn::Others;
        let output = self.encoder()?.encode(&piece)?;
        if !output.is_empty() || self.holds_since.is_none() {
            self.holds_since = Some(Instant::now());
        }
        Ok(output)
    }

    fn flush(&mut self) -> std::io::Result<Bytes> {
        self.holds_since = None;
        self.encoder()?.flush()
    }

    fn end(&mut self) -> std::io::Result<Bytes> {
        self.encoder()?;
        self.ended = true;
        self.encoder.take().map_or_else(|| Ok(Bytes::new()), Encoder::finish)
    }

    fn encoder(&mut self) -> std::io::Result<&mut Encoder> {
        let encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => Encoder::new(self.job.coding, self.job.length)?,
        };
        Ok(self.encoder.insert(encoder))
    }
}

impl<B: fmt::Debug> fmt::Debug for CompressedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompressedBody")
            .field("source", &self.source)
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::{Future, poll_fn};
    use std::pin::Pin;
    use std::time::Duration;

    use http::HeaderValue;
    use proptest::prelude::*;
    use tokio::time::{Sleep, sleep};

    use super::*;
    use crate::dataplane::response::compression::{Coding, Compressions, decoded};

    const HOLD: Duration = Duration::from_millis(100);

    /// What an origin does next.
    #[derive(Clone, Debug)]
    enum Deed {
        Sends(Vec<u8>),
        Pauses(Duration),
        SendsTrailers,
        BreaksOff,
    }

    /// An origin that does one thing after another.
    #[derive(Debug, Default)]
    struct Script {
        deeds: VecDeque<Deed>,
        pause: Option<Pin<Box<Sleep>>>,
    }

    impl Source for Script {
        fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
            loop {
                if let Some(pause) = &mut self.pause {
                    ready!(pause.as_mut().poll(cx));
                    self.pause = None;
                }
                return Poll::Ready(match self.deeds.pop_front() {
                    Some(Deed::Sends(data)) => Some(Ok(Frame::data(data.into()))),
                    Some(Deed::SendsTrailers) => Some(Ok(Frame::trailers(trailers()))),
                    Some(Deed::BreaksOff) => Some(Err(OriginBodyFailure::Broken)),
                    Some(Deed::Pauses(time)) => {
                        self.pause = Some(Box::pin(sleep(time)));
                        continue;
                    }
                    None => None,
                });
            }
        }
    }

    fn trailers() -> HeaderMap {
        HeaderMap::from_iter([(http::header::EXPIRES, HeaderValue::from_static("0"))])
    }

    fn body(coding: Coding, deeds: Vec<Deed>) -> CompressedBody<Script> {
        let length = deeds.iter().map(|deed| if let Deed::Sends(data) = deed { data.len() } else { 0 });
        let job = Job {
            coding,
            length: length.sum::<usize>() as u64,
            hold: HOLD,
            _place: Compressions::default().take(1).unwrap(),
        };
        CompressedBody::new(Script { deeds: deeds.into(), pause: None }, job)
    }

    async fn next(body: &mut CompressedBody<Script>) -> Next {
        poll_fn(|cx| body.poll_next(cx)).await
    }

    async fn all(mut body: CompressedBody<Script>) -> (Vec<u8>, Option<HeaderMap>) {
        let (mut data, mut trailers) = (Vec::new(), None);
        while let Some(frame) = next(&mut body).await {
            match frame.unwrap().into_data() {
                Ok(piece) => data.extend(piece),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        assert!(body.is_end_stream());
        (data, trailers)
    }

    /// Runs with a clock that jumps to whatever is waited for.
    fn run<T>(what: impl Future<Output = T>) -> T {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap().block_on(what)
    }

    /// Text that compresses, noise that does not, and pauses on both sides of what is held back.
    fn deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            4 => (any::<u8>(), 0..70_000_usize).prop_map(|(byte, length)| Deed::Sends(vec![byte; length])),
            2 => proptest::collection::vec(any::<u8>(), 0..5_000).prop_map(Deed::Sends),
            1 => (0..250_u64).prop_map(|time| Deed::Pauses(Duration::from_millis(time))),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_is_decoded_is_what_was_sent_however_it_was_cut(
            deeds in proptest::collection::vec(deed(), 0..8),
        ) {
            let pieces = deeds.iter().filter_map(|deed| {
                if let Deed::Sends(data) = deed { Some(data.as_slice()) } else { None }
            });
            let original = pieces.collect::<Vec<_>>().concat();
            for coding in Coding::ALL {
                let (compressed, _) = run(all(body(coding, deeds.clone())));
                prop_assert!(decoded(coding, &compressed) == original, "{coding:?}");
            }
        }
    }

    #[test]
    fn trailers_come_behind_the_end_of_what_is_compressed() {
        let (data, got) =
            run(all(body(Coding::Gzip, vec![Deed::Sends(vec![b'a'; 2000]), Deed::SendsTrailers])));
        assert_eq!(decoded(Coding::Gzip, &data).len(), 2000);
        assert_eq!(got, Some(trailers()));
    }

    #[test]
    fn a_body_that_breaks_off_has_no_end() {
        for coding in Coding::ALL {
            let mut body = body(coding, vec![Deed::Sends(vec![b'a'; 100_000]), Deed::BreaksOff]);
            let last = run(async {
                loop {
                    match next(&mut body).await {
                        Some(Ok(_)) => {}
                        last => return last.map(|last| last.unwrap_err()),
                    }
                }
            });
            assert_eq!(last, Some(OriginBodyFailure::Broken), "{coding:?}");
            assert!(!body.is_end_stream());
        }
    }

    #[test]
    fn what_came_is_not_held_back_for_long_while_the_origin_pauses() {
        run(async {
            let pause = HOLD * 10;
            let deeds =
                vec![Deed::Sends(b"one".to_vec()), Deed::Pauses(pause), Deed::Sends(vec![b'a'; 2000])];
            let mut body = body(Coding::Zstd, deeds);
            let start = Instant::now();
            next(&mut body).await.unwrap().unwrap();
            assert_eq!(start.elapsed(), HOLD);
            next(&mut body).await.unwrap().unwrap();
            assert_eq!(start.elapsed(), pause);
        });
    }

    #[test]
    fn others_have_their_turn_between_two_steps() {
        run(async {
            let mut body = body(Coding::Gzip, vec![Deed::Sends(vec![b'a'; 4 * STEP])]);
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                let left = body.input.len();
                let polled = body.poll_next(cx);
                assert!(left == 0 || left - body.input.len() <= STEP, "two steps at once");
                match polled {
                    Poll::Ready(None) => Poll::Ready(()),
                    Poll::Ready(Some(_)) => {
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                    Poll::Pending => Poll::Pending,
                }
            })
            .await;
            assert!(polls >= 4, "{polls}");
        });
    }

    #[test]
    fn there_is_no_encoder_before_the_first_byte_nor_after_the_last() {
        run(async {
            let mut body = body(Coding::Brotli, vec![Deed::Pauses(HOLD), Deed::Sends(vec![b'a'; 2000])]);
            poll_fn(|cx| {
                assert!(body.poll_next(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            assert!(body.encoder.is_none());
            while next(&mut body).await.is_some() {}
            assert!(body.encoder.is_none());
        });
    }
}
