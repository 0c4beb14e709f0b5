//! WebSockets over HTTP/2 (RFC 8441): a real client's streams, read and written as a WebSocket library does.

mod ending;
mod failover;
mod handshake;
mod policy;
mod tunnel;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::peers::Socket;
use crate::dataplane::http2::Client;
use crate::dataplane::rig::{RawOrigin, Viewer, field, soon};

/// A good handshake with more fields.
pub(super) fn connect(fields: &[(&str, &str)]) -> Request<()> {
    asking(
        "websocket",
        "https://web.example/chat?room=1",
        &[&[("sec-websocket-version", "13")], fields].concat(),
    )
}

fn asking(protocol: &str, uri: &str, fields: &[(&str, &str)]) -> Request<()> {
    let request = Request::builder().method(Method::CONNECT).uri(uri).extension(Protocol::from(protocol));
    fields.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
}

/// The 101 that answers this request, with more lines.
pub(super) fn switching(request: &str, lines: &str) -> String {
    let accept = derive_accept_key(field(request, "sec-websocket-key").unwrap().as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{lines}\r\n"
    )
}

/// An open tunnel to the site `web`, with both ends played byte by byte.
pub(super) async fn raw_tunnel(client: &mut Client, origin: &RawOrigin) -> (Wire, Viewer) {
    let agree = async {
        let mut far = origin.accept().await;
        let request = far.until("\r\n\r\n").await;
        far.send(switching(&request, "")).await;
        far
    };
    tokio::join!(client.wire(), agree)
}

impl Client {
    /// Asks for a tunnel; what is sent before the answer stands in the stream.
    pub(super) async fn handshake(&mut self, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
        // The server's settings say that it may be asked.
        soon(async {
            while !self.requests.is_extended_connect_protocol_enabled() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        self.open(request).await
    }

    /// How a handshake is answered, and the stream.
    async fn answer(&mut self, request: Request<()>) -> (Response<()>, Wire) {
        let (response, outgoing) = self.handshake(request).await;
        Wire::of(response, outgoing).await
    }

    /// An open tunnel to the site `web`.
    async fn wire(&mut self) -> Wire {
        let (response, wire) = self.answer(connect(&[])).await;
        assert_eq!(response.status(), 200);
        wire
    }

    /// An open WebSocket to the site `web`.
    async fn socket(&mut self) -> Socket<Wire> {
        WebSocketStream::from_raw_socket(self.wire().await, Role::Client, None).await
    }
}

/// A tunnel's stream as its client has it.
pub(super) struct Wire {
    outgoing: SendStream<Bytes>,
    incoming: RecvStream,
    unread: Bytes,
}

impl Wire {
    async fn of(response: ResponseFuture, outgoing: SendStream<Bytes>) -> (Response<()>, Self) {
        let (head, incoming) = soon(response).await.unwrap().into_parts();
        (Response::from_parts(head, ()), Self { outgoing, incoming, unread: Bytes::new() })
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread.is_empty() {
            let Some(data) = ready!(this.incoming.poll_data(cx)) else { return Poll::Ready(Ok(())) };
            this.unread = data.map_err(io::Error::other)?;
            this.incoming.flow_control().release_capacity(this.unread.len()).unwrap();
        }
        buf.put_slice(&this.unread.split_to(this.unread.len().min(buf.remaining())));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outgoing = &mut self.get_mut().outgoing;
        outgoing.reserve_capacity(bytes.len());
        while outgoing.capacity() == 0 {
            let room = ready!(outgoing.poll_capacity(cx)).ok_or(io::ErrorKind::BrokenPipe)?;
            room.map_err(io::Error::other)?;
        }
        let length = outgoing.capacity().min(bytes.len());
        outgoing.send_data(Bytes::copy_from_slice(&bytes[..length]), false).map_err(io::Error::other)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.get_mut().outgoing.send_data(Bytes::new(), true);
        Poll::Ready(sent.map_err(io::Error::other))
    }
}
