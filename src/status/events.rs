//! Events: what changed about a Distribution, where `kubectl describe` and an operator's tools look for it.
//!
//! They come from statuses that were written, and so from the replica that writes them. Only changes of state are
//! told; the same one again counts up the event that told it (`events.k8s.io/v1`, series). The queue is bounded and
//! the pace is limited: what does not fit is counted, and a status never waits for an event.
//! What is worth one is decided by [`of_write`] and [`of_refusal`].

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::leader::Leadership;
use super::ledger::Write;
use crate::api::{Distribution, DistributionStatus};
use crate::conditions::facts::Warning;
use crate::conditions::reasons::{ConditionType, Reason};
use crate::object::ObjectKey;
use crate::telemetry::metrics::Metrics;

/// Who tells, as the API has it: a qualified name.
const CONTROLLER: &str = "tidegate.io/tidegate";

/// What was done when something was found: Distributions are judged.
const ACTION: &str = "Judge";

/// The longest note that the API server takes, in bytes.
const NOTE: usize = 1024;

/// The conditions whose changes are told. `Reconciling` and `Stalled` only repeat them.
const TOLD: [ConditionType; 6] = [
    ConditionType::Accepted,
    ConditionType::ResolvedRefs,
    ConditionType::CertificateValid,
    ConditionType::OriginsAvailable,
    ConditionType::Deployed,
    ConditionType::Ready,
];

/// The waits and bounds of events; tests shrink them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many wait to be told.
    pub queue: usize,
    /// The shortest time from one to the next.
    pub pace: Duration,
    /// How long one may take: shorter than a leader's term, so that one that hangs is known to have failed.
    pub call: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue: 1024, pace: Duration::from_millis(50), call: Duration::from_secs(5) }
    }
}

/// Something to tell of a Distribution.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    severity: EventType,
    reason: String,
    note: String,
}

/// What is told, and of whom.
#[derive(Debug)]
struct Message {
    regarding: ObjectReference,
    told: Told,
}

/// Where events are put; whoever puts them never waits.
#[derive(Clone, Debug)]
pub struct Events {
    queue: mpsc::Sender<Message>,
    metrics: Metrics,
}

/// Takes events out and tells them; see [`run`].
#[derive(Debug)]
pub struct Teller {
    queue: mpsc::Receiver<Message>,
    metrics: Metrics,
    limits: Limits,
}

/// A queue of events, and who empties it.
pub fn channel(metrics: &Metrics, limits: Limits) -> (Events, Teller) {
    let (sender, receiver) = mpsc::channel(limits.queue);
    let events = Events { queue: sender, metrics: metrics.clone() };
    (events, Teller { queue: receiver, metrics: metrics.clone(), limits })
}

impl Events {
    /// Tells of a Distribution, as far as there is room.
    pub(super) fn tell(&self, key: &ObjectKey, uid: Option<&str>, told: Vec<Told>) {
        for told in told {
            let regarding = ObjectReference {
                api_version: Some(Distribution::api_version(&()).into_owned()),
                kind: Some(Distribution::kind(&()).into_owned()),
                namespace: Some(key.namespace.clone()),
                name: Some(key.name.clone()),
                uid: uid.map(str::to_owned),
                ..ObjectReference::default()
            };
            if self.queue.try_send(Message { regarding, told }).is_err() {
                self.metrics.event("dropped");
            }
        }
    }
}

/// Tells events until `stop`, or until nobody puts any more, and only while this replica leads; `instance` is what
/// it is called.
pub async fn run(
    mut teller: Teller,
    client: Client,
    leadership: Leadership,
    instance: String,
    stop: CancellationToken,
) {
    let reporter = Reporter { controller: CONTROLLER.to_owned(), instance: Some(instance) };
    let recorder = Recorder::new(client, reporter);
    let telling = async {
        let mut known_to_fail = false;
        while let Some(Message { regarding, told }) = teller.queue.recv().await {
            let Told { severity: type_, reason, note } = told;
            let event = Event { type_, reason, note: Some(note), action: ACTION.to_owned(), secondary: None };
            let telling = timeout(teller.limits.call, recorder.publish(&event, &regarding));
            // Who leads now tells of what it writes; the rest was of a term that has ended.
            let Some(told) = leadership.while_leading(telling).await else {
                teller.metrics.event("dropped");
                continue;
            };
            let failure = match told {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("no answer in time".to_owned()),
            };
            teller.metrics.event(if failure.is_none() { "ok" } else { "error" });
            if let Some(failure) = failure.as_ref().filter(|_| !known_to_fail) {
                tracing::warn!(event = "events.unavailable", "the API server takes no events: {failure}");
            }
            known_to_fail = failure.is_some();
            sleep(teller.limits.pace).await;
        }
    };
    stop.run_until_cancelled(telling).await;
}

