//! PROXY headers on the wire: whose are read, what they change, and that nothing behind them is lost.

use std::time::Duration;

use tidegate::dataplane::{Entrance, Limits, TrustedProxies};
use tidegate::settings::ProxyProtocol;
use tidegate::table::certificate::Certificates;

use super::rig::{EchoOrigin, Plane, Site, Viewer, field, soon, table};
use super::tls::{certificates, client, handshake_on, make, usable};

const GET: &str = "GET / HTTP/1.1\r\nHost: web.example\r\nConnection: close\r\n\r\n";

const TEXT: &[u8] = b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n";

/// Version 2 with a command, a family and what follows the fixed beginning.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[command, family], &length, rest].concat()
}

/// The addresses of 203.0.113.7 and 10.0.0.1, and an addition of three bytes.
const ADDRESSES: [u8; 18] = [203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 0xbb, 4, 0, 3, 0, 0, 0];

fn entrance(proxy_protocol: ProxyProtocol, trusted: &str) -> Entrance {
    let trusted_proxies = TrustedProxies::new(vec![trusted.parse().unwrap()]);
    Entrance { proxy_protocol, trusted_proxies, ..Entrance::default() }
}

async fn plane(proxy_protocol: ProxyProtocol, trusted: &str, origin: &EchoOrigin) -> Plane {
    let limits = Limits { proxy_header: Duration::from_millis(200), ..Limits::default() };
    Plane::behind(entrance(proxy_protocol, trusted), limits, vec![Site::new("web", &[origin.address])])
}

