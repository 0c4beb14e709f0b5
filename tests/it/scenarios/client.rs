//! The viewer of the scenarios: one connection a request, and everything that was seen on it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderName, Request, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::process::Addresses;

/// More than any answer may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    pub(crate) headers: &'a BTreeMap<String, String>,
    pub(crate) version: Version,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) status: Option<u16>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) echo: Option<String>,
    pub(crate) certificate: Option<CertificateDer<'static>>,
    /// Why there was no TLS.
    pub(crate) refused: Option<String>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Sends a request and reads the whole answer.
pub(crate) async fn request(
    ask: &Ask<'_>,
    addresses: &Addresses,
    trusted: &[CertificateDer<'static>],
) -> Seen {
    let (uri, address, is_tls) = place(ask.url, addresses);
    let mut seen = Seen::default();
    let Some(stream) = connect(&uri, address, is_tls, trusted, &mut seen).await else { return seen };
    let mut request = Request::builder()
        .method(ask.method)
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
        .version(ask.version)
        .header("host", uri.authority().expect("a host").as_str())
        .body(Full::<Bytes>::default())
        .expect("a request");
    add_headers(request.headers_mut(), ask.headers);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    let connection = tokio::spawn(connection);
    let answer =
        timeout(LIMIT, sender.send_request(request)).await.expect("an answer in time").expect("an answer");
    seen.status = Some(answer.status().as_u16());
    seen.headers = answer.headers().clone();
    let body = timeout(LIMIT, answer.into_body().collect()).await.expect("a body in time").expect("a body");
    seen.body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    connection.abort();
    seen
}

/// Opens a WebSocket, sends `hello` and waits for one message.
pub(crate) async fn websocket(
    ask: &Ask<'_>,
    addresses: &Addresses,
    trusted: &[CertificateDer<'static>],
) -> Seen {
    let (uri, address, is_tls) = place(ask.url, addresses);
    let mut seen = Seen::default();
    let Some(stream) = connect(&uri, address, is_tls, trusted, &mut seen).await else { return seen };
    let mut request = ask.url.into_client_request().expect("a handshake");
    add_headers(request.headers_mut(), ask.headers);
    match timeout(LIMIT, client_async(request, stream)).await.expect("a handshake in time") {
        Ok((mut socket, response)) => {
            seen.status = Some(response.status().as_u16());
            seen.headers = response.headers().clone();
            socket.send(Message::text("hello")).await.expect("a message is sent");
            let answer = timeout(LIMIT, socket.next()).await.expect("a message in time");
            seen.echo =
                answer.map(|answer| answer.expect("a message").into_text().expect("a text").to_string());
        }
        Err(Error::Http(response)) => {
            seen.status = Some(response.status().as_u16());
            seen.headers = response.headers().clone();
            seen.body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default()).into_owned();
        }
        Err(error) => panic!("{}: {error}", ask.url),
    }
    seen
}

/// Sets the headers of a step, also in the place of those that the request has by itself.
fn add_headers(headers: &mut HeaderMap, wanted: &BTreeMap<String, String>) {
    for (name, value) in wanted {
        let name: HeaderName = name.parse().expect("a name");
        headers.insert(name, value.parse().expect("a value"));
    }
}

/// The URL, the address behind it, and whether TLS is spoken there.
fn place(url: &str, addresses: &Addresses) -> (Uri, SocketAddr, bool) {
    if let Some(path) = url.strip_prefix("admin:") {
        return (format!("http://admin{path}").parse().expect("a path"), addresses.admin, false);
    }
    let uri: Uri = url.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
    match uri.scheme_str() {
        Some("http" | "ws") => (uri, addresses.http, false),
        Some("https" | "wss") => (uri, addresses.https, true),
        _ => panic!("{url}: begin with http, https, ws, wss or admin"),
    }
}

async fn connect(
    uri: &Uri,
    address: SocketAddr,
    is_tls: bool,
    trusted: &[CertificateDer<'static>],
    seen: &mut Seen,
) -> Option<Box<dyn Stream>> {
    let stream = timeout(LIMIT, TcpStream::connect(address)).await.expect("in time").expect("a connection");
    if !is_tls {
        return Some(Box::new(stream));
    }
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.clone()).expect("a certificate");
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(uri.host().expect("a host").to_owned()).expect("a name");
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    match timeout(LIMIT, handshake).await.expect("a handshake in time") {
        Ok(stream) => {
            let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            seen.certificate = shown.cloned().map(CertificateDer::into_owned);
            Some(Box::new(stream))
        }
        Err(error) => {
            seen.refused = Some(error.to_string());
            None
        }
    }
}
