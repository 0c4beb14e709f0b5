//! Tunnels that the proxy closes: what both endpoints are told.

use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{SinkExt, StreamExt};
use tidegate::dataplane::Limits;
use tidegate::dataplane::websocket::Waits;
use tidegate::drain::{Phase, Schedule};
use tidegate::table::web_socket::{MaxDuration, OnOriginTerminating};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use super::peers::{EchoSocket, close_code, echo, handshake, next, open, open_on, raw_tunnel};
use crate::dataplane::rig::{LIMIT, Plane, RawOrigin, Site, field, soon};

fn drain(spread: Duration) -> Phase {
    let start = Instant::now();
    Phase::Draining(Schedule { start, spread, deadline: start + LIMIT })
}

#[tokio::test]
async fn the_end_of_its_distribution_is_told_to_both_sides() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address]), Site::new("blog", &[])]);
    let far = async { soon(accept_async(origin.accept().await.stream)).await.unwrap() };
    let (mut socket, mut far) = tokio::join!(open(&plane), far);
    plane.publish(vec![Site::new("blog", &[])]);
    let (viewer, origin) = tokio::join!(close_code(&mut socket), close_code(&mut far));
    assert_eq!((viewer, origin), (1001, 1001));
}

#[tokio::test]
async fn a_drain_asks_every_viewer_to_come_back_and_then_ends() {
    let origin = EchoSocket::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut sockets = Vec::new();
    for _ in 0..100 {
        let mut socket = open(&plane).await;
        echo(&mut socket, "hello").await;
        sockets.push(socket);
    }
    let (before, spread) = (Instant::now(), Duration::from_secs(2));
    plane.drain.advance(drain(spread));
    let codes = sockets.iter_mut().map(async |socket| (close_code(socket).await, before.elapsed()));
    let closes = futures_util::future::join_all(codes).await;
    assert!(closes.iter().all(|(code, _)| *code == 1012), "{closes:?}");
    drop(sockets);
    // Evenly would be 25 in each quarter; a busy machine may be late, but never early.
    let in_time = |until: Duration| closes.iter().filter(|(_, at)| *at <= until).count();
    for (quarters, most) in [(1, 45), (2, 70), (3, 95)] {
        let closed = in_time(spread * quarters / 4);
        assert!(closed <= most, "{closed} were closed in {quarters} quarters of the spread: {closes:?}");
    }
    assert_eq!(soon(plane.handle.join()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_drain_refuses_new_handshakes_and_serves_requests() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    // Held open, so that the listeners are.
    let (mut viewer, _far) = raw_tunnel(&plane, &origin).await;
    plane.drain.advance(drain(Duration::ZERO));
    assert_eq!(soon(viewer.stream.read_u8()).await.unwrap(), 0x88);
    let answer = origin.nobody_comes_while(plane.ask(&handshake(""))).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(field(&answer, "x-tidegate-error"), Some("draining"));
}

#[tokio::test]
async fn a_viewer_that_never_answers_is_cut() {
    let origin = EchoSocket::start().await;
    let waits = Waits { goodbye: Duration::from_millis(100), ..Waits::default() };
    let plane = Plane::with(Limits { tunnels: waits, ..Limits::default() });
    plane.publish(vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer.send(handshake("")).await;
    viewer.until("\r\n\r\n").await;
    plane.drain.advance(drain(Duration::ZERO));
    assert_eq!(soon(plane.handle.join()).await.unwrap(), 0);
    let mut got = Vec::new();
    let end = soon(viewer.stream.read_to_end(&mut got)).await;
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(got[..4], [0x88, got[1], 0x03, 0xf4]);
}

#[tokio::test]
async fn the_deadline_cuts_and_counts() {
    let origin = EchoSocket::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut socket = open(&plane).await;
    echo(&mut socket, "hello").await;
    assert_eq!(plane.stop().await, 1);
    assert!(soon(socket.next()).await.unwrap().is_err());
}

#[tokio::test]
async fn a_life_ends_with_its_longest_duration_and_its_pings_are_between_the_proxy_and_the_viewer() {
    let origin = RawOrigin::start().await;
    let mut site = Site::new("web", &[origin.address]);
    site.default.web_socket = |policy| {
        policy.ping_interval = Some(Duration::from_millis(20));
        policy.max_duration = Some(MaxDuration { longest: Duration::from_millis(300), jitter_percent: 0 });
    };
    let plane = Plane::serving(vec![site]);
    let far = async { soon(accept_async(origin.accept().await.stream)).await.unwrap() };
    let (mut socket, mut far) = tokio::join!(open(&plane), far);
    let viewer = async {
        let mut pings = 0;
        loop {
            match next(&mut socket).await {
                // Reading on answers it.
                Message::Ping(payload) => pings += usize::from(payload.len() == 8),
                Message::Close(close) => return (pings, u16::from(close.unwrap().code)),
                other => panic!("{other:?}"),
            }
        }
    };
    let ((pings, code), told) = tokio::join!(viewer, next(&mut far));
    assert!(pings > 2 && code == 1012, "{pings} pings, {code}");
    assert!(matches!(told, Message::Close(Some(close)) if u16::from(close.code) == 1001));
}

#[tokio::test]
async fn an_endpoint_that_terminates_loses_its_websockets_politely_and_an_unready_one_keeps_them() {
    let (first, second) = (EchoSocket::start().await, EchoSocket::start().await);
    let mut site = Site::new("web", &[first.address, second.address]);
    site.default.web_socket = |policy| policy.on_origin_terminating = OnOriginTerminating::Drain;
    let plane = Plane::serving(vec![site.clone()]);
    let mut sockets = Vec::new();
    for _ in 0..8 {
        sockets.push(open(&plane).await);
    }
    // One is not ready for a while; least connections have put four sockets on each.
    let serving = |endpoints: &[&EchoSocket], waiting: &[&EchoSocket]| {
        let addresses =
            |sockets: &[&EchoSocket]| sockets.iter().map(|socket| socket.address).collect::<Vec<_>>();
        vec![Site { endpoints: addresses(endpoints), waiting: addresses(waiting), ..site.clone() }]
    };
    plane.publish(serving(&[&first], &[&second]));
    for socket in &mut sockets {
        echo(socket, "still here").await;
    }
    plane.publish(serving(&[&first], &[]));
    let closed = sockets.iter_mut().map(async |socket| {
        soon(socket.send(Message::text("hello"))).await.unwrap();
        match next(socket).await {
            Message::Close(close) => Some(u16::from(close.unwrap().code)),
            message if message == Message::text("hello") => None,
            message => panic!("{message:?}"),
        }
    });
    // The echo may be faster than the pace.
    let early = futures_util::future::join_all(closed).await;
    let mut codes: Vec<_> = early.iter().flatten().copied().collect();
    let open = "tidegate_websocket_connections{namespace=\"test\",distribution=\"web\",origin=\"web\",protocol=\"h1\"}";
    let silent = sockets.iter_mut().zip(early).filter(|(_, code)| code.is_none()).map(|(socket, _)| socket);
    let mut rest: FuturesUnordered<_> = silent.map(async |socket| soon(socket.next()).await).collect();
    while codes.len() < 4 {
        let Some(Some(Ok(Message::Close(Some(close))))) = rest.next().await else { panic!("it is no Close") };
        codes.push(close.code.into());
    }
    assert_eq!(codes, [1012; 4]);
    assert!(plane.metric(open) >= 4, "those on the other endpoint stay");
}

#[tokio::test]
async fn what_is_no_frame_is_told_with_1002() {
    let origin = EchoSocket::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer.send(handshake("")).await;
    viewer.until("\r\n\r\n").await;
    viewer.send(b"\x81\x02hi").await; // unmasked
    let mut got = Vec::new();
    soon(viewer.stream.read_to_end(&mut got)).await.unwrap();
    assert_eq!(got[..4], [0x88, got[1], 0x03, 0xea]);
}

#[tokio::test]
async fn closing_is_the_endpoints_own_business_otherwise() {
    let origin = EchoSocket::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut socket = open_on("web.example", plane.connect().await.stream).await;
    soon(socket.close(None)).await.unwrap();
    assert!(matches!(soon(socket.next()).await, Some(Ok(Message::Close(None)))));
    assert!(soon(socket.next()).await.is_none());
}
