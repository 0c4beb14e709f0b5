//! gRPC with a real client and a real server: viewers over HTTP/2 with TLS, origins over HTTP/2 with TLS and without.

mod service;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidegate::table::origin::{HttpVersion, Trust};
use tokio::sync::{Notify, mpsc};
use tonic::client::{Grpc, GrpcService};
use tonic::{Code, Request, Status};

use super::http2::Door;
use super::origin_tls::{Own, TlsOrigin, tls};
use super::rig::{RawOrigin, Site, soon};
use service::{Orders, Plain, Told, serve};

/// A data plane in front of a server of gRPC.
struct Served {
    door: Door,
    die: Arc<Notify>,
    told: mpsc::UnboundedReceiver<Told>,
}

impl Served {
    fn new(mut site: Site) -> (Self, Orders) {
        site.origin = |origin| origin.http_version = HttpVersion::Http2;
        let (tell, told) = mpsc::unbounded_channel();
        let die = Arc::new(Notify::new());
        let orders = Orders { die: Arc::clone(&die), tell };
        (Self { door: Door::open(vec![site]), die, told }, orders)
    }

    async fn over_plaintext() -> Self {
        let origin = RawOrigin::start().await;
        let (this, orders) = Self::new(Site::new("web", &[origin.address]));
        tokio::spawn(async move {
            loop {
                tokio::spawn(serve(origin.accept().await.stream, orders.clone()));
            }
        });
        this
    }

    async fn over_tls() -> Self {
        let own = Own::self_signed();
        let origin = TlsOrigin::with(&own, None, &[b"h2"]).await;
        let (this, orders) = Self::new(origin.site(tls(None, Trust::Pinned(vec![own.digest()]))));
        tokio::spawn(async move {
            loop {
                tokio::spawn(serve(origin.accept().await.unwrap().stream, orders.clone()));
            }
        });
        this
    }

    async fn both() -> [Self; 2] {
        [Self::over_plaintext().await, Self::over_tls().await]
    }

    async fn client(&self) -> Grpc<impl GrpcService<tonic::body::Body, ResponseBody = Incoming> + use<>> {
        let io = TokioIo::new(self.door.stream().await);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (requests, connection) = soon(handshake).await.unwrap();
        tokio::spawn(connection);
        let service = tower::service_fn(move |request| {
            let mut requests = requests.clone();
            async move { requests.send_request(request).await }
        });
        Grpc::with_origin(service, "https://web.example".parse().unwrap())
    }
}

fn method(name: &'static str) -> http::uri::PathAndQuery {
    http::uri::PathAndQuery::from_static(name)
}

fn message(text: &'static str) -> Request<Bytes> {
    Request::new(Bytes::from_static(text.as_bytes()))
}

/// What an HTTP/2 peer said of a call that it broke off.
fn reset(status: &Status) -> Option<h2::Reason> {
    let causes = std::iter::successors(status.source(), |error| (*error).source());
    causes.filter_map(|error| error.downcast_ref::<h2::Error>()?.reason()).next()
}

#[tokio::test]
async fn one_message_is_answered_with_one_and_metadata_passes() {
    for served in Served::both().await {
        let mut client = served.client().await;
        let mut request = message("hello");
        request.metadata_mut().insert("x-asked", "this".parse().unwrap());
        let response = soon(client.unary(request, method("/Echo"), Plain)).await.unwrap();
        assert_eq!(response.metadata().get("x-answered").unwrap(), "this");
        assert_eq!(response.metadata().get("grpc-status").unwrap(), "0");
        assert_eq!(response.into_inner(), "hello");
    }
}

#[tokio::test]
async fn many_messages_are_answered_with_one() {
    for served in Served::both().await {
        let mut client = served.client().await;
        let piece = Bytes::from(vec![b'x'; 10_000]);
        let request = Request::new(stream::iter(vec![piece; 100]));
        let response = soon(client.client_streaming(request, method("/Join"), Plain)).await.unwrap();
        assert_eq!(response.into_inner().len(), 1_000_000);
    }
}

#[tokio::test]
async fn one_message_is_answered_with_many() {
    for served in Served::both().await {
        let mut client = served.client().await;
        let response = soon(client.server_streaming(message("abc"), method("/Split"), Plain)).await;
        let mut messages = response.unwrap().into_inner();
        for expected in ["a", "b", "c"] {
            assert_eq!(soon(messages.message()).await.unwrap().unwrap(), expected);
        }
        assert_eq!(soon(messages.message()).await.unwrap(), None);
        assert_eq!(soon(messages.trailers()).await.unwrap().unwrap().get("grpc-status").unwrap(), "0");
    }
}

