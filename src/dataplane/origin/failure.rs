//! Why an attempt gave no answer, and what that says about sending the request again.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use http::Method;
use tokio::time::{Instant, sleep_until};

use super::is_idempotent;
use crate::dataplane::viewer::body::{BodyFailure, ViewerBody};
use crate::table::reason::Reason;

/// Why a connection gave no answer, and how far it had got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What the viewer is told, where nothing else can be tried.
    pub(crate) reason: Reason,
    /// How much of the exchange the endpoint may have seen.
    pub(crate) reach: Reach,
}

/// How far an exchange had got when its connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The endpoint has seen nothing of the request, or says that it did nothing with it.
    Untouched,
    /// A part of the request was written.
    Sent,
    /// A part of an answer came.
    Answered,
}

impl Failure {
    /// Whether nothing of the exchange can have happened.
    pub(crate) fn nothing_was_sent(self) -> bool {
        self.reason == Reason::OriginReset && self.reach == Reach::Untouched
    }

    /// Whether a request that failed on a connection that had carried others may go to another one: this one was
    /// dead before a byte of an answer, and the request was not written or does no harm twice.
    pub(crate) fn may_be_sent_again(self, method: &Method, body: &ViewerBody) -> bool {
        let harmless = match self.reach {
            Reach::Untouched => true,
            Reach::Sent => is_idempotent(method),
            Reach::Answered => false,
        };
        self.reason == Reason::OriginReset && harmless && body.is_replayable()
    }
}

/// The viewer's part in a failure: it comes first, since what broke the connection was that its body did not come.
pub(super) fn of_viewer(body: &ViewerBody) -> Option<Reason> {
    body.failure().map(BodyFailure::reason)
}

/// Whether TLS was ended by one of both sides for a reason of its own: rustls says so through an I/O error.
pub(super) fn is_of_tls(error: &(dyn Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes
        .filter_map(|cause| cause.downcast_ref::<io::Error>()?.get_ref())
        .any(|inner| inner.is::<rustls::Error>())
}

/// Waits for an answer, at most `limit` from the end of the request; while it is the viewer that everybody waits
/// for, the clock stands still. None when the origin took too long.
pub(super) async fn within<T>(
    limit: Duration,
    body: &ViewerBody,
    answer: impl Future<Output = T>,
) -> Option<T> {
    let mut answer = pin!(answer);
    let mut alarm = pin!(sleep_until(Instant::now() + limit));
    loop {
        tokio::select! {
            // 1. The answer came, or will not.
            answer = &mut answer => return Some(answer),
            // 2. Time is up, if it was the origin that we waited for all the time.
            () = &mut alarm => match body.origin_waited_for_since().map(|since| since + limit) {
                Some(end) if end <= Instant::now() => return None,
                Some(end) => alarm.as_mut().reset(end),
                None => alarm.as_mut().reset(Instant::now() + limit),
            },
        }
    }
}
