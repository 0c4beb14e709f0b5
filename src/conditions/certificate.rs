//! The conditions' only clock: how long certificates still last.

use jiff::{SignedDuration, Timestamp};

use super::facts::{CertificateFact, DistributionFacts};
use super::reasons::{ConditionType, Reason};
use super::verdict::{Verdict, of_findings};
use crate::object::ObjectKey;

/// `CertificateValid`: what was found, then the end of the validity. Without TLS it holds.
///
/// Any of several certificates may be the one that a viewer is shown, so what ends first decides.
pub(super) fn judge(facts: &DistributionFacts, now: Timestamp) -> Verdict {
    let all_well = match facts.certificates.as_slice() {
        [] => "No certificate of its own is asked for.",
        [_] => "The certificate covers every alias.",
        _ => "The certificates cover every alias.",
    };
    let found = of_findings(facts, ConditionType::CertificateValid, all_well);
    let expired = told(
        facts,
        |certificate| now >= certificate.not_after,
        |secret, end| {
            format!("The certificate in Secret {secret} expired at {end}; it is still served; renew it.")
        },
    );
    if let Some(message) = expired {
        return worse(found, Verdict::fails(Reason::Expired, message));
    }
    let expiring = told(
        facts,
        |certificate| now >= expiring_from(certificate),
        |secret, end| format!("The certificate in Secret {secret} expires at {end}; renew it."),
    );
    match expiring {
        Some(message) if found.holds => Verdict { reason: Some(Reason::ExpiringSoon), message, ..found },
        _ => found,
    }
}

/// What is to be said of some of the certificates, the first to end first; none where it is none.
fn told(
    facts: &DistributionFacts,
    concerned: impl Fn(&CertificateFact) -> bool,
    say: impl Fn(&ObjectKey, Timestamp) -> String,
) -> Option<String> {
    let mut concerned: Vec<_> =
        facts.certificates.iter().filter(|certificate| concerned(certificate)).collect();
    concerned.sort_by_key(|certificate| certificate.not_after);
    let said = concerned.iter().map(|certificate| say(&certificate.secret, certificate.not_after));
    (!concerned.is_empty()).then(|| said.collect::<Vec<_>>().join(" "))
}

/// An expired certificate is said first; what else is wrong with it, behind.
fn worse(found: Verdict, expired: Verdict) -> Verdict {
    if found.holds {
        return expired;
    }
    Verdict {
        message: format!("{} {}", expired.message, found.message),
        remedies: [expired.remedies, found.remedies].concat(),
        ..expired
    }
}

/// When the judgement changes with nothing but time.
pub(super) fn look_again_at(facts: &DistributionFacts, now: Timestamp) -> Option<Timestamp> {
    let ends =
        facts.certificates.iter().flat_map(|certificate| [expiring_from(certificate), certificate.not_after]);
    ends.filter(|at| *at > now).min()
}

/// The moment from which less than a fifth of the lifetime is left.
fn expiring_from(certificate: &CertificateFact) -> Timestamp {
    let lifetime: SignedDuration = certificate.not_after.duration_since(certificate.not_before);
    certificate.not_after.checked_sub(lifetime / 5).unwrap_or(certificate.not_after)
}
