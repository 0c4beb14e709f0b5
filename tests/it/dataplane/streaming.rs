//! Bodies in both directions: at once, bounded, and never taken for complete when they are not.

use std::time::Duration;

use tidegate::dataplane::Limits;
use tidegate::drain::{Phase, Schedule};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep, timeout};

use super::rig::{Plane, RawOrigin, Site, Viewer, field, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: web.example\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

async fn exchange(plane: &Plane, origin: &RawOrigin, request: &str) -> (Viewer, Viewer) {
    let mut viewer = plane.connect().await;
    viewer.send(request).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    (viewer, connection)
}

/// Writes until nothing has been taken for a while; gives how much was.
pub(super) async fn fill(stream: &mut Viewer) -> usize {
    let piece = vec![b'x'; 64 * 1024];
    let mut taken = 0;
    while let Ok(wrote) = timeout(Duration::from_millis(200), stream.stream.write(&piece)).await {
        taken += wrote.unwrap();
        assert!(taken < 64 << 20, "somebody buffers without a bound");
    }
    taken
}

#[tokio::test]
async fn each_piece_passes_as_it_comes() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let post = "POST / HTTP/1.1\r\nHost: web.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (mut viewer, mut connection) = exchange(&plane, &origin, post).await;
    connection.send(CHUNKED).await;
    viewer.until("\r\n\r\n").await;
    for piece in ["1\r\na\r\n", "1\r\nb\r\n"] {
        viewer.send(piece).await;
        assert_eq!(connection.until(piece).await, piece);
        connection.send(piece).await;
        assert_eq!(viewer.until(piece).await, piece);
    }
    viewer.send("0\r\n\r\n").await;
    connection.until("0\r\n\r\n").await;
    connection.send("0\r\n\r\n").await;
    viewer.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_request_goes_on_behind_its_answer_though_nobody_reads_that_yet() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let post = format!("POST / HTTP/1.1\r\nHost: web.example\r\nContent-Length: {LONG}\r\n\r\n");
    let (mut viewer, mut connection) = exchange(&plane, &origin, &post).await;
    connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40)).await;
    fill(&mut connection).await;
    let (mut at_origin, body) = (connection.stream, vec![b'x'; LONG]);
    let mut received = vec![0; LONG];
    let both =
        async { tokio::try_join!(viewer.stream.write_all(&body), at_origin.read_exact(&mut received)) };
    soon(both).await.unwrap();
}

#[tokio::test]
async fn a_viewer_that_does_not_read_stops_the_origin() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let (mut viewer, mut connection) = exchange(&plane, &origin, GET).await;
    connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40)).await;
    let taken = fill(&mut connection).await;
    viewer.until("\r\n\r\n").await;
    // What was held back goes on when the viewer reads.
    viewer.bytes(taken / 2).await;
    assert!(fill(&mut connection).await > 0);
}

#[tokio::test]
async fn an_origin_that_does_not_read_stops_the_viewer() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let post = format!("POST / HTTP/1.1\r\nHost: web.example\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40);
    let (mut viewer, mut connection) = exchange(&plane, &origin, &post).await;
    let taken = fill(&mut viewer).await;
    connection.bytes(taken / 2).await;
    assert!(fill(&mut viewer).await > 0);
}

#[tokio::test]
async fn a_cut_body_is_not_taken_for_a_whole_one() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    for (request, head) in [
        (GET.to_owned(), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
        (GET.to_owned(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        (GET.replace("1.1", "1.0"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
    ] {
        let (mut viewer, mut connection) = exchange(&plane, &origin, &request).await;
        connection.send(head).await;
        viewer.until("half").await;
        drop(connection);
        assert!(viewer.ends().await.is_err(), "{head}");
    }
}

#[tokio::test]
async fn a_viewer_that_goes_takes_its_exchange_along() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let (viewer, mut connection) = exchange(&plane, &origin, GET).await;
    drop(viewer);
    assert_eq!(connection.rest().await, "");
}

#[tokio::test]
async fn a_viewer_that_stops_sending_is_408() {
    let limits = Limits { request_body_gap: Duration::from_millis(50), ..Limits::default() };
    let origin = RawOrigin::start().await;
    let plane = Plane::of_one_worker(limits, vec![Site::new("web", &[origin.address])]);
    let post = "POST / HTTP/1.1\r\nHost: web.example\r\nContent-Length: 9\r\n\r\nhalf";
    let (mut viewer, _connection) = exchange(&plane, &origin, post).await;
    let response = viewer.response().await;
    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
    assert_eq!(field(&response, "x-tidegate-error"), Some("viewer_timeout"));
    assert_eq!(field(&response, "connection"), Some("close"));
}

#[tokio::test]
async fn a_viewer_that_takes_nothing_is_reset() {
    let limits = Limits { answer_stall: Duration::from_millis(50), ..Limits::default() };
    let origin = RawOrigin::start().await;
    let plane = Plane::of_one_worker(limits, vec![Site::new("web", &[origin.address])]);
    let (mut viewer, mut connection) = exchange(&plane, &origin, GET).await;
    connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40)).await;
    let piece = vec![b'x'; 64 * 1024];
    soon(async { while connection.stream.write_all(&piece).await.is_ok() {} }).await;
    assert!(viewer.ends().await.is_err());
}

#[tokio::test]
async fn an_answer_before_the_bodys_end_reaches_a_viewer_that_still_sends() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let post = "POST / HTTP/1.1\r\nHost: nobody.example\r\nContent-Length: 100000\r\n\r\n";
    let mut viewer = plane.connect().await;
    viewer.send(post).await;
    viewer.send(vec![b'x'; 100_000]).await;
    let response = viewer.rest().await;
    assert!(response.starts_with("HTTP/1.1 404 "), "{response}");
}

