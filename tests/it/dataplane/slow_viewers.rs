//! Viewers that are slow at every stage of HTTP/1.1, plaintext and TLS: each is closed at its limit, and one that
//! is only slow within the limit is served.
//!
//! The limits are shrunk; a test sees that its limit is what closed the connection: not before it, and not later
//! than [`LATENESS`] behind it.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tidegate::dataplane::Limits;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use super::rig::{EchoOrigin, Plane, RawOrigin, Site, Viewer, field, soon, table};
use super::tls::{Made, certificates, client, handshake, make, usable};

/// The limit under test; all others are far away.
const SHORT: Duration = Duration::from_millis(300);
const LATENESS: Duration = Duration::from_secs(1);

const GET: &str = "GET / HTTP/1.1\r\nHost: web.example\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: web.example\r\nContent-Length: 100000\r\n\r\n";

/// A data plane of one worker, with TLS.
struct Stage {
    plane: Plane,
    certificate: Made,
}

impl Stage {
    /// One before an origin that the test plays.
    async fn new(limits: Limits) -> (Self, RawOrigin) {
        let origin = RawOrigin::start().await;
        (Self::before(origin.address, limits), origin)
    }

    fn before(origin: SocketAddr, limits: Limits) -> Self {
        let certificate = make(&["web.example"]);
        let plane = Plane::of_one_worker(limits, vec![]);
        let own = certificates(&[("web", usable(&certificate))], None);
        plane.handle.publish(table(vec![Site::new("web", &[origin])], own));
        Self { plane, certificate }
    }

    async fn over_tls(&self) -> Viewer<impl AsyncRead + AsyncWrite + Unpin + use<>> {
        handshake(&self.plane, &client(&[&self.certificate], &[]), "web.example").await.unwrap()
    }

    async fn tcp_of_tls(&self) -> Viewer {
        Viewer::connect(self.plane.handle.https_addresses()[0]).await
    }
}

/// Runs what must end at the limit, and gives what it gave.
async fn at_the_limit<T>(what: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let ended = timeout(SHORT + LATENESS, what).await.expect("the limit was not kept");
    // The limit's clock may have begun before ours.
    assert!(began.elapsed() > SHORT / 2, "it was cut before its limit");
    ended
}

/// Sends one byte after another until nobody takes them any more, and gives what came back.
async fn drip<S: AsyncRead + AsyncWrite + Unpin>(viewer: Viewer<S>, bytes: &[u8], pause: Duration) -> String {
    let (mut reading, mut writing) = tokio::io::split(viewer.stream);
    let mut received = Vec::new();
    let write = async {
        for byte in bytes {
            if writing.write_all(&[*byte]).await.is_err() || writing.flush().await.is_err() {
                break;
            }
            sleep(pause).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = write => {}
        // A viewer that went on sending may be reset behind the answer.
        _end = reading.read_to_end(&mut received) => {}
    }
    String::from_utf8(received).unwrap()
}

const PAUSE: Duration = Duration::from_millis(20);

fn endless_head() -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: web.example\r\nA: {}", "b".repeat(10_000)).into_bytes()
}

#[tokio::test]
async fn the_limit_of_the_first_byte() {
    let (stage, _origin) = Stage::new(Limits { request_head: SHORT, ..Limits::default() }).await;
    assert_eq!(at_the_limit(stage.plane.ask("")).await, "");
    let mut viewer = stage.over_tls().await;
    assert_eq!(at_the_limit(viewer.rest()).await, "");
}

#[tokio::test]
async fn the_limit_of_the_request_head() {
    let (stage, _origin) = Stage::new(Limits { request_head: SHORT, ..Limits::default() }).await;
    let plain = at_the_limit(drip(stage.plane.connect().await, &endless_head(), PAUSE)).await;
    let over_tls = at_the_limit(drip(stage.over_tls().await, &endless_head(), PAUSE)).await;
    for answer in [plain, over_tls] {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert_eq!(field(&answer, "x-tidegate-error"), Some("viewer_timeout"));
    }
}

