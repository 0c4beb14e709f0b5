//! Requests that must be sent again and requests that must not, against origins that count what reaches them.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tidegate::dataplane::Limits;
use tidegate::table::balancing::{Algorithm, Balancing, OutlierDetection};
use tidegate::table::origin::Origin;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::counting::{Behaviour, CountingOrigin};
use super::rig::{LIMIT, Plane, RawOrigin, Site, Viewer, field, soon};
use super::rollout::{self, Outcome, Shape};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn request(method: &str, body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{method} / HTTP/1.1\r\nHost: web.example\r\n{length}\r\n{body}")
}

/// One endpoint after the other, none left out: each is met sooner or later.
fn in_turn(origin: &mut Origin) {
    origin.balancing = Balancing { algorithm: Algorithm::RoundRobin, affinity: None };
    origin.outlier_detection = OutlierDetection { max_ejected_percent: 0, ..OutlierDetection::default() };
    origin.connection_timeout = Duration::from_millis(200);
}

fn site(endpoints: &[SocketAddr]) -> Site {
    Site { origin: in_turn, ..Site::new("web", endpoints) }
}

fn plane(endpoints: &[SocketAddr]) -> Plane {
    Plane::of_one_worker(Limits::default(), vec![site(endpoints)])
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A listener whose queue is full, so that the next one who comes hears nothing; and who fills it.
async fn silent() -> (socket2::Socket, SocketAddr, Vec<TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let loopback: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&loopback.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queue = Vec::new();
    let patience = Duration::from_millis(300);
    while let Ok(connected) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
        queue.push(connected.unwrap());
    }
    (socket, address, queue)
}

async fn answer(viewer: &mut Viewer, request: &str) -> String {
    viewer.send(request).await;
    viewer.response().await
}

fn assert_status(response: &str, status: u16) {
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
}

#[tokio::test]
async fn a_refused_connection_is_safe_for_any_method_and_its_body() {
    let origin = CountingOrigin::start(Behaviour::Answer(200)).await;
    let plane = plane(&[nobody(), origin.address]);
    for method in ["GET", "POST"] {
        let mut viewer = plane.connect().await;
        for _ in 0..2 {
            assert_status(&answer(&mut viewer, &request(method, "hello")).await, 200);
        }
    }
    assert_eq!((origin.requests(), origin.body_bytes()), (4, 20));
}

#[tokio::test]
async fn a_connection_that_takes_too_long_is_tried_elsewhere() {
    let origin = CountingOrigin::start(Behaviour::Answer(200)).await;
    let (_socket, silent, _queue) = silent().await;
    let plane = plane(&[silent, origin.address]);
    let mut viewer = plane.connect().await;
    for _ in 0..2 {
        assert_status(&answer(&mut viewer, &request("POST", "hello")).await, 200);
    }
    assert_eq!((origin.requests(), origin.body_bytes()), (2, 10));
    let alone = self::plane(&[silent]);
    let response = answer(&mut alone.connect().await, &request("GET", "")).await;
    assert_status(&response, 504);
    assert_eq!(field(&response, "x-tidegate-error"), Some("origin_connect_timeout"));
}

#[tokio::test]
async fn a_pooled_connection_that_was_closed_costs_no_request_of_any_method() {
    let origin = RawOrigin::start().await;
    let plane = plane(&[origin.address]);
    let mut viewer = plane.connect().await;
    for method in ["GET", "POST", "PUT", "OPTIONS"] {
        viewer.send(request(method, "")).await;
        let mut connection = origin.accept().await;
        connection.until("\r\n\r\n").await;
        connection.send(OK).await;
        assert_status(&viewer.response().await, 200);
        // When it has answered the end with its own, it knows.
        connection.stream.shutdown().await.unwrap();
        assert_eq!(connection.rest().await, "");
    }
}

/// What a viewer gets and how often its request arrives when a connection that had carried one before dies at the
/// request; `read` is what the origin reads of it first.
async fn on_a_dying_connection(method: &str, body: &str, read: &str) -> (String, usize) {
    let origin = RawOrigin::start().await;
    let plane = plane(&[origin.address]);
    let mut viewer = plane.connect().await;
    viewer.send(request("GET", "")).await;
    let mut pooled = origin.accept().await;
    pooled.until("\r\n\r\n").await;
    pooled.send(OK).await;
    viewer.response().await;

    viewer.send(request(method, body)).await;
    pooled.until(read).await;
    drop(pooled);
    let mut arrived = 1;
    let again = async {
        loop {
            let mut fresh = origin.accept().await;
            fresh.until("\r\n\r\n").await;
            arrived += 1;
            fresh.send(OK).await;
        }
    };
    let response = tokio::select! {
        response = viewer.response() => response,
        () = again => unreachable!(),
    };
    (response, arrived)
}

