//! Both endpoints: as a WebSocket library plays them, and byte by byte.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::dataplane::rig::{Plane, RawOrigin, Viewer, soon};

/// The key and the accept of the example in RFC 6455 section 1.3.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A good handshake with more header lines.
pub(crate) fn handshake(lines: &str) -> String {
    format!(
        "GET /chat?room=1 HTTP/1.1\r\nHost: web.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}\r\n"
    )
}

/// The 101 that answers it.
pub(crate) fn switching(lines: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n{lines}\r\n"
    )
}

/// An open tunnel to the site `web`, with both ends played byte by byte.
pub(crate) async fn raw_tunnel(plane: &Plane, origin: &RawOrigin) -> (Viewer, Viewer) {
    let mut viewer = plane.connect().await;
    viewer.send(handshake("")).await;
    let mut far = origin.accept().await;
    far.until("\r\n\r\n").await;
    far.send(switching("")).await;
    let answer = viewer.until("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    (viewer, far)
}

/// A WebSocket as a library has it.
pub(crate) type Socket<S = TcpStream> = WebSocketStream<S>;

/// Opens a WebSocket to a host.
pub(crate) async fn open_to(host: &str, plane: &Plane) -> Socket {
    open_on(host, plane.connect().await.stream).await
}

/// Opens a WebSocket to the site `web`.
pub(crate) async fn open(plane: &Plane) -> Socket {
    open_to("web.example", plane).await
}

/// Opens a WebSocket to a host on a connection.
pub(crate) async fn open_on<S: AsyncRead + AsyncWrite + Unpin>(host: &str, stream: S) -> Socket<S> {
    soon(client_async(format!("ws://{host}/chat"), stream)).await.unwrap().0
}

/// Sends a message and waits for the same one.
pub(crate) async fn echo<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut Socket<S>, text: &str) {
    soon(socket.send(Message::text(text))).await.unwrap();
    assert_eq!(next(socket).await, Message::text(text));
}

/// The next message.
pub(crate) async fn next<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut Socket<S>) -> Message {
    soon(socket.next()).await.unwrap().unwrap()
}

/// Waits for the Close and answers it; returns its code.
pub(crate) async fn close_code<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut Socket<S>) -> u16 {
    let Message::Close(Some(frame)) = next(socket).await else { panic!("it is no Close with a code") };
    // Reading on sends the answer and waits for the end of the connection.
    assert!(soon(socket.next()).await.is_none_or(|end| matches!(end, Err(Error::ConnectionClosed))));
    frame.code.into()
}

/// An origin that sends every message back, for as long as it is held.
pub(crate) struct EchoSocket {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl EchoSocket {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let Ok(mut socket) = accept_async(stream).await else { return };
                    while let Some(Ok(message)) = socket.next().await {
                        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, task }
    }
}

impl Drop for EchoSocket {
    fn drop(&mut self) {
        self.task.abort();
    }
}
