//! The response body on its way to the viewer.
//!
//! It carries the account of its exchange, which is settled when the last byte is handed over or the viewer is
//! gone, and the connection to the origin, which goes back to the pool when the body has ended as announced.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::dataplane::account::Account;
use crate::dataplane::alarm::Alarm;
use crate::dataplane::guarded_io::Meter;
use crate::dataplane::origin::{self, Returning};
use crate::dataplane::response::compression::CompressedBody;
use crate::dataplane::viewer::headers::Trailers;
use crate::table::reason::Reason;

/// A body with the account of its exchange.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    source: Source,
    /// None where it is settled already.
    account: Option<Account>,
    /// The way to the viewer, where it says when it has room.
    way: Option<Way>,
}

/// What is known of the way to a viewer.
#[derive(Debug)]
struct Way {
    meter: Rc<Meter>,
    /// What may be on it before no more is given, in bytes.
    most: usize,
}

#[derive(Debug)]
enum Source {
    /// What is left of a text of ours.
    Own(Option<Bytes>),
    Origin(Box<OriginBody>),
    Compressed(Box<CompressedBody>),
}

impl AnswerBody {
    /// A text of our own; empty means no body.
    pub(crate) fn own(text: Bytes, account: Account) -> Self {
        Self { source: Source::own(text), account: Some(account), way: None }
    }

    /// A text of our own after the account of the exchange was settled.
    pub(crate) fn settled(text: Bytes) -> Self {
        Self { source: Source::own(text), account: None, way: None }
    }

    /// An origin's body.
    pub(crate) fn origin(body: OriginBody, account: Account) -> Self {
        Self { source: Source::Origin(Box::new(body)), account: Some(account), way: None }
    }

    /// An origin's body, compressed on its way.
    pub(crate) fn compressed(body: CompressedBody, account: Account) -> Self {
        Self { source: Source::Compressed(Box::new(body)), account: Some(account), way: None }
    }

    /// Gives nothing while `most` bytes of what it gave are still on their way through `meter`: what a viewer does
    /// not take stays with the origin and costs us nothing.
    pub(crate) fn keeping_pace(mut self, meter: Rc<Meter>, most: usize) -> Self {
        self.way = Some(Way { meter, most });
        self
    }
}

impl Source {
    fn own(text: Bytes) -> Self {
        Self::Own(Some(text).filter(|text| !text.is_empty()))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, OriginBodyFailure>>> {
        match self {
            Self::Own(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Origin(body) => body.poll_next(cx),
            Self::Compressed(body) => body.poll_next(cx),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = OriginBodyFailure;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OriginBodyFailure>>> {
        let this = self.get_mut();
        if this.way.as_ref().is_some_and(|way| way.meter.holds_back(way.most)) {
            return Poll::Pending;
        }
        // A fault of ours in the middle of an answer must look like what it is, an answer that was cut off, and
        // where a connection carries others, it must not cost theirs.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            #[cfg(test)]
            if let Some(account) = &this.account {
                crate::dataplane::fault::strike("passing", account.record.path.as_deref());
            }
            this.source.poll_next(cx)
        }));
        let next = match polled {
            Ok(next) => ready!(next),
            Err(_panic) => Some(Err(OriginBodyFailure::Fault)),
        };
        if let (Some(way), Some(Ok(frame))) = (&this.way, &next) {
            way.meter.note_handed_over(frame.data_ref().map_or(0, Bytes::len));
        }
        if let Some(account) = &mut this.account {
            match &next {
                Some(Ok(frame)) => account.sent(frame.data_ref().map_or(0, Bytes::len)),
                Some(Err(failure)) => account.truncated(*failure),
                None => {}
            }
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(text) => text.is_none(),
            Source::Origin(body) => body.incoming.is_end_stream(),
            Source::Compressed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Source::Origin(body) => body.incoming.size_hint(),
            // Nobody knows beforehand.
            Source::Compressed(_) => SizeHint::default(),
        }
    }
}

/// The body of an origin's response.
#[derive(Debug)]
pub(crate) struct OriginBody {
    incoming: origin::body::Body,
    idle_timeout: Duration,
    trailers: Trailers,
    /// The connection, until the body has ended or failed.
    returning: Option<Returning>,
    /// Since when we wait for the origin; none while we do not.
    waits_since: Option<Instant>,
    alarm: Alarm,
    /// `responseCompletionTimeout`: when the body must have ended.
    deadline: Option<Instant>,
}

/// Why an origin's body did not arrive completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OriginBodyFailure {
    /// `responseIdleTimeout` passed without a byte.
    #[error("the origin stopped sending its response body")]
    Stalled,
    /// `responseCompletionTimeout` passed.
    #[error("the response took too long to end")]
    Overdue,
    /// The connection ended early, or the body's framing is malformed.
    #[error("the response body is malformed or was cut off")]
    Broken,
    /// A fault of ours on the way.
    #[error("a fault of the proxy's own ended the response body")]
    Fault,
}

impl OriginBodyFailure {
    /// The failure as logs and metrics name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stalled => "origin_response_idle_timeout",
            Self::Overdue => Reason::OriginCompletionTimeout.as_str(),
            Self::Broken => "origin_truncated",
            Self::Fault => Reason::Internal.as_str(),
        }
    }
}

impl OriginBody {
    /// Takes over the body that came on `returning`.
    pub(crate) fn new(
        incoming: origin::body::Body,
        idle_timeout: Duration,
        trailers: Trailers,
        returning: Returning,
    ) -> Self {
        let mut body = Self {
            incoming,
            idle_timeout,
            trailers,
            returning: Some(returning),
            waits_since: None,
            alarm: Alarm::default(),
            deadline: None,
        };
        if body.incoming.is_end_stream() {
            body.end();
        }
        body
    }

    /// Ends the body at `deadline`, if it has not ended by itself.
    pub(crate) fn ending_by(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// The next piece.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OriginBodyFailure>>> {
        if self.is_overdue() && !self.incoming.is_end_stream() {
            return Poll::Ready(Some(Err(self.fail(OriginBodyFailure::Overdue))));
        }
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.waits_since = None;
                if self.incoming.is_end_stream() {
                    self.end();
                }
                Poll::Ready(self.pass(frame).map(Ok))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(self.fail(OriginBodyFailure::Broken)))),
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let end = *self.waits_since.get_or_insert_with(Instant::now) + self.idle_timeout;
                ready!(self.alarm.poll(self.deadline.map_or(end, |deadline| end.min(deadline)), cx));
                let failure =
                    if self.is_overdue() { OriginBodyFailure::Overdue } else { OriginBodyFailure::Stalled };
                Poll::Ready(Some(Err(self.fail(failure))))
            }
        }
    }

    /// Data passes; trailers, which are the last frame, where the viewer reads them.
    fn pass(&mut self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        let trailers = match frame.into_trailers() {
            Ok(trailers) => trailers,
            Err(data) => return Some(data),
        };
        self.end();
        (self.trailers == Trailers::Passed).then(|| Frame::trailers(harmless(trailers)))
    }

    fn is_overdue(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    fn end(&mut self) {
        if let Some(returning) = self.returning.take() {
            returning.give_back();
        }
    }

    fn fail(&mut self, failure: OriginBodyFailure) -> OriginBodyFailure {
        self.returning = None;
        failure
    }
}

/// Trailers never frame, route or authorise a message (RFC 9110 section 6.5.1).
pub(crate) fn harmless(mut trailers: HeaderMap) -> HeaderMap {
    for name in [AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING] {
        trailers.remove(name);
    }
    trailers
}
