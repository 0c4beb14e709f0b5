//! What a status says compared with the one before it: which conditions flipped, and what the log tells of it.
//!
//! Pure but for the log line of [`tell`]. Who publishes statuses and who writes them tell with the same words.

use super::reasons::ConditionType;
use crate::api::{DistributionState, DistributionStatus};
use crate::object::ObjectKey;

/// Gives each condition that did not flip the time of its last transition.
pub(crate) fn keep_times(status: &mut DistributionStatus, before: &DistributionStatus) {
    for condition in &mut status.conditions {
        let unflipped = before
            .conditions
            .iter()
            .find(|old| old.type_ == condition.type_ && old.status == condition.status);
        if let Some(old) = unflipped {
            condition.last_transition_time = old.last_transition_time.clone();
        }
    }
}

/// One log line where `after` tells something else than `before`: another generation, state, reason or message.
pub(crate) fn tell(key: &ObjectKey, before: Option<&DistributionStatus>, after: &DistributionStatus) {
    let line = Line::of(after);
    if before.map(Line::of) == Some(line) {
        return;
    }
    let (namespace, name) = (&key.namespace, &key.name);
    let Line { generation, state, reason, message, accepted } = line;
    match state {
        Some(DistributionState::Deployed) => {
            tracing::info!(event = "distribution.deployed", namespace, name, generation, reason, "{message}");
        }
        _ if !accepted => {
            tracing::warn!(event = "distribution.rejected", namespace, name, generation, reason, "{message}");
        }
        Some(DistributionState::Degraded | DistributionState::Rejected) => {
            tracing::warn!(event = "distribution.accepted", namespace, name, generation, reason, "{message}");
        }
        Some(DistributionState::InProgress | DistributionState::Disabled) | None => {
            tracing::info!(event = "distribution.accepted", namespace, name, generation, reason, "{message}");
        }
    }
}

/// What a log line says of a status.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Line<'s> {
    generation: Option<i64>,
    state: Option<DistributionState>,
    /// Of `Ready`, or of `OriginsAvailable` where only that is missing.
    reason: &'s str,
    message: &'s str,
    accepted: bool,
}

impl<'s> Line<'s> {
    fn of(status: &'s DistributionStatus) -> Self {
        let condition = |of: ConditionType| {
            status.conditions.iter().find(move |condition| condition.type_ == of.to_string())
        };
        let fails = |of| condition(of).filter(|condition| condition.status == "False");
        let told = fails(ConditionType::Ready)
            .or_else(|| fails(ConditionType::OriginsAvailable))
            .or_else(|| condition(ConditionType::Ready));
        Self {
            generation: status.observed_generation,
            state: status.state,
            reason: told.map_or("", |condition| &condition.reason),
            message: told.map_or("", |condition| &condition.message),
            accepted: fails(ConditionType::Accepted).is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::facts::{DistributionFacts, Finding, Served};
    use crate::conditions::reasons::Reason;
    use crate::conditions::{Fleet, finish};
    use jiff::Timestamp;

    fn status(generation: i64, reasons: &[Reason], second: i64) -> DistributionStatus {
        let finding = |reason: &Reason| Finding {
            reason: *reason,
            field: String::new(),
            message: format!("{reason} told."),
        };
        let facts = DistributionFacts {
            uid: None,
            generation,
            enabled: true,
            served: Served::Yes,
            aliases: Vec::new(),
            domain_name: None,
            origins: Vec::new(),
            certificates: Vec::new(),
            findings: reasons.iter().map(finding).collect(),
            warnings: Vec::new(),
        };
        finish(&facts, Fleet::ALONE, Timestamp::from_second(second).expect("a time")).status
    }

    fn told(generation: i64, reasons: &[Reason]) -> (String, bool) {
        let status = status(generation, reasons, 0);
        let line = Line::of(&status);
        (line.message.to_owned(), line.accepted)
    }

    #[test]
    fn the_first_failure_is_told_and_missing_endpoints_where_nothing_else_fails() {
        assert_eq!(told(1, &[]), ("The Distribution is served as its spec says.".to_owned(), true));
        assert_eq!(told(1, &[Reason::NoEndpoints]), ("NoEndpoints told.".to_owned(), true));
        let both = [Reason::NoEndpoints, Reason::AliasConflict];
        assert_eq!(told(1, &both), ("AliasConflict told.".to_owned(), false));
    }

    #[test]
    fn time_alone_is_no_change_and_another_generation_is_one() {
        let (first, later, edited) = (status(1, &[], 0), status(1, &[], 9), status(2, &[], 9));
        assert!(Line::of(&first) == Line::of(&later));
        assert!(Line::of(&first) != Line::of(&edited));
    }

    #[test]
    fn only_a_condition_that_flipped_gets_a_new_time() {
        let before = status(1, &[], 0);
        let mut after = status(1, &[Reason::BackendNotFound], 9);
        keep_times(&mut after, &before);
        let flipped =
            after.conditions.iter().filter(|condition| condition.last_transition_time.0.as_second() == 9);
        let flipped: Vec<_> = flipped.map(|condition| condition.type_.as_str()).collect();
        assert_eq!(flipped, ["ResolvedRefs", "Ready", "Reconciling"]);
    }
}
