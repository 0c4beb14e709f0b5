//! Certificates from Secrets, and authorities from Secrets and ConfigMaps: read once per Secret, matched with their
//! keys, their last good version remembered.
//!
//! It does not know which alias a certificate is for; `unit` compares names. Parsing stays here and so do keys:
//! a problem is a fixed sentence, never a piece of the Secret.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::sync::Arc;

use aws_lc_rs::digest;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::lookup::Object;
use crate::api::DistributionSpec;
use crate::conditions::facts::CertificateFact;
use crate::object::ObjectKey;
use crate::snapshot::{Kind, Snapshot};
use crate::table::certificate::{Authorities, Certificate};
use crate::table::host::HostPattern;

/// What a Secret gave: a certificate, or authorities.
pub(super) struct LoadedSecret<T = Loaded> {
    secret: Object<Secret>,
    state: State<T>,
}

enum State<T> {
    Good(Arc<T>),
    KeptLastGood { kept: Arc<T>, problem: &'static str },
    Bad { problem: &'static str },
}

/// A certificate that can be shown, and its validity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loaded {
    /// Chain and key.
    pub certificate: Arc<Certificate>,
    /// `notBefore` of the first certificate of the chain.
    pub not_before: Timestamp,
    /// `notAfter` of the first certificate of the chain.
    pub not_after: Timestamp,
}

impl Loaded {
    /// What conditions say of it, with the Secret that it comes from.
    pub(super) fn fact(&self, secret: ObjectKey) -> CertificateFact {
        CertificateFact { secret, not_before: self.not_before, not_after: self.not_after }
    }
}

impl<T> LoadedSecret<T> {
    /// What to use: the present version, or the last good one.
    pub(super) fn usable(&self) -> Option<&Arc<T>> {
        match &self.state {
            State::Good(loaded) | State::KeptLastGood { kept: loaded, .. } => Some(loaded),
            State::Bad { .. } => None,
        }
    }

    /// What is wrong with the present version, to follow the Secret's name.
    pub(super) fn problem(&self) -> Option<&'static str> {
        match self.state {
            State::Good(_) => None,
            State::KeptLastGood { problem, .. } | State::Bad { problem } => Some(problem),
        }
    }
}

/// The Secrets that a Distribution's viewers are to be shown the certificates of, in the order of the API and whether
/// that is permitted or not; none without `viewerCertificate`.
pub(super) fn shown_to_viewers<'d>(
    distribution: &'d ObjectKey,
    spec: &'d DistributionSpec,
) -> impl Iterator<Item = ObjectKey> {
    let named = spec.viewer_certificate.iter();
    named.flat_map(move |named| {
        let namespace = named.secret_namespace.as_ref().unwrap_or(&distribution.namespace);
        let names = iter::once(&named.secret_name).chain(&named.additional_secret_names);
        names.map(move |name| ObjectKey::new(namespace.as_str(), name.as_str()))
    })
}

/// The Secret with the authorities that sign the certificates of a Distribution's viewers.
pub(super) fn trusted_of_viewers(distribution: &ObjectKey, spec: &DistributionSpec) -> Option<ObjectKey> {
    let named = &spec.viewer_mtls.as_ref()?.ca_secret_name;
    Some(ObjectKey::new(distribution.namespace.as_str(), named.as_str()))
}

/// The Secrets that a Distribution's origins are shown the certificates of.
pub(super) fn shown_to_origins(
    distribution: &ObjectKey,
    spec: &DistributionSpec,
) -> impl Iterator<Item = ObjectKey> {
    let names =
        spec.origins.iter().filter_map(|origin| origin.origin_tls.client_certificate_secret_name.as_ref());
    names.map(|name| ObjectKey::new(distribution.namespace.as_str(), name.as_str()))
}

/// The key under which authorities stand.
const AUTHORITIES: &str = "ca.crt";

const NO_AUTHORITIES: &str = "has no key ca.crt; put the authorities' certificates there, in PEM";

/// The authorities that a Secret holds.
pub(super) fn bundle_of_secret(secret: &Secret) -> Option<&[u8]> {
    secret.data.as_ref()?.get(AUTHORITIES).map(|bytes| bytes.0.as_slice())
}

/// The authorities that a ConfigMap holds.
pub(super) fn bundle_of_config_map(config_map: &ConfigMap) -> Option<&[u8]> {
    let text = config_map.data.as_ref().and_then(|data| data.get(AUTHORITIES)).map(String::as_bytes);
    let bytes = || config_map.binary_data.as_ref()?.get(AUTHORITIES).map(|bytes| bytes.0.as_slice());
    text.or_else(bytes)
}

/// The authorities of a bundle in PEM.
///
/// # Errors
/// What is wrong with it, to follow the name of what holds it.
pub(super) fn authorities(bundle: Option<&[u8]>) -> Result<Authorities, &'static str> {
    let certificates = CertificateDer::pem_slice_iter(bundle.ok_or(NO_AUTHORITIES)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| "has a ca.crt that is not PEM")?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|_| "has a ca.crt that is no X.509 certificate")?;
    }
    if roots.is_empty() {
        return Err("has a ca.crt without a certificate in PEM");
    }
    Ok(Authorities { roots: Arc::new(roots), fingerprint: fingerprint(&certificates) })
}

/// Whom a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Audience {
    /// Viewers; their Secrets are of the type `kubernetes.io/tls`, which is what is listed of a cluster.
    Viewers,
    /// Origins; their Secrets are of any type.
    Origins,
}

