//! Certificates as the data plane serves them: parsed, matched with their key, ready for a handshake.
//!
//! Which Secret is good is judged by `translate::certificates`; this module holds what passed.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, RootCertStore, SignatureAlgorithm, SignatureScheme};

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

    /// Whether a viewer that offers these signature schemes and cipher suites knows what to do with its key. Before
    /// TLS 1.3 a suite names the kind of key, too (RFC 5246 appendix A.5).
    pub fn is_known_to(&self, schemes: &[SignatureScheme], suites: &[CipherSuite]) -> bool {
        let for_its_key = |suite: &CipherSuite| match suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => true,
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => self.is_rsa(),
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => !self.is_rsa(),
            _ => false,
        };
        self.key.key.choose_scheme(schemes).is_some() && suites.iter().any(for_its_key)
    }

    fn is_rsa(&self) -> bool {
        self.key.key.algorithm() == SignatureAlgorithm::RSA
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

/// Which certificates answer for which Distribution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// Every Distribution with a `viewerCertificate`, and what it gave.
    pub by_distribution: BTreeMap<ObjectKey, OwnCertificates>,
    /// For Distributions without `viewerCertificate`, and for names that nobody owns.
    pub default: Option<Arc<Certificate>>,
    /// The domain below which every Distribution has a name, which its own certificate need not cover.
    pub base_domain: Option<HostName>,
}

impl Certificates {
    /// All that viewers of a Distribution may be shown: its own, and the default one where it names none or has a
    /// name under the base domain.
    pub fn of(&self, owner: &ObjectKey) -> impl Iterator<Item = &Arc<Certificate>> {
        let own = self.by_distribution.get(owner);
        let default = self.default.iter().filter(move |_| own.is_none() || self.base_domain.is_some());
        own.into_iter().flat_map(OwnCertificates::iter).chain(default)
    }

    /// The default certificate, for a name under the base domain that it covers and none of the owner's own does.
    pub(super) fn of_base_domain(&self, owner: &ObjectKey, host: &HostName) -> Option<&Arc<Certificate>> {
        let domain = self.base_domain.as_ref()?;
        if host.parents().next() != Some(domain.as_str()) {
            return None;
        }
        let mut own = self.by_distribution.get(owner).into_iter().flat_map(OwnCertificates::iter);
        let own = own.any(|own| own.covers(host));
        self.default.as_ref().filter(|default| !own && default.covers(host))
    }
}

/// What a Distribution's `viewerCertificate` gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnCertificates {
    /// Certificates to show, the first one apart: there is always one.
    Usable(Arc<Certificate>, Vec<Arc<Certificate>>),
    /// None that can be shown: TLS is refused for these hosts, never answered with the default certificate.
    Unusable,
}

impl OwnCertificates {
    /// What came of several Secrets, in the order of the API.
    pub fn new(usable: impl IntoIterator<Item = Arc<Certificate>>) -> Self {
        let mut usable = usable.into_iter();
        match usable.next() {
            Some(first) => Self::Usable(first, usable.collect()),
            None => Self::Unusable,
        }
    }

