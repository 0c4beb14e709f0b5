//! TLS towards origins: made when a table is linked, never for a request.
//!
//! Equal settings share one [`OriginClient`] and with it the sessions that can be resumed and the connections in
//! pools; unequal ones share nothing.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Weak};

use aws_lc_rs::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::table::origin::{Digest, HttpVersion, OriginTls, Trust};

/// Numbers clients, so that pools tell them apart.
static CLIENT_IDS: AtomicU64 = AtomicU64::new(0);

/// The authorities that browsers trust.
static PUBLIC_ROOTS: LazyLock<Arc<RootCertStore>> =
    LazyLock::new(|| Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }));

/// Sessions that one client remembers.
const SESSIONS: usize = 64;

/// How TLS is spoken to the endpoints of origins with the same settings.
pub(crate) struct OriginClient {
    /// Unique in this process.
    pub(crate) id: u64,
    name: Option<ServerName<'static>>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

/// Why there is no TLS with an endpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsFailure {
    /// The certificate is not good, or the other side speaks no TLS that we do.
    #[error("the handshake failed: {0}")]
    Handshake(#[source] std::io::Error),
    /// It does not speak HTTP/2 over TLS.
    #[error("the endpoint did not agree on HTTP/2")]
    NoHttp2,
}

impl OriginClient {
    /// Shakes hands with an endpoint on a fresh connection.
    pub(crate) async fn connect(
        &self,
        endpoint: SocketAddr,
        stream: TcpStream,
        version: HttpVersion,
    ) -> Result<TlsStream<TcpStream>, TlsFailure> {
        // An address is not asked for, and what trusts without a name does not look at it.
        let name = self.name.clone().unwrap_or_else(|| ServerName::IpAddress(endpoint.ip().into()));
        let config = match version {
            HttpVersion::Http1 => &self.http1,
            HttpVersion::Http2 => &self.http2,
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(name, stream).await.map_err(TlsFailure::Handshake)?;
        // RFC 9113 section 3.2: over TLS, HTTP/2 is agreed on.
        if version == HttpVersion::Http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(TlsFailure::NoHttp2);
        }
        Ok(stream)
    }
}

impl fmt::Debug for OriginClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginClient").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Makes clients, and finds those that somebody still uses.
pub(crate) struct OriginClients {
    provider: Arc<CryptoProvider>,
    known: HashMap<Arc<OriginTls>, Weak<OriginClient>>,
}

impl OriginClients {
    pub(crate) fn new() -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Self { provider, known: HashMap::new() }
    }

    /// The client for these settings.
    pub(crate) fn of(&mut self, settings: &Arc<OriginTls>) -> Arc<OriginClient> {
        if let Some(known) = self.known.get(settings).and_then(Weak::upgrade) {
            return known;
        }
        let client = Arc::new(self.make(settings));
        self.known.insert(Arc::clone(settings), Arc::downgrade(&client));
        client
    }

    /// Forgets what nobody uses.
    pub(crate) fn tidy(&mut self) {
        self.known.retain(|_, client| client.strong_count() > 0);
    }

    fn make(&self, settings: &OriginTls) -> OriginClient {
        let verifier = Arc::new(self.verifier(&settings.trust));
        let config = |protocol: &[u8]| {
            let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
                .with_protocol_versions(&[&TLS13, &TLS12])
                .expect("the provider has suites for both versions")
                .dangerous()
                .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>);
            let mut config = match &settings.client_certificate {
                Some(own) => {
                    builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&own.key))))
                }
                None => builder.with_no_client_auth(),
            };
            config.alpn_protocols = vec![protocol.to_vec()];
            config.resumption = Resumption::in_memory_sessions(SESSIONS);
            Arc::new(config)
        };
        let name = settings.server_name.as_ref().and_then(|name| name.as_str().to_owned().try_into().ok());
        OriginClient {
            id: CLIENT_IDS.fetch_add(1, Ordering::Relaxed),
            name,
            http1: config(b"http/1.1"),
            http2: config(b"h2"),
        }
    }

    fn verifier(&self, trust: &Trust) -> Verifier {
        let by_roots = |roots: &Arc<RootCertStore>| {
            WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(&self.provider))
                .build()
                .map_or(Chain::Nobody, Chain::To)
        };
        let (chain, pins) = match trust {
            Trust::Anything => (Chain::Unseen, None),
            Trust::Pinned(pins) => (Chain::Unseen, Some(pins.clone())),
            Trust::PublicRoots => (by_roots(&PUBLIC_ROOTS), None),
            Trust::Authorities(authorities, pins) => {
                (by_roots(&authorities.roots), Some(pins.clone()).filter(|pins| !pins.is_empty()))
            }
        };
        Verifier { chain, pins, provider: Arc::clone(&self.provider) }
    }
}

impl fmt::Debug for OriginClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OriginClients")
    }
}

/// Judges the certificate of an endpoint.
#[derive(Debug)]
struct Verifier {
    chain: Chain,
    /// The only certificates that are good, where they are named.
    pins: Option<Vec<Digest>>,
    provider: Arc<CryptoProvider>,
}

/// Who must vouch for a certificate.
#[derive(Debug)]
enum Chain {
    /// Nobody, and it may say of itself what it wants.
    Unseen,
    /// Authorities of which there is none.
    Nobody,
    /// These.
    To(Arc<WebPkiServerVerifier>),
}

/// The certificate is none of those that are pinned.
#[derive(Debug, thiserror::Error)]
#[error("the certificate is none of those in certificateSha256")]
struct NotPinned;

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(pins) = &self.pins {
            let digest = digest::digest(&digest::SHA256, certificate);
            if !pins.iter().any(|pin| pin.as_slice() == digest.as_ref()) {
                return Err(CertificateError::Other(OtherError(Arc::new(NotPinned))).into());
            }
        }
        match &self.chain {
            Chain::Unseen => Ok(ServerCertVerified::assertion()),
            Chain::Nobody => Err(CertificateError::UnknownIssuer.into()),
            Chain::To(authorities) => {
                authorities.verify_server_cert(certificate, intermediates, name, ocsp, now)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
