//! A pod's program: an HTTP server that says who it is, and echoes WebSockets.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// The port that backends listen on.
pub(crate) const PORT: u16 = 8080;

/// A backend that listens; dropping it closes its listener and its connections.
pub(crate) struct Backend(AbortHandle);

impl Drop for Backend {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Backend {
    /// Listens at `address`, and answers each request with `NAME PATH`.
    pub(crate) async fn start(address: IpAddr, name: &'static str) -> anyhow::Result<Self> {
        Self::accepting(address, name, |stream| ready(Ok(stream))).await
    }

    /// The same over TLS.
    pub(crate) async fn start_tls(
        address: IpAddr,
        name: &'static str,
        config: ServerConfig,
    ) -> anyhow::Result<Self> {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::accepting(address, name, move |stream| acceptor.accept(stream)).await
    }

    async fn accepting<S, F>(
        address: IpAddr,
        name: &'static str,
        open: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> anyhow::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
    {
        let listener = TcpListener::bind(SocketAddr::new(address, PORT)).await?;
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let opening = open(stream);
                connections.spawn(async move {
                    // Whoever is not let in has been told so.
                    let Ok(stream) = opening.await else { return };
                    let service = service_fn(async move |request| Ok::<_, Infallible>(answer(request, name)));
                    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    let _ended = connection.with_upgrades().await;
                });
            }
        });
        Ok(Self(accepting.abort_handle()))
    }
}

fn answer(request: Request<Incoming>, name: &'static str) -> Response<String> {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        return Response::new(format!("{name} {}", request.uri().path()));
    };
    let accept = derive_accept_key(key.as_bytes());
    tokio::spawn(echo(request));
    let mut switching = Response::new(String::new());
    *switching.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = switching.headers_mut();
    headers.insert(CONNECTION, "upgrade".parse().expect("a header value"));
    headers.insert(UPGRADE, "websocket".parse().expect("a header value"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept.parse().expect("base64 is a header value"));
    switching
}

/// Sends back every message until the peer closes.
async fn echo(request: Request<Incoming>) -> anyhow::Result<()> {
    let stream = TokioIo::new(hyper::upgrade::on(request).await?);
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    while let Some(message) = socket.next().await.transpose()? {
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