#[tokio::test]
async fn the_limit_of_the_next_head_begins_with_its_first_byte() {
    let limits = Limits { request_head: SHORT, hibernation: Duration::from_millis(10), ..Limits::default() };
    let origin = EchoOrigin::start("web").await;
    let plane = Plane::of_one_worker(limits, vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    // The first bytes of the next head come with the request before it.
    viewer.send(format!("{GET}GE")).await;
    viewer.response().await;
    let answer = at_the_limit(drip(viewer, &endless_head()[2..], PAUSE)).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn the_limit_of_the_tls_handshake() {
    let (stage, _origin) = Stage::new(Limits { tls_handshake: SHORT, ..Limits::default() }).await;
    assert_eq!(at_the_limit(async { stage.tcp_of_tls().await.ends().await.unwrap_or_default() }).await, "");
    // A ClientHello of 16 KiB, byte by byte.
    let hello = [&b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03"[..], &[0; 1000]].concat();
    assert_eq!(at_the_limit(drip(stage.tcp_of_tls().await, &hello, PAUSE)).await, "");
}

#[tokio::test]
async fn the_limit_of_the_gap_in_a_request_body() {
    let (stage, origin) =
        Stage::new(Limits { request_body_gap: SHORT, request_body_rate: 0, ..Limits::default() }).await;
    let mut plain = stage.plane.connect().await;
    let mut over_tls = stage.over_tls().await;
    plain.send(POST).await;
    over_tls.send(POST).await;
    let _origin = (origin.accept().await, origin.accept().await);
    let (plain, over_tls) = at_the_limit(async { tokio::join!(plain.rest(), over_tls.rest()) }).await;
    for answer in [plain, over_tls] {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert_eq!(field(&answer, "connection"), Some("close"));
    }
}

#[tokio::test]
async fn the_limit_of_the_rate_of_a_request_body() {
    let limits = Limits { request_body_gap: SHORT, request_body_rate: 240, ..Limits::default() };
    let (stage, origin) = Stage::new(limits).await;
    // A byte in 20 ms keeps every gap short, and is 50 bytes a second.
    let body = [POST.as_bytes(), &[b'x'; 1000]].concat();
    for over_tls in [false, true] {
        let answer = match over_tls {
            false => drip_body(&origin, stage.plane.connect().await, &body).await,
            true => drip_body(&origin, stage.over_tls().await, &body).await,
        };
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}

async fn drip_body<S: AsyncRead + AsyncWrite + Unpin>(
    origin: &RawOrigin,
    mut viewer: Viewer<S>,
    request: &[u8],
) -> String {
    let (head, body) = request.split_at(POST.len());
    viewer.send(head).await;
    let _origin = origin.accept().await;
    at_the_limit(drip(viewer, body, PAUSE)).await
}

#[tokio::test]
async fn the_limit_of_an_answer_that_is_not_taken() {
    let (stage, origin) = Stage::new(Limits { answer_stall: SHORT, ..Limits::default() }).await;
    let mut plain = stage.plane.connect().await;
    let mut over_tls = stage.over_tls().await;
    plain.send(GET).await;
    not_taken(&origin, 64 << 20).await;
    over_tls.send(GET).await;
    not_taken(&origin, 64 << 20).await;
    assert!(plain.ends().await.is_err(), "the viewer takes a part for the whole");
    assert!(over_tls.ends().await.is_err(), "the viewer takes a part for the whole");
}

/// Answers and waits until the proxy gives the answer up.
async fn not_taken(origin: &RawOrigin, length: usize) {
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
    let piece = vec![b'x'; 64 * 1024];
    at_the_limit(async { while connection.stream.write_all(&piece).await.is_ok() {} }).await;
}

#[tokio::test]
async fn the_limit_of_idleness() {
    let limits = Limits { viewer_idle: SHORT, ..Limits::default() };
    let origin = EchoOrigin::start("web").await;
    for hibernation in [Duration::from_millis(10), Duration::from_secs(10)] {
        let stage = Stage::before(origin.address, Limits { hibernation, ..limits.clone() });
        let mut plain = stage.plane.connect().await;
        let mut over_tls = stage.over_tls().await;
        plain.send(GET).await;
        over_tls.send(GET).await;
        tokio::join!(plain.response(), over_tls.response());
        let rests = at_the_limit(async { tokio::join!(plain.rest(), over_tls.rest()) }).await;
        assert_eq!(rests, (String::new(), String::new()));
    }
}

#[tokio::test]
async fn who_is_only_slow_is_served() {
    let limits = Limits { hibernation: Duration::from_millis(10), ..Limits::default() };
    let origin = EchoOrigin::start("web").await;
    let stage = Stage::before(origin.address, limits);
    let request = GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    // Every pause is longer than it takes to fall asleep, but within a head nobody does.
    let (plain, over_tls) = soon(async {
        tokio::join!(
            drip(stage.plane.connect().await, request.as_bytes(), PAUSE),
            drip(stage.over_tls().await, request.as_bytes(), PAUSE)
        )
    })
    .await;
    for answer in [plain, over_tls] {
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}
