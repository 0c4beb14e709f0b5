//! The conditions' only clock: how long a certificate still lasts.

use jiff::{SignedDuration, Timestamp};

use super::facts::{CertificateFact, DistributionFacts};
use super::reasons::{ConditionType, Reason};
use super::verdict::{Verdict, of_findings};

/// `CertificateValid`: what was found, then the end of the validity. Without TLS it holds.
pub(super) fn judge(facts: &DistributionFacts, now: Timestamp) -> Verdict {
    let all_well = match &facts.certificate {
        Some(_) => "The certificate covers every alias.",
        None => "No certificate of its own is asked for.",
    };
    let found = of_findings(facts, ConditionType::CertificateValid, all_well);
    let Some(certificate) = &facts.certificate else {
        return found;
    };
    let (secret, end) = (&certificate.secret, certificate.not_after);
    if now >= end {
        let message =
            format!("The certificate in Secret {secret} expired at {end}; it is still served; renew it.");
        return worse(found, Verdict::fails(Reason::Expired, message));
    }
    if found.holds && now >= expiring_from(certificate) {
        let message = format!("The certificate in Secret {secret} expires at {end}; renew it.");
        return Verdict { reason: Some(Reason::ExpiringSoon), message, ..found };
    }
    found
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
    let certificate = facts.certificate.as_ref()?;
    [expiring_from(certificate), certificate.not_after].into_iter().find(|at| *at > now)
}

/// The moment from which less than a fifth of the lifetime is left.
fn expiring_from(certificate: &CertificateFact) -> Timestamp {
    let lifetime: SignedDuration = certificate.not_after.duration_since(certificate.not_before);
    certificate.not_after.checked_sub(lifetime / 5).unwrap_or(certificate.not_after)
}