#[tokio::test]
async fn what_was_written_is_sent_again_only_where_it_does_no_harm() {
    for (method, status, times) in [("GET", 200, 2), ("PUT", 200, 2), ("OPTIONS", 200, 2), ("POST", 502, 1)] {
        let (response, arrived) = on_a_dying_connection(method, "", "\r\n\r\n").await;
        assert_status(&response, status);
        assert_eq!(arrived, times, "{method}");
    }
}

#[tokio::test]
async fn a_body_that_was_begun_is_never_sent_again() {
    for method in ["GET", "PUT", "POST"] {
        let (response, arrived) = on_a_dying_connection(method, "hello", "hello").await;
        assert_status(&response, 502);
        assert_eq!(field(&response, "x-tidegate-error"), Some("origin_reset"), "{method}");
        assert_eq!(arrived, 1, "{method}");
    }
}

#[tokio::test]
async fn after_a_byte_of_an_answer_nothing_is_sent_again() {
    let origin = RawOrigin::start().await;
    let plane = plane(&[origin.address]);
    let mut viewer = plane.connect().await;
    viewer.send(request("GET", "")).await;
    let mut pooled = origin.accept().await;
    pooled.until("\r\n\r\n").await;
    pooled.send(OK).await;
    viewer.response().await;
    viewer.send(request("GET", "")).await;
    pooled.until("\r\n\r\n").await;
    pooled.send("HTTP/1.1 2").await;
    drop(pooled);
    let response = origin.nobody_comes_while(viewer.response()).await;
    assert_status(&response, 502);
}

#[tokio::test]
async fn a_fresh_connection_that_dies_is_no_reason_to_send_again() {
    let closing = CountingOrigin::start(Behaviour::Close).await;
    let other = CountingOrigin::start(Behaviour::Answer(200)).await;
    let plane = plane(&[closing.address, other.address]);
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let response = answer(&mut plane.connect().await, &request("GET", "")).await;
        statuses.push(response.get(9..12).unwrap().to_owned());
    }
    statuses.sort();
    assert_eq!(statuses, ["200", "502"]);
    assert_eq!((closing.requests(), other.requests()), (1, 1));
}

