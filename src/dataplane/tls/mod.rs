//! TLS towards viewers: from the ClientHello to a stream.
//!
//! The name that the viewer asks for picks the Distribution, and that the certificate and what is asked of the
//! viewer; what is shown is never another tenant's. All of that is judged by [`RoutingTable::handshake`], and
//! [`configs`] has prepared it.
//!
//! [`RoutingTable::handshake`]: crate::table::RoutingTable::handshake

pub(crate) mod configs;

use std::io;
use std::sync::Arc;

use rustls::pki_types::UnixTime;
use rustls::server::{Acceptor, ClientHello};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::linger;
use super::guarded_io::Counted;
use super::live::LiveTable;
use super::viewer::client_certificate::{ClientCertificate, Told};
use super::worker::Worker;
use crate::table::host::HostName;
use crate::table::viewer_tls::{Client, TlsIdentity};

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
    /// The certificate that the viewer showed; boxed, since few do.
    client: Option<Box<ClientCertificate>>,
    /// The name that was asked for.
    pub(crate) sni: Option<HostName>,
    /// The version, as logs write it.
    pub(crate) version: &'static str,
    /// What is spoken above it.
    pub(crate) protocol: Protocol,
}

impl Session {
    /// What origins are told that want to know of the viewer's certificate.
    pub(crate) fn certificate_told(&self) -> Told<'_> {
        self.client.as_deref().map_or(Told::Absent, Told::Verified)
    }
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
    /// The viewer has to show a certificate, and showed none or a bad one.
    #[error("the viewer's certificate is not good: {0}")]
    ClientCertificate(String),
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
            Self::ClientCertificate(_) => "client_certificate",
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

impl<E: Into<HandshakeFailure>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self { failure: error.into(), told: None }
    }
}

impl Refusal {
    /// That of rustls, which has told the viewer; and where it was gone, there is nothing to read.
    fn of(error: io::Error, stream: Counted<TcpStream>) -> Self {
        let of_tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        let failure = match of_tls {
            Some(bad @ (rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)) => {
                HandshakeFailure::ClientCertificate(bad.to_string())
            }
            _ => HandshakeFailure::Failed(error),
        };
        Self { failure, told: Some(stream) }
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
    // The one read of the table: what is settled here stays, whatever is published later.
    let prepared = prepare(&worker.tables.current(), &start.client_hello(), sni.as_ref());
    let Some((mut identity, config)) = prepared else {
        start.io.write_all(&UNRECOGNIZED_NAME).await?;
        return Err(Refusal { failure: HandshakeFailure::NoCertificate, told: Some(start.io) });
    };
    let shaken = start.into_stream(config).into_fallible().await;
    let mut stream = Box::new(shaken.map_err(|(error, stream)| Refusal::of(error, stream))?);
    let connection = &mut stream.get_mut().1;
    connection.set_buffer_limit(Some(worker.limits.buffer_bytes));
    let client = client(connection)?;
    if client.is_some() {
        identity.client = Client::Verified;
    }
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "1.3",
    };
    let protocol = match connection.alpn_protocol() {
        Some(H2) => Protocol::Http2,
        _ => Protocol::Http1,
    };
    Ok((stream, Session { identity, client, sni, version, protocol }))
}

/// Judges the handshake, and finds the configuration that was made for it when the table was linked.
fn prepare(
    live: &LiveTable,
    hello: &ClientHello<'_>,
    sni: Option<&HostName>,
) -> Option<(TlsIdentity, Arc<ServerConfig>)> {
    let (schemes, suites) = (hello.signature_schemes(), hello.cipher_suites());
    let handshake = live.table.handshake(sni, |shown| shown.is_known_to(schemes, suites)).ok()?;
    let offers = match handshake.owner {
        Some((host_position, _)) => &live.distribution(host_position)?.tls,
        None => &live.unowned,
    };
    let config = Arc::clone(offers.showing(handshake.certificate)?);
    Some((handshake.identity(Client::Unknown), config))
}

/// The certificate that the viewer showed, now or when the session began that it resumes: then nobody has looked at
/// its end since.
fn client(connection: &ServerConnection) -> Result<Option<Box<ClientCertificate>>, HandshakeFailure> {
    let bad = |why: &str| HandshakeFailure::ClientCertificate(why.to_owned());
    let Some(shown) = connection.peer_certificates().and_then(|chain| chain.first()) else {
        return Ok(None);
    };
    let certificate = ClientCertificate::read(shown).ok_or_else(|| bad("it cannot be read"))?;
    if certificate.has_expired(UnixTime::now()) {
        return Err(bad("it has expired since the session began"));
    }
    Ok(Some(Box::new(certificate)))
}