/// What the named Secrets gave. One that is named for both audiences is read for each.
pub(super) type LoadedSecrets = BTreeMap<(Audience, ObjectKey), Arc<LoadedSecret>>;

/// What the Secrets gave that hold the authorities of viewers.
pub(super) type LoadedAuthorities = BTreeMap<ObjectKey, Arc<LoadedSecret<Authorities>>>;

/// Reads the Secrets whose certificate somebody is to be shown, but those that are the very same as last time.
pub(super) fn load(
    named: BTreeSet<(Audience, ObjectKey)>,
    snapshot: &Snapshot,
    last: &LoadedSecrets,
) -> LoadedSecrets {
    let load_one = |name: &(Audience, ObjectKey)| {
        let (audience, key) = name;
        load_secret(key, snapshot, last.get(name), |secret| parse(secret, *audience))
    };
    named.into_iter().filter_map(|name| load_one(&name).map(|loaded| (name, loaded))).collect()
}

/// The same for those that hold the authorities of viewers.
pub(super) fn load_authorities(
    named: BTreeSet<ObjectKey>,
    snapshot: &Snapshot,
    last: &LoadedAuthorities,
) -> LoadedAuthorities {
    let load_one = |key: &ObjectKey| {
        load_secret(key, snapshot, last.get(key), |secret| authorities(bundle_of_secret(secret)))
    };
    named.into_iter().filter_map(|key| load_one(&key).map(|loaded| (key, loaded))).collect()
}

/// Reads one Secret, unless it is the very same as last time.
///
/// One that turned bad keeps what it gave last. One that was deleted does not: deleting it is how a certificate is
/// taken out of service. One that can no longer be read counts as unchanged.
fn load_secret<T>(
    key: &ObjectKey,
    snapshot: &Snapshot,
    last: Option<&Arc<LoadedSecret<T>>>,
    parse: impl FnOnce(&Secret) -> Result<T, &'static str>,
) -> Option<Arc<LoadedSecret<T>>> {
    let secret = match (snapshot.secrets.get(key), last) {
        (Some(secret), Some(last)) if Arc::ptr_eq(secret, &last.secret.0) => return Some(Arc::clone(last)),
        (None, Some(last)) if is_unreadable(key, snapshot) => return Some(Arc::clone(last)),
        (secret, _) => secret?,
    };
    let state = match (parse(secret), last.and_then(|last| last.usable())) {
        (Ok(loaded), _) => State::Good(Arc::new(loaded)),
        (Err(problem), Some(kept)) => State::KeptLastGood { kept: Arc::clone(kept), problem },
        (Err(problem), None) => State::Bad { problem },
    };
    Some(Arc::new(LoadedSecret { secret: Object(Arc::clone(secret)), state }))
}

/// Whether what is known of a Secret may not be what it is now.
pub(super) fn is_unreadable(secret: &ObjectKey, snapshot: &Snapshot) -> bool {
    let problems = &snapshot.problems;
    problems.unreadable_for(Kind::Secret, secret).is_some()
        || problems.undecodable.contains_key(&(Kind::Secret, secret.clone()))
}

/// A certificate chain with its key, out of `tls.crt` and `tls.key`.
fn parse(secret: &Secret, audience: Audience) -> Result<Loaded, &'static str> {
    if audience == Audience::Viewers && secret.type_.as_deref() != Some("kubernetes.io/tls") {
        return Err("is not of type kubernetes.io/tls");
    }
    let data = |key| secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    let chain = data("tls.crt").ok_or("has no key tls.crt")?;
    let key = data("tls.key").ok_or("has no key tls.key")?;

    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| "has a tls.crt that is not PEM")?;
    let (names, not_before, not_after) = read_leaf(&chain)?;
    let fingerprint = fingerprint(&chain);

    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "has a tls.key without a private key in PEM")?;
    let key = any_supported_type(&key)
        .map_err(|_| "has a tls.key of a kind that is not supported; use RSA, ECDSA or Ed25519")?;
    let key = CertifiedKey::new(chain, key);
    key.keys_match().map_err(|_| "has a tls.key that does not match its tls.crt")?;

    let certificate = Arc::new(Certificate { key: Arc::new(key), fingerprint, names });
    Ok(Loaded { certificate, not_before, not_after })
}

fn read_leaf(chain: &[CertificateDer<'_>]) -> Result<(Vec<HostPattern>, Timestamp, Timestamp), &'static str> {
    const BROKEN: &str = "has a tls.crt that is no X.509 certificate";
    let leaf = chain.first().ok_or("has a tls.crt without a certificate in PEM")?;
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| BROKEN)?;
    let validity = leaf.validity();
    let time = |second| Timestamp::from_second(second).map_err(|_| BROKEN);
    Ok((dns_names(&leaf)?, time(validity.not_before.timestamp())?, time(validity.not_after.timestamp())?))
}

/// The DNS names among the subject alternative names; the subject's common name does not count (RFC 9525
/// section 2), and neither does what is no host name.
fn dns_names(leaf: &X509Certificate<'_>) -> Result<Vec<HostPattern>, &'static str> {
    let names = leaf.subject_alternative_name().map_err(|_| "has a tls.crt with unreadable names")?;
    let general = names.iter().flat_map(|names| &names.value.general_names);
    Ok(general
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => HostPattern::parse(name).ok(),
            _ => None,
        })
        .collect())
}

/// SHA-256 over the chain, in hexadecimal.
fn fingerprint(chain: &[CertificateDer<'_>]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    chain.iter().for_each(|certificate| context.update(certificate));
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
