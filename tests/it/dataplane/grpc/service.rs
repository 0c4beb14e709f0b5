//! A service of gRPC, written by hand, so that nothing has to be generated: its messages are plain bytes.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use futures_util::stream::{self, Stream, StreamExt};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Response, Status, Streaming};
use tower::service_fn;

/// Messages as they are.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(message);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// What a server is told, and what it tells.
#[derive(Clone)]
pub(super) struct Orders {
    /// Its connections break.
    pub(super) die: Arc<Notify>,
    pub(super) tell: mpsc::UnboundedSender<Told>,
}

/// What becomes of a call that would go on for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Began,
    Over,
}

/// As long as it is held, a call goes on.
struct Held(mpsc::UnboundedSender<Told>);

impl Held {
    fn new(tell: mpsc::UnboundedSender<Told>) -> Self {
        let this = Self(tell);
        this.tell(Told::Began);
        this
    }

    fn tell(&self, what: Told) {
        // The test may be over before the call.
        let _nobody_waits = self.0.send(what);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tell(Told::Over);
    }
}

/// Serves a connection until its end, or until it is to break.
pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, orders: Orders) {
    let die = Arc::clone(&orders.die);
    let service = hyper::service::service_fn(move |request| call(request, orders.clone()));
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ended = connection => {}
        () = die.notified() => {}
    }
}

async fn call(
    request: http::Request<Incoming>,
    orders: Orders,
) -> Result<http::Response<tonic::body::Body>, Infallible> {
    let mut grpc = tonic::server::Grpc::new(Plain);
    Ok(match request.uri().path() {
        "/Echo" => grpc.unary(service_fn(echo), request).await,
        "/Deadline" => grpc.unary(service_fn(deadline), request).await,
        "/Refuse" => grpc.unary(service_fn(refuse), request).await,
        "/Hang" => {
            grpc.unary(service_fn(|_: Request<Bytes>| hang(Held::new(orders.tell.clone()))), request).await
        }
        "/Join" => grpc.client_streaming(service_fn(join), request).await,
        "/Split" => grpc.server_streaming(service_fn(split), request).await,
        "/Break" => grpc.server_streaming(service_fn(break_off), request).await,
        "/Last" => {
            let last = |request| last(request, Held::new(orders.tell.clone()));
            grpc.server_streaming(service_fn(last), request).await
        }
        "/Talk" => grpc.streaming(service_fn(talk), request).await,
        _ => Status::unimplemented("no such method").into_http(),
    })
}

type Answer = Result<Response<Bytes>, Status>;

/// Gives a message back, with the metadata `x-asked` in the head and the trailers that end every answer.
async fn echo(request: Request<Bytes>) -> Answer {
    let asked = request.metadata().get("x-asked").cloned();
    let mut response = Response::new(request.into_inner());
    asked.map(|asked| response.metadata_mut().insert("x-answered", asked));
    Ok(response)
}

/// Gives the deadline back that the call came with.
async fn deadline(request: Request<Bytes>) -> Answer {
    let timeout = request.metadata().get("grpc-timeout").ok_or_else(|| Status::internal("no deadline"))?;
    Ok(Response::new(Bytes::copy_from_slice(timeout.as_bytes())))
}

/// An answer of trailers alone.
async fn refuse(_: Request<Bytes>) -> Answer {
    let mut status = Status::failed_precondition("not now, m\u{fc}de");
    status.metadata_mut().insert("x-why", "because".parse().unwrap());
    Err(status)
}

async fn hang(_held: Held) -> Answer {
    std::future::pending().await
}

/// Joins all messages.
async fn join(request: Request<Streaming<Bytes>>) -> Answer {
    let mut messages = request.into_inner();
    let mut all = Vec::new();
    while let Some(message) = messages.message().await? {
        all.extend_from_slice(&message);
    }
    Ok(Response::new(all.into()))
}

type Messages = stream::BoxStream<'static, Result<Bytes, Status>>;

fn messages(
    messages: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
) -> Result<Response<Messages>, Status> {
    Ok(Response::new(messages.boxed()))
}

/// A message for each byte.
async fn split(request: Request<Bytes>) -> Result<Response<Messages>, Status> {
    messages(stream::iter(request.into_inner()).map(|byte| Ok(Bytes::copy_from_slice(&[byte]))))
}

/// A message, then an error.
async fn break_off(request: Request<Bytes>) -> Result<Response<Messages>, Status> {
    let error = Status::data_loss("that was all");
    messages(stream::iter([Ok(request.into_inner()), Err(error)]))
}

/// A message, then nothing for ever.
async fn last(request: Request<Bytes>, held: Held) -> Result<Response<Messages>, Status> {
    let first = stream::iter([Ok(request.into_inner())]);
    let silence = stream::pending().map(move |message| {
        let _as_long_as_the_call = &held;
        message
    });
    messages(first.chain(silence))
}

/// Answers each message before it reads the next one.
async fn talk(request: Request<Streaming<Bytes>>) -> Result<Response<Messages>, Status> {
    let answered = |message: Result<Bytes, Status>| Ok(message?.to_ascii_uppercase().into());
    messages(request.into_inner().map(answered))
}