    /// Those that can be shown, in the order of the API.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Certificate>> {
        let (first, others) = match self {
            Self::Usable(first, others) => (Some(first), others.as_slice()),
            Self::Unusable => (None, &[][..]),
        };
        first.into_iter().chain(others)
    }

    /// The one for a viewer that asks for `host`: of those that it knows what to do with the first that names the
    /// host, and one with an RSA key only where there is no other.
    ///
    /// Where none is right the next best is shown all the same: what a viewer then refuses says more than a
    /// handshake that breaks off.
    pub fn choose(
        &self,
        host: &HostName,
        is_known: impl Fn(&Certificate) -> bool,
    ) -> Option<&Arc<Certificate>> {
        self.iter().min_by_key(|shown| (!is_known(shown), !shown.covers(host), shown.is_rsa()))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

    use super::*;

    fn certificate(
        fingerprint: &str,
        name: &str,
        algorithm: &'static rcgen::SignatureAlgorithm,
    ) -> Certificate {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let made = rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        let signer = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&signer).unwrap();
        Certificate {
            key: Arc::new(CertifiedKey::new(vec![made.der().clone()], signer)),
            fingerprint: fingerprint.to_owned(),
            names: vec![HostPattern::parse(name).unwrap()],
        }
    }

    #[test]
    fn a_wildcard_covers_exactly_one_label() {
        let wildcard = certificate("wildcard", "*.example.com", &PKCS_ECDSA_P256_SHA256);
        let covers = |name| wildcard.covers(&HostName::parse(name).unwrap());
        assert!(covers("a.example.com"));
        assert!(!covers("example.com"));
        assert!(!covers("a.b.example.com"));
    }

    #[test]
    fn a_viewer_knows_a_key_by_its_schemes_and_before_tls_1_3_by_its_suites_too() {
        use CipherSuite as Suite;
        use SignatureScheme as Scheme;
        let ecdsa = certificate("ecdsa", "a.example", &PKCS_ECDSA_P256_SHA256);
        let rsa = certificate("rsa", "a.example", &PKCS_RSA_SHA256);
        let (for_13, for_rsa, for_ecdsa) = (
            Suite::TLS13_AES_128_GCM_SHA256,
            Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        );
        let both = [Scheme::ECDSA_NISTP256_SHA256, Scheme::RSA_PSS_SHA256];
        let rows: [(&[Scheme], &[Suite], bool, bool); 6] = [
            (&both, &[for_13], true, true),
            (&both[..1], &[for_13], true, false),
            (&both[1..], &[for_13], false, true),
            (&both, &[for_rsa], false, true),
            (&both, &[for_ecdsa], true, false),
            (&both, &[Suite::TLS_RSA_WITH_AES_128_CBC_SHA], false, false),
        ];
        for (schemes, suites, knows_ecdsa, knows_rsa) in rows {
            let knows = (ecdsa.is_known_to(schemes, suites), rsa.is_known_to(schemes, suites));
            assert_eq!(knows, (knows_ecdsa, knows_rsa), "{schemes:?} {suites:?}");
        }
    }

    #[test]
    fn the_first_that_names_the_host_is_shown_and_rsa_only_where_there_is_no_other() {
        let own = OwnCertificates::new(
            [
                certificate("rsa", "a.example", &PKCS_RSA_SHA256),
                certificate("ecdsa", "a.example", &PKCS_ECDSA_P256_SHA256),
                certificate("again", "a.example", &PKCS_ECDSA_P256_SHA256),
                certificate("wildcard", "*.b.example", &PKCS_ECDSA_P256_SHA256),
                certificate("only", "only.example", &PKCS_RSA_SHA256),
            ]
            .map(Arc::new),
        );
        let shown = |name, is_known: fn(&Certificate) -> bool| {
            let shown = own.choose(&HostName::parse(name).unwrap(), is_known);
            shown.map(|shown| shown.fingerprint.as_str())
        };
        let (all, only_rsa): (fn(&_) -> _, fn(&Certificate) -> _) = (|_| true, Certificate::is_rsa);
        assert_eq!(shown("a.example", all), Some("ecdsa"));
        assert_eq!(shown("a.example", only_rsa), Some("rsa"));
        assert_eq!(shown("x.b.example", all), Some("wildcard"));
        assert_eq!(shown("only.example", all), Some("only"));
        // None is right: the next best.
        assert_eq!(shown("x.b.example", only_rsa), Some("rsa"));
        assert_eq!(shown("other.example", all), Some("ecdsa"));
        assert_eq!(shown("a.example", |_| false), Some("ecdsa"));
        assert_eq!(OwnCertificates::new([]).choose(&HostName::parse("a").unwrap(), all), None);
    }

    #[test]
    fn a_name_under_the_base_domain_has_the_default_certificate_unless_an_own_one_names_it() {
        let [good, bad, own] = ["good", "bad", "own"].map(|name| ObjectKey::new("shop", name));
        let certificate = |name: &str| Arc::new(certificate(name, name, &PKCS_ECDSA_P256_SHA256));
        let several = ["www.example.org", "own-shop.example.com"].map(certificate);
        let mut certificates = Certificates {
            by_distribution: BTreeMap::from([
                (good.clone(), OwnCertificates::new([certificate("www.example.org")])),
                (bad.clone(), OwnCertificates::Unusable),
                (own.clone(), OwnCertificates::new(several)),
            ]),
            default: Some(certificate("*.example.com")),
            base_domain: HostName::parse("example.com").ok(),
        };
        let is_default = |certificates: &Certificates, owner, name| {
            certificates.of_base_domain(owner, &HostName::parse(name).unwrap()).is_some()
        };
        assert!(is_default(&certificates, &good, "good-shop.example.com"));
        assert!(is_default(&certificates, &bad, "bad-shop.example.com"));
        assert!(!is_default(&certificates, &own, "own-shop.example.com"));
        assert!(!is_default(&certificates, &good, "www.example.org"));
        assert!(!is_default(&certificates, &good, "example.com"), "the domain is no name under it");
        assert_eq!(certificates.of(&bad).count(), 1);
        certificates.base_domain = None;
        assert!(!is_default(&certificates, &bad, "bad-shop.example.com"));
        assert_eq!(certificates.of(&bad).count(), 0);
    }
}
