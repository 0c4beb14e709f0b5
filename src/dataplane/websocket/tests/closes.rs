//! Closes that the proxy decides on while both sides send long messages in fragments: whatever the reason, each side
//! gets whole frames, and its Close between two of them.

use std::num::{NonZeroU32, NonZeroU64};
use std::ops::ControlFlow;

use tokio::io::{ReadHalf, split};

use super::*;
use crate::dataplane::websocket::rebalance::ScaleOut;
use crate::table::web_socket::{OnOriginTerminating, Rebalance};

/// How long a fragment's payload is: more than a buffer.
const FRAGMENT: u16 = 20_000;

/// A fragment; the payload is zeros, so a mask of zeros shows nothing.
fn fragment(from: Direction, first: u8) -> Vec<u8> {
    let mut frame = vec![first, 126];
    frame.extend(FRAGMENT.to_be_bytes());
    if from == Direction::ToOrigin {
        frame[1] |= 0x80;
        frame.extend([0; 4]);
    }
    frame.resize(frame.len() + usize::from(FRAGMENT), 0);
    frame
}

/// What a side says next, after so many things; the last one ends it.
type Talk = fn(Direction, usize) -> ControlFlow<Vec<u8>, Vec<u8>>;

/// A message without an end.
fn endless(from: Direction, count: usize) -> ControlFlow<Vec<u8>, Vec<u8>> {
    ControlFlow::Continue(fragment(from, if count == 0 { 0x02 } else { 0x00 }))
}

/// Reads whole frames up to a Close, and returns its code and how many fragments there were.
async fn frames(stream: &mut ReadHalf<DuplexStream>) -> (u16, usize) {
    let mut count = 0;
    loop {
        let (first, second) = (stream.read_u8().await.unwrap(), stream.read_u8().await.unwrap());
        let length = match second & 0x7f {
            126 => stream.read_u16().await.unwrap(),
            short => short.into(),
        };
        let mut key = [0; 4];
        if second & 0x80 != 0 {
            stream.read_exact(&mut key).await.unwrap();
        }
        let mut payload = vec![0; length.into()];
        stream.read_exact(&mut payload).await.unwrap();
        match first {
            0x88 => return (u16::from_be_bytes([payload[0] ^ key[0], payload[1] ^ key[1]]), count),
            0x89 => {}
            _ => {
                assert!(matches!(first, 0x02 | 0x00 | 0x80) && length == FRAGMENT, "{first:x}");
                count += 1;
            }
        }
    }
}

