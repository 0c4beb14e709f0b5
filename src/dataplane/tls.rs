//! TLS towards viewers: from the ClientHello to a stream.
//!
//! The name that the viewer asks for picks the Distribution, and that the certificate; what is shown is never
//! another tenant's. Configurations are made when a table is linked ([`Configs`]); one ticketer outlives them
//! all, so sessions resume over every swap.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{Acceptor, NoServerSessionStorage, ProducesTickets};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::linger;
use super::guarded_io::Counted;
use super::live::LiveTable;
use super::worker::Worker;
use crate::table::certificate::{Certificate, Certificates, OwnCertificate};
use crate::table::decide::TlsIdentity;
use crate::table::host::HostName;
use crate::table::route::ViewerProtocols;

/// A fatal `unrecognized_name` (RFC 6066 section 3) as a record: rustls would say `access_denied`, from which no
/// one could tell what is wrong.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// A stream after its handshake; boxed, since whoever passes it on would keep room for it.
pub(crate) type Encrypted = Box<TlsStream<Counted<TcpStream>>>;

/// What a handshake settled.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Whose it is: it holds for every request of the connection.
    pub(crate) identity: TlsIdentity,
    /// The name that was asked for.
    pub(crate) sni: Option<HostName>,
    /// The version, as logs write it.
    pub(crate) version: &'static str,
    /// What is spoken above it.
    pub(crate) protocol: Protocol,
}

/// What was agreed on by ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1, also where the viewer did not ask.
    Http1,
    /// HTTP/2.
    Http2,
}

/// HTTP/2 as ALPN names it.
const H2: &[u8] = b"h2";

/// HTTP/1.1 as ALPN names it.
const HTTP_11: &[u8] = b"http/1.1";

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeFailure {
    /// `tlsHandshake` of the limits passed.
    #[error("the viewer did not finish its handshake in time")]
    Timeout,
    /// No certificate may be shown for the name.
    #[error("there is no certificate for the name that the viewer asked for")]
    NoCertificate,
    /// The viewer left without a byte, as those do who only look whether a port is open.
    #[error("the viewer left before it said anything")]
    NotBegun,
    /// The viewer speaks no TLS that we do, or went away.
    #[error("the handshake failed: {0}")]
    Failed(#[from] io::Error),
}

impl HandshakeFailure {
    /// The label of the metric.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::NoCertificate => "no_certificate",
            Self::NotBegun => "not_begun",
            Self::Failed(_) => "failed",
        }
    }
}

/// Shakes hands within the limit, which covers the wait for the ClientHello, too.
pub(crate) async fn accept(
    worker: &Worker,
    stream: TcpStream,
) -> Result<(Encrypted, Session), HandshakeFailure> {
    let handshake = async {
        if !matches!(stream.peek(&mut [0]).await, Ok(1)) {
            return Err(Refusal { failure: HandshakeFailure::NotBegun, told: None });
        }
        // Large, and soon over.
        Box::pin(shake_hands(worker, stream)).await
    };
    let Refusal { failure, told } = match timeout(worker.limits.tls_handshake, handshake).await {
        Ok(Ok((stream, session))) => {
            let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
            worker.metrics.tls_handshake(session.version, if resumed { "true" } else { "false" }, "ok");
            return Ok((stream, session));
        }
        Ok(Err(refusal)) => refusal,
        Err(_) => Refusal { failure: HandshakeFailure::Timeout, told: None },
    };
    if !matches!(failure, HandshakeFailure::NotBegun) {
        worker.metrics.tls_handshake("none", "false", failure.as_str());
    }
    if let Some(stream) = told {
        linger(stream, &worker.limits).await;
    }
    Err(failure)
}

/// A handshake that came to nothing.
struct Refusal {
    failure: HandshakeFailure,
    /// The stream, where the viewer was told why: it is to read that, whatever it sends meanwhile.
    told: Option<Counted<TcpStream>>,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self { failure: error.into(), told: None }
    }
}

