//! TLS towards an origin: whom to trust and what to show, out of the Secrets and ConfigMaps that `originTls`
//! names.

use super::certificates;
use super::inputs::{Inputs, NamedSecret};
use super::lookup::{Lookup, Object, Trouble, did_you_mean};
use super::services::{self, Problem};
use crate::api;
use crate::conditions::reasons::Reason;
use crate::object::ObjectKey;
use crate::table::certificate::{Authorities, Certificate};
use crate::table::host::HostName;
use crate::table::origin::{Digest, OriginTls, Trust};
use std::sync::Arc;

/// The field of an origin that all of this is about.
const FIELD: &str = "originTls";

/// What `originTls` gives for an origin; `asked` is what asks for TLS.
///
/// # Errors
/// What is missing or bad.
pub(super) fn compile(inputs: &Inputs, origin: &api::Origin, asked: &str) -> Result<OriginTls, Problem> {
    let settings = &origin.origin_tls;
    let invalid = |text: String| Problem { reason: Reason::Invalid, field: FIELD, text };
    let name = |name: &str| {
        HostName::parse(name).map_err(|_| invalid(format!("originTls.serverName {name:?} is no host name.")))
    };
    let pins: Option<Vec<Digest>> = settings.certificate_sha256.iter().map(|pin| digest(pin)).collect();
    let pins =
        pins.ok_or_else(|| invalid("originTls.certificateSha256 has a value that is no SHA-256.".into()))?;
    let mut server_name = settings.server_name.as_deref().map(name).transpose()?;
    let trust = if settings.insecure_skip_verify {
        Trust::Anything
    } else if let Some(authorities) = authorities(inputs, settings) {
        // Whoever has a certificate of these authorities is not yet this Service.
        if server_name.is_none() {
            let ObjectKey { namespace, name: service } = services::key_of(&inputs.key, &origin.service);
            server_name = Some(name(&format!("{service}.{namespace}.svc"))?);
        }
        Trust::Authorities(authorities?.into(), pins)
    } else if !pins.is_empty() {
        Trust::Pinned(pins)
    } else if server_name.is_some() {
        Trust::PublicRoots
    } else {
        return Err(invalid(format!(
            "{asked} asks for TLS, and originTls does not say how the certificate is verified; set serverName (for the public roots), caSecretName, caConfigMapName, certificateSha256 or insecureSkipVerify."
        )));
    };
    let shown = settings.client_certificate_secret_name.as_ref();
    let client_certificate = shown.map(|secret| client_certificate(inputs, secret)).transpose()?;
    Ok(OriginTls { server_name, trust, client_certificate })
}

/// 64 hexadecimal digits.
fn digest(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    let pairs = text.as_bytes().chunks(2);
    if text.len() != 2 * digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

/// The authorities to trust; none where `originTls` names none.
fn authorities(inputs: &Inputs, settings: &api::OriginTls) -> Option<Result<Authorities, Problem>> {
    let key = |name: &String| ObjectKey::new(inputs.key.namespace.as_str(), name.as_str());
    if let Some(name) = &settings.ca_secret_name {
        let what = format!("originTls.caSecretName: Secret {}", key(name));
        let lookup = inputs.authorities.get(name);
        return Some(read(lookup, &what, certificates::bundle_of_secret));
    }
    let name = settings.ca_config_map_name.as_ref()?;
    let what = format!("originTls.caConfigMapName: ConfigMap {}", key(name));
    let lookup = inputs.public_authorities.get(name);
    Some(read(lookup, &what, certificates::bundle_of_config_map))
}

fn read<T>(
    lookup: Option<&Lookup<Object<T>>>,
    what: &str,
    bundle: fn(&T) -> Option<&[u8]>,
) -> Result<Authorities, Problem> {
    match lookup.and_then(|lookup| lookup.found.as_ref()) {
        Some(found) => certificates::authorities(bundle(found)).map_err(|why| Problem {
            reason: Reason::InvalidCertificate,
            field: FIELD,
            text: format!("{what} {why}."),
        }),
        None => Err(missing(what, lookup)),
    }
}

fn client_certificate(inputs: &Inputs, name: &str) -> Result<Arc<Certificate>, Problem> {
    let key = ObjectKey::new(inputs.key.namespace.as_str(), name);
    let what = format!("originTls.clientCertificateSecretName: Secret {key}");
    let named: Option<&NamedSecret> = inputs.client_certificates.get(name);
    let lookup = named.map(|named| &named.lookup);
    let Some(found) = lookup.and_then(|lookup| lookup.found.as_ref()) else {
        return Err(missing(&what, lookup));
    };
    match found.usable() {
        Some(loaded) => Ok(Arc::clone(&loaded.certificate)),
        None => {
            let why = found.problem().unwrap_or("holds no certificate");
            Err(Problem { reason: Reason::InvalidCertificate, field: FIELD, text: format!("{what} {why}.") })
        }
    }
}

/// A ConfigMap in the place of a Secret has no reasons of its own.
fn missing<T>(what: &str, lookup: Option<&Lookup<T>>) -> Problem {
    let (reason, text) = match lookup.and_then(|lookup| lookup.trouble.as_ref()) {
        Some(Trouble::NotPermitted(remedy)) => {
            (Reason::RefNotPermitted, format!("{what} is not permitted: {remedy}."))
        }
        Some(Trouble::Unreadable(why)) => (Reason::RefNotPermitted, format!("{what} cannot be read: {why}.")),
        Some(Trouble::Undecodable(why)) => {
            (Reason::InvalidCertificate, format!("{what} does not decode: {why}."))
        }
        None => {
            let nearest = lookup.and_then(|lookup| lookup.nearest.as_deref());
            (Reason::SecretNotFound, format!("{what} not found{}", did_you_mean(nearest)))
        }
    };
    Problem { reason, field: FIELD, text }
}
