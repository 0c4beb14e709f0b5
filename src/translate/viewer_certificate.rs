//! What a Distribution's viewers are shown: the certificates of its Secrets, compared with its aliases.
//!
//! Which of them a viewer gets is decided by its handshake. A bad Secret costs only itself.

use std::sync::Arc;

use super::certificates::Loaded;
use super::inputs::{Inputs, NamedSecret};
use super::lookup::Trouble;
use super::secrets::{self, Asking};
use crate::conditions::facts::{CertificateFact, Finding};
use crate::conditions::reasons::Reason;
use crate::table::certificate::{Certificate, OwnCertificates};
use crate::table::host::HostPattern;

/// What traffic gets where there is no certificate at all.
const REFUSED: &str = "TLS is refused for its aliases.";

/// Collects what viewers of a Distribution may be shown; none without `viewerCertificate`.
pub(super) fn collect(
    inputs: &Inputs,
    aliases: &[HostPattern],
    findings: &mut Vec<Finding>,
) -> (Option<OwnCertificates>, Vec<CertificateFact>) {
    if inputs.distribution.spec.viewer_certificate.is_none() {
        return (None, Vec::new());
    }
    let usable: Vec<(&NamedSecret, &Arc<Loaded>)> =
        inputs.certificates.iter().filter_map(|named| Some((named, named.usable()?))).collect();
    let without = if usable.is_empty() { REFUSED } else { "The other certificates are shown." };
    for (position, named) in inputs.certificates.iter().enumerate() {
        let field = match (&named.lookup.trouble, position.checked_sub(1)) {
            (Some(Trouble::NotPermitted(_)), _) => "viewerCertificate.secretNamespace".to_owned(),
            (_, None) => "viewerCertificate.secretName".to_owned(),
            (_, Some(additional)) => format!("viewerCertificate.additionalSecretNames[{additional}]"),
        };
        let kept = "Its last good certificate is still shown.";
        secrets::report(
            named,
            &Asking { field, of_type: " of type kubernetes.io/tls", without, kept },
            findings,
        );
    }
    findings.extend(not_covered(&usable, aliases));
    let certificates = OwnCertificates::new(usable.iter().map(|(_, loaded)| Arc::clone(&loaded.certificate)));
    let facts = usable.into_iter().map(|(named, loaded)| loaded.fact(named.key.clone()));
    (Some(certificates), facts.collect())
}

/// The aliases that no certificate names.
fn not_covered(usable: &[(&NamedSecret, &Arc<Loaded>)], aliases: &[HostPattern]) -> Vec<Finding> {
    let finding = |message| Finding {
        reason: Reason::AliasNotCovered,
        field: "spec.viewerCertificate.secretName".to_owned(),
        message,
    };
    let names: Vec<String> = usable.iter().map(|(named, _)| named.key.to_string()).collect();
    let who = match names.as_slice() {
        [] => {
            let message = format!("No certificate could be loaded, so no alias is covered. {REFUSED}");
            return vec![finding(message)];
        }
        [one] => format!("The certificate in Secret {one} does not name"),
        several => format!("None of the certificates in Secrets {} names", several.join(", ")),
    };
    let covered = |alias: &HostPattern| usable.iter().any(|(_, loaded)| covers(&loaded.certificate, alias));
    let lost = aliases.iter().filter(|alias| !covered(alias)).map(ToString::to_string);
    lost.map(|alias| finding(format!("{who} {alias:?}; viewers refuse it there; add the name."))).collect()
}

/// Whether the certificate names an alias. That of `*.example.com` is for one label more only, while the alias is
/// for any depth; it is the best that a certificate can say.
fn covers(certificate: &Certificate, alias: &HostPattern) -> bool {
    match alias {
        HostPattern::Exact(name) => certificate.covers(name),
        HostPattern::Wildcard(_) => certificate.names.contains(alias),
    }
}