#[tokio::test]
async fn each_message_of_a_conversation_passes_at_once() {
    for served in Served::both().await {
        let mut client = served.client().await;
        let (say, mut said) = mpsc::channel(1);
        let request = Request::new(stream::poll_fn(move |cx| said.poll_recv(cx)));
        let mut answers = soon(client.streaming(request, method("/Talk"), Plain)).await.unwrap().into_inner();
        for (question, answer) in [("a", "A"), ("b", "B"), ("c", "C")] {
            say.send(Bytes::from_static(question.as_bytes())).await.unwrap();
            assert_eq!(soon(answers.message()).await.unwrap().unwrap(), answer);
        }
        drop(say);
        assert_eq!(soon(answers.message()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_error_behind_messages_comes_in_the_trailers() {
    for served in Served::both().await {
        let mut client = served.client().await;
        let response = soon(client.server_streaming(message("one"), method("/Break"), Plain)).await;
        let mut messages = response.unwrap().into_inner();
        assert_eq!(soon(messages.message()).await.unwrap().unwrap(), "one");
        let status = soon(messages.message()).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::DataLoss, "that was all"));
    }
}

#[tokio::test]
async fn an_error_instead_of_messages_is_an_answer_of_trailers_alone() {
    for served in Served::both().await {
        let mut client = served.client().await;
        let status = soon(client.unary(message(""), method("/Refuse"), Plain)).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "not now, m\u{fc}de"));
        assert_eq!(status.metadata().get("x-why").unwrap(), "because");
        let status = soon(client.unary(message(""), method("/Nothing"), Plain)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }
}

#[tokio::test]
async fn a_deadline_reaches_the_server() {
    for served in Served::both().await {
        let mut client = served.client().await;
        let mut request = message("");
        request.set_timeout(Duration::from_secs(7));
        let set = request.metadata().get("grpc-timeout").unwrap().clone();
        let response = soon(client.unary(request, method("/Deadline"), Plain)).await.unwrap();
        assert_eq!(response.into_inner(), set.as_bytes());
    }
}

#[tokio::test]
async fn a_call_that_is_cancelled_is_over_for_the_server() {
    for mut served in Served::both().await {
        let mut client = served.client().await;
        // Before an answer...
        let mut others = served.client().await;
        tokio::select! {
            answered = others.unary(message(""), method("/Hang"), Plain) => panic!("{answered:?}"),
            told = soon(served.told.recv()) => assert_eq!(told, Some(Told::Began)),
        }
        assert_eq!(soon(served.told.recv()).await, Some(Told::Over));
        // ...and in the middle of one.
        let response = soon(client.server_streaming(message("one"), method("/Last"), Plain)).await;
        let mut messages = response.unwrap().into_inner();
        assert_eq!(soon(messages.message()).await.unwrap().unwrap(), "one");
        assert_eq!(served.told.try_recv(), Ok(Told::Began));
        assert!(served.told.try_recv().is_err());
        drop(messages);
        assert_eq!(soon(served.told.recv()).await, Some(Told::Over));
        // Neither cost the connection.
        let response = soon(client.unary(message("hello"), method("/Echo"), Plain)).await.unwrap();
        assert_eq!(response.into_inner(), "hello");
    }
}

#[tokio::test]
async fn a_server_that_dies_is_never_taken_for_one_that_has_finished() {
    for mut served in Served::both().await {
        let mut client = served.client().await;
        // In the middle of an answer the stream is reset...
        let response = soon(client.server_streaming(message("one"), method("/Last"), Plain)).await;
        let mut messages = response.unwrap().into_inner();
        assert_eq!(soon(messages.message()).await.unwrap().unwrap(), "one");
        served.die.notify_waiters();
        let status = soon(messages.message()).await.unwrap_err();
        assert_ne!(status.code(), Code::Ok);
        assert_eq!(reset(&status), Some(h2::Reason::INTERNAL_ERROR), "{status:?}");
        // ...and before one, the error is ours, which no client takes for an answer.
        assert_eq!(soon(served.told.recv()).await, Some(Told::Began));
        assert_eq!(soon(served.told.recv()).await, Some(Told::Over));
        let mut others = served.client().await;
        let dying = async {
            assert_eq!(served.told.recv().await, Some(Told::Began));
            served.die.notify_waiters();
        };
        let (ended, ()) =
            soon(async { tokio::join!(others.unary(message(""), method("/Hang"), Plain), dying) }).await;
        let status = ended.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "origin_reset"));
        assert_eq!(status.metadata().get("x-tidegate-error").unwrap(), "origin_reset", "{status:?}");
        // The next call comes on a new connection.
        let response = soon(client.unary(message("hello"), method("/Echo"), Plain)).await.unwrap();
        assert_eq!(response.into_inner(), "hello");
    }
}