#[tokio::test]
async fn a_viewer_is_told_to_continue_once_whichever_endpoint_takes_its_body() {
    let origin = CountingOrigin::start(Behaviour::Answer(200)).await;
    let plane = plane(&[nobody(), nobody(), origin.address]);
    let mut viewer = plane.connect().await;
    viewer
        .send("POST / HTTP/1.1\r\nHost: web.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(viewer.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    viewer.send("hello").await;
    assert_status(&viewer.response().await, 200);
    assert_eq!((origin.requests(), origin.body_bytes()), (1, 5));
}

#[tokio::test]
async fn retries_end_with_their_budget_and_requests_that_need_none_go_on() {
    let origin = CountingOrigin::start(Behaviour::Answer(200)).await;
    let plane = plane(&[nobody(), origin.address]);
    let mut viewer = plane.connect().await;
    let (mut served, mut refused) = (0, 0);
    for _ in 0..400 {
        let response = answer(&mut viewer, &request("GET", "")).await;
        match field(&response, "x-tidegate-error") {
            None => served += 1,
            Some("origin_refused") => refused += 1,
            Some(other) => panic!("{other}"),
        }
    }
    // One in two needs another attempt, and one in five gets it.
    assert!(refused > 0 && served >= 200 + 40, "{served} were served and {refused} were not");
    assert_eq!(origin.requests(), served);
    let page = plane.metrics.encode().unwrap();
    let of_web = r#"namespace="test",distribution="web",origin="web""#;
    let exhausted = format!("tidegate_retry_budget_exhausted_total{{{of_web}}} {refused}\n");
    assert!(page.contains(&exhausted), "{exhausted}: {page}");
}

#[tokio::test]
async fn no_endpoint_is_asked_twice_for_one_request() {
    let plane = plane(&[nobody(), nobody()]);
    let response = answer(&mut plane.connect().await, &request("GET", "")).await;
    assert_status(&response, 502);
    let page = plane.metrics.encode().unwrap();
    let of_web = r#"namespace="test",distribution="web",origin="web""#;
    assert!(page.contains(&format!("tidegate_origin_retries_total{{{of_web}}} 1\n")), "{page}");
    assert!(
        page.contains(&format!("tidegate_origin_errors_total{{{of_web},reason=\"origin_refused\"}} 2\n")),
        "{page}"
    );
}

#[tokio::test]
async fn what_tidegate_answers_by_itself_is_counted_apart_from_what_origins_answer() {
    let get = "GET / HTTP/1.1\r\nHost: web.example\r\nConnection: close\r\n\r\n";
    let origin = CountingOrigin::start(Behaviour::Answer(502)).await;
    for (endpoint, counted) in [(nobody(), true), (origin.address, false)] {
        let plane = plane(&[endpoint]);
        assert_status(&plane.ask(get).await, 502);
        let page = plane.metrics.encode().unwrap();
        let of_web = r#"namespace="test",distribution="web",code="502""#;
        assert!(page.contains(&format!("tidegate_requests_total{{{of_web},protocol=\"h1\"}} 1\n")), "{page}");
        let own = format!("tidegate_own_answers_total{{{of_web},reason=\"origin_refused\"}} 1\n");
        assert_eq!(page.contains(&own), counted, "{page}");
    }
}

fn within_a_moment(origin: &mut Origin) {
    origin.completion_timeout = Some(Duration::from_millis(200));
}

#[tokio::test]
async fn an_exchange_that_takes_too_long_is_504_before_its_answer_and_broken_off_after() {
    let origin = RawOrigin::start().await;
    let site = Site { origin: within_a_moment, ..Site::new("web", &[origin.address]) };
    let plane = Plane::of_one_worker(Limits::default(), vec![site]);
    let mut viewer = plane.connect().await;
    viewer.send(request("GET", "")).await;
    let mut silent = origin.accept().await;
    silent.until("\r\n\r\n").await;
    let response = viewer.response().await;
    assert_status(&response, 504);
    assert_eq!(field(&response, "x-tidegate-error"), Some("origin_completion_timeout"));

    viewer.send(request("GET", "")).await;
    let mut slow = origin.accept().await;
    slow.until("\r\n\r\n").await;
    slow.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n").await;
    let (head, drip) = (viewer.until("ok\r\n").await, async {
        loop {
            // It fails when the exchange is broken off, and that is looked at from the other side.
            let _broken_off = slow.stream.write_all(b"1\r\n.\r\n").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_status(&head, 200);
    let ended = tokio::select! {
        ended = viewer.ends() => ended,
        () = drip => unreachable!(),
    };
    assert!(!ended.is_ok_and(|rest| rest.ends_with("0\r\n\r\n")), "it looks complete");
}

#[tokio::test]
async fn a_websocket_outlives_the_limit_of_exchanges() {
    let origin = RawOrigin::start().await;
    let site = Site { origin: within_a_moment, ..Site::new("web", &[origin.address]) };
    let plane = Plane::of_one_worker(Limits::default(), vec![site]);
    let mut viewer = plane.connect().await;
    viewer.send(HANDSHAKE).await;
    let mut socket = origin.accept().await;
    socket.until("\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    socket.send(SWITCHING).await;
    assert_status(&viewer.until("\r\n\r\n").await, 101);
    tokio::time::sleep(Duration::from_millis(300)).await;
    socket.send(b"\x82\x02hi").await;
    assert_eq!(viewer.bytes(4).await, b"\x82\x02hi");
}

const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: web.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[tokio::test]
async fn a_full_endpoint_is_passed_over_and_full_ones_are_503() {
    let (one, other) = (RawOrigin::start().await, RawOrigin::start().await);
    let limited = |origin: &mut Origin| origin.max_connections_per_endpoint = std::num::NonZeroU32::new(1);
    let site = Site { origin: limited, ..Site::new("web", &[one.address, other.address]) };
    let plane = Plane::serving(vec![site]);
    let (mut socket, mut second, mut third) =
        (plane.connect().await, plane.connect().await, plane.connect().await);
    socket.send(HANDSHAKE).await;
    second.send(request("GET", "")).await;
    let (mut at_one, mut at_other) = soon(async { (one.accept().await, other.accept().await) }).await;
    let (head, _) = (at_one.until("\r\n\r\n").await, at_other.until("\r\n\r\n").await);
    let response = answer(&mut third, &request("GET", "")).await;
    assert_status(&response, 503);
    assert_eq!(field(&response, "x-tidegate-error"), Some("connection_limit"));
    // The request ends and leaves its place to the next one, the WebSocket keeps its own.
    let (at_socket, at_second) =
        if head.contains("websocket") { (&mut at_one, &mut at_other) } else { (&mut at_other, &mut at_one) };
    at_socket.send(SWITCHING).await;
    assert_status(&socket.until("\r\n\r\n").await, 101);
    at_second.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
    assert_status(&second.response().await, 200);
    let mut fourth = plane.connect().await;
    fourth.send(request("GET", "")).await;
    let next = async {
        tokio::select! {
            next = one.accept() => next,
            next = other.accept() => next,
        }
    };
    let mut next = tokio::time::timeout(LIMIT, next).await.unwrap();
    next.until("\r\n\r\n").await;
    next.send(OK).await;
    assert_status(&fourth.response().await, 200);
}

#[tokio::test]
async fn rollouts_lose_no_request() {
    let shape = Shape {
        endpoints: 5,
        rollouts: 2,
        step: Duration::from_millis(100),
        stop_after: Duration::from_millis(1500),
        rate: 200,
        viewers: 10,
    };
    let Outcome { served, failed } = rollout::run(&shape).await;
    assert!(failed.is_empty(), "{} of {} failed: {:?}", failed.len(), served + failed.len(), failed.first());
    assert!(served > 100, "{served}");
}
