//! What is wrong with a Secret that gives viewers' TLS something: told in one way, whichever field names it.

use std::sync::Arc;

use super::inputs::NamedSecret;
use super::lookup::{Trouble, did_you_mean};
use crate::conditions::facts::Finding;
use crate::conditions::reasons::Reason;

/// Who asks for a Secret, and what becomes of traffic.
pub(super) struct Asking {
    /// The field that names it, below `spec`.
    pub field: String,
    /// What kind it has to be, as a clause with a space before it; may be empty.
    pub of_type: &'static str,
    /// What traffic gets where nothing of it can be used.
    pub without: &'static str,
    /// What traffic gets where its last good version is.
    pub kept: &'static str,
}

impl<T> NamedSecret<T> {
    /// What to use of it: its present version, or its last good one.
    pub(super) fn usable(&self) -> Option<&Arc<T>> {
        self.lookup.found.as_ref()?.usable()
    }
}

/// Finds what is wrong with a Secret itself.
pub(super) fn report<T>(named: &NamedSecret<T>, asking: &Asking, findings: &mut Vec<Finding>) {
    let (NamedSecret { key, lookup }, Asking { field, of_type, without, kept }) = (named, asking);
    let mut report = |reason, problem: &str| {
        let problem = format!("{field}: Secret {key}{problem}");
        let message = match named.usable() {
            Some(_) => format!("KeptLastGood: {problem}. {kept}"),
            None => format!("{problem} {without}"),
        };
        findings.push(Finding { reason, field: format!("spec.{field}"), message });
    };
    // The end of the sentence, where nothing is kept.
    let end = if named.usable().is_some() { "" } else { "." };
    match (&lookup.trouble, &lookup.found) {
        (Some(Trouble::Unreadable(sentence)), _) => {
            report(Reason::RefNotPermitted, &format!(" cannot be read: {sentence}{end}"));
        }
        (Some(Trouble::NotPermitted(remedy)), _) => {
            report(
                Reason::RefNotPermitted,
                &format!(" of another namespace is not permitted: {remedy}{end}"),
            );
        }
        (Some(Trouble::Undecodable(sentence)), _) => {
            report(Reason::InvalidCertificate, &format!(" does not decode: {sentence}{end}"));
        }
        (None, Some(found)) => {
            if let Some(problem) = found.problem() {
                report(Reason::InvalidCertificate, &format!(" {problem}{end}"));
            }
        }
        (None, None) => {
            let nearest = did_you_mean(lookup.nearest.as_deref());
            report(Reason::SecretNotFound, &format!("{of_type} not found{nearest}"));
        }
    }
}
