//! Certificates as the data plane serves them: parsed, matched with their key, ready for a handshake.
//!
//! Which Secret is good is judged by `translate::certificates`; this module holds what passed.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::sign::CertifiedKey;

use super::host::{HostName, HostPattern};
use crate::object::ObjectKey;

/// A certificate chain with its key.
///
/// Two are equal when chain and key are: the fingerprint covers the whole chain, and a key matches its
/// certificate.
#[derive(Clone)]
pub struct Certificate {
    /// What rustls signs with.
    pub key: Arc<CertifiedKey>,
    /// SHA-256 over the chain's DER, in hexadecimal: what dumps and golden files print instead of the chain.
    pub fingerprint: String,
    /// The subject alternative names; a wildcard covers exactly one label (RFC 6125 section 6.4.3).
    pub names: Vec<HostPattern>,
}

impl Certificate {
    /// Whether a viewer that asks for `host` may be shown this certificate.
    pub fn covers(&self, host: &HostName) -> bool {
        self.names.iter().any(|name| match name {
            HostPattern::Exact(exact) => exact == host,
            HostPattern::Wildcard(base) => host.parents().next() == Some(base.as_str()),
        })
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("sha256", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Hash for Certificate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fingerprint.hash(state);
    }
}

/// Authorities of certificates; two are equal when they are the same ones in the same order.
#[derive(Clone)]
pub struct Authorities {
    /// What chains may end in.
    pub roots: Arc<RootCertStore>,
    /// SHA-256 over the DER of all of them, in hexadecimal.
    pub fingerprint: String,
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Authorities {}

impl Hash for Authorities {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fingerprint.hash(state);
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities").field("sha256", &self.fingerprint).finish_non_exhaustive()
    }
}

/// Which certificate answers for which Distribution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// Every Distribution with a `viewerCertificate`, and what it gave.
    pub by_distribution: BTreeMap<ObjectKey, OwnCertificate>,
    /// For Distributions without `viewerCertificate`, and for names that nobody owns.
    pub default: Option<Arc<Certificate>>,
    /// The domain below which every Distribution has a name, which its own certificate need not cover.
    pub base_domain: Option<HostName>,
}

/// What a Distribution's `viewerCertificate` gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnCertificate {
    /// A certificate to show.
    Usable(Arc<Certificate>),
    /// None that can be shown: TLS is refused for these hosts, never answered with the default certificate.
    Unusable,
}

impl Certificates {
    /// The certificate for a name that `owner` answers for: its own, or the default one where it names none and
    /// the default covers the name. None: the handshake is refused.
    pub fn of_owner(&self, owner: &ObjectKey, host: &HostName) -> Option<&Arc<Certificate>> {
        if let Some(default) = self.of_base_domain(owner, host) {
            return Some(default);
        }
        match self.by_distribution.get(owner) {
            Some(OwnCertificate::Usable(certificate)) => Some(certificate),
            Some(OwnCertificate::Unusable) => None,
            None => self.default.as_ref().filter(|default| default.covers(host)),
        }
    }

    /// The default certificate, for a name under the base domain that it covers and the owner's own does not.
    pub(crate) fn of_base_domain(&self, owner: &ObjectKey, host: &HostName) -> Option<&Arc<Certificate>> {
        let domain = self.base_domain.as_ref()?;
        if host.parents().next() != Some(domain.as_str()) {
            return None;
        }
        let own = self.by_distribution.get(owner);
        let own = own.is_some_and(|own| matches!(own, OwnCertificate::Usable(own) if own.covers(host)));
        self.default.as_ref().filter(|default| !own && default.covers(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(name: &str) -> Arc<Certificate> {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Arc::new(Certificate {
            key: Arc::new(CertifiedKey::new(vec![made.cert.der().clone()], key)),
            fingerprint: name.to_owned(),
            names: vec![HostPattern::parse(name).unwrap()],
        })
    }

    #[test]
    fn a_wildcard_covers_exactly_one_label() {
        let wildcard = certificate("*.example.com");
        let covers = |name| wildcard.covers(&HostName::parse(name).unwrap());
        assert!(covers("a.example.com"));
        assert!(!covers("example.com"));
        assert!(!covers("a.b.example.com"));
    }

    #[test]
    fn the_default_certificate_never_stands_in_for_a_bad_one() {
        let [good, bad, without] = ["good", "bad", "without"].map(|name| ObjectKey::new("shop", name));
        let certificates = Certificates {
            by_distribution: BTreeMap::from([
                (good.clone(), OwnCertificate::Usable(certificate("own.example.com"))),
                (bad.clone(), OwnCertificate::Unusable),
            ]),
            default: Some(certificate("*.example.com")),
            base_domain: None,
        };
        let shown = |owner, name| {
            let host = HostName::parse(name).unwrap();
            certificates.of_owner(owner, &host).map(|shown| shown.fingerprint.as_str())
        };
        assert_eq!(shown(&good, "a.example.com"), Some("own.example.com"));
        assert_eq!(shown(&bad, "a.example.com"), None);
        assert_eq!(shown(&without, "a.example.com"), Some("*.example.com"));
        assert_eq!(shown(&without, "a.example.org"), None);
    }

    #[test]
    fn a_name_under_the_base_domain_has_the_default_certificate_unless_the_own_one_names_it() {
        let [good, bad, own] = ["good", "bad", "own"].map(|name| ObjectKey::new("shop", name));
        let mut certificates = Certificates {
            by_distribution: BTreeMap::from([
                (good.clone(), OwnCertificate::Usable(certificate("www.example.org"))),
                (bad.clone(), OwnCertificate::Unusable),
                (own.clone(), OwnCertificate::Usable(certificate("own-shop.example.com"))),
            ]),
            default: Some(certificate("*.example.com")),
            base_domain: HostName::parse("example.com").ok(),
        };
        let shown = |certificates: &Certificates, owner, name| {
            let host = HostName::parse(name).unwrap();
            certificates.of_owner(owner, &host).map(|shown| shown.fingerprint.clone())
        };
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(shown(&certificates, &good, "good-shop.example.com"), is("*.example.com"));
        assert_eq!(shown(&certificates, &bad, "bad-shop.example.com"), is("*.example.com"));
        assert_eq!(shown(&certificates, &own, "own-shop.example.com"), is("own-shop.example.com"));
        assert_eq!(shown(&certificates, &good, "www.example.org"), is("www.example.org"));
        assert_eq!(
            shown(&certificates, &good, "example.com"),
            is("www.example.org"),
            "the domain is no name under it"
        );
        assert_eq!(shown(&certificates, &bad, "www.example.org"), None);
        certificates.base_domain = None;
        assert_eq!(shown(&certificates, &bad, "bad-shop.example.com"), None);
    }
}
