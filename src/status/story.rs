//! What a status says compared with the one before it: which conditions flipped, and what the log tells of it.
//!
//! Pure but for the log lines of [`tell`].

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::DistributionStatus;
use crate::conditions::reasons::ConditionType;
use crate::object::ObjectKey;

/// Gives each condition that did not flip the time of its last transition.
pub(super) fn keep_times(status: &mut DistributionStatus, before: &DistributionStatus) {
    for condition in &mut status.conditions {
        let same = |old: &&Condition| old.type_ == condition.type_ && old.status == condition.status;
        if let Some(old) = before.conditions.iter().find(same) {
            condition.last_transition_time = old.last_transition_time.clone();
        }
    }
}

/// One line for each change of state that a written status brings.
pub(super) fn tell(key: &ObjectKey, before: Option<&DistributionStatus>, after: &DistributionStatus) {
    let (namespace, name) = (&key.namespace, &key.name);
    let generation = after.observed_generation;
    if let Some(accepted) = changed(ConditionType::Accepted, before, after) {
        let (reason, message) = (&accepted.reason, &accepted.message);
        if accepted.status == "True" {
            tracing::info!(event = "distribution.accepted", namespace, name, generation, "{message}");
        } else {
            tracing::warn!(event = "distribution.rejected", namespace, name, generation, reason, "{message}");
        }
    }
    let anew = before.and_then(|before| before.observed_generation) != generation;
    let deployed = condition(ConditionType::Deployed, after).filter(|condition| condition.status == "True");
    let flipped = changed(ConditionType::Deployed, before, after).is_some();
    if let Some(deployed) = deployed.filter(|_| anew || flipped) {
        tracing::info!(event = "distribution.deployed", namespace, name, generation, "{}", deployed.message);
    }
}

/// The condition after, where its status or its reason is another one than before.
fn changed<'a>(
    of: ConditionType,
    before: Option<&DistributionStatus>,
    after: &'a DistributionStatus,
) -> Option<&'a Condition> {
    let old = before.and_then(|before| condition(of, before));
    let same = |new: &&Condition| old.is_some_and(|old| old.status == new.status && old.reason == new.reason);
    condition(of, after).filter(|new| !same(new))
}

fn condition(of: ConditionType, status: &DistributionStatus) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == of.to_string())
}
