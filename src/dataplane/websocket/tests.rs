//! The life of tunnels under a paused clock: every way to end, and what both sides see of it.

mod closes;
mod life;
mod limits;
mod orders;
mod pieces;
mod rebalance;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::task::spawn_local;
use tokio::time::{Instant, advance, sleep, timeout};

use super::Waits;
use super::closing::{Closed, ClosedBy};
use super::life::Life;
use super::registry::{Admission, Ask, Labels, Listed, Registry, Tally, Witness};
use super::side::{Side, Upgraded};
use super::tunnel::{Terms, run};
use crate::dataplane::origin::{EndpointCell, Load, cells_for_test};
use crate::drain::Schedule;
use crate::object::ObjectKey;
use crate::table::reason::Reason;
use crate::telemetry::metrics::Direction;

/// Longer than every wait of a tunnel; the clock is paused.
const LONG: Duration = Duration::from_secs(3600);

/// A tunnel's side whose connection a test can reset, and that tells whether the tunnel did.
struct Wire {
    stream: DuplexStream,
    line: Rc<Line>,
}

#[derive(Default)]
struct Line {
    reset_by_peer: Cell<bool>,
    reset_by_proxy: Cell<bool>,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.line.reset_by_peer.get() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Side for Wire {
    fn reset_when_dropped(&self) {
        self.line.reset_by_proxy.set(true);
    }

    fn poll_readable(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// One end of a tunnel as its peer has it.
struct Peer {
    stream: DuplexStream,
    line: Rc<Line>,
}

impl Peer {
    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame: its first byte and its payload, unmasked.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let (first, second) =
                (self.stream.read_u8().await.unwrap(), self.stream.read_u8().await.unwrap());
            let mut key = [0; 4];
            if second & 0x80 != 0 {
                self.stream.read_exact(&mut key).await.unwrap();
            }
            let mut payload = vec![0; usize::from(second & 0x7f)];
            self.stream.read_exact(&mut payload).await.unwrap();
            (first, payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect())
        };
        soon(read).await
    }

    /// Reads a Close frame and returns its code.
    async fn close(&mut self) -> u16 {
        let (first, payload) = self.frame().await;
        assert_eq!(first, 0x88);
        u16::from_be_bytes([payload[0], payload[1]])
    }

    /// Reads to the end: what came before it.
    async fn end(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        soon(self.stream.read_to_end(&mut rest)).await.unwrap();
        rest
    }

    fn was_reset(&self) -> bool {
        self.line.reset_by_proxy.get()
    }
}

/// What a tunnel reports.
#[derive(Clone, Default)]
struct Report(Rc<RefCell<Vec<Closed>>>);

impl Report {
    /// The only verdict, once there is one.
    async fn verdict(&self) -> (ClosedBy, u16) {
        let closed = soon(async {
            loop {
                if let [closed] = self.0.borrow()[..] {
                    return closed;
                }
                sleep(Duration::from_millis(1)).await;
            }
        });
        let closed = closed.await;
        (closed.closed_by, closed.code)
    }
}

impl Witness for Report {
    fn passed(&self, _: Direction, _: u64, _: u64) {}

    fn closed(&self, closed: &Closed) {
        self.0.borrow_mut().push(*closed);
    }
}

/// An open tunnel between two peers.
struct Scene {
    registry: Registry,
    viewer: Peer,
    origin: Peer,
    report: Report,
}

struct Setting {
    capacity: usize,
    life: Life,
    endpoint: Arc<EndpointCell>,
    viewer_early: Bytes,
    origin_early: Bytes,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            capacity: 64 * 1024,
            life: Life::default(),
            endpoint: cells_for_test(1).remove(0),
            viewer_early: Bytes::new(),
            origin_early: Bytes::new(),
        }
    }
}

fn living(life: Life) -> Setting {
    Setting { life, ..Setting::default() }
}