/// Says what comes next, each in two pieces, until that breaks off or a Close is there, and then the answer.
async fn converse(peer: Peer, from: Direction, next: Talk) -> (u16, usize) {
    let (mut read, mut write) = split(peer.stream);
    let told = Cell::new(None);
    let talk = async {
        for count in 0.. {
            let said = match next(from, count) {
                ControlFlow::Continue(frame) if told.get().is_none() => frame,
                ControlFlow::Continue(_) => break,
                ControlFlow::Break(last) => {
                    write.write_all(&last).await.unwrap();
                    break;
                }
            };
            let (head, tail) = said.split_at(9_000);
            for piece in [head, tail] {
                write.write_all(piece).await.unwrap();
                sleep(Duration::from_millis(7)).await;
            }
        }
        let close = if from == Direction::ToOrigin { MASKED_CLOSE } else { CLOSE };
        write.write_all(close).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let hear = async { told.set(Some(frames(&mut read).await)) };
    soon(async { tokio::join!(talk, hear) }).await;
    told.get().unwrap()
}

/// What both sides and the report say when `provoke` was done, half a second into the conversation.
async fn closed(life: Life, provoke: impl FnOnce(&Registry, &Arc<EndpointCell>)) -> (ClosedBy, u16, u16) {
    closed_in(life, [endless, endless], provoke).await
}

/// The same where the viewer and the origin have that to say.
async fn closed_in(
    life: Life,
    [viewer, origin]: [Talk; 2],
    provoke: impl FnOnce(&Registry, &Arc<EndpointCell>),
) -> (ClosedBy, u16, u16) {
    let endpoint = cells_for_test(1).remove(0);
    let setting = Setting { life, endpoint: Arc::clone(&endpoint), ..Setting::default() };
    let scene = Scene::with(setting);
    let provoked = async {
        sleep(SECOND / 2).await;
        provoke(&scene.registry, &endpoint);
    };
    let (viewer, origin, ()) = tokio::join!(
        converse(scene.viewer, Direction::ToOrigin, viewer),
        converse(scene.origin, Direction::ToViewer, origin),
        provoked
    );
    assert!(viewer.1 > 2 && origin.1 > 2, "frames had passed: {viewer:?}, {origin:?}");
    let (closed_by, code) = scene.report.verdict().await;
    assert_eq!(code, viewer.0);
    (closed_by, viewer.0, origin.0)
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_drain_closes_between_fragments() {
    let told = closed(Life::default(), |registry, _| registry.drain(schedule(Duration::ZERO, 60 * SECOND)));
    assert_eq!(told.await, (ClosedBy::Drain, 1012, 1001));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_removal_closes_between_fragments() {
    let told = closed(Life::default(), |registry, _| registry.remove(&shop()));
    assert_eq!(told.await, (ClosedBy::DistributionRemoved, 1001, 1001));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_endpoint_that_terminates_closes_between_fragments() {
    let life = Life { on_origin_terminating: OnOriginTerminating::Drain, ..Life::default() };
    let told = closed(life, |registry, cell| registry.leave(&[Arc::clone(cell)]));
    assert_eq!(told.await, (ClosedBy::OriginTerminating, 1012, 1001));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_move_closes_between_fragments() {
    let one = NonZeroU32::MIN;
    let rebalance = Some(Rebalance { max_imbalance_percent: one, closes_per_second: one });
    let others = RefCell::new(Vec::new());
    let told = closed(Life { rebalance, ..Life::default() }, |registry, cell| {
        others.borrow_mut().extend((0..3).map(|_| cell.enter(Load::Tunnel, None)));
        let cells = vec![Arc::clone(cell), cells_for_test(1).remove(0)];
        let origin = Arc::clone(cell.origin());
        origin.moves.begin(&cells);
        registry.begin_rebalance([Arc::new(ScaleOut { origin, cells })]);
        registry.rebalance(Instant::now() + SECOND);
    });
    assert_eq!(told.await, (ClosedBy::Rebalance, 1012, 1001));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn the_longest_life_closes_between_fragments() {
    let life = Life { max_duration: Some(SECOND), ..Life::default() };
    assert_eq!(closed(life, |_, _| {}).await, (ClosedBy::MaxDuration, 1012, 1001));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_message_that_grows_too_long_closes_between_fragments() {
    let life = Life { max_message_bytes: NonZeroU64::new(500_000), ..Life::default() };
    assert_eq!(closed(life, |_, _| {}).await, (ClosedBy::LimitMessageSize, 1009, 1001));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn too_many_messages_close_between_fragments() {
    let life = Life { messages_per_second: NonZeroU32::new(10), ..Life::default() };
    // 24 messages a second, each of three fragments.
    let hasty: Talk = |from, count| ControlFlow::Continue(fragment(from, [0x02, 0x00, 0x80][count % 3]));
    let told = closed_in(life, [hasty, endless], |_, _| {});
    assert_eq!(told.await, (ClosedBy::LimitMessageRate, 1008, 1001));
    // The origin's are nobody's limit.
    let told = closed_in(life, [endless, hasty], |registry, _| registry.remove(&shop()));
    assert_eq!(told.await, (ClosedBy::DistributionRemoved, 1001, 1001));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_viewer_that_answers_no_ping_is_closed_between_fragments() {
    let life = Life { ping_interval: Some(Duration::from_millis(110)), ..Life::default() };
    assert_eq!(closed(life, |_, _| {}).await, (ClosedBy::PingTimeout, 1001, 1001));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_is_no_frame_closes_between_fragments_of_the_others() {
    // A reserved opcode in the middle of a message, after whole fragments of it.
    let broken: Talk = |from, count| match count {
        20 => ControlFlow::Break(fragment(from, 0x03)),
        _ => endless(from, count),
    };
    for talk in [[broken, endless], [endless, broken]] {
        let told = closed_in(Life::default(), talk, |_, _| {});
        assert_eq!(told.await, (ClosedBy::ProtocolError, 1002, 1001));
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_close_of_a_side_itself_passes_between_its_fragments_and_is_the_verdict() {
    let leaving: Talk = |from, count| match count {
        20 => ControlFlow::Break(Vec::new()),
        _ => endless(from, count),
    };
    for (talk, closed_by) in [([leaving, endless], ClosedBy::Viewer), ([endless, leaving], ClosedBy::Origin)]
    {
        assert_eq!(closed_in(Life::default(), talk, |_, _| {}).await, (closed_by, 1000, 1000));
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_reset_in_the_middle_of_a_fragment_is_a_reset_for_the_other() {
    for from in [Direction::ToOrigin, Direction::ToViewer] {
        let mut scene = Scene::new();
        let (source, closed_by) = match from {
            Direction::ToOrigin => (&mut scene.viewer, ClosedBy::ViewerReset),
            Direction::ToViewer => (&mut scene.origin, ClosedBy::OriginReset),
        };
        source.send(&fragment(from, 0x02)[..9_000]).await;
        sleep(SECOND).await;
        source.line.reset_by_peer.set(true);
        // Its reset wakes whoever reads from it.
        source.stream.shutdown().await.unwrap();
        assert_eq!(scene.report.verdict().await, (closed_by, 1006));
        let (viewer, origin) = (&scene.viewer, &scene.origin);
        let other = if from == Direction::ToOrigin { origin } else { viewer };
        assert!(other.was_reset());
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn idleness_in_the_middle_of_a_frame_waits_for_its_end() {
    let mut scene = Scene::with(living(Life { idle_timeout: Some(30 * SECOND), ..Life::default() }));
    let fragment = fragment(Direction::ToViewer, 0x01);
    scene.origin.send(&fragment[..100]).await;
    let mut got = vec![0; fragment.len()];
    scene.viewer.stream.read_exact(&mut got[..100]).await.unwrap();
    assert_eq!(scene.origin.close().await, 1001);
    assert!(timeout(SECOND, scene.viewer.stream.read_u8()).await.is_err());
    scene.origin.send(&fragment[100..]).await;
    soon(scene.viewer.stream.read_exact(&mut got[100..])).await.unwrap();
    assert_eq!(got, fragment);
    assert_eq!(scene.viewer.close().await, 1001);
    drop((scene.viewer, scene.origin));
    assert_eq!(scene.report.verdict().await, (ClosedBy::Idle, 1001));
}
