//! What a browser does: HTTPS and WebSocket over TLS, under a host name that no name server knows.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rcgen::CertifiedKey;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::LIMIT;

/// A viewer that believes one certificate.
pub(crate) struct Viewer {
    address: SocketAddr,
    host: String,
    tls: TlsConnector,
}

impl Viewer {
    /// Looks for `host` at `address`, and accepts nothing but `certificate`.
    pub(crate) fn new<K: rcgen::SigningKey>(
        address: SocketAddr,
        host: &str,
        certificate: &CertifiedKey<K>,
    ) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.cert.der().clone())?;
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { address, host: host.to_owned(), tls: TlsConnector::from(Arc::new(config)) })
    }

    async fn connect(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = self.host.clone().try_into()?;
        self.tls.connect(name, stream).await.context("the TLS handshake fails")
    }

    /// Status and body of a GET.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<(StatusCode, String)> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.connect().await?)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::get(path).header("host", &self.host).body(Empty::<Bytes>::new())?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        Ok((head.status, String::from_utf8(body.to_vec())?))
    }

    /// An open WebSocket.
    pub(crate) async fn websocket(&self, path: &str) -> anyhow::Result<Socket> {
        let url = format!("wss://{}{path}", self.host);
        let (socket, _) = tokio_tungstenite::client_async(url, self.connect().await?).await?;
        Ok(Socket(socket))
    }
}

/// A viewer's WebSocket.
pub(crate) struct Socket(WebSocketStream<TlsStream<TcpStream>>);

impl Socket {
    /// Sends a text and returns the one that comes back.
    pub(crate) async fn echo(&mut self, text: &str) -> anyhow::Result<String> {
        self.0.send(Message::text(text)).await?;
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => Ok(text.to_string()),
            other => bail!("no text came back but {other:?}"),
        }
    }

    /// Waits for the Close; its code.
    pub(crate) async fn close_code(&mut self) -> anyhow::Result<u16> {
        match timeout(LIMIT, self.0.next()).await.context("no Close comes")? {
            Some(Ok(Message::Close(Some(close)))) => Ok(close.code.into()),
            other => bail!("it is no Close with a code but {other:?}"),
        }
    }
}
