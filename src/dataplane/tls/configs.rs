//! TLS configurations: made when a table is linked, never for a handshake.
//!
//! Distributions with an equal certificate, policy and choice of HTTP share one. What resumes sessions outlives
//! tables: see [`ConfigMaker`].

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, RootCertStore, ServerConfig};

use super::{H2, HTTP_11};
use crate::table::certificate::Certificate;
use crate::table::route::ViewerProtocols;
use crate::table::viewer_tls::{ClientAuthentication, ClientMode, MinimumProtocol, TlsPolicy};

/// How handshakes with the viewers of one Distribution go, by the certificate that they are shown.
#[derive(Debug, Default)]
pub(crate) struct Offers(Vec<(Arc<Certificate>, Arc<ServerConfig>)>);

impl Offers {
    /// The configuration that shows a certificate.
    pub(super) fn showing(&self, certificate: &Certificate) -> Option<&Arc<ServerConfig>> {
        self.0.iter().find(|(shown, _)| **shown == *certificate).map(|(_, config)| config)
    }

    /// Whether it is these that they show.
    pub(crate) fn show<'c>(&self, certificates: impl Iterator<Item = &'c Arc<Certificate>>) -> bool {
        self.0.iter().map(|(shown, _)| shown).eq(certificates)
    }
}

/// Why a handshake cannot be prepared.
#[derive(Debug, thiserror::Error)]
enum NotMade {
    /// No randomness for ticket keys.
    #[error(transparent)]
    Tickets(#[from] rustls::Error),
    /// No authorities at all.
    #[error(transparent)]
    Verifier(#[from] VerifierBuilderError),
}

/// Makes configurations, finds those that somebody still uses, and keeps what resumes sessions.
///
/// A ticket vouches for what its session had settled, and resuming it verifies nothing again. So there is one
/// ticketer for viewers who are not asked for a certificate, and one for each mode and set of authorities by which
/// others are: no ticket resumes where more is asked than was. Keys rotate every 6 h; one is accepted for 6 h more.
pub(crate) struct ConfigMaker {
    provider: Arc<CryptoProvider>,
    /// The same without ChaCha20 in TLS 1.2.
    provider_of_2025: Arc<CryptoProvider>,
    ticketer: Arc<dyn ProducesTickets>,
    /// As long as a configuration uses them.
    ticketers: HashMap<ClientAuthentication, Weak<dyn ProducesTickets>>,
    known: HashMap<Key, Weak<ServerConfig>>,
}

/// What makes a configuration what it is.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    /// The certificate's fingerprint: this may outlive its key.
    certificate: String,
    policy: Arc<TlsPolicy>,
    protocols: ViewerProtocols,
}

impl ConfigMaker {
    /// # Errors
    /// The system has no randomness for ticket keys.
    pub(crate) fn new() -> Result<Self, rustls::Error> {
        let provider = default_provider();
        let mut provider_of_2025 = provider.clone();
        provider_of_2025.cipher_suites.retain(|suite| {
            !matches!(
                suite.suite(),
                CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
                    | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            )
        });
        Ok(Self {
            provider: Arc::new(provider),
            provider_of_2025: Arc::new(provider_of_2025),
            ticketer: Ticketer::new()?,
            ticketers: HashMap::new(),
            known: HashMap::new(),
        })
    }

    /// The configurations that show these certificates.
    pub(crate) fn offer<'c>(
        &mut self,
        certificates: impl Iterator<Item = &'c Arc<Certificate>>,
        policy: &Arc<TlsPolicy>,
        protocols: ViewerProtocols,
    ) -> Offers {
        let made = certificates.filter_map(|certificate| {
            match self.of(certificate, policy, protocols) {
                Ok(config) => Some((Arc::clone(certificate), config)),
                Err(error) => {
                    // Handshakes that would need it are refused.
                    tracing::error!(event = "tls.unprepared", %error, "cannot prepare TLS for a certificate");
                    None
                }
            }
        });
        Offers(made.collect())
    }

    /// Forgets what nobody uses.
    pub(crate) fn tidy(&mut self) {
        self.known.retain(|_, config| config.strong_count() > 0);
        self.ticketers.retain(|_, ticketer| ticketer.strong_count() > 0);
    }

    fn of(
        &mut self,
        certificate: &Certificate,
        policy: &Arc<TlsPolicy>,
        protocols: ViewerProtocols,
    ) -> Result<Arc<ServerConfig>, NotMade> {
        let key = Key { certificate: certificate.fingerprint.clone(), policy: Arc::clone(policy), protocols };
        if let Some(known) = self.known.get(&key).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let config = Arc::new(self.make(certificate, policy, protocols)?);
        self.known.insert(key, Arc::downgrade(&config));
        Ok(config)
    }

    fn make(
        &mut self,
        certificate: &Certificate,
        policy: &TlsPolicy,
        protocols: ViewerProtocols,
    ) -> Result<ServerConfig, NotMade> {
        let (provider, versions) = match policy.minimum {
            MinimumProtocol::Tls12In2021 => (&self.provider, &[&TLS13, &TLS12][..]),
            MinimumProtocol::Tls12In2025 => (&self.provider_of_2025, &[&TLS13, &TLS12][..]),
            MinimumProtocol::Tls13In2025 => (&self.provider, &[&TLS13][..]),
        };
        let (verifier, ticketer): (Arc<dyn ClientCertVerifier>, _) = match &policy.clients {
            None => (WebPkiClientVerifier::no_client_auth(), Arc::clone(&self.ticketer)),
            Some(asks) => (verifier(asks, provider)?, ticketer(&mut self.ticketers, asks)?),
        };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&certificate.key))));
        config.ignore_client_order = true;
        config.ticketer = ticketer;
        // Tickets hold the sessions; a cache beside them would cost memory for each certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let offered = match protocols {
            ViewerProtocols::Http2 => &[H2, HTTP_11][..],
            ViewerProtocols::Http1 => &[HTTP_11][..],
        };
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }
}

fn verifier(
    asks: &ClientAuthentication,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, NotMade> {
    // Of none, no verifier is made.
    let roots = asks.authorities.as_ref().map(|authorities| Arc::clone(&authorities.roots));
    let roots = roots.unwrap_or_else(|| Arc::new(RootCertStore::empty()));
    let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    Ok(match asks.mode {
        ClientMode::Required => builder.build()?,
        ClientMode::Optional => builder.allow_unauthenticated().build()?,
    })
}

fn ticketer(
    known: &mut HashMap<ClientAuthentication, Weak<dyn ProducesTickets>>,
    asks: &ClientAuthentication,
) -> Result<Arc<dyn ProducesTickets>, NotMade> {
    if let Some(known) = known.get(asks).and_then(Weak::upgrade) {
        return Ok(known);
    }
    let ticketer = Ticketer::new()?;
    known.insert(asks.clone(), Arc::downgrade(&ticketer));
    Ok(ticketer)
}

impl fmt::Debug for ConfigMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfigMaker")
    }
}
