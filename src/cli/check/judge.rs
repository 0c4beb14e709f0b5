//! How much each finding about manifests weighs: what must be edited, what is odd, what only the cluster can tell.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use crate::cli::offline::{DEFAULT_CLASS, translated};
use crate::conditions::facts::{DistributionFacts, Finding};
use crate::conditions::reasons::{ConditionType, Reason};
use crate::conditions::{Fleet, finish};
use crate::object::ObjectKey;
use crate::provider::manifests::Reading;
use crate::snapshot::FileProblem;

/// All that was found.
#[derive(Debug, Serialize)]
pub(super) struct Judged {
    /// How many Distributions were looked at, without those that do not parse.
    pub(super) distributions: usize,
    /// In the order of path and line.
    pub(super) problems: Vec<Problem>,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Problem {
    #[serde(flatten)]
    pub(super) place: FileProblem,
    pub(super) severity: Severity,
    /// The condition's reason, or the warning; none for what does not parse.
    pub(super) reason: Option<String>,
}

/// How much it weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// It would not be served as it says.
    Error,
    /// It would be, and is odd.
    Warning,
    /// Only the cluster can tell.
    Note,
}

/// What it means that an object is not among the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nothing yet.
    MayBeInTheCluster,
    /// The files are all there is.
    IsAnError,
}

/// Judges everything in the files, certificates as of `now`.
pub(super) fn all(reading: &Reading, missing: Missing, now: Timestamp) -> Judged {
    let unparsed = reading.problems().iter().cloned();
    let unparsed = unparsed.map(|place| Problem { place, severity: Severity::Error, reason: None });
    let mut judged = Judged { distributions: 0, problems: unparsed.collect() };
    let classes: BTreeSet<&str> =
        reading.classes().iter().map(String::as_str).chain([DEFAULT_CLASS]).collect();
    for class in classes {
        let facts = translated(reading, class, None, None).facts;
        judged.distributions += facts.0.len();
        for (key, facts) in &facts.0 {
            judged.problems.extend(of_distribution(reading, key, facts, missing, now));
        }
    }
    judged.problems.sort();
    judged
}

fn of_distribution(
    reading: &Reading,
    key: &ObjectKey,
    facts: &DistributionFacts,
    missing: Missing,
    now: Timestamp,
) -> Vec<Problem> {
    let problem = |severity, reason: String, field: &str, message: &str| {
        let place = reading.problem_of(key, field, message)?;
        Some(Problem { place, severity, reason: Some(reason) })
    };
    let findings = facts.findings.iter().filter_map(|finding| {
        let severity = severity(finding, facts, missing)?;
        problem(severity, finding.reason.to_string(), &finding.field, &finding.message)
    });
    let warnings = facts.warnings.iter().filter_map(|warning| {
        problem(Severity::Warning, warning.kind.to_string(), &warning.field, &warning.message)
    });
    let certificate = validity(facts, now).and_then(|(severity, reason, message)| {
        problem(severity, reason, "spec.viewerCertificate.secretName", &message)
    });
    findings.chain(warnings).chain(certificate).collect()
}

/// How much a finding weighs; none where it only repeats another, or says what nobody expects of files.
fn severity(finding: &Finding, facts: &DistributionFacts, missing: Missing) -> Option<Severity> {
    match (finding.reason, missing) {
        (Reason::BackendNotFound | Reason::SecretNotFound | Reason::RefNotPermitted, _) => {
            Some(if missing == Missing::IsAnError { Severity::Error } else { Severity::Note })
        }
        // EndpointSlices are made by the cluster.
        (Reason::NoEndpoints, Missing::MayBeInTheCluster) => None,
        // That an origin cannot be used follows from what is wrong with it.
        (Reason::NoEndpoints, Missing::IsAnError) => {
            let cause = |other: &Finding| {
                let origin = finding.field.split_inclusive(']').next().unwrap_or_default();
                other.reason != Reason::NoEndpoints && other.field.starts_with(origin)
            };
            (!facts.findings.iter().any(cause)).then_some(Severity::Error)
        }
        // Nothing is covered where there is no certificate, and that was said.
        (Reason::AliasNotCovered, _) if facts.certificates.is_empty() => None,
        _ => Some(Severity::Error),
    }
}

/// What time says of a certificate.
fn validity(facts: &DistributionFacts, now: Timestamp) -> Option<(Severity, String, String)> {
    let status = finish(facts, Fleet::ALONE, now).status;
    let validity = ConditionType::CertificateValid.to_string();
    let told = status.conditions.into_iter().find(|condition| condition.type_ == validity)?;
    let is = |reason: Reason| told.reason == reason.to_string();
    let severity = if is(Reason::Expired) {
        Severity::Error
    } else if is(Reason::ExpiringSoon) {
        Severity::Warning
    } else {
        return None;
    };
    Some((severity, told.reason, told.message))
}
