//! What the data-plane tests stand on: a running data plane, hand-made tables, raw viewers, raw origins.
//!
//! Everything is on loopback, on ports that the system chose, and every wait has a limit.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU8, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use tidegate::dataplane::{self, Config, Entrance, Handle, Limits, StartError};
use tidegate::drain::{self, Controller, Phase};
use tidegate::object::ObjectKey;
use tidegate::overload;
use tidegate::table::balancing::{Balancing, OutlierDetection};
use tidegate::table::certificate::Certificates;
use tidegate::table::decide::Scheme;
use tidegate::table::error_pages::{ErrorPage, ErrorPages};
use tidegate::table::group::{Member, OriginGroup};
use tidegate::table::host::HostPattern;
use tidegate::table::origin::{
    Endpoint, Endpoints, HostHeader, HttpVersion, Origin, OriginKey, OriginTls, Staying, Zone,
};
use tidegate::table::path_pattern::PathPattern;
use tidegate::table::response_headers::ResponseHeaders;
use tidegate::table::route::{
    AllowedMethods, Compression, Route, RouteTarget, Routes, ServingState, ViewerProtocolPolicy,
    ViewerProtocols,
};
use tidegate::table::source_ranges::SourceRanges;
use tidegate::table::target::Target;
use tidegate::table::viewer_tls::TlsPolicy;
use tidegate::table::web_socket::WebSocketPolicy;
use tidegate::table::{Hosts, RoutingTable};
use tidegate::telemetry::access_log::{self, Scope};
use tidegate::telemetry::metrics::{Build, Metrics};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Waits for what must happen soon.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, what).await.expect("it takes too long")
}

/// A running data plane.
pub(crate) struct Plane {
    pub(crate) handle: Handle,
    pub(crate) drain: Controller,
    pub(crate) overload: overload::Controller,
    pub(crate) metrics: Metrics,
}

impl Plane {
    pub(crate) fn start() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        Self::of_workers(2, limits)
    }

    /// One with an entrance of its own, of a single worker.
    pub(crate) fn behind(entrance: Entrance, limits: Limits, sites: Vec<Site>) -> Self {
        let plane = Self::on(LOOPBACK, 1, limits, entrance).unwrap();
        plane.publish(sites);
        plane
    }

    /// The same before its first table.
    pub(crate) fn unpublished(entrance: Entrance) -> Self {
        Self::on(LOOPBACK, 1, Limits::default(), entrance).unwrap()
    }

    fn of_workers(workers: usize, limits: Limits) -> Self {
        Self::on(LOOPBACK, workers, limits, Entrance::default()).unwrap()
    }

    /// One on an address that may be taken.
    pub(crate) fn try_on(address: SocketAddr) -> Result<Self, StartError> {
        Self::on(address, 1, Limits::default(), Entrance::default())
    }

    fn on(
        address: SocketAddr,
        workers: usize,
        limits: Limits,
        entrance: Entrance,
    ) -> Result<Self, StartError> {
        let (controller, drain) = drain::channel();
        let (overload, level) = overload::channel();
        let metrics = Metrics::new(Build { version: "0", commit: "0" });
        let (access_log, _writer) =
            access_log::start(Scope::Off, "one", std::io::sink(), metrics.clone()).unwrap();
        let config = Config {
            http: vec![address],
            https: vec![([127, 0, 0, 1], 0).into()],
            workers: NonZeroUsize::new(workers).unwrap(),
            limits,
            entrance,
            https_redirect_port: 8443,
            overload: level,
        };
        let handle = dataplane::start(&config, &drain, &metrics, &access_log)?;
        Ok(Self { handle, drain: controller, overload, metrics })
    }

    /// One that serves these sites.
    pub(crate) fn serving(sites: Vec<Site>) -> Self {
        let plane = Self::start();
        plane.publish(sites);
        plane
    }

    /// One of a single worker, where it matters that all meet the same.
    pub(crate) fn of_one_worker(limits: Limits, sites: Vec<Site>) -> Self {
        let plane = Self::of_workers(1, limits);
        plane.publish(sites);
        plane
    }

    pub(crate) fn publish(&self, sites: Vec<Site>) -> bool {
        self.handle.publish(table(sites, Certificates::default()))
    }

    /// The value of a counter or gauge, named with its labels as the page writes it; 0 where there is none.
    pub(crate) fn metric(&self, series: &str) -> usize {
        let page = self.metrics.encode().unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse::<f64>().unwrap() as usize)
    }

    /// How many connections were turned away for `reason`.
    pub(crate) fn rejected(&self, reason: &str) -> usize {
        self.metric(&format!("tidegate_connections_rejected_total{{reason=\"{reason}\"}}"))
    }

    pub(crate) async fn connect(&self) -> Viewer {
        Viewer::connect(self.handle.http_addresses()[0]).await
    }

    /// Sends bytes on a new connection and reads until it is closed.
    pub(crate) async fn ask(&self, request: &str) -> String {
        let mut viewer = self.connect().await;
        viewer.send(request).await;
        viewer.rest().await
    }

    pub(crate) async fn stop(self) -> usize {
        self.drain.advance(Phase::Terminating);
        soon(self.handle.join()).await.unwrap()
    }
}