const LONG: usize = 256 * 1024;

/// Buffers that hold all of an answer of which the viewer's socket takes only a part.
fn wide() -> Limits {
    Limits { buffer_bytes: 4 * LONG, unflushed_bytes: 4 * LONG, ..Limits::default() }
}

/// An exchange whose viewer has little buffered outside of the proxy: by itself, and by the kernel for segments
/// so short.
async fn narrow_exchange(plane: &Plane, origin: &RawOrigin, request: &str) -> (Viewer, Viewer) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket2::SockRef::from(&socket).set_tcp_mss(536).unwrap();
    let mut viewer = Viewer::on(soon(socket.connect(plane.handle.http_addresses()[0])).await.unwrap());
    viewer.send(request).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    (viewer, connection)
}

/// Has the origin answer at once, and gives how much of the body a viewer sees that is slow to read.
async fn seen_slowly((mut viewer, mut connection): (Viewer, Viewer)) -> usize {
    connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n")).await;
    connection.send(vec![b'x'; LONG]).await;
    sleep(Duration::from_millis(100)).await;
    viewer.until("\r\n\r\n").await;
    viewer.rest().await.len()
}

/// How much an origin can send to a viewer that reads nothing, and so what is buffered between them.
async fn sent_in_vain(limits: Limits) -> usize {
    let origin = RawOrigin::start().await;
    let plane = Plane::of_one_worker(limits, vec![Site::new("web", &[origin.address])]);
    let (_viewer, mut connection) = narrow_exchange(&plane, &origin, GET).await;
    socket2::SockRef::from(&connection.stream).set_send_buffer_size(4096).unwrap();
    connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40)).await;
    fill(&mut connection).await
}

#[tokio::test]
async fn what_a_viewer_does_not_read_stays_with_the_origin() {
    // The kernel's buffers on both sides are counted, too.
    let sent = sent_in_vain(Limits::default()).await;
    assert!(sent <= 384 * 1024, "{sent} bytes are buffered for one viewer");
}

#[tokio::test]
async fn what_is_on_its_way_to_a_viewer_is_bounded_however_much_may_be_buffered() {
    let sent = sent_in_vain(Limits { unflushed_bytes: 16 * 1024, ..wide() }).await;
    assert!(sent <= 1024 * 1024, "{sent} bytes are buffered for one viewer");
    // With no such bound the buffers fill up.
    let sent = sent_in_vain(wide()).await;
    assert!(sent > 1024 * 1024, "{sent} bytes are buffered for one viewer");
}

#[tokio::test]
async fn a_drain_lets_a_slow_viewer_have_the_last_byte() {
    let origin = RawOrigin::start().await;
    let plane = Plane::of_one_worker(wide(), vec![Site::new("web", &[origin.address])]);
    let exchange = narrow_exchange(&plane, &origin, GET).await;
    let start = Instant::now();
    let deadline = start + Duration::from_secs(60);
    plane.drain.advance(Phase::Draining(Schedule { start, spread: Duration::ZERO, deadline }));
    assert_eq!(seen_slowly(exchange).await, LONG);
}

#[tokio::test]
async fn an_answer_before_the_bodys_end_reaches_a_slow_viewer_and_ends_the_exchange() {
    let origin = RawOrigin::start().await;
    let plane = Plane::of_one_worker(wide(), vec![Site::new("web", &[origin.address])]);
    let post = "POST / HTTP/1.1\r\nHost: web.example\r\nContent-Length: 9\r\n\r\nhalf";
    assert_eq!(seen_slowly(narrow_exchange(&plane, &origin, post).await).await, LONG);
}
