//! Whether a Distribution may be served at all: what concerns the object as a whole.

use super::inputs::Inputs;
use super::lookup::clause;
use crate::api;
use crate::conditions::facts::Finding;
use crate::conditions::reasons::Reason;
use crate::snapshot::Undecodable;

/// Whether a spec may be served at all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Acceptance {
    /// As far as its parts can be.
    Served,
    /// All requests get 503.
    Withheld,
}

/// Looks at the object as a whole: whether it is understood, and whether all that it demands is served.
///
/// The API server has refused what breaks the API's rules; an object may be older than a rule, though, and the
/// passes that follow rely on all of them.
pub(super) fn judge(inputs: &Inputs, findings: &mut Vec<Finding>) -> Acceptance {
    let mut acceptance = Acceptance::Served;
    if let Some(Undecodable { message, .. }) = &inputs.undecodable {
        let kept = inputs.distribution.metadata.generation.unwrap_or_default();
        findings.push(Finding {
            reason: Reason::Invalid,
            field: String::new(),
            message: format!("KeptLastGood: {}. Generation {kept} is still served.", clause(message)),
        });
    }
    let violations = api::validate(&inputs.distribution.spec);
    if let Some(first) = violations.first() {
        acceptance = Acceptance::Withheld;
        let field = first.field.clone();
        let violations: Vec<String> = violations.iter().map(ToString::to_string).collect();
        let message = format!("{}; all requests get 503.", violations.join("; "));
        findings.push(Finding { reason: Reason::Invalid, field, message });
    }
    acceptance
}