async fn shake_hands(worker: &Worker, stream: TcpStream) -> Result<(Encrypted, Session), Refusal> {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), Counted::new(stream));
    let mut start = match (&mut acceptor).await {
        Ok(start) => start,
        Err(error) => return Err(Refusal { failure: error.into(), told: acceptor.take_io() }),
    };
    // What is not a host name is a name that nobody owns.
    let sni = start.client_hello().server_name().and_then(|name| HostName::parse(name).ok());
    // The one read of the table: the identity stays, whatever is published later.
    let chosen = choose(&worker.tables.current(), sni.as_ref());
    let Some((identity, config)) = chosen else {
        start.io.write_all(&UNRECOGNIZED_NAME).await?;
        return Err(Refusal { failure: HandshakeFailure::NoCertificate, told: Some(start.io) });
    };
    let mut stream = Box::new(start.into_stream(config).await?);
    stream.get_mut().1.set_buffer_limit(Some(worker.limits.buffer_bytes));
    let version = match stream.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "1.3",
    };
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(H2) => Protocol::Http2,
        _ => Protocol::Http1,
    };
    Ok((stream, Session { identity, sni, version, protocol }))
}

/// The certificate for a name: of the Distribution that owns it, or the default one for a name that nobody owns.
fn choose(live: &LiveTable, sni: Option<&HostName>) -> Option<(TlsIdentity, Arc<ServerConfig>)> {
    let certificates = &live.table.certificates;
    let owned = sni.and_then(|name| Some((name, live.table.hosts.find(name)?.1)));
    let (distribution, certificate, protocols) = match owned {
        Some((name, owner)) => {
            let certificate = certificates.of_owner(&owner.distribution, name)?;
            (Some(owner.distribution.clone()), certificate, owner.viewer_protocols)
        }
        None => (None, certificates.default.as_ref()?, ViewerProtocols::Http2),
    };
    let config = live.tls.of(certificate)?.offering(protocols);
    Some((TlsIdentity { distribution, certificate: Arc::clone(certificate) }, Arc::clone(config)))
}

/// The TLS configurations of one table, by the fingerprint of their certificate.
#[derive(Debug, Default)]
pub(crate) struct Configs(BTreeMap<String, Offers>);

/// The configurations of one certificate.
#[derive(Clone, Debug)]
struct Offers {
    http2: Arc<ServerConfig>,
    http1: Arc<ServerConfig>,
}

impl Offers {
    fn offering(&self, protocols: ViewerProtocols) -> &Arc<ServerConfig> {
        match protocols {
            ViewerProtocols::Http2 => &self.http2,
            ViewerProtocols::Http1 => &self.http1,
        }
    }
}

impl Configs {
    fn of(&self, certificate: &Certificate) -> Option<&Offers> {
        self.0.get(&certificate.fingerprint)
    }
}

/// Makes configurations, and keeps what is common to all of them.
pub(crate) struct ConfigMaker {
    provider: Arc<CryptoProvider>,
    /// Its keys rotate every 6 h; one is accepted for 6 h more.
    ticketer: Arc<dyn ProducesTickets>,
}

impl ConfigMaker {
    /// # Errors
    /// The system has no randomness for ticket keys.
    pub(crate) fn new() -> Result<Self, rustls::Error> {
        Ok(Self { provider: Arc::new(default_provider()), ticketer: Ticketer::new()? })
    }

    /// The configurations for these certificates; those that are in `before` are taken from there.
    pub(crate) fn link(&self, certificates: &Certificates, before: &Configs) -> Configs {
        let own = certificates.by_distribution.values().filter_map(|own| match own {
            OwnCertificate::Usable(certificate) => Some(certificate),
            OwnCertificate::Unusable => None,
        });
        let mut configs = BTreeMap::new();
        for certificate in own.chain(&certificates.default) {
            if !configs.contains_key(&certificate.fingerprint) {
                let offers = match before.of(certificate) {
                    Some(offers) => offers.clone(),
                    None => self.make(certificate),
                };
                configs.insert(certificate.fingerprint.clone(), offers);
            }
        }
        Configs(configs)
    }

    fn make(&self, certificate: &Certificate) -> Offers {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("the provider has suites for both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&certificate.key))));
        config.ignore_client_order = true;
        config.ticketer = Arc::clone(&self.ticketer);
        // Tickets hold the sessions; a cache beside them would cost memory for each certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let offering = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Arc::new(config)
        };
        Offers { http2: offering(&[H2, HTTP_11]), http1: offering(&[HTTP_11]) }
    }
}

impl fmt::Debug for ConfigMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfigMaker")
    }
}
