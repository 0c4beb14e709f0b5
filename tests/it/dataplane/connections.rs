//! How a viewer's HTTP/1.1 connection lives between its requests, and how it ends.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate::dataplane::Limits;
use tidegate::drain::{Phase, Schedule};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use super::rig::{EchoOrigin, Plane, RawOrigin, Site, Viewer, field, soon, table};
use super::tls::{Made, certificates, client, handshake, make, usable};
use crate::websocket::peers;

const GET: &str = "GET / HTTP/1.1\r\nHost: web.example\r\n\r\n";

/// Limits under which a connection that has nothing to do rests at once.
fn drowsy() -> Limits {
    Limits { hibernation: Duration::ZERO, ..Limits::default() }
}

/// A data plane of one worker before an origin, and what its viewers trust over TLS.
fn with_tls(origin: SocketAddr, limits: Limits) -> (Plane, Made) {
    let made = make(&["web.example"]);
    let plane = Plane::of_one_worker(limits, vec![]);
    let own = certificates(&[("web", usable(&made))], None);
    plane.handle.publish(table(vec![Site::new("web", &[origin])], own));
    (plane, made)
}

#[tokio::test]
async fn a_connection_retires_with_the_last_of_its_requests() {
    let origin = EchoOrigin::start("web").await;
    let limits = Limits { connection_requests: 3, ..Limits::default() };
    let plane = Plane::of_one_worker(limits, vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    for last in [false, false, true] {
        viewer.send(GET).await;
        let answer = viewer.response().await;
        assert_eq!(field(&answer, "connection"), last.then_some("close"), "{answer}");
    }
    assert_eq!(viewer.rest().await, "");
}

#[tokio::test]
async fn a_connection_retires_by_its_age() {
    let origin = EchoOrigin::start("web").await;
    for (age, retires) in [(Duration::ZERO, true), (Duration::from_secs(60), false)] {
        let limits = Limits { connection_age: age, ..Limits::default() };
        let plane = Plane::of_one_worker(limits, vec![Site::new("web", &[origin.address])]);
        let mut viewer = plane.connect().await;
        viewer.send(GET).await;
        let answer = viewer.response().await;
        assert_eq!(field(&answer, "connection"), retires.then_some("close"), "{answer}");
    }
}

#[tokio::test]
async fn a_viewer_of_http_1_0_keeps_its_connection_where_it_asks_and_the_body_has_a_length() {
    let origin = RawOrigin::start().await;
    let plane = Plane::of_one_worker(Limits::default(), vec![Site::new("web", &[origin.address])]);
    let get = "GET / HTTP/1.0\r\nHost: web.example\r\nConnection: keep-alive\r\n\r\n";
    let mut viewer = plane.connect().await;
    viewer.send(get).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let answer = viewer.response().await;
    assert_eq!(field(&answer, "connection"), Some("keep-alive"));
    viewer.send(get).await;
    connection.until("\r\n\r\n").await;
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await;
    let answer = viewer.rest().await;
    assert_eq!(field(&answer, "transfer-encoding"), None);
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
}

#[tokio::test]
async fn pipelined_requests_are_served_one_after_another() {
    let origin = RawOrigin::start().await;
    let plane = Plane::of_one_worker(Limits::default(), vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    let all: String = (0..40).map(|place| GET.replace("GET / ", &format!("GET /{place} "))).collect();
    viewer.send(all).await;
    let mut connection = origin.accept().await;
    for place in 0..40 {
        // The whole of what the origin has: nothing of the next one is on its way.
        let head = connection.until("\r\n\r\n").await;
        assert!(head.starts_with(&format!("GET /{place} ")), "{head}");
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{place:02}");
        connection.send(answer).await;
        let answer = viewer.response().await;
        assert!(answer.ends_with(&format!("\r\n\r\n{place:02}")), "{answer}");
    }
}

#[tokio::test]
async fn who_pipelines_without_end_is_not_read() {
    let origin = RawOrigin::start().await;
    let plane = Plane::of_one_worker(Limits::default(), vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer.send(GET).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    let many = GET.repeat(1000);
    let mut taken = 0;
    while let Ok(wrote) = timeout(Duration::from_millis(200), viewer.stream.write(many.as_bytes())).await {
        taken += wrote.unwrap();
        assert!(taken < 64 << 20, "somebody buffers without a bound");
    }
}

/// A request that is refused although its body is still to come.
const REFUSED: &str = "POST / HTTP/1.1\r\nHost: nobody.example\r\nContent-Length: 100000\r\n\r\n";

#[tokio::test]
async fn a_refusal_over_tls_reaches_a_viewer_that_still_sends() {
    let origin = RawOrigin::start().await;
    let (plane, made) = with_tls(origin.address, Limits::default());
    let mut viewer = handshake(&plane, &client(&[&made], &[]), "web.example").await.unwrap();
    viewer.send(REFUSED).await;
    viewer.send(vec![b'x'; 100_000]).await;
    let answer = viewer.rest().await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

/// Waits until what the viewer sends is answered by a reset.
async fn until_reset(viewer: &mut Viewer, piece: &[u8], pause: Duration) {
    soon(async {
        while viewer.stream.write_all(piece).await.is_ok() {
            sleep(pause).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_limit_of_lingering() {
    let origin = RawOrigin::start().await;
    let short = Duration::from_millis(300);
    let limits = Limits { linger: short, ..Limits::default() };
    let plane = Plane::of_one_worker(limits, vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer.send(REFUSED).await;
    viewer.rest().await;
    let began = Instant::now();
    until_reset(&mut viewer, b"x", Duration::from_millis(20)).await;
    assert!(began.elapsed() > short / 2, "it was reset before its limit");
}

#[tokio::test]
async fn the_limit_of_what_is_read_while_lingering() {
    let origin = RawOrigin::start().await;
    let limits = Limits { linger: Duration::from_secs(60), linger_bytes: 64 * 1024, ..Limits::default() };
    let plane = Plane::of_one_worker(limits, vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer.send(REFUSED).await;
    viewer.rest().await;
    until_reset(&mut viewer, &[b'x'; 16 * 1024], Duration::ZERO).await;
}

#[tokio::test]
async fn a_connection_that_rests_goes_on_with_the_next_byte() {
    let origin = EchoOrigin::start("web").await;
    let (plane, made) = with_tls(origin.address, drowsy());
    converse(plane.connect().await).await;
    converse(handshake(&plane, &client(&[&made], &[]), "web.example").await.unwrap()).await;
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut viewer: Viewer<S>) {
    for place in 0..20 {
        // In two pieces: each finds the connection at rest, or in the middle of a head.
        let (first, rest) = GET.split_at(place % 8);
        viewer.send(first).await;
        tokio::task::yield_now().await;
        // And a piece of the next one, which must not be lost.
        viewer.send(format!("{rest}{GET}GET /last")).await;
        viewer.response().await;
        viewer.response().await;
        viewer.send(" HTTP/1.1\r\nHost: web.example\r\n\r\n").await;
        let answer = viewer.response().await;
        assert!(answer.contains("\nGET /last HTTP/1.1\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_that_rests_can_become_a_tunnel() {
    let origin = RawOrigin::start().await;
    let plane = Plane::of_one_worker(drowsy(), vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer.send(GET).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    viewer.response().await;
    viewer.send(peers::handshake("")).await;
    connection.until("\r\n\r\n").await;
    connection.send(peers::switching("")).await;
    viewer.until("\r\n\r\n").await;
    viewer.send(b"\x82\x80abcd").await;
    assert_eq!(connection.bytes(6).await, b"\x82\x80abcd");
}

#[tokio::test]
async fn a_drain_closes_connections_that_rest() {
    let origin = EchoOrigin::start("web").await;
    let plane = Plane::of_one_worker(drowsy(), vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer.send(GET).await;
    viewer.response().await;
    let start = Instant::now();
    let deadline = start + Duration::from_secs(60);
    plane.drain.advance(Phase::Draining(Schedule { start, spread: Duration::ZERO, deadline }));
    assert_eq!(viewer.rest().await, "");
}

#[tokio::test]
async fn what_the_parser_refuses_is_counted_like_other_refusals() {
    let origin = RawOrigin::start().await;
    let plane = Plane::of_one_worker(Limits::default(), vec![Site::new("web", &[origin.address])]);
    let rows = [
        ("GET / HTTP/2.0\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200)), "431"),
    ];
    for (request, status) in rows {
        let answer = plane.ask(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let page = plane.metrics.encode().unwrap();
        let counted = |line: &str| {
            line.starts_with("tidegate_requests_total{")
                && line.contains(&format!("code=\"{status}\""))
                && line.ends_with(" 1")
        };
        assert!(page.lines().any(counted), "{page}");
    }
}
