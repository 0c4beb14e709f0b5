//! Handshakes: which of them reach the origin, and what both sides get to see.

use std::num::NonZeroU32;

use tidegate::table::web_origin::AllowedOrigins;
use tidegate::table::web_socket::Handshakes;

use super::peers::{ACCEPT, EchoSocket, KEY, handshake, open, switching};
use crate::dataplane::rig::{EchoOrigin, Plane, RawOrigin, RouteShape, Site, field, soon};

#[tokio::test]
async fn what_endpoints_agree_on_is_passed_on_untouched() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer
        .send(handshake(
            "Origin: https://app.example\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
        ))
        .await;

    let mut far = origin.accept().await;
    let request = far.until("\r\n\r\n").await;
    assert!(request.starts_with("GET /chat?room=1 HTTP/1.1\r\n"), "{request}");
    assert_eq!(field(&request, "connection"), Some("upgrade"));
    assert_eq!(field(&request, "upgrade"), Some("websocket"));
    assert_eq!(field(&request, "sec-websocket-key"), Some(KEY));
    assert_eq!(field(&request, "sec-websocket-version"), Some("13"));
    assert_eq!(field(&request, "sec-websocket-protocol"), Some("chat, superchat"));
    let extensions = "permessage-deflate; client_max_window_bits";
    assert_eq!(field(&request, "sec-websocket-extensions"), Some(extensions));
    assert_eq!(field(&request, "origin"), Some("https://app.example"));

    far.send(switching(
        "Sec-WebSocket-Protocol: superchat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
    ))
    .await;
    let answer = viewer.until("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert_eq!(field(&answer, "connection"), Some("upgrade"));
    assert_eq!(field(&answer, "upgrade"), Some("websocket"));
    assert_eq!(field(&answer, "sec-websocket-accept"), Some(ACCEPT));
    assert_eq!(field(&answer, "sec-websocket-protocol"), Some("superchat"));
    assert_eq!(field(&answer, "sec-websocket-extensions"), Some("permessage-deflate"));
    assert_eq!(field(&answer, "content-length"), None);
}

#[tokio::test]
async fn a_bad_handshake_is_told_why_and_reaches_no_origin() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let good = handshake("");
    let (bad, version) = ("bad_websocket_handshake", "websocket_version");
    let rows = [
        ("426", version, good.replace("Version: 13", "Version: 12")),
        ("400", bad, good.replace(KEY, "AAAAAAAAAAAAAAAAAAAA")), // 15 bytes
        ("400", bad, handshake(&format!("Sec-WebSocket-Key: {KEY}\r\n"))),
        ("400", bad, good.replace("GET", "POST")),
        ("400", bad, handshake("Content-Length: 2\r\n") + "hi"),
        ("400", bad, good.replace("Connection: Upgrade", "Connection: keep-alive")),
    ];
    for (status, reason, request) in rows {
        // It ends with the connection, so nothing that follows can be taken for a request.
        let answer = origin.nobody_comes_while(plane.ask(&request)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}{answer}");
        assert_eq!(field(&answer, "x-tidegate-error"), Some(reason), "{request}{answer}");
        let told = (status == "426").then_some("13");
        assert_eq!(field(&answer, "sec-websocket-version"), told, "{request}{answer}");
    }
}

#[tokio::test]
async fn what_asks_for_no_websocket_is_an_ordinary_request() {
    let origin = EchoOrigin::start("web").await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let h2c = "GET / HTTP/1.1\r\nHost: web.example\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\
               Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n";
    let old = handshake("").replace("HTTP/1.1", "HTTP/1.0");
    for request in [h2c, &old] {
        let answer = plane.ask(request).await;
        assert!(answer.contains(" 200 OK\r\n"), "{answer}");
        let (_, seen) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!((field(seen, "upgrade"), field(seen, "http2-settings")), (None, None), "{seen}");
    }
}

#[tokio::test]
async fn a_behavior_without_websockets_refuses_them() {
    let origin = RawOrigin::start().await;
    let mut site = Site::new("web", &[origin.address]);
    site.default.web_socket = |policy| policy.handshakes = Handshakes::Refused;
    let plane = Plane::serving(vec![site]);
    let answer = origin.nobody_comes_while(plane.ask(&handshake(""))).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(field(&answer, "x-tidegate-error"), Some("websocket_disabled"));
}

