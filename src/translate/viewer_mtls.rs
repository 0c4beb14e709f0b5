//! What a Distribution wants of the TLS of its viewers: versions, and certificates of theirs.

use super::inputs::Inputs;
use super::secrets::{self, Asking};
use crate::api::{MtlsMode, ViewerMtls};
use crate::conditions::facts::Finding;
use crate::table::certificate::Authorities;
use crate::table::viewer_tls::{ClientAuthentication, ClientMode, MinimumProtocol, TlsPolicy};

/// Compiles `minimumProtocolVersion` and `viewerMtls`.
pub(super) fn policy(inputs: &Inputs, findings: &mut Vec<Finding>) -> TlsPolicy {
    let spec = &inputs.distribution.spec;
    let named = spec.viewer_certificate.as_ref().map(|named| named.minimum_protocol_version.as_str());
    // Whatever breaks the API's rules is withheld as a whole, and shown as little as possible meanwhile.
    let parsed = named.map(|named| MinimumProtocol::parse(named).unwrap_or(MinimumProtocol::Tls13In2025));
    TlsPolicy {
        minimum: parsed.unwrap_or_default(),
        clients: spec.viewer_mtls.as_ref().map(|asked| clients(inputs, asked, findings)),
    }
}

fn clients(inputs: &Inputs, asked: &ViewerMtls, findings: &mut Vec<Finding>) -> ClientAuthentication {
    let mode = match asked.mode {
        MtlsMode::Required => ClientMode::Required,
        MtlsMode::Optional => ClientMode::Optional,
    };
    let asking = Asking {
        field: "viewerMtls.caSecretName".to_owned(),
        of_type: "",
        without: "TLS is refused for its aliases, since no viewer could be verified.",
        kept: "Viewers are still verified by its last good version.",
    };
    let named = inputs.authorities_of_viewers.as_ref();
    if let Some(named) = named {
        secrets::report(named, &asking, findings);
    }
    let usable = named.and_then(|named| named.usable());
    ClientAuthentication { mode, authorities: usable.map(|usable| Authorities::clone(usable)) }
}
