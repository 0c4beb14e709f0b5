//! From where requests and handshakes may come: the viewer's own address is judged, whoever stands between.

use tidegate::dataplane::{Entrance, Limits, TrustedProxies};
use tidegate::table::source_ranges::SourceRanges;

use super::rig::{EchoOrigin, Plane, RawOrigin, RouteShape, Site, field};

fn only(range: &str) -> SourceRanges {
    SourceRanges::new([range.parse().unwrap()], [])
}

/// `/none/*` is for viewers of another network, `/not/*` for all but those of loopback, `/some/*` for these only.
fn closed(origin: &RawOrigin) -> Site {
    let mut site = Site::new("web", &[origin.address]);
    let shape = |source_ranges| RouteShape { source_ranges, ..site.default };
    site.ordered = vec![
        ("/none/*", shape(|| only("127.0.0.2/32"))),
        ("/not/*", shape(|| SourceRanges::new([], ["127.0.0.0/8".parse().unwrap()]))),
        ("/some/*", shape(|| only("127.0.0.0/8"))),
    ];
    site
}

#[tokio::test]
async fn a_viewer_from_elsewhere_reaches_no_origin_and_is_told_why() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![closed(&origin)]);
    let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    // A method that is not allowed and a body change nothing: who may not come learns no more.
    let rows = [
        ("GET /none/x", "Connection: close\r\n"),
        ("GET /not/x", "Connection: close\r\n"),
        ("PATCH /not/x", "Connection: close\r\nContent-Length: 0\r\n"),
        ("GET /none/x", handshake),
        ("GET /not/x", handshake),
    ];
    for (line, fields) in rows {
        let request = format!("{line} HTTP/1.1\r\nHost: web.example\r\n{fields}\r\n");
        let response = origin.nobody_comes_while(plane.ask(&request)).await;
        assert!(response.starts_with("HTTP/1.1 403 "), "{line}: {response}");
        assert_eq!(field(&response, "x-tidegate-error"), Some("source_range"));
    }
    for fields in ["", handshake] {
        let mut viewer = plane.connect().await;
        viewer.send(format!("GET /some/x HTTP/1.1\r\nHost: web.example\r\n{fields}\r\n")).await;
        assert!(origin.accept().await.until("\r\n\r\n").await.starts_with("GET /some/x "));
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_it_is_the_viewer_who_is_judged_and_a_stranger_cannot_say_who_it_is() {
    let origin = EchoOrigin::start("web").await;
    let rows = [
        ("127.0.0.0/8", "203.0.113.9", "200"),
        ("127.0.0.0/8", "203.0.113.9, 127.0.0.2", "200"),
        ("127.0.0.0/8", "::ffff:203.0.113.9", "200"),
        ("127.0.0.0/8", "203.0.113.9, 198.51.100.7", "403"),
        ("127.0.0.0/8", "198.51.100.7", "403"),
        ("10.0.0.0/8", "203.0.113.9", "403"),
    ];
    for (trusted, forwarded_for, status) in rows {
        let mut site = Site::new("web", &[origin.address]);
        site.default.source_ranges = || only("203.0.113.0/24");
        let trusted_proxies = TrustedProxies::new(vec![trusted.parse().unwrap()]);
        let entrance = Entrance { trusted_proxies, ..Entrance::default() };
        let plane = Plane::behind(entrance, Limits::default(), vec![site]);
        let fields = format!("X-Forwarded-For: {forwarded_for}\r\nConnection: close");
        let response = plane.ask(&format!("GET / HTTP/1.1\r\nHost: web.example\r\n{fields}\r\n\r\n")).await;
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{trusted}, {forwarded_for}: {response}"
        );
    }
}
