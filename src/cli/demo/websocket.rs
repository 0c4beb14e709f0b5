//! `tidegate demo websocket`: a small WebSocket client, since not every machine has one.
//!
//! It trusts one certificate file and nothing else. Start with [`run`].

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

/// How long each step may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Send messages over a WebSocket and print what comes back
#[derive(Debug, Args)]
pub(super) struct Websocket {
    /// The certificate to trust, as PEM; needed for wss
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,

    /// Connect here instead of looking up the host of URL
    #[arg(long, value_name = "ADDR")]
    connect: Option<SocketAddr>,

    /// Where to: ws://HOST:PORT/PATH or wss://HOST:PORT/PATH; `:PORT` may be left out
    #[arg(value_name = "URL")]
    url: Uri,

    /// What to send, one message each
    #[arg(value_name = "MESSAGE", default_value = "hello")]
    messages: Vec<String>,
}

/// Connects, sends each message, prints each answer, and closes.
///
/// # Errors
/// A URL that is none, a certificate that does not fit, a refused handshake, silence.
pub(super) fn run(asked: &Websocket) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(talk(asked))
}

async fn talk(asked: &Websocket) -> anyhow::Result<()> {
    let host = asked.url.host().context("the URL names no host; write wss://HOST/PATH")?;
    let is_tls = match asked.url.scheme_str() {
        Some("ws") => false,
        Some("wss") => true,
        _ => bail!("the URL begins with neither ws:// nor wss://; write wss://HOST/PATH"),
    };
    let port = asked.url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let connecting = async {
        match asked.connect {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect((host.trim_matches(['[', ']']), port)).await,
        }
    };
    let stream =
        limited("connect", connecting).await?.with_context(|| format!("{host}:{port} does not answer"))?;
    if !is_tls {
        return exchange(asked, stream).await;
    }
    let Some(cacert) = &asked.cacert else {
        bail!("wss needs --cacert FILE, the certificate to trust");
    };
    let name = ServerName::try_from(host.to_owned()).context("the host is not a name for TLS")?;
    let handshake = TlsConnector::from(Arc::new(trusting(cacert)?)).connect(name, stream);
    let stream = limited("TLS", handshake).await?.context("the TLS handshake failed")?;
    exchange(asked, stream).await
}

async fn exchange(asked: &Websocket, stream: impl AsyncRead + AsyncWrite + Unpin) -> anyhow::Result<()> {
    let handshake = client_async(asked.url.to_string(), stream);
    let (mut socket, _) =
        limited("handshake", handshake).await?.context("the WebSocket handshake was refused")?;
    for message in &asked.messages {
        limited("send", socket.send(Message::text(message.as_str())))
            .await?
            .context("the message was not sent")?;
        match limited("answer", socket.next()).await? {
            Some(Ok(Message::Text(answer))) => writeln!(io::stdout().lock(), "{}", answer.as_str())?,
            Some(Ok(Message::Close(_))) | None => bail!("the other side closed"),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error).context("the connection broke"),
        }
    }
    limited("close", socket.close(None)).await?.context("the close was not sent")?;
    // The handshake of closing is over when the other side has answered it.
    while let Some(Ok(_)) = limited("close", socket.next()).await? {}
    Ok(())
}

/// TLS that trusts the certificates of one file.
fn trusting(cacert: &Path) -> anyhow::Result<ClientConfig> {
    let refused = || format!("--cacert {} holds no certificate", cacert.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(cacert).with_context(refused)? {
        roots.add(certificate.with_context(refused)?).with_context(refused)?;
    }
    if roots.is_empty() {
        bail!(refused());
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

async fn limited<T>(what: &str, step: impl Future<Output = T>) -> anyhow::Result<T> {
    timeout(LIMIT, step).await.with_context(|| format!("{what}: no answer within {} s", LIMIT.as_secs()))
}
