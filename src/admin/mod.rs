//! The admin pages: health, metrics, and what an operator wants to see of the live configuration.
//!
//! Read-only and plain: it learns what is served through channels, and which tunnels are open from the data plane's
//! handle. Pages under `/debug/`, and `/explain`, show every tenant's routes, so they answer only the
//! networks that may see them.
//! Start with [`answer`].

mod connections;
mod debug;
mod explain;
mod health;
mod judgements;
mod metrics;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use judgements::{Found, Judgements, Voice, follow};

use crate::dataplane;
use crate::drain::Drain;
use crate::telemetry::metrics::Metrics;

/// More connections than this wait in the accept queue.
const MOST_CONNECTIONS: usize = 64;

/// From one request's end to the next one's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// The longest life of one connection: a peer that does not read its answer must not hold a place for ever.
const CONNECTION_LIMIT: Duration = Duration::from_secs(600);

/// What there is, for whoever asks for something else.
const PAGES: &str = "/livez  /readyz  /metrics  /debug/table  /debug/status  /debug/connections  /explain\n";

/// What the pages are made of.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The metrics.
    pub metrics: Metrics,
    /// What is in force; none before the first table is complete.
    pub judgements: watch::Receiver<Option<Judgements>>,
    /// Who knows the open tunnels.
    pub plane: dataplane::Handle,
    /// How far the end has come.
    pub drain: Drain,
    /// The port that redirects to HTTPS name.
    pub https_redirect_port: u16,
    /// Who may see the debug pages.
    pub debug_from: Vec<IpNet>,
}

/// An answer.
type Page = Response<Body>;

/// What it says: known, or found out while it is sent.
type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Serves the pages on `listener` until `stop`; connections that are open then may finish their answer.
pub async fn serve(listener: TcpListener, sources: Sources, stop: CancellationToken) {
    let sources = Arc::new(sources);
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let connection = serve_connection(stream, peer, Arc::clone(&sources), stop.clone());
                    connections.spawn(async move {
                        let _place = place;
                        // A peer that breaks off or lingers concerns nobody else.
                        let _ended = timeout(CONNECTION_LIMIT, connection).await;
                    });
                }
                // Mostly too many open files: a moment later there may be one.
                Err(error) => {
                    tracing::warn!(event = "admin.accept", %error, "the admin listener does not accept");
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    connections.close();
    connections.wait().await;
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    sources: Arc<Sources>,
    stop: CancellationToken,
) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let page = answer(&sources, peer.ip(), &request);
        async move { Ok::<_, Infallible>(page) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ended = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ended = connection.await;
}

/// The answer to one request.
fn answer<B>(sources: &Sources, peer: IpAddr, request: &Request<B>) -> Page {
    let uri = request.uri();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut page = text(StatusCode::METHOD_NOT_ALLOWED, "these pages are only read: GET or HEAD\n");
        page.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return page;
    }
    let path = uri.path();
    if path.starts_with("/debug/") || path == "/explain" {
        if !may_debug(&sources.debug_from, peer) {
            return text(
                StatusCode::FORBIDDEN,
                "debug pages answer only the networks of --debug-from, by default loopback: use kubectl port-forward\n",
            );
        }
        if !is_asked_as_local(request.headers().get(HOST)) {
            return text(
                StatusCode::FORBIDDEN,
                "debug pages answer by an IP address or a name without a dot, as http://localhost:9090\n",
            );
        }
    }
    match path {
        "/livez" => health::live(),
        "/readyz" => health::ready(&sources.judgements.borrow(), sources.drain.phase()),
        "/metrics" => metrics::page_of(&sources.metrics),
        "/debug/table" => debug::table(&sources.judgements.borrow()),
        "/debug/status" => debug::status(&sources.judgements.borrow()),
        "/debug/connections" => connections::list(&sources.plane, uri.query()),
        "/explain" => {
            explain::page_of(&sources.judgements.borrow(), uri.query(), sources.https_redirect_port)
        }
        _ => text(StatusCode::NOT_FOUND, PAGES),
    }
}

fn may_debug(networks: &[IpNet], peer: IpAddr) -> bool {
    // A socket on [::] shows IPv4 peers as ::ffff:a.b.c.d.
    let peer = peer.to_canonical();
    networks.iter().any(|network| network.contains(&peer))
}

/// A page on the web can lead its visitor's browser to the forwarded port under a name of its own (DNS rebinding),
/// and would read the answer. Such a name has a dot.
fn is_asked_as_local(host: Option<&HeaderValue>) -> bool {
    let Some(host) = host else { return true }; // no browser leaves it out
    let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    authority.is_some_and(|authority| {
        let host = authority.host().trim_matches(['[', ']']);
        !host.contains('.') || host.parse::<IpAddr>().is_ok()
    })
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Page {
    page(status, "text/plain; charset=utf-8", known(body))
}

fn known(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).boxed_unsync()
}

fn page(status: StatusCode, content_type: &'static str, body: Body) -> Page {
    let mut page = Response::new(body);
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    page
}