impl Scene {
    fn new() -> Self {
        Self::with(Setting::default())
    }

    fn with(setting: Setting) -> Self {
        let registry = Registry::new(Waits::default());
        let admission = registry.admit(&shop()).unwrap();
        Self::open(registry, admission, setting)
    }

    fn open(registry: Registry, admission: Admission, setting: Setting) -> Self {
        let (viewer, viewer_side) = wire(setting.capacity, setting.viewer_early);
        let (origin, origin_side) = wire(setting.capacity, setting.origin_early);
        let report = Report::default();
        let loaded = setting.endpoint.enter(Load::Tunnel, None).unwrap();
        let terms = Terms { labels: labels(), life: setting.life, loaded, witness: Box::new(report.clone()) };
        spawn_local(run(admission, terms, viewer_side, origin_side));
        Self { registry, viewer, origin, report }
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(LONG, what).await.unwrap()
}

fn wire(capacity: usize, early: Bytes) -> (Peer, Upgraded<Wire>) {
    let (ours, theirs) = duplex(capacity);
    let line = Rc::<Line>::default();
    let side = Wire { stream: theirs, line: Rc::clone(&line) };
    (Peer { stream: ours, line }, Upgraded { stream: side, early })
}

fn shop() -> ObjectKey {
    ObjectKey::new("shop", "web")
}

/// The open tunnels.
fn all(registry: &Registry) -> Vec<Listed> {
    let portion = registry.list(&Ask { distribution: None, from: 0, at_most: usize::MAX });
    assert_eq!(portion.next, None);
    portion.tunnels
}

fn labels() -> Labels {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    Labels {
        behavior: "*".into(),
        origin: "api".into(),
        endpoint: address,
        viewer: address.into(),
        protocol: "h1",
        connection: 1,
        subprotocol: Some("chat".into()),
        extensions: None,
    }
}

fn schedule(spread: Duration, deadline: Duration) -> Schedule {
    let start = Instant::now();
    Schedule { start, spread, deadline: start + deadline }
}

const SECOND: Duration = Duration::from_secs(1);

/// `hi` as text, from the viewer and from the origin.
const MASKED_HI: &[u8] = b"\x81\x82\x00\x00\x00\x00hi";
const HI: &[u8] = b"\x81\x02hi";
/// Close frames with 1000.
const MASKED_CLOSE: &[u8] = b"\x88\x82\x00\x00\x00\x00\x03\xe8";
const CLOSE: &[u8] = b"\x88\x02\x03\xe8";

#[tokio::test(flavor = "local", start_paused = true)]
async fn frames_pass_both_ways_with_what_came_too_early() {
    let mut scene = Scene::with(Setting {
        viewer_early: MASKED_HI.into(),
        origin_early: HI.into(),
        ..Setting::default()
    });
    scene.viewer.send(b"\x82\x80\x00\x00\x00\x00").await;
    scene.origin.send(b"\x8a\x00").await;
    assert_eq!(scene.origin.frame().await, (0x81, b"hi".to_vec()));
    assert_eq!(scene.origin.frame().await, (0x82, vec![]));
    assert_eq!(scene.viewer.frame().await, (0x81, b"hi".to_vec()));
    assert_eq!(scene.viewer.frame().await, (0x8a, vec![]));
    let [listed] = &all(&scene.registry)[..] else { panic!("one tunnel is open") };
    assert_eq!((&listed.distribution, &listed.labels), (&shop(), &labels()));
    assert_eq!(listed.to_origin, Tally { bytes: 14, frames: 2, messages: 2 });
    assert_eq!(listed.to_viewer, Tally { bytes: 6, frames: 2, messages: 1 });
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn more_than_a_buffer_may_come_too_early() {
    let early = [&[0x82, 126, 0x9c, 0x40][..], &[7; 40_000], HI].concat();
    let mut scene = Scene::with(Setting { origin_early: early.clone().into(), ..Setting::default() });
    let mut got = vec![0; early.len()];
    soon(scene.viewer.stream.read_exact(&mut got)).await.unwrap();
    assert!(got == early);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_idle_tunnel_holds_no_buffer() {
    let mut scene = Scene::new();
    scene.viewer.send(MASKED_HI).await;
    scene.origin.send(HI).await;
    scene.origin.frame().await;
    scene.viewer.frame().await;
    sleep(SECOND).await;
    // One was enough for both directions, and it has been given back.
    assert_eq!(scene.registry.free_buffers(), 1);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_side_that_does_not_read_stops_the_other() {
    let mut scene = Scene::with(Setting { capacity: 1024, ..Setting::default() });
    let message = [&[0x82, 126, 0xff, 0xff][..], &[7; 0xffff]].concat();
    let stuck = timeout(SECOND, scene.origin.stream.write_all(&message)).await;
    assert!(stuck.is_err(), "64 KiB went where nobody reads");
    assert_eq!(scene.registry.free_buffers(), 0);
    let mut got = vec![0; 1024];
    scene.viewer.stream.read_exact(&mut got).await.unwrap();
    assert_eq!(got, message[..1024]);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_is_not_taken_is_not_counted() {
    let mut scene = Scene::with(Setting { capacity: 8, ..Setting::default() });
    scene.viewer.send(MASKED_HI).await;
    scene.viewer.send(MASKED_HI).await;
    sleep(SECOND).await;
    let counted = || all(&scene.registry)[0].to_origin;
    assert_eq!(counted(), Tally { bytes: 8, frames: 1, messages: 1 });
    assert_eq!(scene.origin.frame().await, (0x81, b"hi".to_vec()));
    sleep(SECOND).await;
    assert_eq!(counted(), Tally { bytes: 16, frames: 2, messages: 2 });
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_header_that_comes_in_pieces_passes_whole_and_a_torn_one_as_it_is() {
    let mut scene = Scene::new();
    for byte in MASKED_HI {
        scene.viewer.send(&[*byte]).await;
        sleep(SECOND).await;
    }
    assert_eq!(scene.origin.frame().await, (0x81, b"hi".to_vec()));
    scene.viewer.send(&MASKED_HI[..5]).await;
    scene.viewer.stream.shutdown().await.unwrap();
    assert_eq!(scene.origin.end().await, MASKED_HI[..5]);
    drop(scene.origin.stream);
    assert_eq!(scene.report.verdict().await, (ClosedBy::Viewer, 1006));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_header_that_turns_out_wrong_is_not_passed_on() {
    let mut scene = Scene::new();
    scene.viewer.send(b"\x81").await;
    sleep(SECOND).await;
    scene.viewer.send(b"\x05").await; // unmasked
    assert_eq!(scene.origin.close().await, 1001);
    assert_eq!(scene.viewer.close().await, 1002);
    drop((scene.viewer, scene.origin));
    assert_eq!(scene.report.verdict().await, (ClosedBy::ProtocolError, 1002));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn who_sends_close_first_has_closed() {
    let mut scene = Scene::new();
    scene.viewer.send(b"\x88\x82\x00\x00\x00\x00\x0f\xa1").await;
    assert_eq!(scene.origin.close().await, 4001);
    scene.origin.send(CLOSE).await;
    scene.origin.stream.shutdown().await.unwrap();
    assert_eq!(scene.viewer.close().await, 1000);
    assert_eq!(scene.viewer.end().await, b"");
    scene.viewer.stream.shutdown().await.unwrap();
    assert_eq!(scene.report.verdict().await, (ClosedBy::Viewer, 4001));
    assert!(!scene.viewer.was_reset() && !scene.origin.was_reset());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn the_origins_close_is_the_origins() {
    let mut scene = Scene::new();
    scene.origin.send(b"\x88\x00").await;
    assert_eq!(scene.viewer.frame().await, (0x88, vec![]));
    drop((scene.viewer, scene.origin));
    assert_eq!(scene.report.verdict().await, (ClosedBy::Origin, 1005));
    assert_eq!(scene.registry.count(), 0);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn half_a_close_passes_and_the_other_half_goes_on() {
    let mut scene = Scene::new();
    scene.viewer.send(MASKED_HI).await;
    scene.viewer.stream.shutdown().await.unwrap();
    assert_eq!(scene.origin.end().await, MASKED_HI);
    scene.origin.send(HI).await;
    scene.origin.stream.shutdown().await.unwrap();
    assert_eq!(scene.viewer.end().await, HI);
    assert_eq!(scene.report.verdict().await, (ClosedBy::Viewer, 1006));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn the_other_half_has_ten_seconds() {
    let mut scene = Scene::new();
    scene.origin.stream.shutdown().await.unwrap();
    let before = Instant::now();
    assert_eq!(scene.viewer.end().await, b"");
    assert_eq!(scene.report.verdict().await, (ClosedBy::Origin, 1006));
    assert_eq!(before.elapsed().as_secs(), 10);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_reset_is_passed_on() {
    let mut scene = Scene::new();
    scene.viewer.line.reset_by_peer.set(true);
    drop(scene.viewer.stream);
    assert_eq!(scene.report.verdict().await, (ClosedBy::ViewerReset, 1006));
    assert!(scene.origin.was_reset());
    assert_eq!(scene.origin.end().await, b"");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_origin_that_takes_nothing_more_was_reset_by_itself() {
    let mut scene = Scene::new();
    scene.origin.line.reset_by_peer.set(true);
    drop(scene.origin.stream);
    scene.viewer.send(MASKED_HI).await;
    assert_eq!(scene.report.verdict().await, (ClosedBy::OriginReset, 1006));
    assert!(scene.viewer.was_reset());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn silence_closes_with_1001_and_a_byte_postpones_it() {
    let mut scene = Scene::with(living(Life { idle_timeout: Some(30 * SECOND), ..Life::default() }));
    sleep(29 * SECOND).await;
    scene.viewer.send(&MASKED_HI[..1]).await;
    let silent = Instant::now();
    sleep(SECOND).await;
    scene.viewer.send(&MASKED_HI[1..]).await;
    assert_eq!(scene.origin.frame().await, (0x81, b"hi".to_vec()));
    assert_eq!(scene.origin.close().await, 1001);
    assert_eq!(scene.viewer.close().await, 1001);
    assert_eq!(silent.elapsed().as_secs(), 31);
    drop((scene.viewer, scene.origin));
    assert_eq!(scene.report.verdict().await, (ClosedBy::Idle, 1001));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn without_an_idle_timeout_silence_is_nothing() {
    let scene = Scene::new();
    advance(100 * 24 * LONG).await;
    sleep(SECOND).await;
    assert_eq!(scene.registry.count(), 1);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_goodbye_awaits_the_answers_and_ends_with_fin() {
    let mut scene = Scene::new();
    scene.registry.drain(schedule(Duration::ZERO, 60 * SECOND));
    assert_eq!(scene.viewer.close().await, 1012);
    assert_eq!(scene.origin.close().await, 1001);
    // What was under way when the Close was sent is read, and the answer behind it is seen.
    scene.viewer.send(MASKED_HI).await;
    scene.viewer.send(MASKED_CLOSE).await;
    assert_eq!(scene.viewer.end().await, b"");
    drop(scene.viewer.stream);
    scene.origin.send(CLOSE).await;
    assert_eq!(scene.origin.end().await, b"");
    drop(scene.origin.stream);
    assert_eq!(scene.report.verdict().await, (ClosedBy::Drain, 1012));
    assert!(!scene.viewer.line.reset_by_proxy.get() && !scene.origin.line.reset_by_proxy.get());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn who_does_not_answer_is_reset_after_five_seconds() {
    let mut scene = Scene::new();
    scene.registry.drain(schedule(Duration::ZERO, 60 * SECOND));
    let before = Instant::now();
    assert_eq!(scene.origin.close().await, 1001);
    scene.origin.send(CLOSE).await;
    assert_eq!(scene.origin.end().await, b"");
    assert!(before.elapsed() < SECOND);
    drop(scene.origin.stream);
    assert_eq!(scene.report.verdict().await, (ClosedBy::Drain, 1012));
    assert_eq!(before.elapsed().as_secs(), 5);
    assert!(scene.viewer.was_reset() && !scene.origin.line.reset_by_proxy.get());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_frame_under_way_is_finished_before_the_close() {
    let mut scene = Scene::new();
    let (head, tail) = MASKED_HI.split_at(7);
    scene.viewer.send(head).await;
    scene.origin.send(b"\x01\x01h").await;
    assert_eq!(scene.viewer.frame().await, (0x01, b"h".to_vec()));
    // Between two fragments a control frame may stand.
    scene.registry.drain(schedule(Duration::ZERO, 60 * SECOND));
    assert_eq!(scene.viewer.close().await, 1012);
    sleep(SECOND).await;
    scene.viewer.send(&[tail, MASKED_HI, &MASKED_HI[..3]].concat()).await;
    assert_eq!(scene.origin.frame().await, (0x81, b"hi".to_vec()));
    assert_eq!(scene.origin.frame().await, (0x81, b"hi".to_vec()));
    assert_eq!(scene.origin.close().await, 1001);
    // The rest of the third frame and the answer behind it are still followed.
    scene.viewer.send(&[&MASKED_HI[3..], MASKED_CLOSE].concat()).await;
    assert_eq!(scene.viewer.end().await, b"");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_frame_that_does_not_end_in_time_leaves_no_place_for_a_close() {
    let mut scene = Scene::new();
    scene.origin.send(b"\x81\x05hel").await;
    sleep(SECOND).await;
    scene.registry.drain(schedule(Duration::ZERO, 60 * SECOND));
    assert_eq!(scene.report.verdict().await, (ClosedBy::Drain, 1006));
    assert_eq!(scene.viewer.end().await, b"\x81\x05hel");
    assert!(scene.viewer.was_reset());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_is_no_frame_ends_with_1002() {
    let mut scene = Scene::new();
    scene.viewer.send(&[MASKED_HI, HI].concat()).await;
    assert_eq!(scene.viewer.close().await, 1002);
    assert_eq!(scene.viewer.end().await, b"");
    assert_eq!(scene.origin.frame().await, (0x81, b"hi".to_vec()));
    assert_eq!(scene.origin.close().await, 1001);
    assert_eq!(scene.report.verdict().await, (ClosedBy::ProtocolError, 1002));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_is_no_frame_from_the_origin_ends_with_1002_too() {
    let mut scene = Scene::new();
    scene.origin.send(b"\x83").await;
    assert_eq!(scene.viewer.close().await, 1002);
    assert_eq!(scene.origin.close().await, 1001);
    drop(scene.viewer.stream);
    drop(scene.origin.stream);
    assert_eq!(scene.report.verdict().await, (ClosedBy::ProtocolError, 1002));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_second_close_is_never_sent() {
    let mut scene = Scene::new();
    scene.viewer.send(MASKED_CLOSE).await;
    assert_eq!(scene.origin.close().await, 1000);
    scene.registry.drain(schedule(Duration::ZERO, 60 * SECOND));
    assert_eq!(scene.viewer.close().await, 1012);
    scene.origin.send(CLOSE).await;
    assert_eq!(scene.origin.end().await, b"");
    assert_eq!(scene.viewer.end().await, b"");
    drop((scene.viewer, scene.origin));
    assert_eq!(scene.report.verdict().await, (ClosedBy::Viewer, 1000));
}
