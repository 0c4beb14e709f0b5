//! What a worker orders of its tunnels: the drain, removals, the deadline.

use super::*;
use crate::table::web_socket::OnOriginTerminating;

#[tokio::test(flavor = "local", start_paused = true)]
async fn the_deadline_cuts_what_is_open() {
    let scene = Scene::new();
    sleep(SECOND).await;
    let _handshake = scene.registry.admit(&shop()).unwrap();
    assert_eq!(soon(scene.registry.terminate()).await, 1);
    assert_eq!(scene.report.verdict().await, (ClosedBy::ShutdownDeadline, 1006));
    assert!(scene.viewer.was_reset() && scene.origin.was_reset());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn the_deadline_cuts_a_goodbye_short_and_does_not_rename_it() {
    let mut scene = Scene::new();
    scene.registry.drain(schedule(Duration::ZERO, 60 * SECOND));
    assert_eq!(scene.viewer.close().await, 1012);
    let before = Instant::now();
    assert_eq!(soon(scene.registry.terminate()).await, 1);
    assert_eq!(scene.report.verdict().await, (ClosedBy::Drain, 1012));
    assert!(before.elapsed() < SECOND);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_drain_closes_evenly_and_oldest_first() {
    let registry = Registry::new(Waits::default());
    let mut scenes: Vec<_> = (0..10)
        .map(|_| Scene::open(registry.clone(), registry.admit(&shop()).unwrap(), Setting::default()))
        .collect();
    sleep(SECOND).await;
    let before = Instant::now();
    registry.drain(schedule(100 * SECOND, 300 * SECOND));
    for (position, scene) in scenes.iter_mut().enumerate() {
        assert_eq!(scene.viewer.close().await, 1012);
        assert_eq!(before.elapsed().as_secs() / 10, position as u64);
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn the_last_goodbye_fits_before_the_deadline() {
    let registry = Registry::new(Waits::default());
    let admission = registry.admit(&shop()).unwrap();
    let mut scene = Scene::open(registry.clone(), admission, Setting::default());
    registry.drain(schedule(100 * SECOND, 6 * SECOND));
    let before = Instant::now();
    assert_eq!(scene.viewer.close().await, 1012);
    assert!(before.elapsed() <= SECOND);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_drain_forgets_no_handshake() {
    let registry = Registry::new(Waits::default());
    let admitted = registry.admit(&shop()).unwrap();
    let failed = registry.admit(&shop()).unwrap();
    registry.drain(schedule(10 * SECOND, 60 * SECOND));
    assert_eq!(registry.admit(&shop()).unwrap_err(), Reason::Draining);
    drop(failed);
    sleep(20 * SECOND).await;
    assert_eq!((registry.count(), all(&registry)), (1, vec![]));
    let mut scene = Scene::open(registry.clone(), admitted, Setting::default());
    assert_eq!(scene.viewer.close().await, 1012);
    drop((scene.viewer, scene.origin));
    assert_eq!(scene.report.verdict().await, (ClosedBy::Drain, 1012));
    assert_eq!(registry.count(), 0);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn only_the_tunnels_of_the_removed_distribution_close() {
    let mut scene = Scene::new();
    let other = scene.registry.admit(&ObjectKey::new("shop", "blog")).unwrap();
    let neighbour = Scene::open(scene.registry.clone(), other, Setting::default());
    let handshake = scene.registry.admit(&shop()).unwrap();
    scene.registry.remove(&shop());
    assert_eq!(scene.viewer.close().await, 1001);
    assert_eq!(scene.origin.close().await, 1001);
    drop((scene.viewer, scene.origin));
    assert_eq!(scene.report.verdict().await, (ClosedBy::DistributionRemoved, 1001));
    sleep(LONG).await;
    assert!(neighbour.report.0.borrow().is_empty());
    let mut late = Scene::open(scene.registry.clone(), handshake, Setting::default());
    assert_eq!(late.viewer.close().await, 1001);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_earlier_order_beats_a_later_one() {
    let mut scene = Scene::new();
    scene.registry.drain(schedule(LONG, 2 * LONG));
    scene.registry.remove(&shop());
    assert_eq!(scene.viewer.close().await, 1001);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn few_are_closed_soon_and_many_over_the_spread() {
    for (count, most) in [(10, SECOND / 10), (4000, 30 * SECOND)] {
        let registry = Registry::new(Waits::default());
        let scenes: Vec<_> = (0..count)
            .map(|_| Scene::open(registry.clone(), registry.admit(&shop()).unwrap(), Setting::default()))
            .collect();
        sleep(SECOND).await;
        let before = Instant::now();
        registry.remove(&shop());
        let closes = scenes.into_iter().map(async |mut scene| {
            assert_eq!(scene.viewer.close().await, 1001);
            before.elapsed()
        });
        let times = futures_util::future::join_all(closes).await;
        let (half, last) = (times[count / 2], times.iter().max().unwrap());
        assert!(*last <= most + SECOND / 100 && *last > most * 8 / 10, "{count}: {last:?}");
        assert!(half > most * 3 / 10 && half < most * 7 / 10, "{count}: {half:?}");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn the_tunnels_of_an_endpoint_that_departs_are_drained_where_their_behavior_says_so() {
    let cells = cells_for_test(2);
    let registry = Registry::new(Waits::default());
    let open = |endpoint: &Arc<EndpointCell>, on_origin_terminating| {
        let life = Life { on_origin_terminating, ..Life::default() };
        let setting = Setting { life, endpoint: Arc::clone(endpoint), ..Setting::default() };
        Scene::open(registry.clone(), registry.admit(&shop()).unwrap(), setting)
    };
    let mut drained = open(&cells[0], OnOriginTerminating::Drain);
    let kept = open(&cells[0], OnOriginTerminating::Keep);
    let elsewhere = open(&cells[1], OnOriginTerminating::Drain);
    sleep(SECOND).await;
    cells[0].depart();
    registry.leave(&cells[..1]);
    // In the middle of a message, but between two of its frames.
    drained.origin.send(b"\x01\x01h").await;
    assert_eq!(drained.viewer.frame().await, (0x01, b"h".to_vec()));
    assert_eq!(drained.viewer.close().await, 1012);
    assert_eq!(drained.origin.close().await, 1001);
    drop((drained.viewer, drained.origin));
    assert_eq!(drained.report.verdict().await, (ClosedBy::OriginTerminating, 1012));
    sleep(LONG).await;
    assert!(kept.report.0.borrow().is_empty() && elsewhere.report.0.borrow().is_empty());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_endpoint_that_departs_during_a_handshake_is_not_missed() {
    let [cell] = &cells_for_test(1)[..] else { unreachable!() };
    let registry = Registry::new(Waits::default());
    let life = Life { on_origin_terminating: OnOriginTerminating::Drain, ..Life::default() };
    let setting = || Setting { life, endpoint: Arc::clone(cell), ..Setting::default() };
    // Whoever comes to it afterwards knows: there was no other left.
    cell.depart();
    let late = Scene::open(registry.clone(), registry.admit(&shop()).unwrap(), setting());
    sleep(SECOND).await;
    let mut early = Scene::open(registry.clone(), registry.admit(&shop()).unwrap(), setting());
    cell.depart();
    assert_eq!(early.viewer.close().await, 1012);
    drop((early.viewer, early.origin));
    assert_eq!(early.report.verdict().await, (ClosedBy::OriginTerminating, 1012));
    assert!(late.report.0.borrow().is_empty());
}
