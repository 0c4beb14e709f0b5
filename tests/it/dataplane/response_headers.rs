//! Response headers policies on the wire: what answers lose and gain, whoever they are from.

use tidegate::table::response_headers::{Added, Over, Precedence, ResponseHeaders, ServerTiming};
use tidegate::table::route::ViewerProtocolPolicy;

use super::http2::{Door, get};
use super::rig::{Plane, RawOrigin, RouteShape, Site, field};

fn added(name: &str, value: &str, precedence: Precedence, over: Over) -> Added {
    Added { name: name.parse().unwrap(), value: value.parse().unwrap(), precedence, over }
}

/// Takes `Server` out, and says a thing or two.
fn policy() -> Option<ResponseHeaders> {
    Some(ResponseHeaders {
        removed: vec!["server".parse().unwrap()],
        cors: None,
        added: vec![
            added("x-frame-options", "DENY", Precedence::Policy, Over::Any),
            added("x-site", "ours", Precedence::Origin, Over::Any),
            added("cache-control", "max-age=9", Precedence::Policy, Over::Any),
            added("strict-transport-security", "max-age=9", Precedence::Policy, Over::Https),
        ],
        server_timing: ServerTiming::Untold,
    })
}

/// `/plain` is left alone.
fn site(origin: &RawOrigin) -> Site {
    let mut site = Site::new("web", &[origin.address]);
    site.ordered = vec![("/plain", site.default)];
    site.default.response_headers = policy;
    site
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nServer: theirs\r\nX-Frame-Options: ALLOWALL\r\nX-Site: theirs\r\n\
                      Content-Length: 2\r\n\r\nok";

#[tokio::test]
async fn an_origins_answer_loses_and_gains_what_the_policy_says_and_that_of_another_behavior_nothing() {
    let origin = RawOrigin::start().await;
    let plane = Plane::of_one_worker(Default::default(), vec![site(&origin)]);
    let mut viewer = plane.connect().await;
    let mut far = None;
    for path in ["/", "/plain"] {
        viewer.send(format!("GET {path} HTTP/1.1\r\nHost: web.example\r\n\r\n")).await;
        let mut connection = match far.take() {
            Some(connection) => connection,
            None => origin.accept().await,
        };
        connection.until("\r\n\r\n").await;
        connection.send(ANSWER).await;
        far = Some(connection);
        let response = viewer.response().await;
        let told = ["server", "x-frame-options", "x-site", "cache-control", "strict-transport-security"]
            .map(|name| field(&response, name));
        let expected = match path {
            "/plain" => [Some("theirs"), Some("ALLOWALL"), Some("theirs"), None, None],
            _ => [None, Some("DENY"), Some("theirs"), Some("max-age=9"), None],
        };
        assert_eq!(told, expected, "{path}: {response}");
        assert!(response.ends_with("\r\n\r\nok"), "{response}");
    }
}

#[tokio::test]
async fn errors_and_redirects_of_ours_get_what_they_do_not_say_themselves() {
    let origin = RawOrigin::start().await;
    let mut site = site(&origin);
    let redirected = RouteShape { viewers: ViewerProtocolPolicy::RedirectToHttps, ..site.default };
    site.ordered = vec![("/moved", redirected)];
    let plane = Plane::serving(vec![site]);
    let rows = [
        ("web.example", "GET /moved", "301", Some("DENY"), Some("max-age=9")),
        ("web.example", "PROPFIND /", "403", Some("DENY"), Some("no-store")),
        // Nobody's behavior, and so nobody's policy.
        ("other.example", "GET /", "404", None, Some("no-store")),
    ];
    for (host, line, status, frames, cache) in rows {
        let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let response = origin.nobody_comes_while(plane.ask(&request)).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {response}");
        assert_eq!(field(&response, "x-frame-options"), frames, "{response}");
        assert_eq!(field(&response, "cache-control"), cache, "{response}");
        assert_eq!(field(&response, "strict-transport-security"), None, "not over HTTP: {response}");
    }
}

#[tokio::test]
async fn a_tunnel_is_left_alone_and_a_handshake_that_the_origin_refuses_is_not() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![site(&origin)]);
    let request = "GET / HTTP/1.1\r\nHost: web.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nServer: theirs\r\n\r\n";
    let forbidden = "HTTP/1.1 403 Forbidden\r\nServer: theirs\r\nContent-Length: 0\r\n\r\n";
    for (answer, server, frames) in [(switching, Some("theirs"), None), (forbidden, None, Some("DENY"))] {
        let mut viewer = plane.connect().await;
        viewer.send(request).await;
        let mut far = origin.accept().await;
        far.until("\r\n\r\n").await;
        far.send(answer).await;
        let head = viewer.until("\r\n\r\n").await;
        assert_eq!(field(&head, "server"), server, "{head}");
        assert_eq!(field(&head, "x-frame-options"), frames, "{head}");
    }
}

