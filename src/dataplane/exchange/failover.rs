//! An origin group: one member after the other, until one has answered or there is none left.
//!
//! Each is asked as if it were the only origin: with a head of its own, on its own endpoints, with its own attempts and
//! limits. Whoever is asked last gives the answer, be it an error.

use std::mem;
use std::sync::Arc;

use http::request::Parts;
use tokio::time::Instant;

use super::discard::discard;
use super::{Exchange, Forward};
use crate::dataplane::origin::head::{Facts, Prepared};
use crate::dataplane::origin::{self, Incomings, Outgoing, Report};
use crate::dataplane::targets::{LiveGroup, LiveTarget};
use crate::dataplane::viewer::body::ViewerBody;
use crate::table::decide::Scheme;
use crate::table::origin::Origin;
use crate::table::reason::Reason;
use crate::table::target::Target;
use crate::telemetry::metrics::Failed;

/// The request before it was made one for a certain member.
pub(super) struct Original {
    pub(super) head: Prepared,
    pub(super) target: Target,
}

/// The position of the member that is asked first. Those that cannot be asked at all fail the request, too.
pub(super) fn first(group: &LiveGroup, scheme: Scheme) -> usize {
    let usable = (0..group.len()).find(|position| group.member(*position, scheme).is_some());
    let first = usable.unwrap_or_default();
    (0..first).for_each(|position| tell(group, position, Failed::Reason(Reason::NoEndpoints.as_str())));
    first
}

impl Exchange {
    /// Sends a request to its origin, or to one member of its group after the other; in the end `forward` names who
    /// gave the answer.
    pub(super) async fn send(
        &mut self,
        forward: &mut Forward,
        report: &mut Report,
    ) -> Result<Incomings, Reason> {
        match forward.original.take() {
            None => origin::send(&self.viewer.worker, &forward.origin, &forward.outgoing, report).await,
            // Large, and not to be paid for by those without a group.
            Some(original) => Box::pin(self.ask_members(&original, forward, report)).await,
        }
    }

    /// Sends a request to one member after the other.
    async fn ask_members(
        &mut self,
        original: &Original,
        forward: &mut Forward,
        report: &mut Report,
    ) -> Result<Incomings, Reason> {
        let distribution = Arc::clone(&forward.distribution);
        let group = distribution.target(forward.route_position).and_then(LiveTarget::group);
        let group = group.ok_or(Reason::Internal)?;
        let mut asked = Instant::now();
        let mut answer = origin::send(&self.viewer.worker, &forward.origin, &forward.outgoing, report).await;
        loop {
            let (member, next) = (self.account.record.member, self.account.record.member + 1);
            let failed = failure(&answer, group, &forward.outgoing.body);
            let Some(failed) = failed.filter(|_| next < group.len()) else { return answer };
            tell(group, member, failed);
            if let Ok(unwanted) = answer {
                forward.origin.metrics.answered(asked.elapsed());
                if forward.outgoing.body.has_ended() {
                    discard(unwanted, &self.viewer.worker.limits).await;
                } else {
                    // What is still to come of the body would go on to this member meanwhile.
                    drop(unwanted);
                }
            }
            asked = Instant::now();
            self.account.ask(next);
            answer = self.ask(group, next, original, forward, report).await;
        }
    }

    /// Asks the member at a position; `report` counts the attempts of all together.
    async fn ask(
        &self,
        group: &LiveGroup,
        position: usize,
        original: &Original,
        forward: &mut Forward,
        report: &mut Report,
    ) -> Result<Incomings, Reason> {
        let earlier = mem::take(report);
        report.error = earlier.error;
        let answer = match group.member(position, forward.outgoing.sender.scheme) {
            None => Err(Reason::NoEndpoints),
            Some(origin) => {
                forward.origin = Arc::clone(origin);
                forward.outgoing.head = original.compose(&origin.origin, &forward.outgoing)?;
                origin::send(&self.viewer.worker, &forward.origin, &forward.outgoing, report).await
            }
        };
        report.attempts += earlier.attempts;
        answer
    }
}

impl Original {
    /// The head for a member, of the request that another one failed.
    fn compose(&self, origin: &Origin, outgoing: &Outgoing) -> Result<Parts, Reason> {
        let Outgoing { body, load, handshake, .. } = outgoing;
        let facts = Facts { target: &self.target, origin, body, load: *load, handshake: handshake.as_ref() };
        self.head.clone().compose(facts)
    }
}

/// How the member that gave this answer has failed the request; none where its viewer gets that answer, since it is
/// one, or since the request cannot be sent a second time.
fn failure(answer: &Result<Incomings, Reason>, group: &LiveGroup, body: &ViewerBody) -> Option<Failed> {
    let failed = match answer {
        Ok(incomings) => {
            let status = incomings.response.status();
            group.group.statuses.contains(&status).then(|| Failed::Status(status.as_u16()))
        }
        Err(reason) => is_the_member_s(*reason).then(|| Failed::Reason(reason.as_str())),
    };
    failed.filter(|_| body.is_replayable())
}

/// Whether another member may do better. One whose endpoints are all full is like one that has none: its viewers would
/// get 503.
fn is_the_member_s(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NoEndpoints
            | Reason::ConnectionLimit
            | Reason::OriginRefused
            | Reason::OriginReset
            | Reason::OriginTls
            | Reason::OriginProtocol
            | Reason::OriginWebsocketHandshake
            | Reason::OriginConnectTimeout
            | Reason::OriginReadTimeout
            | Reason::OriginCompletionTimeout
    )
}

fn tell(group: &LiveGroup, position: usize, failed: Failed) {
    if let Some(metrics) = group.metrics(position) {
        metrics.failed_over(failed);
    }
}