/// A viewer that sees bytes.
pub(crate) struct Viewer<S = TcpStream> {
    pub(crate) stream: S,
    seen: Vec<u8>,
}

impl Viewer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::on(soon(TcpStream::connect(address)).await.unwrap())
    }
}

impl<S: AsyncRead + tokio::io::AsyncWrite + Unpin> Viewer<S> {
    pub(crate) fn on(stream: S) -> Self {
        Self { stream, seen: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    /// Sends to who may be gone.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        soon(self.stream.write_all(bytes.as_ref())).await?;
        soon(self.stream.flush()).await
    }

    /// Reads through `end`, and gives what came up to and with it.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = find(&self.seen, end.as_bytes()) {
                let rest = self.seen.split_off(at + end.len());
                return text(&std::mem::replace(&mut self.seen, rest));
            }
            let read = soon(self.stream.read_buf(&mut self.seen)).await.unwrap();
            assert!(read > 0, "the end came before {end:?}: {:?}", text(&self.seen));
        }
    }

    /// A response whose body has a length.
    pub(crate) async fn response(&mut self) -> String {
        let head = self.until("\r\n\r\n").await;
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        while self.seen.len() < length {
            let read = soon(self.stream.read_buf(&mut self.seen)).await.unwrap();
            assert!(read > 0, "the body is cut off");
        }
        let rest = self.seen.split_off(length);
        head + &text(&std::mem::replace(&mut self.seen, rest))
    }

    /// Exactly so many bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.seen.len() < count {
            let read = soon(self.stream.read_buf(&mut self.seen)).await.unwrap();
            assert!(read > 0, "the end came too early: {:?}", self.seen);
        }
        let rest = self.seen.split_off(count);
        std::mem::replace(&mut self.seen, rest)
    }

    /// Exactly so many bytes; none where the end comes before them.
    pub(crate) async fn try_bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.seen.len() < count {
            let read = soon(self.stream.read_buf(&mut self.seen)).await.unwrap_or(0);
            if read == 0 {
                return None;
            }
        }
        let rest = self.seen.split_off(count);
        Some(std::mem::replace(&mut self.seen, rest))
    }

    /// Everything until the end of the connection.
    pub(crate) async fn rest(&mut self) -> String {
        self.ends().await.unwrap()
    }

    /// How reading ends: with everything until the end of the connection, or with an error.
    pub(crate) async fn ends(&mut self) -> std::io::Result<String> {
        soon(self.stream.read_to_end(&mut self.seen)).await?;
        Ok(text(&std::mem::take(&mut self.seen)))
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The value of a field in a raw head.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// An origin that is played by the test: it accepts, and the test reads and writes.
pub(crate) struct RawOrigin {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl RawOrigin {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    pub(crate) async fn accept(&self) -> Viewer {
        Viewer::on(soon(self.listener.accept()).await.unwrap().0)
    }

    /// Accepts a connection for as long as something else goes on; it must not come.
    pub(crate) async fn nobody_comes_while<T>(&self, what: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            _ = self.listener.accept() => panic!("the origin was not to be asked"),
            done = what => done,
        }
    }
}

/// An origin that answers each request with its name and the head that it saw, for as long as it is held.
pub(crate) struct EchoOrigin {
    pub(crate) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl EchoOrigin {
    pub(crate) async fn start(name: &'static str) -> Self {
        let origin = RawOrigin::start().await;
        let address = origin.address;
        let task = tokio::spawn(async move {
            loop {
                let mut connection = Viewer::on(origin.listener.accept().await.unwrap().0);
                tokio::spawn(async move {
                    loop {
                        if connection.stream.readable().await.is_err() || peer_closed(&mut connection).await {
                            return;
                        }
                        let head = connection.response().await;
                        let body = format!("{name}\n{head}");
                        let length = body.len();
                        let body = if head.starts_with("HEAD ") { "" } else { &body };
                        connection
                            .send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"))
                            .await;
                    }
                });
            }
        });
        Self { address, task }
    }
}

async fn peer_closed(connection: &mut Viewer) -> bool {
    connection.seen.is_empty() && matches!(connection.stream.peek(&mut [0]).await, Ok(0) | Err(_))
}

impl Drop for EchoOrigin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One Distribution, `test/NAME` unless told otherwise, with the alias `NAME.example`.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) name: &'static str,
    pub(crate) namespace: &'static str,
    pub(crate) endpoints: Vec<SocketAddr>,
    /// Those that stay without being ready.
    pub(crate) waiting: Vec<SocketAddr>,
    pub(crate) default: RouteShape,
    pub(crate) ordered: Vec<(&'static str, RouteShape)>,
    pub(crate) origin: fn(&mut Origin),
    pub(crate) tls: Option<OriginTls>,
    /// The endpoints for viewers without TLS, where the origin matches its viewers.
    pub(crate) plain: Vec<SocketAddr>,
    /// The other members of the origin group, where there is one; their names are the origins' ids.
    pub(crate) spares: Vec<Site>,
    /// The statuses after which the next member is asked.
    pub(crate) failover: &'static [u16],
    pub(crate) root: Option<&'static str>,
    /// The status that each page stands in for, the page, and the status that viewers get.
    pub(crate) pages: Vec<(u16, &'static str, u16)>,
    pub(crate) protocols: ViewerProtocols,
    /// Another alias.
    pub(crate) alias: Option<&'static str>,
    pub(crate) state: ServingState,
    /// What is wanted of the TLS of viewers.
    pub(crate) policy: TlsPolicy,
}

/// What a test says of a route.
#[derive(Clone, Copy)]
pub(crate) struct RouteShape {
    pub(crate) viewers: ViewerProtocolPolicy,
    pub(crate) web_socket: fn(&mut WebSocketPolicy),
    pub(crate) methods: &'static [Method],
    pub(crate) max_request_body_bytes: Option<u64>,
    pub(crate) source_ranges: fn() -> SourceRanges,
    pub(crate) compression: Compression,
    pub(crate) response_headers: fn() -> Option<ResponseHeaders>,
}

impl Site {
    pub(crate) fn new(name: &'static str, endpoints: &[SocketAddr]) -> Self {
        let default = RouteShape {
            viewers: ViewerProtocolPolicy::AllowAll,
            web_socket: |_| {},
            methods: &[
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
                Method::OPTIONS,
            ],
            max_request_body_bytes: None,
            source_ranges: SourceRanges::default,
            compression: Compression::Off,
            response_headers: || None,
        };
        Self {
            name,
            namespace: "test",
            endpoints: endpoints.to_vec(),
            waiting: Vec::new(),
            default,
            ordered: Vec::new(),
            origin: |_| {},
            tls: None,
            plain: Vec::new(),
            spares: Vec::new(),
            failover: &[],
            root: None,
            pages: Vec::new(),
            protocols: ViewerProtocols::Http2,
            alias: None,
            state: ServingState::Enabled,
            policy: TlsPolicy::default(),
        }
    }

    fn key(&self) -> ObjectKey {
        ObjectKey::new(self.namespace, self.name)
    }
}

fn listed(addresses: &[SocketAddr]) -> Arc<[Endpoint]> {
    addresses.iter().map(|address| Endpoint { address: *address, zone: Zone::Any }).collect()
}

/// What a site says of its origin, with its endpoints.
fn origin(
    site: &Site,
    key: OriginKey,
    endpoints: &mut BTreeMap<OriginKey, Arc<[Endpoint]>>,
    staying: &mut BTreeMap<OriginKey, Arc<[SocketAddr]>>,
) -> RouteTarget {
    let scheme = if site.tls.is_some() { Scheme::Https } else { Scheme::Http };
    let key = OriginKey { scheme, ..key };
    endpoints.insert(key.clone(), listed(&site.endpoints));
    let there = site.endpoints.iter().chain(&site.waiting);
    staying.insert(key.clone(), there.copied().collect());
    let mut origin = Origin {
        key,
        path_prefix: String::new(),
        host_header: HostHeader::Viewer,
        custom_headers: Vec::new(),
        connection_attempts: NonZeroU8::new(3).unwrap(),
        connection_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(10),
        response_idle_timeout: Duration::from_secs(10),
        keepalive_timeout: Duration::from_secs(60),
        http_version: HttpVersion::Http1,
        completion_timeout: None,
        balancing: Balancing::default(),
        outlier_detection: OutlierDetection::default(),
        max_connections_per_endpoint: None,
        tls: site.tls.clone().map(Arc::new),
    };
    (site.origin)(&mut origin);
    if site.plain.is_empty() {
        return RouteTarget::Origin(Arc::new(origin));
    }
    let key = OriginKey { scheme: Scheme::Http, ..origin.key.clone() };
    endpoints.insert(key.clone(), listed(&site.plain));
    let plain = Origin { key, tls: None, ..origin.clone() };
    RouteTarget::MatchViewer { http: Some(Arc::new(plain)), https: Some(Arc::new(origin)) }
}

fn group<'t>(members: impl Iterator<Item = (&'t str, RouteTarget)>, statuses: &[u16]) -> RouteTarget {
    let member = |(id, target): (&str, RouteTarget)| Member {
        id: id.to_owned(),
        http: target.of(Scheme::Http).cloned(),
        https: target.of(Scheme::Https).cloned(),
    };
    RouteTarget::Group(Arc::new(OriginGroup {
        id: "both".to_owned(),
        members: members.map(member).collect(),
        statuses: statuses.iter().map(|status| StatusCode::from_u16(*status).unwrap()).collect(),
    }))
}