/// What the origin saw.
fn seen(response: &str) -> &str {
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    response.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn the_viewer_is_who_the_header_names_wherever_the_network_cuts_it() {
    let origin = EchoOrigin::start("web").await;
    let plane = plane(ProxyProtocol::Require, "127.0.0.0/8", &origin).await;
    let six = "PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n";
    let headers = [
        (TEXT.to_vec(), "203.0.113.7"),
        (six.into(), "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (binary(0x21, 0x11, &ADDRESSES), "203.0.113.7"),
        (binary(0x20, 0x00, &[]), "127.0.0.1"),
    ];
    for (header, address) in headers {
        let all = [&header[..], GET.as_bytes()].concat();
        for cut in 1..=header.len() {
            let mut viewer = plane.connect().await;
            viewer.stream.set_nodelay(true).unwrap();
            viewer.send(&all[..cut]).await;
            tokio::task::yield_now().await;
            viewer.send(&all[cut..]).await;
            let response = viewer.rest().await;
            assert_eq!(field(seen(&response), "x-real-ip"), Some(address), "cut at {cut}: {response}");
            assert_eq!(field(seen(&response), "x-forwarded-for"), Some(address), "cut at {cut}: {response}");
        }
    }
}

#[tokio::test]
async fn requests_that_come_with_the_header_are_all_answered() {
    let origin = EchoOrigin::start("web").await;
    let plane = plane(ProxyProtocol::Accept, "127.0.0.0/8", &origin).await;
    let mut viewer = plane.connect().await;
    let first = GET.replace("Connection: close\r\n", "");
    viewer.send([TEXT, first.as_bytes(), GET.as_bytes()].concat()).await;
    assert_eq!(viewer.rest().await.matches("x-real-ip: 203.0.113.7").count(), 2);
}

#[tokio::test]
async fn a_header_that_cannot_be_used_closes_and_is_counted() {
    let origin = EchoOrigin::start("web").await;
    let plane = plane(ProxyProtocol::Require, "127.0.0.0/8", &origin).await;
    let long = format!("PROXY UNKNOWN {}\r\n", "y".repeat(107));
    let rows: [(&[u8], &str); 12] = [
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 4711\r\n", "malformed"),
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\n", "malformed"),
        (b"PROXY TCP4 2001:db8::7 ::1 4711 443\r\n", "malformed"),
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 99999\r\n", "malformed"),
        (b"PROXY UDP4 203.0.113.7 10.0.0.1 4711 443\r\n", "malformed"),
        (long.as_bytes(), "malformed"),
        (&binary(0x22, 0x11, &ADDRESSES), "malformed"),
        (&binary(0x21, 0x11, &ADDRESSES[..8]), "malformed"),
        (&binary(0x21, 0x51, &ADDRESSES), "malformed"),
        (b"", "missing"),
        (b"\r\n", "missing"),
        (b"proxy TCP4 203.0.113.7 10.0.0.1 4711 443\r\n", "missing"),
    ];
    let (mut malformed, mut missing) = (0, 0);
    for (begin, reason) in rows {
        let mut viewer = plane.connect().await;
        viewer.send([begin, GET.as_bytes()].concat()).await;
        // Closing a socket with unread bytes resets it.
        assert_eq!(viewer.ends().await.unwrap_or_default(), "", "{}", begin.escape_ascii());
        *(if reason == "missing" { &mut missing } else { &mut malformed }) += 1;
        let rejected = |reason: &str| plane.rejected(&format!("proxy_{reason}"));
        assert_eq!(
            (rejected("malformed"), rejected("missing")),
            (malformed, missing),
            "{}",
            begin.escape_ascii()
        );
    }
}

#[tokio::test]
async fn a_header_that_does_not_end_is_waited_for_only_so_long() {
    let origin = EchoOrigin::start("web").await;
    let plane = plane(ProxyProtocol::Accept, "127.0.0.0/8", &origin).await;
    for (place, begin) in ["", "PRO", "PROXY TCP4 ", "\r\n\r\n\0\r\nQUIT\n"].into_iter().enumerate() {
        let mut viewer = plane.connect().await;
        viewer.send(begin).await;
        assert_eq!(viewer.ends().await.unwrap_or_default(), "", "{begin:?}");
        assert_eq!(plane.rejected("proxy_timeout"), place + 1);
    }
    let mut cut_off = plane.connect().await;
    cut_off.send("PROXY TCP4 203.0").await;
    soon(tokio::io::AsyncWriteExt::shutdown(&mut cut_off.stream)).await.unwrap();
    assert_eq!(cut_off.ends().await.unwrap_or_default(), "");
    assert_eq!(plane.rejected("proxy_malformed"), 1);
}

#[tokio::test]
async fn only_trusted_peers_are_heard() {
    let origin = EchoOrigin::start("web").await;
    let with_header = [TEXT, GET.as_bytes()].concat();
    use ProxyProtocol::{Accept, Off, Require};
    let (trusted, stranger) = ("127.0.0.1/32", "10.0.0.0/8");
    let rows = [
        (Accept, trusted, true, "200", 0),
        (Accept, trusted, false, "200", 0),
        (Accept, stranger, true, "400", 0),
        (Accept, stranger, false, "200", 0),
        (Require, trusted, true, "200", 0),
        (Require, stranger, true, "", 1),
        (Require, stranger, false, "", 1),
        (Off, trusted, true, "400", 0),
        (Off, trusted, false, "200", 0),
    ];
    for (mode, network, header, status, untrusted) in rows {
        let plane = plane(mode, network, &origin).await;
        let mut viewer = plane.connect().await;
        viewer.send(if header { &with_header } else { GET.as_bytes() }).await;
        let response = viewer.ends().await.unwrap_or_default();
        let found = response.split(' ').nth(1).unwrap_or_default();
        assert_eq!(found, status, "{mode:?} {network} {header}: {response}");
        assert_eq!(plane.rejected("proxy_untrusted"), untrusted, "{mode:?} {network} {header}");
    }
}

#[tokio::test]
async fn behind_a_header_it_is_the_viewer_who_is_believed_or_not() {
    let origin = EchoOrigin::start("web").await;
    let plane = plane(ProxyProtocol::Accept, "127.0.0.0/8", &origin).await;
    let rows = [
        // A viewer of its own: its claims are nobody's word.
        (TEXT.to_vec(), "203.0.113.7", "http"),
        // The proxy does not say who it is.
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1", "http"),
        (binary(0x21, 0x00, &[]), "127.0.0.1", "http"),
        // A trusted proxy behind the proxy, and the proxy itself.
        (b"PROXY TCP4 127.0.0.9 127.0.0.1 4711 443\r\n".to_vec(), "6.6.6.6", "https"),
        (binary(0x20, 0x00, &[]), "6.6.6.6", "https"),
        (Vec::new(), "6.6.6.6", "https"),
    ];
    for (header, address, scheme) in rows {
        let claims = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nConnection";
        let request = GET.replace("Connection", claims);
        let mut viewer = plane.connect().await;
        viewer.send([&header[..], request.as_bytes()].concat()).await;
        let response = viewer.rest().await;
        let told = ["x-real-ip", "x-forwarded-proto"].map(|name| field(seen(&response), name));
        assert_eq!(told, [Some(address), Some(scheme)], "{}", header.escape_ascii());
    }
}

#[tokio::test]
async fn tls_begins_behind_the_header() {
    let origin = EchoOrigin::start("web").await;
    let plane = plane(ProxyProtocol::Require, "127.0.0.0/8", &origin).await;
    let web = make(&["web.example"]);
    let own: Certificates = certificates(&[("web", usable(&web))], None);
    plane.handle.publish(table(vec![Site::new("web", &[origin.address])], own));
    let mut stream = Viewer::connect(plane.handle.https_addresses()[0]).await;
    stream.send(TEXT).await;
    let mut viewer = handshake_on(stream.stream, &client(&[&web], &[]), "web.example").await.unwrap();
    viewer.send(GET.replace("Connection: close\r\n", "")).await;
    let response = viewer.response().await;
    let told = ["x-real-ip", "x-forwarded-proto"].map(|name| field(seen(&response), name));
    assert_eq!(told, [Some("203.0.113.7"), Some("https")]);
}
