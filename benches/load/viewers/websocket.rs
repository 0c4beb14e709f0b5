//! WebSockets: those that echo one message after the other, and those that idle after one.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::ensure;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificate::{Certificate, HOST};
use crate::proxy::Proxy;
use crate::rows::Security;

/// Sockets that echo at any time.
const AT_ONCE: usize = 64;

/// A message of 64 bytes, as a client sends it: masked with zeros, which is a key like any other.
const MESSAGE: [u8; 70] = {
    let mut frame = [b'm'; 70];
    (frame[0], frame[1], frame[2], frame[3], frame[4], frame[5]) = (0x82, 0x80 | 64, 0, 0, 0, 0);
    frame
};
/// The same as it comes back.
const ECHO_BYTES: usize = 66;

/// Open sockets; dropped, they close.
#[derive(Debug, Default)]
pub(crate) struct Open {
    plain: Vec<TcpStream>,
    tls: Vec<TlsStream<TcpStream>>,
}

/// Opens `count` sockets one after the other; each has had a message echoed.
pub(crate) async fn open(
    proxy: &Proxy,
    security: Security,
    certificate: &Certificate,
    count: usize,
) -> anyhow::Result<Open> {
    let connector = TlsConnector::from(certificate.client(b"http/1.1")?);
    let name = ServerName::try_from(HOST)?;
    let mut open = Open::default();
    for _ in 0..count {
        match security {
            Security::Plain => {
                let mut stream = TcpStream::connect(proxy.http).await?;
                begin(&mut stream).await?;
                open.plain.push(stream);
            }
            Security::Tls => {
                let stream = TcpStream::connect(proxy.https).await?;
                let mut stream = connector.connect(name.clone(), stream).await?;
                begin(&mut stream).await?;
                open.tls.push(stream);
            }
        }
    }
    Ok(open)
}

/// Sockets that echo until this is dropped.
#[derive(Debug)]
pub(crate) struct Echoing {
    failure: Rc<RefCell<Option<anyhow::Error>>>,
    tasks: JoinSet<()>,
}

/// Has messages echoed as fast as they come back; to be called on a `LocalSet`.
pub(crate) async fn start(
    proxy: &Proxy,
    security: Security,
    certificate: &Certificate,
) -> anyhow::Result<Echoing> {
    let Open { plain, tls } = open(proxy, security, certificate, AT_ONCE).await?;
    let mut echoing = Echoing { failure: Rc::default(), tasks: JoinSet::new() };
    plain.into_iter().for_each(|stream| echoing.spawn(stream));
    tls.into_iter().for_each(|stream| echoing.spawn(stream));
    Ok(echoing)
}

impl Echoing {
    fn spawn(&mut self, mut stream: impl AsyncRead + AsyncWrite + Unpin + 'static) {
        let failure = Rc::clone(&self.failure);
        self.tasks.spawn_local(async move {
            let error = loop {
                if let Err(error) = echo(&mut stream).await {
                    break error;
                }
            };
            failure.replace(Some(error));
        });
    }

    /// Ends them all.
    ///
    /// # Errors
    /// What went wrong on one of them.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }
}

/// The handshake, and a first message.
async fn begin<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> anyhow::Result<()> {
    let handshake = format!(
        "GET /echo HTTP/1.1\r\nhost: {HOST}\r\nuser-agent: bench\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(handshake.as_bytes()).await?;
    let mut answer = Vec::with_capacity(512);
    // The origin sends nothing before it is sent something.
    while !answer.ends_with(b"\r\n\r\n") {
        ensure!(stream.read_buf(&mut answer).await? > 0, "the handshake broke off");
    }
    ensure!(answer.starts_with(b"HTTP/1.1 101 "), "no 101: {}", String::from_utf8_lossy(&answer));
    echo(stream).await
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> anyhow::Result<()> {
    stream.write_all(&MESSAGE).await?;
    let mut back = [0; ECHO_BYTES];
    stream.read_exact(&mut back).await?;
    ensure!(back[2..] == MESSAGE[6..], "something else came back");
    Ok(())
}