/// The table of these sites.
pub(crate) fn table(sites: Vec<Site>, certificates: Certificates) -> RoutingTable {
    let mut routes = BTreeMap::new();
    let (mut endpoints, mut staying) = (BTreeMap::new(), BTreeMap::new());
    for site in sites {
        let mut origin = |of: &Site, id: &str| {
            let key = OriginKey { distribution: site.key(), id: id.to_owned(), scheme: Scheme::Http };
            origin(of, key, &mut endpoints, &mut staying)
        };
        let first = origin(&site, "web");
        let target = if site.spares.is_empty() {
            first
        } else {
            let spares = site.spares.iter().map(|spare| (spare.name, origin(spare, spare.name)));
            group([("web", first)].into_iter().chain(spares), site.failover)
        };
        let web_socket = |shape: RouteShape| {
            let mut policy = WebSocketPolicy::default();
            (shape.web_socket)(&mut policy);
            policy
        };
        let route = |pattern: Option<&str>, shape: RouteShape| Route {
            pattern: pattern.map(PathPattern::new),
            viewer_protocol_policy: shape.viewers,
            allowed_methods: AllowedMethods::new(shape.methods.to_vec()),
            max_request_body_bytes: shape.max_request_body_bytes,
            source_ranges: (shape.source_ranges)(),
            compression: shape.compression,
            response_headers: (shape.response_headers)().map(Box::new),
            web_socket: web_socket(shape),
            target: target.clone(),
        };
        let key = site.key();
        let alias = site.alias.map_or_else(|| format!("{}.example", site.name), str::to_owned);
        let alias = HostPattern::parse(&alias).unwrap();
        let compiled = Routes {
            distribution: key.clone(),
            generation: 1,
            state: site.state,
            aliases: vec![alias],
            viewer_protocols: site.protocols,
            error_pages: ErrorPages::new(site.pages.iter().map(|(instead_of, page, status)| {
                let target = Target::parse(page).unwrap();
                let page = ErrorPage { target, status: StatusCode::from_u16(*status).unwrap() };
                (StatusCode::from_u16(*instead_of).unwrap(), page)
            })),
            tls: Arc::new(site.policy),
            default_root_object: site.root.map(str::to_owned),
            ordered: site.ordered.iter().map(|(pattern, shape)| route(Some(pattern), *shape)).collect(),
            default: route(None, site.default),
        };
        routes.insert(key, Arc::new(compiled));
    }
    RoutingTable {
        hosts: Arc::new(Hosts::new(routes)),
        staying: Arc::new(Staying(staying)),
        endpoints: Arc::new(Endpoints(endpoints)),
        certificates: Arc::new(certificates),
        challenges: Arc::default(),
    }
}
