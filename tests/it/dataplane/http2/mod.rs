//! Viewers over HTTP/2: a real client for what clients do, raw frames for what no client does.

mod bodies;
mod endings;
mod exchanges;
mod floods;
mod limits;
mod raw;

use std::sync::Arc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use rustls::ClientConfig;
use tidegate::dataplane::Limits;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use super::rig::{Plane, Site, soon, table};
use super::tls::{self, Made, certificates, handshake, make};

/// A data plane whose sites have a certificate.
pub(crate) struct Door {
    pub(crate) plane: Plane,
    certificate: Made,
    client: Arc<ClientConfig>,
}

impl Door {
    pub(crate) fn open(sites: Vec<Site>) -> Self {
        Self::with(Limits::default(), sites)
    }

    pub(crate) fn with(limits: Limits, sites: Vec<Site>) -> Self {
        let plane = Plane::of_one_worker(limits, Vec::new());
        let names: Vec<String> = sites.iter().map(|site| format!("{}.example", site.name)).collect();
        let made = make(&names.iter().map(String::as_str).collect::<Vec<_>>());
        plane.handle.publish(table(sites, certificates(&[], Some(&made))));
        Self { client: tls::client(&[&made], &[b"h2"]), certificate: made, plane }
    }

    /// A stream on which HTTP/2 was agreed on.
    pub(crate) async fn stream(&self) -> TlsStream<TcpStream> {
        let viewer = handshake(&self.plane, &self.client, "web.example").await.unwrap();
        assert_eq!(viewer.stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        viewer.stream
    }

    pub(crate) async fn connect(&self) -> Client {
        self.connect_as(&h2::client::Builder::new()).await
    }

    pub(crate) async fn connect_as(&self, builder: &h2::client::Builder) -> Client {
        Client::on(self.stream().await, builder).await
    }
}

/// A client's connection.
pub(crate) struct Client {
    pub(crate) requests: SendRequest<Bytes>,
    pub(crate) connection: JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    pub(crate) async fn on(stream: TlsStream<TcpStream>, builder: &h2::client::Builder) -> Self {
        let (requests, connection) = soon(builder.handshake(stream)).await.unwrap();
        Self { requests, connection: tokio::spawn(connection) }
    }

    /// Sends a head, and a body later.
    pub(crate) async fn open(&mut self, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
        let mut requests = soon(self.requests.clone().ready()).await.unwrap();
        requests.send_request(request, false).unwrap()
    }

    /// Sends a request without a body and waits for the head of its answer.
    pub(crate) async fn send(&mut self, request: Request<()>) -> Result<Response<RecvStream>, h2::Error> {
        let mut requests = soon(self.requests.clone().ready()).await?;
        soon(requests.send_request(request, true)?.0).await
    }

    /// Sends a request without a body and reads its whole answer.
    pub(crate) async fn ask(&mut self, request: Request<()>) -> Response<String> {
        let (head, body) = self.send(request).await.unwrap().into_parts();
        let (text, _) = read(body).await.unwrap();
        Response::from_parts(head, String::from_utf8(text).unwrap())
    }
}

pub(crate) fn get(uri: &str) -> Request<()> {
    Request::get(uri).body(()).unwrap()
}

fn post(uri: &str) -> Request<()> {
    Request::post(uri).body(()).unwrap()
}

/// Reads a body to its end; gives its trailers, too.
pub(crate) async fn read(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut text = Vec::new();
    while let Some(data) = soon(body.data()).await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        text.extend_from_slice(&data);
    }
    Ok((text, soon(body.trailers()).await?))
}

/// What an answer says of an error of ours.
pub(crate) fn error<T>(response: &Response<T>) -> (u16, Option<&str>) {
    let reason = response.headers().get("x-tidegate-error").map(|reason| reason.to_str().unwrap());
    (response.status().as_u16(), reason)
}
