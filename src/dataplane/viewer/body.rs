//! The request body on its way to the origin.
//!
//! The exchange keeps one handle and the connection to the origin another, so that the exchange knows how far
//! the body has got: whether it can be sent again, whether it is the viewer that we wait for, how it ended.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

/// One handle on a request body; polled by at most one connection at a time.
#[derive(Clone, Debug)]
pub(crate) struct ViewerBody(Rc<RefCell<State>>);

#[derive(Debug)]
struct State {
    incoming: Incoming,
    gap: Duration,
    bytes: u64,
    progress: Progress,
    /// When the body last moved: a frame was taken, or its end was seen.
    moved: Instant,
    /// Runs only while we wait for the viewer; made by the first wait.
    stall: Option<Pin<Box<Sleep>>>,
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
    /// The gap between two reads was too long.
    #[error("the viewer stopped sending its request body")]
    Stalled,
    /// It is malformed, or the viewer went away.
    #[error("the request body is malformed or was cut off")]
    Broken,
}

impl ViewerBody {
    /// Takes a body over; between two of its reads no more than `gap` may pass.
    pub(crate) fn new(incoming: Incoming, gap: Duration) -> Self {
        let progress = if incoming.is_end_stream() { Progress::Ended } else { Progress::Whole };
        Self(Rc::new(RefCell::new(State {
            incoming,
            gap,
            bytes: 0,
            progress,
            moved: Instant::now(),
            stall: None,
        })))
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
        loop {
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.stall = None;
                    self.moved = Instant::now();
                    // Request trailers are dropped: no origin over HTTP/1.1 asks for them.
                    let Some(data) = frame.data_ref() else { continue };
                    self.bytes += data.len() as u64;
                    let ended = self.incoming.is_end_stream();
                    self.progress = if ended { Progress::Ended } else { Progress::Moving };
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(self.fail(BodyFailure::Broken)))),
                Poll::Ready(None) => {
                    self.moved = Instant::now();
                    self.progress = Progress::Ended;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    self.progress = Progress::Waiting;
                    let gap = self.gap;
                    let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(gap)));
                    ready!(stall.as_mut().poll(cx));
                    return Poll::Ready(Some(Err(self.fail(BodyFailure::Stalled))));
                }
            }
        }
    }

    fn fail(&mut self, failure: BodyFailure) -> BodyFailure {
        self.progress = Progress::Failed(failure);
        failure
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
        self.0.borrow().incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.borrow().incoming.size_hint()
    }
}