#[tokio::test]
async fn a_page_of_another_site_opens_no_websocket() {
    let origin = RawOrigin::start().await;
    let mut site = Site::new("web", &[origin.address]);
    site.default.web_socket = |policy| {
        policy.allowed_origins = AllowedOrigins::new(["https://*.web.example", "https://web.example"])
    };
    let plane = Plane::serving(vec![site]);
    for other in ["Origin: https://evil.example\r\n", "Origin: null\r\n", "Origin: http://web.example\r\n"] {
        let answer = origin.nobody_comes_while(plane.ask(&handshake(other))).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{other}{answer}");
        assert_eq!(field(&answer, "x-tidegate-error"), Some("websocket_origin"), "{other}");
    }
    let failures = "tidegate_websocket_handshake_failures_total{namespace=\"test\",distribution=\"web\",reason=\"websocket_origin\"}";
    assert_eq!(plane.metric(failures), 3);
    // Only browsers name one, and they always do.
    for own in ["Origin: https://web.example\r\n", "Origin: https://chat.web.example:443\r\n", ""] {
        let mut viewer = plane.connect().await;
        viewer.send(handshake(own)).await;
        let mut far = origin.accept().await;
        let request = far.until("\r\n\r\n").await;
        assert_eq!(field(&request, "origin"), own.trim().strip_prefix("Origin: "));
    }
}

#[tokio::test]
async fn a_behavior_and_a_viewer_have_only_so_many_websockets_over_all_workers() {
    let origin = EchoSocket::start().await;
    let mut site = Site::new("web", &[origin.address]);
    site.default.web_socket = |policy| policy.limits.max_connections_per_client = NonZeroU32::new(6);
    let bounded = RouteShape {
        web_socket: |policy| policy.limits.max_connections = NonZeroU32::new(4),
        ..site.default
    };
    let plane = Plane::serving(vec![Site { ordered: vec![("/chat", bounded)], ..site.clone() }]);
    let mut open_ones = Vec::new();
    for _ in 0..4 {
        open_ones.push(open(&plane).await);
    }
    let refused = async |status: &str| {
        let answer = plane.ask(&handshake("")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(field(&answer, "x-tidegate-error"), Some("connection_limit"));
    };
    refused("503").await;
    // A table with other limits, and without the behavior and with it again, counts on.
    plane.publish(vec![site.clone()]);
    open_ones.extend([open(&plane).await]);
    plane.publish(vec![Site { ordered: vec![("/chat", bounded)], ..site.clone() }]);
    refused("503").await;
    // Whoever ends gives its place back, and so does a handshake that fails.
    drop(open_ones.remove(0));
    plane.publish(vec![Site { ordered: vec![("/chat", bounded)], endpoints: Vec::new(), ..site.clone() }]);
    let reason = async || field(&plane.ask(&handshake("")).await, "x-tidegate-error").map(str::to_owned);
    soon(async { while reason().await.as_deref() == Some("connection_limit") {} }).await;
    for _ in 0..8 {
        assert_eq!(reason().await.as_deref(), Some("no_endpoints"));
    }
    plane.publish(vec![Site { ordered: vec![("/chat", bounded)], ..site.clone() }]);
    open_ones.push(open(&plane).await);
    refused("503").await;
    site.ordered = vec![(
        "/chat",
        RouteShape {
            web_socket: |policy| policy.limits.max_connections_per_client = NonZeroU32::new(4),
            ..site.default
        },
    )];
    plane.publish(vec![site]);
    refused("429").await;
}

#[tokio::test]
async fn an_origin_that_does_not_answer_the_handshake_is_a_502() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let wrong = [
        switching("").replace(ACCEPT, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        switching("").replace("Sec-WebSocket-Accept", "X-Accept"),
        switching("").replace("Upgrade: websocket", "Upgrade: h2c"),
    ];
    for answer in wrong {
        let mut viewer = plane.connect().await;
        viewer.send(handshake("")).await;
        let mut far = origin.accept().await;
        far.until("\r\n\r\n").await;
        far.send(&answer).await;
        let got = viewer.rest().await;
        assert!(got.starts_with("HTTP/1.1 502 "), "{answer}{got}");
        assert_eq!(field(&got, "x-tidegate-error"), Some("origin_websocket_handshake"), "{answer}{got}");
        assert_eq!(far.rest().await, "", "the origin's connection is closed");
    }
}

#[tokio::test]
async fn an_origin_that_refuses_is_heard() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer.send(handshake("")).await;
    let mut far = origin.accept().await;
    far.until("\r\n\r\n").await;
    far.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    // The viewer may have sent frames already: its connection is good for nothing else.
    let answer = viewer.rest().await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nno"), "{answer}");
    assert_eq!(field(&answer, "x-tidegate-error"), None);
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_no_tunnel() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer.send("GET / HTTP/1.1\r\nHost: web.example\r\n\r\n").await;
    let mut far = origin.accept().await;
    far.until("\r\n\r\n").await;
    far.send(switching("")).await;
    let answer = viewer.response().await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert_eq!(field(&answer, "x-tidegate-error"), Some("origin_protocol"));
    assert_eq!(far.rest().await, "");
}
