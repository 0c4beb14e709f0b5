//! The request body on its way to the origin.
//!
//! The exchange keeps one handle and the connection to the origin another, so that the exchange knows how far
//! the body has got: whether it can be sent again, whether it is the viewer that we wait for, how it ended.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderName;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::pace::Pace;
use super::trailers;
use crate::dataplane::alarm::Alarm;
use crate::dataplane::limits::Limits;
use crate::table::reason::Reason;

/// One handle on a request body; polled by at most one connection at a time.
#[derive(Clone, Debug)]
pub(crate) struct ViewerBody(Rc<RefCell<State>>);

#[derive(Debug)]
struct State {
    source: Source,
    /// Where the origin gets trailers, the names that they may not have, beside those that none may.
    trailers: Option<Vec<HeaderName>>,
    bytes: u64,
    progress: Progress,
    /// When the body last moved: a frame was taken, or its end was seen.
    moved: Instant,
    /// None where the viewer may take its time.
    pace: Option<Pace>,
    /// The longest that passes, in bytes.
    most: u64,
    /// Rings when the viewer may be late.
    alarm: Alarm,
    /// Who wants to know that the body is waited for.
    asked_for: Option<Waker>,
}

/// Where frames come from.
#[derive(Debug)]
enum Source {
    /// There is no body: it ended with the head.
    Nothing,
    Http1(Incoming),
    Http2 {
        stream: RecvStream,
        /// What the head announces, in bytes; `h2` sees to it that the body keeps the promise.
        length: Option<u64>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Nothing has been taken from it.
    Whole,
    /// Something has, and the next frame is there or not asked for.
    Moving,
    /// The next frame was asked for and the viewer has not sent it.
    Waiting,
    Ended,
    Failed(BodyFailure),
}

/// Why a request body did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFailure {
    /// The gap between two reads was too long, or too little came over all.
    #[error("the viewer stopped sending its request body")]
    Stalled,
    /// It is longer than the behavior allows.
    #[error("the request body is longer than the behavior allows")]
    TooLarge,
    /// It is malformed, or the viewer went away.
    #[error("the request body is malformed or was cut off")]
    Broken,
}

impl BodyFailure {
    /// What the viewer is told.
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Stalled => Reason::ViewerTimeout,
            Self::TooLarge => Reason::BodyTooLarge,
            Self::Broken => Reason::BadRequest,
        }
    }
}

impl ViewerBody {
    /// Takes over the body of a request over HTTP/1.1.
    pub(crate) fn over_http1(incoming: Incoming, limits: &Limits) -> Self {
        Self::new(Source::Http1(incoming), limits)
    }

    /// Takes over the body of a request over HTTP/2, whose head announces `length` bytes.
    pub(crate) fn over_http2(stream: RecvStream, length: Option<u64>, limits: &Limits) -> Self {
        Self::new(Source::Http2 { stream, length }, limits)
    }

    /// No body.
    pub(crate) fn nothing(limits: &Limits) -> Self {
        Self::new(Source::Nothing, limits)
    }

    fn new(source: Source, limits: &Limits) -> Self {
        let progress = if source.is_end_stream() { Progress::Ended } else { Progress::Whole };
        let now = Instant::now();
        Self(Rc::new(RefCell::new(State {
            source,
            trailers: None,
            bytes: 0,
            progress,
            moved: now,
            pace: Some(Pace::new(limits.request_body_gap, limits.request_body_rate, now)),
            most: u64::MAX,
            alarm: Alarm::default(),
            asked_for: None,
        })))
    }

    /// Lets trailers pass, once it is known that the origin takes them, but for the fields that its owner says.
    /// Until then they are dropped.
    pub(crate) fn let_trailers(&self, of_owner: Vec<HeaderName>) {
        self.0.borrow_mut().trailers = Some(of_owner);
    }

    /// Lets no more than `most` bytes pass; refuses at once what announces more.
    pub(crate) fn limit_to(&self, most: u64) -> Result<(), Reason> {
        let mut state = self.0.borrow_mut();
        state.most = most;
        if state.source.size_hint().lower() > most { Err(BodyFailure::TooLarge.reason()) } else { Ok(()) }
    }

    /// The origin has answered: from here on both sides speak when they like, as gRPC does, and only the origin
    /// is held to its time.
    pub(crate) fn stop_clock(&self) {
        self.0.borrow_mut().pace = None;
    }