#[tokio::test]
async fn over_http2_it_is_the_same_and_strict_transport_security_is_told() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![site(&origin)]);
    let mut client = door.connect().await;
    let propfind = http::Request::builder().method("PROPFIND").uri("https://web.example/").body(()).unwrap();
    let asked = tokio::spawn(async move {
        let answer = client.ask(get("https://web.example/")).await;
        let refused = client.ask(propfind).await;
        (answer, refused)
    });
    let mut far = origin.accept().await;
    far.until("\r\n\r\n").await;
    far.send(ANSWER).await;
    let (answer, refused) = super::rig::soon(asked).await.unwrap();
    assert_eq!((answer.status(), refused.status()), (http::StatusCode::OK, http::StatusCode::FORBIDDEN));
    assert!(!answer.headers().contains_key("server"));
    assert_eq!(answer.headers()["x-site"], "theirs");
    assert_eq!(refused.headers()["x-site"], "ours");
    for response in [&answer, &refused] {
        assert_eq!(response.headers()["x-frame-options"], "DENY");
        assert_eq!(response.headers()["strict-transport-security"], "max-age=9");
    }
}

#[tokio::test]
async fn the_time_is_told_in_one_field_with_what_the_origin_tells() {
    let origin = RawOrigin::start().await;
    let mut site = Site::new("web", &[origin.address]);
    site.default.response_headers = || {
        let server_timing = ServerTiming::Told;
        Some(ResponseHeaders { removed: Vec::new(), cors: None, added: Vec::new(), server_timing })
    };
    let plane = Plane::of_one_worker(Default::default(), vec![site]);
    let mut viewer = plane.connect().await;
    let mut far = None;
    for pooled in [false, true] {
        viewer.send("GET / HTTP/1.1\r\nHost: web.example\r\n\r\n").await;
        let mut connection = match far.take() {
            Some(connection) => connection,
            None => origin.accept().await,
        };
        let request = connection.until("\r\n\r\n").await;
        connection.send("HTTP/1.1 200 OK\r\nServer-Timing: db;dur=3\r\nContent-Length: 0\r\n\r\n").await;
        far = Some(connection);
        let response = viewer.response().await;
        let told = field(&response, "server-timing").unwrap();
        let names: Vec<&str> = told.split(", ").map(|metric| metric.split(';').next().unwrap()).collect();
        let expected = ["db", "cdn-upstream-connect", "cdn-upstream-fbl", "cdn-rid", "cdn-downstream-fbl"];
        assert_eq!(names, expected, "{told}");
        let id = field(&request, "x-request-id").unwrap();
        assert!(told.contains(&format!("cdn-rid;desc=\"{id}\"")), "{told}");
        assert_eq!(told.contains("cdn-upstream-connect;dur=0,"), pooled, "{told}");
    }
    viewer.send("PROPFIND / HTTP/1.1\r\nHost: web.example\r\n\r\n").await;
    let refused = viewer.response().await;
    let told = field(&refused, "server-timing").unwrap();
    assert!(told.starts_with("cdn-downstream-fbl;dur="), "of what did not happen nothing is told: {told}");
}