/// What a status that was written tells: each condition that came to fail or to hold again, and warnings that the
/// status before did not have.
pub(super) fn of_write(write: &Write) -> Vec<Told> {
    let (before, after) = (write.before.as_ref(), &write.status);
    let changed = TOLD.into_iter().filter_map(|of| {
        let now = condition(after, of)?;
        let then = before.and_then(|before| condition(before, of));
        of_change(of, then, now)
    });
    changed.chain(of_warnings(before, &write.warnings)).collect()
}

/// That the API server takes no status of a Distribution.
pub(super) fn of_refusal(write: &Write, failure: &str) -> Vec<Told> {
    let ready = condition(&write.status, ConditionType::Ready).map_or("", |ready| &ready.message);
    vec![told(EventType::Warning, Reason::Invalid, &format!("{failure}. {ready}"))]
}

fn of_change(of: ConditionType, then: Option<&Condition>, now: &Condition) -> Option<Told> {
    let is_same = |then: &Condition| {
        let edited = then.observed_generation != now.observed_generation;
        then.status == now.status && then.reason == now.reason && !(edited && then.message != now.message)
    };
    if then.is_some_and(is_same) {
        return None;
    }
    let held = then.is_some_and(|then| then.status == "True");
    let failed = then.is_some_and(|then| then.status == "False");
    let is = |reason: Reason| now.reason == reason.to_string();
    let severity = match (now.status.as_str(), of) {
        // The condition that fails is told, and that a rollout is on its way is none of the news.
        ("False", ConditionType::Ready) => return None,
        ("False", _) if is(Reason::InProgress) => return None,
        ("False", _) => EventType::Warning,
        ("True", _) if is(Reason::ExpiringSoon) => EventType::Warning,
        ("True", ConditionType::Ready) if !held || then.is_some_and(|then| then.reason != now.reason) => {
            EventType::Normal
        }
        ("True", ConditionType::Accepted | ConditionType::ResolvedRefs) if failed => EventType::Normal,
        ("True", ConditionType::CertificateValid | ConditionType::OriginsAvailable) if failed => {
            EventType::Normal
        }
        _ => return None,
    };
    Some(told(severity, &now.reason, &now.message))
}

/// One for each kind of warning of which something is new.
fn of_warnings(before: Option<&DistributionStatus>, warnings: &[Warning]) -> Vec<Told> {
    let accepted = before.and_then(|before| condition(before, ConditionType::Accepted));
    let known = accepted.map_or("", |accepted| accepted.message.as_str());
    let mut by_kind: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for warning in warnings.iter().filter(|warning| !known.contains(&warning.message)) {
        by_kind.entry(warning.kind.to_string()).or_default().push(&warning.message);
    }
    by_kind.into_iter().map(|(kind, messages)| told(EventType::Warning, kind, &messages.join(" "))).collect()
}

fn condition(status: &DistributionStatus, of: ConditionType) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == of.to_string())
}

fn told(severity: EventType, reason: impl ToString, note: &str) -> Told {
    Told { severity, reason: reason.to_string(), note: shortened(note) }
}