    /// Ready when somebody waits for it: an origin is there to take it.
    pub(crate) fn poll_asked_for(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        if state.progress == Progress::Waiting {
            return Poll::Ready(());
        }
        state.asked_for = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether it can go to another connection: nothing of it was taken by an earlier one.
    pub(crate) fn is_replayable(&self) -> bool {
        let state = self.0.borrow();
        state.bytes == 0 && !matches!(state.progress, Progress::Failed(_))
    }

    /// Whether it arrived completely.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.borrow().progress == Progress::Ended
    }

    /// How much of it arrived, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.borrow().bytes
    }

    /// Why it did not arrive.
    pub(crate) fn failure(&self) -> Option<BodyFailure> {
        match self.0.borrow().progress {
            Progress::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// Since when it is the origin that everybody waits for; none while it is the viewer.
    pub(crate) fn origin_waited_for_since(&self) -> Option<Instant> {
        let state = self.0.borrow();
        (state.progress != Progress::Waiting).then_some(state.moved)
    }
}

impl State {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        // A source says once that it broke off and then that it has ended; it has not.
        if let Progress::Failed(failure) = self.progress {
            return Poll::Ready(Some(Err(failure)));
        }
        loop {
            let Poll::Ready(next) = self.source.poll_frame(cx) else {
                self.progress = Progress::Waiting;
                if let Some(asked_for) = self.asked_for.take() {
                    asked_for.wake();
                }
                ready!(self.poll_late(cx));
                return Poll::Ready(Some(Err(self.fail(BodyFailure::Stalled))));
            };
            self.moved = Instant::now();
            let frame = match next {
                Some(Ok(frame)) => frame,
                Some(Err(Cut)) => return Poll::Ready(Some(Err(self.fail(BodyFailure::Broken)))),
                None => {
                    self.progress = Progress::Ended;
                    return Poll::Ready(None);
                }
            };
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            self.bytes += length;
            if self.bytes > self.most {
                return Poll::Ready(Some(Err(self.fail(BodyFailure::TooLarge))));
            }
            if let Some(pace) = &mut self.pace {
                pace.came(length, self.moved);
            }
            let ended = self.source.is_end_stream();
            self.progress = if ended { Progress::Ended } else { Progress::Moving };
            match frame.into_trailers() {
                Ok(trailers) => {
                    if let Some(of_owner) = &self.trailers {
                        let trailers = trailers::of_request(trailers, of_owner);
                        return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                    }
                }
                Err(data) => return Poll::Ready(Some(Ok(data))),
            }
        }
    }

    /// Ready when the viewer has been waited for too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pace) = &mut self.pace else { return Poll::Pending };
        loop {
            let deadline = pace.wait(Instant::now());
            ready!(self.alarm.poll(deadline, cx));
            if pace.is_too_slow(Instant::now()) {
                return Poll::Ready(());
            }
        }
    }

    fn fail(&mut self, failure: BodyFailure) -> BodyFailure {
        self.progress = Progress::Failed(failure);
        failure
    }
}

/// The body broke off.
struct Cut;

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self {
            Self::Nothing => Poll::Ready(None),
            Self::Http1(incoming) => {
                Pin::new(incoming).poll_frame(cx).map(|next| next.map(|frame| frame.map_err(|_| Cut)))
            }
            Self::Http2 { stream, .. } => loop {
                match ready!(stream.poll_data(cx)) {
                    Some(Ok(data)) => {
                        // Whoever asks takes it, so the viewer may send as much again. It fails only for a stream
                        // that is over, which needs no more window.
                        let _over = stream.flow_control().release_capacity(data.len());
                        if !data.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                    }
                    Some(Err(_)) => return Poll::Ready(Some(Err(Cut))),
                    None => {
                        let trailers = ready!(stream.poll_trailers(cx)).map_err(|_| Cut).transpose();
                        return Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)));
                    }
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Http1(incoming) => incoming.is_end_stream(),
            Self::Http2 { stream, .. } => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Http1(incoming) => incoming.size_hint(),
            Self::Http2 { stream, .. } if stream.is_end_stream() => SizeHint::with_exact(0),
            Self::Http2 { length, .. } => length.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl Body for ViewerBody {
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        self.0.borrow_mut().poll_next(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.borrow().source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.borrow().source.size_hint()
    }
}
