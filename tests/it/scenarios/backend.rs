//! The origins of the scenarios: they say in JSON how a request reached them, fail where it says so, and echo over
//! WebSocket.

use std::convert::Infallible;
use std::fmt::Write;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// A running origin; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Backend {
    name: String,
    address: SocketAddr,
    _task: JoinSet<()>,
}

impl Backend {
    /// Starts one on a free port.
    pub(crate) async fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut task = JoinSet::new();
        task.spawn(accept(listener, name.to_owned()));
        Self { name: name.to_owned(), address, _task: task }
    }

    /// Its Service and EndpointSlice.
    pub(crate) fn manifests(&self) -> String {
        let Self { name, address, .. } = self;
        let mut yaml = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{name: http, port: 80}}]}}\n"
        );
        writeln!(
            yaml,
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}-1\n  \
             labels: {{kubernetes.io/service-name: {name}}}\naddressType: IPv4\n\
             endpoints: [{{addresses: [127.0.0.1]}}]\nports: [{{name: http, port: {}}}]",
            address.port()
        )
        .expect("a text");
        yaml
    }
}

async fn accept(listener: TcpListener, name: String) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        connections.spawn(serve(stream, name.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, name: String) {
    let service = service_fn(|request| answer(request, name.clone()));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    // The proxy may drop a pooled connection at any time.
    let _ended = connection.await;
}

async fn answer(mut request: Request<Incoming>, name: String) -> Result<Response<Full<Bytes>>, Infallible> {
    if let Some(status) = told_status(&request, &name) {
        let response = Response::builder().status(status).body(Full::from(format!("{name} fails")));
        return Ok(response.expect("a response"));
    }
    if let Some(key) = request.headers().get("sec-websocket-key") {
        let accept = derive_accept_key(key.as_bytes());
        tokio::spawn(echo(hyper::upgrade::on(&mut request)));
        let response = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("upgrade", "websocket")
            .header("connection", "Upgrade")
            .header("sec-websocket-accept", accept);
        return Ok(response.body(Full::default()).expect("a response"));
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let headers: serde_json::Map<_, _> = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let told = json!({
        "instance": name,
        "method": head.method.as_str(),
        "path": head.uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    Ok(Response::new(Full::from(told.to_string())))
}

/// What the request has this origin answer, and no other: `X-NAME-Answers: 503`.
fn told_status(request: &Request<Incoming>, name: &str) -> Option<StatusCode> {
    let told = request.headers().get(format!("x-{name}-answers"))?;
    StatusCode::from_bytes(told.as_bytes()).ok()
}

async fn echo(upgrade: hyper::upgrade::OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() && socket.send(message).await.is_err() {
            return;
        }
    }
}
