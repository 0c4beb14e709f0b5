//! `customErrorResponses`: a page in place of an error, and the error as it is where the page cannot be had.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate::dataplane::Limits;
use tidegate::overload::Level;
use tidegate::table::certificate::Certificates;
use tidegate::table::origin::{Endpoint, Endpoints, Origin, Zone};
use tidegate::table::route::{Compression, RouteTarget, Routes, ServingState, ViewerProtocolPolicy};
use tidegate::table::{Hosts, RoutingTable};

use super::compression::{chunks, decoded};
use super::http2::{Door, get};
use super::rig::{Plane, RawOrigin, Site, Viewer, field, table};

const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nX-App: yes\r\n\r\ngone";
const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nContent-Type: text/html\r\n\
                    Cache-Control: max-age=60\r\n\r\nthe page";
const GET: &str = "GET /x HTTP/1.1\r\nHost: web.example\r\n\r\n";

/// An application, pages elsewhere, and who serves both.
struct Scene {
    app: RawOrigin,
    pages: RawOrigin,
    plane: Plane,
}

impl Scene {
    async fn new() -> Self {
        Self::with(Limits::default(), |_| {}).await
    }

    async fn with(limits: Limits, change: impl FnOnce(&mut Site)) -> Self {
        let (app, pages) = (RawOrigin::start().await, RawOrigin::start().await);
        let mut site = site(&app);
        change(&mut site);
        let plane = Plane::of_one_worker(limits, Vec::new());
        plane.handle.publish(with_pages_at(site, pages.address));
        Self { app, pages, plane }
    }

    /// Sends a request that the application answers so; gives the connection that it did on, too.
    async fn ask(&self, request: &str, answer: &str) -> (Viewer, Viewer) {
        let mut viewer = self.plane.connect().await;
        viewer.send(request).await;
        let (_, connection) = serve(&self.app, answer).await;
        (viewer, connection)
    }
}

fn site(origin: &RawOrigin) -> Site {
    let mut site = Site::new("web", &[origin.address]);
    site.ordered = vec![("/errors/*", site.default)];
    site.pages = vec![
        (400, "/errors/400.html", 400),
        (403, "/errors/403.html", 403),
        (404, "/errors/404.html", 404),
        (405, "/errors/405.html", 405),
        (503, "/errors/503.html", 200),
    ];
    site
}

/// The table of a site whose first behavior goes to an origin of its own.
fn with_pages_at(site: Site, address: SocketAddr) -> RoutingTable {
    let table = table(vec![site], Certificates::default());
    let mut routes = Routes::clone(&table.hosts.routes()[0]);
    let RouteTarget::Origin(origin) = &routes.default.target else { panic!("it goes to an origin") };
    let mut pages = Origin::clone(origin);
    pages.key.id = "pages".to_owned();
    let mut endpoints = table.endpoints.0.clone();
    endpoints.insert(pages.key.clone(), [Endpoint { address, zone: Zone::Any }].into());
    routes.ordered[0].target = RouteTarget::Origin(Arc::new(pages));
    let by_key = BTreeMap::from([(routes.distribution.clone(), Arc::new(routes))]);
    RoutingTable { hosts: Arc::new(Hosts::new(by_key)), endpoints: Arc::new(Endpoints(endpoints)), ..table }
}

/// Answers the next request on a connection of its own; gives what was asked.
async fn serve(origin: &RawOrigin, answer: &str) -> (String, Viewer) {
    let mut connection = origin.accept().await;
    let head = connection.until("\r\n\r\n").await;
    connection.send(answer).await;
    (head, connection)
}

fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn an_error_of_the_origin_gets_its_page() {
    let scene = Scene::new().await;
    let request = "GET /x?secret HTTP/1.1\r\nHost: Web.example:8080\r\nCookie: a=b\r\nAuthorization: Basic x\r\n\
                   Range: bytes=0-1\r\nIf-None-Match: \"a\"\r\nAccept-Language: de\r\nX-Own: x\r\n\r\n";
    let mut viewer = scene.plane.connect().await;
    viewer.send(request).await;
    let (at_app, _connection) = serve(&scene.app, NOT_FOUND).await;
    let (asked, _other) = serve(&scene.pages, PAGE).await;
    assert!(asked.starts_with("GET /errors/404.html HTTP/1.1\r\n"), "{asked}");
    assert_eq!(field(&asked, "host"), Some("web.example:8080"));
    assert_eq!(field(&asked, "accept-language"), Some("de"));
    assert_eq!(field(&asked, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(field(&asked, "x-request-id"), field(&at_app, "x-request-id"));
    for name in ["cookie", "authorization", "range", "if-none-match", "x-own", "content-length"] {
        assert_eq!(field(&asked, name), None, "{asked}");
    }
    let response = viewer.response().await;
    assert!(response.starts_with("HTTP/1.1 404 "), "{response}");
    assert_eq!(body(&response), "the page");
    assert_eq!(field(&response, "content-type"), Some("text/html"));
    assert_eq!(field(&response, "cache-control"), Some("max-age=60"));
    assert_eq!((field(&response, "x-app"), field(&response, "x-tidegate-error")), (None, None));
    assert_eq!(field(&response, "connection"), None);
    let served = "tidegate_error_pages_total{namespace=\"test\",distribution=\"web\",result=\"served\"}";
    assert_eq!(scene.plane.metric(served), 1);
}

#[tokio::test]
async fn what_is_no_error_or_has_no_page_passes_as_it_came() {
    let scene = Scene::new().await;
    for status in ["200", "204", "401", "410", "500", "502"] {
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nX-App: yes\r\n\r\n");
        let (mut viewer, _connection) = scene.ask(GET, &answer).await;
        let response = scene.pages.nobody_comes_while(viewer.response()).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        assert_eq!(field(&response, "x-app"), Some("yes"));
    }
}

#[tokio::test]
async fn a_head_gets_the_head_of_the_page_and_a_post_the_page() {
    let scene = Scene::new().await;
    let not_found = NOT_FOUND.strip_suffix("gone").unwrap();
    let (mut viewer, mut connection) = scene.ask(&GET.replace("GET", "HEAD"), not_found).await;
    let (asked, _page) = serve(&scene.pages, PAGE).await;
    assert!(asked.starts_with("GET "), "{asked}");
    let head = viewer.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    assert_eq!(field(&head, "content-length"), Some("8"));

    // The connection goes on behind it, so nothing of the page came.
    viewer.send("POST /x HTTP/1.1\r\nHost: web.example\r\nContent-Length: 4\r\n\r\nbody").await;
    connection.until("\r\n\r\nbody").await;
    connection.send(NOT_FOUND).await;
    let (asked, _page) = serve(&scene.pages, PAGE).await;
    assert!(asked.starts_with("GET /errors/404.html "), "{asked}");
    assert_eq!((field(&asked, "content-length"), field(&asked, "transfer-encoding")), (None, None));
    assert_eq!(body(&viewer.response().await), "the page");
}

#[tokio::test]
async fn an_error_of_ours_gets_its_page_and_keeps_its_name() {
    let closed = |site: &mut Site| {
        site.endpoints.clear();
        let https_only = super::rig::RouteShape { viewers: ViewerProtocolPolicy::HttpsOnly, ..site.default };
        site.ordered.push(("/secret", https_only));
    };
    let scene = Scene::with(Limits::default(), closed).await;
    let rows = [
        ("GET /x", "503", "200", "no_endpoints"),
        ("GET /secret", "403", "403", "https_only"),
        ("PROPFIND /x", "403", "403", "method_not_allowed_by_behavior"),
    ];
    for (line, error, status, reason) in rows {
        let mut viewer = scene.plane.connect().await;
        viewer.send(format!("{line} HTTP/1.1\r\nHost: web.example\r\n\r\n")).await;
        let (asked, _page) = serve(&scene.pages, PAGE).await;
        assert!(asked.starts_with(&format!("GET /errors/{error}.html ")), "{asked}");
        let response = viewer.response().await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        assert_eq!(field(&response, "x-tidegate-error"), Some(reason));
        assert_eq!(field(&response, "cache-control"), Some("no-store"));
        assert_eq!(body(&response), "the page");
    }
}

#[tokio::test]
async fn a_page_in_place_of_a_fault_is_never_kept() {
    let scene = Scene::new().await;
    let answer = "HTTP/1.1 503 X\r\nContent-Length: 0\r\nRetry-After: 7\r\n\r\n";
    let (mut viewer, _connection) = scene.ask(GET, answer).await;
    let (_, _page) = serve(&scene.pages, PAGE).await;
    let response = viewer.response().await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert_eq!(field(&response, "cache-control"), Some("no-store"));
    // What belongs to the status goes with it.
    assert_eq!(field(&response, "retry-after"), None);
}

#[tokio::test]
async fn what_belongs_to_a_status_stays_with_it() {
    let scene = Scene::new().await;
    let answer = "HTTP/1.1 405 X\r\nContent-Length: 0\r\nAllow: GET\r\n\r\n";
    let (mut viewer, _connection) = scene.ask(GET, answer).await;
    let (_, _page) = serve(&scene.pages, PAGE).await;
    assert_eq!(field(&viewer.response().await, "allow"), Some("GET"));
}

#[tokio::test]
async fn where_the_page_cannot_be_had_the_error_stays_as_it_is() {
    let scene = Scene::new().await;
    let pages = [
        NOT_FOUND,
        "HTTP/1.1 302 Found\r\nLocation: /errors/other.html\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 206 Partial\r\nContent-Length: 4\r\n\r\npart",
        "HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n",
        "nonsense\r\n\r\n",
        "",
    ];
    for page in pages {
        let (mut viewer, _connection) = scene.ask(GET, NOT_FOUND).await;
        drop(serve(&scene.pages, page).await);
        let response = scene.pages.nobody_comes_while(viewer.response()).await;
        assert!(response.starts_with("HTTP/1.1 404 "), "{page}: {response}");
        assert_eq!((field(&response, "x-app"), body(&response)), (Some("yes"), "gone"), "{page}");
        assert_eq!(field(&response, "x-tidegate-error"), None);
    }
    let unavailable =
        "tidegate_error_pages_total{namespace=\"test\",distribution=\"web\",result=\"unavailable\"}";
    assert_eq!(scene.plane.metric(unavailable), pages.len());
}

#[tokio::test]
async fn a_page_whose_origin_is_down_or_whose_behavior_refuses_it_leaves_the_error_as_it_is() {
    let scene = Scene::new().await;
    let nobody = RawOrigin::start().await.address;
    scene.plane.handle.publish(with_pages_at(site(&scene.app), nobody));
    let (mut viewer, _connection) = scene.ask(GET, NOT_FOUND).await;
    assert_eq!(body(&viewer.response().await), "gone");

    let refuses = |site: &mut Site| site.ordered[0].1.viewers = ViewerProtocolPolicy::RedirectToHttps;
    let scene = Scene::with(Limits::default(), refuses).await;
    let (mut viewer, _connection) = scene.ask(GET, NOT_FOUND).await;
    assert_eq!(body(&scene.pages.nobody_comes_while(viewer.response()).await), "gone");
}

#[tokio::test]
async fn a_page_that_does_not_come_is_not_waited_for_long() {
    let limits = Limits { error_page: Duration::from_millis(50), ..Limits::default() };
    let scene = Scene::with(limits, |_| {}).await;
    let (mut viewer, _connection) = scene.ask(GET, NOT_FOUND).await;
    let mut page = scene.pages.accept().await;
    page.until("\r\n\r\n").await;
    assert_eq!(body(&viewer.response().await), "gone");
    assert_eq!(page.rest().await, "");
}

#[tokio::test]
async fn the_connection_of_the_answer_that_failed_is_used_again() {
    let scene = Scene::new().await;
    let (mut viewer, mut connection) = scene.ask(GET, NOT_FOUND).await;
    let (_, _page) = serve(&scene.pages, PAGE).await;
    viewer.response().await;
    viewer.send(GET).await;
    connection.until("\r\n\r\n").await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(body(&viewer.response().await), "ok");
}

#[tokio::test]
async fn handshakes_and_calls_of_grpc_keep_their_errors() {
    let scene = Scene::new().await;
    let handshake = "GET /x HTTP/1.1\r\nHost: web.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let grpc = "POST /x HTTP/1.1\r\nHost: web.example\r\nContent-Type: application/grpc\r\n\
                Content-Length: 0\r\n\r\n";
    for request in [handshake, grpc] {
        let (mut viewer, _connection) = scene.ask(request, NOT_FOUND).await;
        assert_eq!(body(&scene.pages.nobody_comes_while(viewer.response()).await), "gone");
    }
    // A handshake that is refused by us, since nobody serves it.
    let mut empty = site(&scene.app);
    empty.endpoints.clear();
    scene.plane.handle.publish(with_pages_at(empty, scene.pages.address));
    for request in [handshake, grpc] {
        let mut viewer = scene.plane.connect().await;
        viewer.send(request).await;
        let head = scene.pages.nobody_comes_while(viewer.until("\r\n\r\n")).await;
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    }
}

#[tokio::test]
async fn before_a_distribution_is_known_and_while_memory_is_short_there_are_no_pages() {
    let scene = Scene::new().await;
    for (request, status) in [
        (GET.replace("web.example", "other.example"), "404"),
        (GET.replace("/x", "/../x"), "400"),
        (GET.replace("GET", "TRACE"), "405"),
    ] {
        let mut viewer = scene.plane.connect().await;
        viewer.send(request).await;
        let response = scene.pages.nobody_comes_while(viewer.response()).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
    }
    scene.plane.overload.set(Level::Critical);
    let mut viewer = scene.plane.connect().await;
    viewer.send(GET).await;
    let response = scene.pages.nobody_comes_while(viewer.response()).await;
    assert_eq!(field(&response, "x-tidegate-error"), Some("proxy_overloaded"));
}

#[tokio::test]
async fn a_disabled_distribution_has_no_pages() {
    let scene = Scene::new().await;
    let table = with_pages_at(site(&scene.app), scene.pages.address);
    let routes = Routes { state: ServingState::Disabled, ..Routes::clone(&table.hosts.routes()[0]) };
    let by_key = BTreeMap::from([(routes.distribution.clone(), Arc::new(routes))]);
    scene.plane.handle.publish(RoutingTable { hosts: Arc::new(Hosts::new(by_key)), ..table });
    let mut viewer = scene.plane.connect().await;
    viewer.send(GET).await;
    let response = scene.pages.nobody_comes_while(viewer.response()).await;
    assert_eq!(field(&response, "x-tidegate-error"), Some("no_distribution"));
}

#[tokio::test]
async fn where_the_request_was_not_read_to_its_end_the_connection_closes_behind_the_page() {
    let scene = Scene::new().await;
    let mut viewer = scene.plane.connect().await;
    viewer.send("POST /x HTTP/1.1\r\nHost: web.example\r\nContent-Length: 100\r\n\r\nhalf").await;
    let (_, _connection) = serve(&scene.app, NOT_FOUND).await;
    let (_, _page) = serve(&scene.pages, PAGE).await;
    let response = viewer.response().await;
    assert_eq!((field(&response, "connection"), body(&response)), (Some("close"), "the page"));
}

#[tokio::test]
async fn a_page_is_compressed_as_its_own_behavior_says() {
    let compresses = |site: &mut Site| site.ordered[0].1.compression = Compression::On;
    let scene = Scene::with(Limits::default(), compresses).await;
    let request = GET.replace("\r\n\r\n", "\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n");
    let (mut viewer, _connection) = scene.ask(&request, NOT_FOUND).await;
    let text = "page ".repeat(400);
    let page = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2000\r\n\r\n{text}");
    let (asked, _page) = serve(&scene.pages, &page).await;
    assert_eq!(field(&asked, "accept-encoding"), Some("gzip"));
    let head = viewer.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    assert_eq!(field(&head, "content-encoding"), Some("gzip"));
    assert!(decoded("gzip", &chunks(&mut viewer).await) == text.as_bytes());
}

#[tokio::test]
async fn a_viewer_over_http2_gets_pages_too() {
    let origin = RawOrigin::start().await;
    let mut empty = site(&origin);
    empty.name = "empty";
    empty.endpoints.clear();
    let door = Door::open(vec![site(&origin), empty]);
    let mut client = door.connect().await;
    let (response, ()) = tokio::join!(client.ask(get("https://web.example/x")), async {
        let (_, _app) = serve(&origin, NOT_FOUND).await;
        let (asked, _page) = serve(&origin, PAGE).await;
        assert_eq!(field(&asked, "host"), Some("web.example"));
    });
    assert_eq!((response.status().as_u16(), response.body().as_str()), (404, "the page"));
    // Here the page's own origin has nobody either.
    let response = client.ask(get("https://empty.example/x")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["x-tidegate-error"], "no_endpoints");
}
