//! Who the viewer is when somebody stands between: what is believed, and what the origin hears of it.

use tidegate::dataplane::{Entrance, Limits, TrustedProxies};
use tidegate::table::route::ViewerProtocolPolicy;

use super::rig::{EchoOrigin, Plane, Site, field};

/// An entrance that trusts one network.
fn trusting(network: &str) -> Entrance {
    let trusted_proxies = TrustedProxies::new(vec![network.parse().unwrap()]);
    Entrance { trusted_proxies, ..Entrance::default() }
}

/// A spoofed head: everything that a viewer could claim of itself.
const CLAIMS: &str = "\
X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.9, 127.0.0.2\r\nX-Forwarded-Proto: https\r\n\
X-Forwarded-Host: b.example\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 6.6.6.6\r\nX-Request-Id: mine\r\n\
Forwarded: for=6.6.6.6\r\nX-Client-Cert-Subject: CN=root\r\ntraceparent: 00-1-2-00\r\ntracestate: a=b\r\n\
Connection: close, x-forwarded-for, x-real-ip, x-forwarded-proto\r\n";

#[tokio::test]
async fn the_origin_hears_of_the_viewer_what_a_trusted_peer_says_and_of_a_stranger_what_we_see() {
    let origin = EchoOrigin::start("web").await;
    let (mine, one, seven) = (Some("mine"), Some("127.0.0.1"), Some("203.0.113.9"));
    let chain = Some("6.6.6.6, 203.0.113.9, 127.0.0.2, 127.0.0.1");
    let rows = [
        ("127.0.0.0/8", [chain, seven, Some("https"), Some("443"), Some("for=6.6.6.6"), mine]),
        ("10.0.0.0/8", [one, one, Some("http"), Some("80"), None, None]),
    ];
    for (network, [chain, real, proto, port, forwarded, id]) in rows {
        let sites = vec![Site::new("web", &[origin.address])];
        let plane = Plane::behind(trusting(network), Limits::default(), sites);
        let response = plane.ask(&format!("GET / HTTP/1.1\r\nHost: web.example\r\n{CLAIMS}\r\n")).await;
        let (_, seen) = response.split_once("\r\n\r\n").unwrap();
        let told = [
            ("x-forwarded-for", chain),
            ("x-real-ip", real),
            ("x-forwarded-proto", proto),
            ("x-forwarded-port", port),
            ("forwarded", forwarded),
            ("x-forwarded-host", Some("web.example")),
            ("x-client-cert-subject", None),
            ("traceparent", Some("00-1-2-00")),
            ("tracestate", Some("a=b")),
        ];
        for (name, expected) in told {
            assert_eq!(field(seen, name), expected, "{network}: {seen}");
            assert!(seen.matches(&format!("\n{name}:")).count() <= 1, "{network}: {name} twice: {seen}");
        }
        let seen_id = field(seen, "x-request-id");
        assert!(id.map_or(seen_id != mine, |id| seen_id == Some(id)), "{network}: {seen}");
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_with_tls_nothing_is_redirected_to_https() {
    let origin = EchoOrigin::start("web").await;
    let rows = [
        ("127.0.0.1/32", "https", "200"),
        ("127.0.0.1/32", "http", "301"),
        ("127.0.0.1/32", "nonsense", "301"),
        ("10.0.0.0/8", "https", "301"),
    ];
    for (network, scheme, status) in rows {
        let mut site = Site::new("web", &[origin.address]);
        site.default.viewers = ViewerProtocolPolicy::RedirectToHttps;
        let plane = Plane::behind(trusting(network), Limits::default(), vec![site]);
        let line = format!("X-Forwarded-Proto: {scheme}\r\nConnection: close");
        let response = plane.ask(&format!("GET / HTTP/1.1\r\nHost: web.example\r\n{line}\r\n\r\n")).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{network} {scheme}: {response}");
    }
}
