//! Who is let in: places, handshakes, probes, and the listener's last moments.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use rustls::{NamedGroup, SupportedProtocolVersion};
use tidegate::dataplane::{Entrance, Limits, TrustedProxies};
use tidegate::drain::{Phase, Schedule};
use tidegate::settings::{ProxyProtocol, UnderscoreHeaders};
use tokio::net::TcpSocket;
use tokio::time::Instant;

use super::rig::{EchoOrigin, Plane, Site, Viewer, field, soon, table};
use super::tls::{Made, certificates, client, client_of, handshake, make, usable};

const GET: &str = "GET / HTTP/1.1\r\nHost: web.example\r\n\r\n";

fn most(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap()
}

/// Whether the connection is served, or was closed.
async fn is_served(viewer: &mut Viewer) -> bool {
    // The write may meet a connection that is closed already.
    if soon(tokio::io::AsyncWriteExt::write_all(&mut viewer.stream, GET.as_bytes())).await.is_err() {
        return false;
    }
    let mut byte = [0];
    matches!(soon(viewer.stream.peek(&mut byte)).await, Ok(1))
}

/// Connects until somebody is served: a place is free a moment after its connection has ended.
async fn served_soon(plane: &Plane) -> Viewer {
    soon(async {
        loop {
            let mut viewer = plane.connect().await;
            if is_served(&mut viewer).await {
                return viewer;
            }
        }
    })
    .await
}

#[tokio::test]
async fn connections_past_the_limit_are_closed_at_once_until_places_are_free() {
    let origin = EchoOrigin::start("web").await;
    let entrance = Entrance { max_connections: most(2), ..Entrance::default() };
    let plane = Plane::behind(entrance, Limits::default(), vec![Site::new("web", &[origin.address])]);
    assert_eq!(plane.metric("tidegate_connections_max"), 2);
    let (mut first, mut second) = (plane.connect().await, plane.connect().await);
    assert!(is_served(&mut first).await && is_served(&mut second).await);
    assert!(!is_served(&mut plane.connect().await).await);
    assert_eq!(plane.rejected("max_connections"), 1);
    drop(first);
    let _third = served_soon(&plane).await;
    assert!(!is_served(&mut plane.connect().await).await);
    assert!(is_served(&mut second).await);
}

async fn connect_from(plane: &Plane, address: [u8; 4]) -> Viewer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    Viewer::on(soon(socket.connect(plane.handle.http_addresses()[0])).await.unwrap())
}

#[tokio::test]
async fn one_address_cannot_take_the_places_of_the_others() {
    let origin = EchoOrigin::start("web").await;
    let entrance = Entrance { max_connections_per_ip: Some(most(1)), ..Entrance::default() };
    let plane = Plane::behind(entrance, Limits::default(), vec![Site::new("web", &[origin.address])]);
    let mut first = plane.connect().await;
    assert!(is_served(&mut first).await);
    assert!(!is_served(&mut plane.connect().await).await);
    assert_eq!(plane.rejected("max_connections_per_ip"), 1);
    assert!(is_served(&mut connect_from(&plane, [127, 0, 0, 2]).await).await);
    drop(first);
    served_soon(&plane).await;
}

#[tokio::test]
async fn behind_a_proxy_it_is_the_viewers_who_are_counted() {
    let origin = EchoOrigin::start("web").await;
    let entrance = Entrance {
        max_connections_per_ip: Some(most(1)),
        trusted_proxies: TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]),
        proxy_protocol: ProxyProtocol::Accept,
        ..Entrance::default()
    };
    let plane = Plane::behind(entrance, Limits::default(), vec![Site::new("web", &[origin.address])]);
    let mut held = Vec::new();
    let rows = [
        ("PROXY TCP4 203.0.113.7 10.0.0.1 1 443\r\n", true),
        ("PROXY TCP4 203.0.113.7 10.0.0.1 2 443\r\n", false),
        ("PROXY TCP4 203.0.113.8 10.0.0.1 2 443\r\n", true),
        ("PROXY TCP6 2001:db8::7 ::1 1 443\r\n", true),
        ("PROXY TCP6 2001:db8::8 ::1 1 443\r\n", false),
        ("PROXY TCP6 2001:db8:0:1::7 ::1 1 443\r\n", true),
        ("PROXY UNKNOWN\r\n", true),
        ("PROXY UNKNOWN\r\n", true),
        ("", true),
        ("", true),
    ];
    for (header, served) in rows {
        let mut viewer = plane.connect().await;
        viewer.send(header).await;
        assert_eq!(is_served(&mut viewer).await, served, "{header}");
        held.push(viewer);
    }
    assert_eq!(plane.rejected("max_connections_per_ip"), 2);
}

/// A plane whose site `web` has this certificate.
fn with_tls(made: &Made, limits: Limits, origin: &EchoOrigin) -> Plane {
    let plane = Plane::of_one_worker(limits, Vec::new());
    let site = Site::new("web", &[origin.address]);
    plane.handle.publish(table(vec![site], certificates(&[("web", usable(made))], None)));
    plane
}

