//! The embedded origin: says in JSON how a request reached it, sends back what comes over a WebSocket, and has a page
//! for browsers that shows one.
//!
//! It stands in for the pods of the demo and knows nothing of the proxy. Start with [`Origins::start`].

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// How long to wait after a failed accept, which most often means that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What browsers get at `/`: one file that loads nothing but its WebSocket.
const PAGE: &str = include_str!("page.html");

const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Who offers this subprotocol is greeted with a first message that says who answers, in JSON. Others only get back
/// what they sent.
const GREETING: HeaderValue = HeaderValue::from_static("demo");

/// Running instances of the origin; dropping them ends them.
#[derive(Debug)]
pub(super) struct Origins {
    /// Their own runtime, so that serving does not share a thread with what it serves.
    runtime: Option<Runtime>,
    /// The name and address of each.
    instances: Vec<(String, SocketAddr)>,
}

impl Origins {
    /// Starts an instance of each name on a free loopback port.
    ///
    /// # Errors
    /// No thread or no port to be had.
    pub(super) fn start(names: &[&str]) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("demo-origin")
            .enable_all()
            .build()?;
        let mut instances = Vec::new();
        for name in names {
            let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
            instances.push(((*name).to_owned(), listener.local_addr()?));
            runtime.spawn(accept(listener, Arc::from(*name)));
        }
        Ok(Self { runtime: Some(runtime), instances })
    }

    /// The name and address of each instance.
    pub(super) fn instances(&self) -> &[(String, SocketAddr)] {
        &self.instances
    }
}

impl Drop for Origins {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, name: Arc<str>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream, Arc::clone(&name)))),
            Err(error) => {
                tracing::warn!(%error, instance = %name, "the demo's origin cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, name: Arc<str>) {
    let Ok(address) = stream.local_addr() else { return };
    let service = service_fn(|request| {
        let name = Arc::clone(&name);
        async move { Ok::<_, Infallible>(answer(request, &name, address)) }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.with_upgrades().await {
        tracing::debug!(%error, "a connection to the demo's origin ended");
    }
}

fn answer(request: Request<Incoming>, name: &str, address: SocketAddr) -> Response<Full<Bytes>> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY).filter(|_| asks_for_websocket(request.headers()));
    if let Some(accept) = key.map(|key| derive_accept_key(key.as_bytes())) {
        let greeting = offers_greeting(request.headers()).then(|| greeting(request.headers(), name, address));
        let response = switched(&accept, greeting.as_ref());
        tokio::spawn(echo(request, greeting));
        return response;
    }
    if request.uri().path() == "/" && takes_html(request.headers()) {
        return page();
    }
    let body = json!({
        "instance": name,
        "method": request.method().as_str(),
        "path": request.uri().to_string(),
        "headers": headers(request.headers()),
    });
    let mut response = Response::new(Full::from(format!("{body:#}\n")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn page() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(PAGE));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, PAGE_POLICY);
    // Its content depends on who asks.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn takes_html(headers: &HeaderMap) -> bool {
    list(headers, &ACCEPT).iter().any(|kind| kind.starts_with("text/html"))
}

fn offers_greeting(headers: &HeaderMap) -> bool {
    list(headers, &SEC_WEBSOCKET_PROTOCOL).iter().any(|offered| *offered == GREETING)
}

/// The members of a field that is a list.
fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<&'h str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).collect()
}

/// What those are told first who ask for it. The last `Via` is the proxy's: by which protocol the viewer came.
fn greeting(headers: &HeaderMap, name: &str, address: SocketAddr) -> Message {
    let via = list(headers, &VIA).last().copied().unwrap_or_default();
    Message::text(json!({ "instance": name, "address": address, "via": via }).to_string())
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The headers by name, those that repeat in one line.
fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let line = |name| {
        let values = headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", ")
    };
    headers.keys().map(|name| (name.to_string(), line(name).into())).collect()
}

fn switched(accept: &str, greeting: Option<&Message>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if greeting.is_some() {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, GREETING);
    }
    response
}

/// Sends the greeting, and then every message back until either side closes.
async fn echo(request: Request<Incoming>, greeting: Option<Message>) {
    let upgraded: Upgraded = match hyper::upgrade::on(request).await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(%error, "a WebSocket of the demo's origin did not start"),
    };
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    if let Some(greeting) = greeting
        && socket.send(greeting).await.is_err()
    {
        return;
    }
    while let Some(Ok(message)) = socket.next().await {
        // Pings and closes are answered by the library.
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}