fn shortened(note: &str) -> String {
    const END: &str = "…";
    if note.len() <= NOTE {
        return note.to_owned();
    }
    let end = (0..=NOTE - END.len()).rev().find(|end| note.is_char_boundary(*end)).unwrap_or_default();
    format!("{}{END}", note.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::conditions::facts::{DistributionFacts, Finding, Served};
    use crate::conditions::reasons::WarningKind;
    use crate::conditions::{Fleet, finish};

    fn facts(generation: i64, findings: &[(Reason, &str)], warnings: &[&str]) -> DistributionFacts {
        let finding = |(reason, message): &(Reason, &str)| Finding {
            reason: *reason,
            field: String::new(),
            message: (*message).to_owned(),
        };
        let warning = |message: &&str| Warning {
            kind: WarningKind::UnreachableBehavior,
            field: String::new(),
            message: (*message).to_owned(),
        };
        DistributionFacts {
            uid: None,
            generation,
            enabled: true,
            served: Served::Yes,
            aliases: Vec::new(),
            domain_name: None,
            origins: Vec::new(),
            certificates: Vec::new(),
            findings: findings.iter().map(finding).collect(),
            warnings: warnings.iter().map(warning).collect(),
        }
    }

    /// `Warning BackendNotFound: message` of each event.
    fn events(before: Option<&DistributionFacts>, after: &DistributionFacts, fleet: Fleet) -> Vec<String> {
        let status = |facts| finish(facts, fleet.clone(), Timestamp::UNIX_EPOCH).status;
        let write = Write {
            key: ObjectKey::new("shop", "web"),
            uid: None,
            before: before.map(status),
            status: status(after),
            warnings: after.warnings.clone(),
        };
        let told = of_write(&write).into_iter();
        told.map(|Told { severity, reason, note }| format!("{severity:?} {reason}: {note}")).collect()
    }

    const ALL_WELL: &str = "Normal Ready: The Distribution is served as its spec says.";

    #[test]
    fn only_a_change_of_state_is_told() {
        let (good, bad) =
            (facts(1, &[], &[]), facts(1, &[(Reason::BackendNotFound, "no such Service.")], &[]));
        let tell = |before, after| events(before, after, Fleet::ALONE);
        let failed = "Warning BackendNotFound: no such Service.";
        assert_eq!(tell(None, &good), [ALL_WELL]);
        assert_eq!(tell(None, &bad), [failed]);
        assert_eq!(tell(Some(&good), &good), [""; 0]);
        assert_eq!(tell(Some(&bad), &bad), [""; 0]);
        assert_eq!(tell(Some(&good), &bad), [failed]);
        assert_eq!(
            tell(Some(&bad), &good),
            ["Normal ResolvedRefs: Everything that is named exists.", ALL_WELL]
        );
        let other = facts(1, &[(Reason::BackendNotFound, "another message.")], &[]);
        assert_eq!(tell(Some(&bad), &other), [""; 0], "the same state in other words");
        let edited = facts(2, &[(Reason::BackendNotFound, "another message.")], &[]);
        assert_eq!(
            tell(Some(&bad), &edited),
            ["Warning BackendNotFound: another message."],
            "an edit asks anew"
        );
        assert_eq!(tell(Some(&good), &facts(2, &[], &[])), [""; 0], "an edit that is served is no news");
    }

    #[test]
    fn a_rollout_is_no_news_and_a_switch_is_one() {
        let good = facts(1, &[], &[]);
        let lagging = Fleet { serving: 1, alive: 2, lagging: None };
        assert_eq!(events(None, &good, lagging), [""; 0]);
        let disabled = DistributionFacts { enabled: false, ..facts(2, &[], &[]) };
        let told = events(Some(&good), &disabled, Fleet::ALONE);
        assert_eq!(told, ["Normal Disabled: spec.enabled is false: its hosts answer 404."]);
        assert_eq!(events(Some(&disabled), &good, Fleet::ALONE), [ALL_WELL]);
    }

    #[test]
    fn a_warning_is_told_once_and_those_of_a_kind_together() {
        let (one, two) =
            (facts(1, &[], &["a is odd."]), facts(1, &[], &["a is odd.", "b is odd.", "c is odd."]));
        let good = facts(1, &[], &[]);
        let tell = |before, after| events(Some(before), after, Fleet::ALONE);
        assert_eq!(tell(&good, &one), ["Warning UnreachableBehavior: a is odd."]);
        assert_eq!(tell(&one, &one), [""; 0]);
        assert_eq!(tell(&one, &two), ["Warning UnreachableBehavior: b is odd. c is odd."]);
        assert_eq!(tell(&one, &good), [""; 0]);
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let note = shortened(&"ä".repeat(NOTE));
        assert!(note.len() <= NOTE && note.len() > NOTE - 4 && note.ends_with("ä…"), "{}", note.len());
        assert_eq!(shortened("short"), "short");
    }
}