#[tokio::test]
async fn whoever_says_nothing_stands_in_nobodys_way() {
    let origin = EchoOrigin::start("web").await;
    let web = make(&["web.example"]);
    let plane = with_tls(&web, Limits::default(), &origin);
    let mut idle = Vec::new();
    for half_a_hello in ["", "", "\x16\x03\x01\x01\x00\x01", "\x16"] {
        let mut viewer = Viewer::connect(plane.handle.https_addresses()[0]).await;
        viewer.send(half_a_hello).await;
        idle.push(viewer);
    }
    // They say the first word, hear ours, and say no more.
    for _ in 0..300 {
        let mut viewer = Viewer::connect(plane.handle.https_addresses()[0]).await;
        viewer.send(hello_of([0xc0, 0x2b])).await;
        assert_eq!(viewer.bytes(1).await, [22]);
        idle.push(viewer);
    }
    for _ in 0..2 {
        let mut viewer = handshake(&plane, &client(&[&web], &[]), "web.example").await.unwrap();
        viewer.send(GET).await;
        assert!(viewer.response().await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn what_is_no_handshake_gets_its_alert() {
    let origin = EchoOrigin::start("web").await;
    let web = make(&["web.example"]);
    let plane = with_tls(&web, Limits::default(), &origin);
    let long = "y".repeat(100_000);
    // HTTP, a ClientHello that is too short, and more than is read at once.
    for nonsense in [GET, "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", &long] {
        let mut viewer = Viewer::connect(plane.handle.https_addresses()[0]).await;
        // The answer may come before the last byte was taken.
        let _refused =
            soon(tokio::io::AsyncWriteExt::write_all(&mut viewer.stream, nonsense.as_bytes())).await;
        let alert = viewer.bytes(7).await;
        assert_eq!((alert[0], &alert[3..6]), (21, &[0, 2, 2][..]), "{nonsense:.20}: {alert:?}");
    }
}

fn only(made: &Made, version: &'static SupportedProtocolVersion) -> Arc<rustls::ClientConfig> {
    client_of(&[made], &[], &[version])
}

#[tokio::test]
async fn handshakes_are_counted_by_what_came_of_them() {
    let origin = EchoOrigin::start("web").await;
    let web = make(&["web.example"]);
    let limits = Limits { tls_handshake: Duration::from_millis(500), ..Limits::default() };
    let plane = with_tls(&web, limits, &origin);
    let address = plane.handle.https_addresses()[0];
    for version in [&TLS12, &TLS13] {
        let config = only(&web, version);
        for _ in 0..2 {
            let mut viewer = handshake(&plane, &config, "web.example").await.unwrap();
            viewer.send(GET).await;
            viewer.response().await;
        }
    }
    handshake(&plane, &client(&[&web], &[]), "nobody.example").await.map(drop).unwrap_err();
    let mut nonsense = Viewer::connect(address).await;
    nonsense.send(GET).await;
    nonsense.bytes(7).await;
    let mut late = Viewer::connect(address).await;
    late.send("\x16").await;
    assert_eq!(late.ends().await.unwrap_or_default(), "");
    // Whoever looks whether the port is open shakes no hands.
    drop(Viewer::connect(address).await);
    let rows = [
        ("1.2", "false", "ok", 1),
        ("1.2", "true", "ok", 1),
        ("1.3", "false", "ok", 1),
        ("1.3", "true", "ok", 1),
        ("none", "false", "no_certificate", 1),
        ("none", "false", "failed", 1),
        ("none", "false", "timeout", 1),
        ("none", "false", "not_begun", 0),
    ];
    for (version, resumed, result, count) in rows {
        let labels = format!("version=\"{version}\",resumed=\"{resumed}\",result=\"{result}\"");
        let series = format!("tidegate_tls_handshakes_total{{{labels}}}");
        assert_eq!(plane.metric(&series), count, "{series}");
    }
}

#[tokio::test]
async fn a_session_key_is_agreed_on_that_outlives_quantum_computers() {
    let origin = EchoOrigin::start("web").await;
    let web = make(&["web.example"]);
    let plane = with_tls(&web, Limits::default(), &origin);
    let viewer = handshake(&plane, &client(&[&web], &[]), "web.example").await.unwrap();
    let group = viewer.stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn only_suites_with_forward_secrecy_and_authenticated_encryption_are_agreed_on() {
    let origin = EchoOrigin::start("web").await;
    let web = make(&["web.example"]);
    let plane = with_tls(&web, Limits::default(), &origin);
    // A ClientHello of TLS 1.2 with one suite: ECDHE with CBC, RSA key exchange, DHE, 3DES, RC4.
    for suite in
        [[0xc0, 0x13], [0xc0, 0x27], [0x00, 0x9c], [0x00, 0x2f], [0x00, 0x9e], [0x00, 0x0a], [0x00, 0x05]]
    {
        let mut viewer = Viewer::connect(plane.handle.https_addresses()[0]).await;
        viewer.send(hello_of(suite)).await;
        let alert = viewer.bytes(7).await;
        assert_eq!(alert, [21, 3, 3, 0, 2, 2, 40], "{suite:x?}");
    }
    for suite in [[0xc0, 0x2b], [0xc0, 0x2c], [0xcc, 0xa9]] {
        let mut viewer = Viewer::connect(plane.handle.https_addresses()[0]).await;
        viewer.send(hello_of(suite)).await;
        assert_eq!(viewer.bytes(1).await, [22], "{suite:x?}");
    }
}

/// A ClientHello of TLS 1.2 for `web.example` that offers one suite.
fn hello_of(suite: [u8; 2]) -> Vec<u8> {
    let name = b"web.example";
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let extension = |kind: u8, body: &[u8]| [&[0, kind], &length(body)[..], body].concat();
    let host = [&[0], &length(name)[..], name].concat();
    let extensions = [
        extension(0, &[&length(&host)[..], &host].concat()),
        // x25519 and P-256; uncompressed points; ECDSA with P-256 and SHA-256, and RSA.
        extension(10, &[0, 4, 0, 0x1d, 0, 0x17]),
        extension(11, &[1, 0]),
        extension(13, &[0, 6, 4, 3, 8, 4, 4, 1]),
        extension(23, &[]),
    ]
    .concat();
    let hello =
        [&[3, 3], &[7; 32][..], &[0, 0, 2], &suite, &[1, 0], &length(&extensions), &extensions].concat();
    let body = [&[1, 0], &length(&hello)[..], &hello].concat();
    [&[22, 3, 1], &length(&body)[..], &body].concat()
}

#[tokio::test]
async fn a_probe_is_answered_where_no_distribution_is_until_the_replica_leaves() {
    let origin = EchoOrigin::start("web").await;
    let entrance = Entrance { health_path: Some("/healthz".to_owned()), ..Entrance::default() };
    let sites = vec![Site::new("web", &[origin.address])];
    let plane = Plane::behind(entrance, Limits::default(), sites);
    let ask = async |line: &str, host: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let response = plane.ask(&request).await;
        (response[9..12].to_owned(), field(&response, "x-tidegate-error").map(str::to_owned))
    };
    let none = || Some("no_distribution".to_owned());
    let rows = [
        ("GET /healthz", "10.0.0.1:8080", "200", None),
        ("GET /healthz?x", "nobody.example", "200", None),
        ("HEAD /healthz", "nobody.example", "200", None),
        ("POST /healthz", "nobody.example", "404", none()),
        ("GET /healthz/", "nobody.example", "404", none()),
        ("GET /healthZ", "nobody.example", "404", none()),
    ];
    for (line, host, status, reason) in rows {
        assert_eq!(ask(line, host).await, (status.to_owned(), reason), "{line} {host}");
    }
    let own = plane.ask("GET /healthz HTTP/1.1\r\nHost: web.example\r\nConnection: close\r\n\r\n").await;
    assert!(own.contains("web\nGET /healthz "), "{own}");
    plane.drain.advance(Phase::Leaving);
    assert_eq!(ask("GET /healthz", "nobody.example").await, ("503".into(), Some("draining".into())));
}

#[tokio::test]
async fn before_the_first_table_no_probe_is_answered() {
    let entrance = Entrance { health_path: Some("/healthz".to_owned()), ..Entrance::default() };
    let plane = Plane::unpublished(entrance);
    let response = plane.ask("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.1 404 "), "{response}");
}

#[tokio::test]
async fn names_with_an_underscore_are_dropped_or_refused() {
    let origin = EchoOrigin::start("web").await;
    let rows = [
        (UnderscoreHeaders::Drop, "X_Real_IP", "200", None),
        (UnderscoreHeaders::Refuse, "X_Real_IP", "400", Some("bad_header")),
        (UnderscoreHeaders::Refuse, "X-Real-IP", "200", None),
    ];
    for (underscore_headers, name, status, reason) in rows {
        let entrance = Entrance { underscore_headers, ..Entrance::default() };
        let plane = Plane::behind(entrance, Limits::default(), vec![Site::new("web", &[origin.address])]);
        let line = format!("Host: web.example\r\n{name}: 6.6.6.6\r\nConnection: close");
        let response = plane.ask(&format!("GET / HTTP/1.1\r\n{line}\r\n\r\n")).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{underscore_headers:?}: {response}");
        assert_eq!(field(&response, "x-tidegate-error"), reason);
        assert!(!response.contains("6.6.6.6"), "{response}");
        let dropped = plane.metric("tidegate_headers_dropped_total{reason=\"underscore\"}");
        assert_eq!(dropped, usize::from(underscore_headers == UnderscoreHeaders::Drop));
    }
}

#[tokio::test]
async fn a_listener_serves_on_after_the_last_viewer_of_a_drain() {
    let origin = EchoOrigin::start("web").await;
    let limits = Limits { accept_tail: Duration::from_secs(1), ..Limits::default() };
    let plane = Plane::of_one_worker(limits, vec![Site::new("web", &[origin.address])]);
    let start = Instant::now();
    let deadline = start + Duration::from_secs(60);
    plane.drain.advance(Phase::Draining(Schedule { start, spread: Duration::ZERO, deadline }));
    let mut late = plane.connect().await;
    late.send(GET).await;
    assert!(late.rest().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(soon(plane.handle.join()).await.unwrap(), 0);
}
