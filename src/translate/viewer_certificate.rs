//! What a Distribution's viewers are shown: the certificate of its Secret, compared with its aliases.

use std::sync::Arc;

use super::certificates::Loaded;
use super::inputs::{Inputs, NamedSecret};
use super::lookup::{Trouble, did_you_mean};
use crate::conditions::facts::{CertificateFact, Finding};
use crate::conditions::reasons::Reason;
use crate::table::certificate::OwnCertificate;
use crate::table::host::HostPattern;

/// The field that names the Secret.
const SECRET_NAME: &str = "spec.viewerCertificate.secretName";

/// Chooses what viewers of a Distribution are shown; none without `viewerCertificate`.
pub(super) fn choose(
    inputs: &Inputs,
    aliases: &[HostPattern],
    findings: &mut Vec<Finding>,
) -> (Option<OwnCertificate>, Option<CertificateFact>) {
    const REFUSED: &str = "TLS is refused for its aliases.";
    let not_covered =
        |message| Finding { reason: Reason::AliasNotCovered, field: SECRET_NAME.to_owned(), message };
    if inputs.distribution.spec.viewer_certificate.is_none() {
        return (None, None);
    }
    let loaded = inputs.certificate.as_ref().and_then(|named| {
        report_secret(named, REFUSED, findings);
        Some((named, named.lookup.found.as_ref()?.usable()?))
    });
    let Some((named, loaded)) = loaded else {
        let message = format!("No certificate could be loaded, so no alias is covered. {REFUSED}");
        findings.push(not_covered(message));
        return (Some(OwnCertificate::Unusable), None);
    };
    for alias in aliases.iter().filter(|alias| !covers(loaded, alias)) {
        let secret = &named.key;
        let message = format!(
            "The certificate in Secret {secret} does not name {:?}; viewers refuse it there; add the name.",
            alias.to_string()
        );
        findings.push(not_covered(message));
    }
    let Loaded { certificate, not_before, not_after } = &**loaded;
    let fact = CertificateFact { secret: named.key.clone(), not_before: *not_before, not_after: *not_after };
    (Some(OwnCertificate::Usable(Arc::clone(certificate))), Some(fact))
}

/// What is wrong with the Secret itself.
fn report_secret(named: &NamedSecret, refused: &str, findings: &mut Vec<Finding>) {
    let (key, lookup) = (&named.key, &named.lookup);
    let usable = lookup.found.as_ref().is_some_and(|found| found.usable().is_some());
    let mut report = |reason, problem: &str| {
        let problem = format!("viewerCertificate.secretName: Secret {key} {problem}");
        let message = if usable {
            format!("KeptLastGood: {problem}. Its last good certificate is still shown.")
        } else {
            format!("{problem}. {refused}")
        };
        findings.push(Finding { reason, field: SECRET_NAME.to_owned(), message });
    };
    match &lookup.trouble {
        Some(Trouble::Unreadable(sentence)) => {
            report(Reason::RefNotPermitted, &format!("cannot be read: {sentence}"));
        }
        Some(Trouble::NotPermitted(remedy)) => {
            let message = format!(
                "viewerCertificate.secretNamespace: Secret {key} of another namespace is not permitted: {remedy}. \
                 {refused}"
            );
            let field = "spec.viewerCertificate.secretNamespace".to_owned();
            findings.push(Finding { reason: Reason::RefNotPermitted, field, message });
        }
        Some(Trouble::Undecodable(sentence)) => {
            report(Reason::InvalidCertificate, &format!("does not decode: {sentence}"));
        }
        None => match &lookup.found {
            Some(found) => {
                if let Some(problem) = found.problem() {
                    report(Reason::InvalidCertificate, problem);
                }
            }
            None => findings.push(Finding {
                reason: Reason::SecretNotFound,
                field: SECRET_NAME.to_owned(),
                message: format!(
                    "viewerCertificate.secretName: Secret {key} of type kubernetes.io/tls not found{} {refused}",
                    did_you_mean(lookup.nearest.as_deref())
                ),
            }),
        },
    }
}

/// Whether the certificate names an alias. That of `*.example.com` is for one label more only, while the alias is
/// for any depth; it is the best that a certificate can say.
fn covers(loaded: &Loaded, alias: &HostPattern) -> bool {
    match alias {
        HostPattern::Exact(name) => loaded.certificate.covers(name),
        HostPattern::Wildcard(_) => loaded.certificate.names.contains(alias),
    }
}
