//! How tunnels and their connection end: the tunnels first, each with its word, and never for a connection's reasons.

use std::time::Duration;

use tidegate::dataplane::Limits;
use tidegate::dataplane::websocket::Waits;
use tidegate::drain::{Phase, Schedule};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::{raw_tunnel, switching};
use crate::dataplane::http2::{Door, get};
use crate::dataplane::rig::{LIMIT, RawOrigin, Site, soon};
use crate::websocket::peers::{EchoSocket, close_code, echo};

const SHORT: Duration = Duration::from_millis(100);

fn drain(spread: Duration) -> Phase {
    let start = Instant::now();
    Phase::Draining(Schedule { start, spread, deadline: start + LIMIT })
}

/// Waits until the connection takes no more streams.
async fn goodbye(client: &crate::dataplane::http2::Client) {
    soon(async {
        while client.requests.clone().ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_drain_closes_tunnels_with_1012_and_the_connection_after_them() {
    let origin = EchoSocket::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let mut sockets = Vec::new();
    for _ in 0..8 {
        let mut socket = client.socket().await;
        echo(&mut socket, "hello").await;
        sockets.push(socket);
    }
    let (before, spread) = (Instant::now(), Duration::from_millis(1600));
    door.plane.drain.advance(drain(spread));
    goodbye(&client).await;
    // The goodbye is the connection's; the youngest tunnel has most of the spread still before it.
    echo(sockets.last_mut().unwrap(), "still here").await;
    let codes = sockets.iter_mut().map(async |socket| (close_code(socket).await, before.elapsed()));
    let closes = futures_util::future::join_all(codes).await;
    assert!(closes.iter().all(|(code, _)| *code == 1012), "{closes:?}");
    let last = closes.iter().map(|(_, at)| *at).max().unwrap();
    assert!(last > spread / 4, "they came as one wave: {closes:?}");
    drop(sockets);
    soon(client.connection).await.unwrap().unwrap();
    assert_eq!(soon(door.plane.handle.join()).await.unwrap(), 0);
}

#[tokio::test]
async fn the_deadline_cuts_tunnels_and_counts_them() {
    let origin = EchoSocket::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let (mut one, mut two) = (client.socket().await, client.socket().await);
    echo(&mut one, "hello").await;
    echo(&mut two, "hello").await;
    door.plane.drain.advance(Phase::Terminating);
    assert_eq!(soon(door.plane.handle.join()).await.unwrap(), 2);
    let mut wire = one.into_inner();
    assert!(soon(wire.read_u8()).await.is_err());
}

#[tokio::test]
async fn the_end_of_its_distribution_is_told() {
    let origin = EchoSocket::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address]), Site::new("blog", &[])]);
    let mut client = door.connect().await;
    let mut socket = client.socket().await;
    echo(&mut socket, "hello").await;
    door.plane.publish(vec![Site::new("blog", &[])]);
    assert_eq!(close_code(&mut socket).await, 1001);
    // The connection is the viewer's, and goes on.
    assert_eq!(client.ask(get("https://web.example/")).await.status(), 404);
}

#[tokio::test]
async fn a_viewer_that_never_answers_a_close_is_reset() {
    let origin = RawOrigin::start().await;
    let waits = Waits { goodbye: SHORT, ..Waits::default() };
    let limits = Limits { tunnels: waits, ..Limits::default() };
    let door = Door::with(limits, vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let (mut wire, _far) = raw_tunnel(&mut client, &origin).await;
    door.plane.drain.advance(drain(Duration::ZERO));
    let mut close = [0; 4];
    soon(wire.read_exact(&mut close)).await.unwrap();
    assert_eq!(close, [0x88, close[1], 0x03, 0xf4]);
    let mut rest = Vec::new();
    assert!(soon(wire.read_to_end(&mut rest)).await.is_err());
    soon(client.connection).await.unwrap().unwrap();
    assert_eq!(soon(door.plane.handle.join()).await.unwrap(), 0);
}

#[tokio::test]
async fn no_limit_of_a_connection_ends_its_tunnels() {
    let origin = RawOrigin::start().await;
    let impatient = Limits {
        viewer_idle: SHORT,
        request_body_gap: SHORT,
        answer_stall: SHORT,
        linger: SHORT,
        ..Limits::default()
    };
    let old = Limits { connection_age: SHORT, ..impatient.clone() };
    let used = Limits { connection_requests: 1, ..impatient.clone() };
    for limits in [impatient, old, used] {
        let door = Door::with(limits, vec![Site::new("web", &[origin.address])]);
        let mut client = door.connect().await;
        let (mut wire, mut far) = raw_tunnel(&mut client, &origin).await;
        // Half a frame, and a viewer that takes nothing for much longer than any of the limits.
        far.send([&b"\x82\x7f\0\0\0\0\x01\0\0\0"[..], &vec![7; 1 << 20]].concat()).await;
        tokio::time::sleep(5 * SHORT).await;
        let mut got = vec![0; 10 + (1 << 20)];
        soon(wire.read_exact(&mut got)).await.unwrap();
        tokio::time::sleep(5 * SHORT).await;
        far.send("late").await;
        soon(wire.read_exact(&mut got[..4])).await.unwrap();
        assert_eq!(&got[..4], b"late");
        // When the last one has ended, the connection is idle.
        drop((wire, far));
        soon(client.connection).await.unwrap().unwrap();
    }
}

#[test]
fn a_socket_that_takes_nothing_does_not_end_a_connection_with_a_tunnel() {
    const TOTAL: usize = 24 << 20;
    // The viewer's side does nothing at all while its runtime is not driven.
    let viewers = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let origins = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let origin = origins.block_on(RawOrigin::start());
    let address = origin.address;
    let sent = origins.spawn(async move {
        let mut far = origin.accept().await;
        let request = far.until("\r\n\r\n").await;
        far.send(switching(&request, "")).await;
        // More than the sockets on the way take.
        far.send([&[0x82, 127][..], &(TOTAL as u64).to_be_bytes(), &vec![7; TOTAL]].concat()).await;
        far
    });
    let (door, client, mut wire) = viewers.block_on(async {
        let limits = Limits { answer_stall: SHORT, ..Limits::default() };
        let door = Door::with(limits, vec![Site::new("web", &[address])]);
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(64 << 20).initial_connection_window_size(64 << 20);
        let mut client = door.connect_as(&builder).await;
        let wire = client.wire().await;
        (door, client, wire)
    });
    origins.block_on(async { tokio::time::sleep(8 * SHORT).await });
    let got = viewers.block_on(async {
        let mut got = vec![0; 10 + TOTAL];
        soon(wire.read_exact(&mut got)).await.unwrap();
        got
    });
    assert!(got[10..].iter().all(|byte| *byte == 7));
    origins.block_on(sent).unwrap();
    viewers.block_on(async { drop((wire, client, door)) });
}
