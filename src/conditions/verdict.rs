//! One condition before it is written down: whether it holds, why not, and who can heal it.

use std::collections::BTreeSet;

use super::facts::{DistributionFacts, Warning};
use super::reasons::{ConditionType, Reason, Remedy};

/// What is said about one condition.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    /// Which.
    pub condition: ConditionType,
    /// `True` or `False`.
    pub holds: bool,
    /// Why; none where it simply holds, and the type's own name is the reason.
    pub reason: Option<Reason>,
    /// What a person reads.
    pub message: String,
    /// Who can heal what is wrong, in the order in which it was found.
    pub remedies: Vec<(Reason, Remedy)>,
}

impl Verdict {
    /// Of a condition with which all is well.
    pub(super) fn holds(condition: ConditionType, message: String) -> Self {
        Self { condition, holds: true, reason: None, message, remedies: Vec::new() }
    }

    /// Of a condition that is true, with a reason of another name than its own.
    pub(super) fn because(condition: ConditionType, reason: Reason, message: String) -> Self {
        Self { reason: Some(reason), ..Self::holds(condition, message) }
    }

    /// Of the condition that `reason` belongs to.
    pub(super) fn fails(reason: Reason, message: String) -> Self {
        let remedies = reason.remedy().map(|remedy| (reason, remedy)).into_iter().collect();
        Self { condition: reason.condition(), holds: false, reason: Some(reason), message, remedies }
    }

    /// The same with warnings behind it, which change nothing about it.
    pub(super) fn beside(mut self, warnings: &[Warning]) -> Self {
        if !warnings.is_empty() {
            let told = join(&warnings.iter().map(|warning| warning.message.as_str()).collect::<Vec<_>>());
            let kinds: BTreeSet<String> = warnings.iter().map(|warning| warning.kind.to_string()).collect();
            let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
            self.message = format!("{} Warnings ({kinds}): {told}", self.message);
        }
        self
    }

    /// The same, said of another condition.
    pub(super) fn as_condition(&self, condition: ConditionType) -> Self {
        Self { condition, ..self.clone() }
    }
}

/// Judges a condition that depends on nothing but what was found.
pub(super) fn of_findings(facts: &DistributionFacts, condition: ConditionType, all_well: &str) -> Verdict {
    let found = || facts.findings.iter().filter(|finding| finding.reason.condition() == condition);
    match found().next() {
        None => Verdict::holds(condition, all_well.to_owned()),
        Some(first) => Verdict {
            condition,
            holds: false,
            reason: Some(first.reason),
            message: join(&found().map(|finding| finding.message.as_str()).collect::<Vec<_>>()),
            remedies: found()
                .filter_map(|finding| Some((finding.reason, finding.reason.remedy()?)))
                .collect(),
        },
    }
}

/// The first messages, and how many more there are: the API server takes 32,768 characters, a person far less.
fn join(messages: &[&str]) -> String {
    const SHOWN: usize = 8;
    const LONGEST: usize = 4096;
    let mut text = messages.get(..SHOWN).unwrap_or(messages).join(" ");
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    match messages.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} And {more} more."),
    }
}
