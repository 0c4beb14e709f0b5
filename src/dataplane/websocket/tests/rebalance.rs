//! Tunnels that move after a scale-out, on two workers.

use std::num::NonZeroU32;

use super::*;
use crate::dataplane::websocket::rebalance::ScaleOut;
use crate::table::web_socket::Rebalance;

const RULE: Rebalance = Rebalance {
    max_imbalance_percent: NonZeroU32::new(20).unwrap(),
    closes_per_second: NonZeroU32::new(5).unwrap(),
};

/// Two workers, and what is open on them.
struct World {
    workers: [Registry; 2],
    cells: Vec<Arc<EndpointCell>>,
    scenes: Vec<Scene>,
    closes: u64,
}

impl World {
    /// Forty tunnels on the first of two endpoints.
    fn new(rebalance: Option<Rebalance>) -> Self {
        let workers = [(); 2].map(|()| Registry::new(Waits::default()));
        let mut world = Self { workers, cells: cells_for_test(2), scenes: Vec::new(), closes: 0 };
        (0..40).for_each(|_| world.open(0, rebalance));
        world
    }

    fn open(&mut self, cell: usize, rebalance: Option<Rebalance>) {
        let registry = self.workers[self.scenes.len() % 2].clone();
        let life = Life { rebalance, ..Life::default() };
        let setting = Setting { life, endpoint: Arc::clone(&self.cells[cell]), ..Setting::default() };
        let admission = registry.admit(&shop()).unwrap();
        self.scenes.push(Scene::open(registry, admission, setting));
    }

    /// The second endpoint was added.
    fn scale_out(&self) {
        let origin = Arc::clone(self.cells[0].origin());
        origin.moves.begin(&self.cells);
        let scale_out = Arc::new(ScaleOut { origin, cells: self.cells.clone() });
        self.workers.iter().for_each(|worker| worker.begin_rebalance([Arc::clone(&scale_out)]));
    }

    /// A second of both workers, in which every viewer that is asked to comes back to an endpoint; how many were.
    async fn second(&mut self, comes_back: impl Fn(&Self) -> usize) -> u64 {
        let latest = Instant::now() + SECOND;
        self.workers.iter().for_each(|worker| worker.rebalance(latest));
        sleep(SECOND).await;
        let mut closed = 0;
        for mut scene in std::mem::take(&mut self.scenes) {
            let mut first = [0];
            if timeout(Duration::ZERO, scene.viewer.stream.read_exact(&mut first)).await.is_err() {
                self.scenes.push(scene);
                continue;
            }
            assert_eq!(first, [0x88]);
            closed += 1;
            drop((scene.viewer, scene.origin));
            assert_eq!(scene.report.verdict().await, (ClosedBy::Rebalance, 1012));
        }
        for _ in 0..closed {
            self.open(comes_back(self), Some(RULE));
        }
        self.closes += closed;
        closed
    }

    fn on(&self, cell: usize) -> u64 {
        self.cells[cell].loaded_with(Load::Tunnel)
    }
}

fn idlest(world: &World) -> usize {
    usize::from(world.on(1) < world.on(0))
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn after_a_scale_out_tunnels_move_at_their_rate_until_it_is_even_enough() {
    let mut world = World::new(Some(RULE));
    sleep(SECOND).await;
    assert_eq!(world.second(idlest).await, 0, "nothing was added");
    world.scale_out();
    for _ in 0..3 {
        let closed = world.second(idlest).await;
        assert!((4..=6).contains(&closed), "{closed} in a second");
    }
    for _ in 0..60 {
        world.second(idlest).await;
    }
    // A fifth above the mean of twenty is allowed.
    assert_eq!((world.on(0), world.on(1), world.closes), (24, 16, 16));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn who_comes_back_where_it_was_is_not_closed_for_ever() {
    let mut world = World::new(Some(RULE));
    sleep(SECOND).await;
    world.scale_out();
    for _ in 0..60 {
        world.second(|_| 0).await;
    }
    assert_eq!((world.on(0), world.closes), (40, 20));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn without_a_rule_nothing_moves() {
    let mut world = World::new(None);
    sleep(SECOND).await;
    world.scale_out();
    for _ in 0..5 {
        assert_eq!(world.second(idlest).await, 0);
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_would_only_change_places_stays() {
    let workers = [(); 2].map(|()| Registry::new(Waits::default()));
    let mut world = World { workers, cells: cells_for_test(2), scenes: Vec::new(), closes: 0 };
    world.open(0, Some(RULE));
    world.open(0, Some(RULE));
    world.open(1, Some(RULE));
    sleep(SECOND).await;
    world.scale_out();
    // Two and one: a third above the mean, and after a move as well.
    assert_eq!(world.second(idlest).await, 0);
}
