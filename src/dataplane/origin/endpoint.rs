//! What all workers know together of an origin's endpoints: how much is on each, how fast it answers, whether it
//! is left out.
//!
//! A cell belongs to one origin of one Distribution, also where others reach the same address: what one tenant's
//! requests do to an endpoint decides about that tenant's requests only. It outlives tables, and lives as long
//! as somebody uses it. Requests touch atomics alone.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::moves::Moves;
use super::outlier::Health;

/// Numbers origins, so that workers find what they know of one without comparing names.
static ORIGIN_IDS: AtomicU64 = AtomicU64::new(0);

/// What all workers know together of one origin.
#[derive(Debug)]
pub(crate) struct OriginCell {
    /// Unique in this process.
    pub(crate) id: u64,
    /// By address. The lock is taken by publishers, and by workers when an endpoint is ejected or comes back.
    endpoints: Mutex<HashMap<SocketAddr, Weak<EndpointCell>>>,
    /// Counts the choices of `round-robin`.
    turns: AtomicUsize,
    /// The tunnels that move since endpoints were added.
    pub(crate) moves: Moves,
}

impl OriginCell {
    /// One that knows nothing yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            id: ORIGIN_IDS.fetch_add(1, Ordering::Relaxed),
            endpoints: Mutex::default(),
            turns: AtomicUsize::new(0),
            moves: Moves::default(),
        })
    }

    /// The cells of these addresses: those that somebody still uses, and fresh ones.
    pub(crate) fn endpoints(
        self: &Arc<Self>,
        addresses: impl Iterator<Item = SocketAddr>,
    ) -> Vec<Arc<EndpointCell>> {
        let mut known = self.lock();
        let cells = addresses
            .map(|address| {
                let slot = known.entry(address).or_default();
                slot.upgrade().unwrap_or_else(|| {
                    let cell = Arc::new(EndpointCell::new(address, Arc::clone(self)));
                    *slot = Arc::downgrade(&cell);
                    cell
                })
            })
            .collect();
        known.retain(|_, cell| cell.strong_count() > 0);
        cells
    }

    /// The cell of an address, where somebody uses it.
    pub(crate) fn used(&self, address: SocketAddr) -> Option<Arc<EndpointCell>> {
        self.lock().get(&address).and_then(Weak::upgrade)
    }

    /// A number that is one more each time, and begins anew when it overflows.
    pub(super) fn take_turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    /// The number that will be taken next.
    pub(super) fn next_turn(&self) -> usize {
        self.turns.load(Ordering::Relaxed)
    }

    /// Whoever holds it is the only one who decides about ejections of this origin.
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Weak<EndpointCell>>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all workers know together of one endpoint of one origin.
#[derive(Debug)]
#[repr(align(128))] // its own cache line: workers count up and down all the time
pub(crate) struct EndpointCell {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    pub(super) origin: Arc<OriginCell>,
    /// Exchanges in the lower half, tunnels in the upper one, so that a limit on both is kept in one step.
    loads: AtomicU64,
    /// How often it left or began to terminate.
    departures: AtomicU32,
    /// Tunnels that move to another endpoint and are still open.
    moving: AtomicU32,
    latency: Latency,
    pub(super) health: Health,
}

/// What somebody does with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// A request and its response.
    Exchange,
    /// An open WebSocket.
    Tunnel,
}

impl Load {
    const HALF: u32 = 32;

    fn one(self) -> u64 {
        match self {
            Self::Exchange => 1,
            Self::Tunnel => 1 << Self::HALF,
        }
    }

    /// How much of it a packed number says.
    fn of(self, loads: u64) -> u64 {
        match self {
            Self::Exchange => loads & u64::from(u32::MAX),
            Self::Tunnel => loads >> Self::HALF,
        }
    }
}

impl EndpointCell {
    fn new(address: SocketAddr, origin: Arc<OriginCell>) -> Self {
        Self {
            address,
            origin,
            loads: AtomicU64::new(0),
            departures: AtomicU32::new(0),
            moving: AtomicU32::new(0),
            latency: Latency::default(),
            health: Health::new(Instant::now()),
        }
    }

    /// How much of `load` there is on it right now.
    pub(crate) fn loaded_with(&self, load: Load) -> u64 {
        load.of(self.loads.load(Ordering::Relaxed))
    }

    /// Counts one more of `load` until the guard is dropped; none where that would be more than `limit` exchanges
    /// and tunnels together.
    pub(crate) fn enter(self: &Arc<Self>, load: Load, limit: Option<NonZeroU32>) -> Option<Loaded> {
        let total = |loads| Load::Exchange.of(loads) + Load::Tunnel.of(loads);
        match limit.map(|limit| u64::from(limit.get())) {
            None => {
                self.loads.fetch_add(load.one(), Ordering::Relaxed);
            }
            Some(limit) => {
                let one_more = |loads| (total(loads) < limit).then(|| loads + load.one());
                self.loads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
            }
        }
        let departures = self.departures.load(Ordering::Relaxed);
        Some(Loaded { cell: Arc::clone(self), load, departures })
    }

    /// The origin that it belongs to.
    #[cfg(test)]
    pub(crate) fn origin(&self) -> &Arc<OriginCell> {
        &self.origin
    }

    /// The tunnels on it, without those that move.
    pub(crate) fn settled(&self) -> u64 {
        self.loaded_with(Load::Tunnel).saturating_sub(self.moving.load(Ordering::Relaxed).into())
    }

    /// Counts one of its tunnels as one that moves, until the guard is dropped.
    pub(crate) fn begin_move(self: &Arc<Self>) -> Moving {
        self.moving.fetch_add(1, Ordering::Relaxed);
        Moving(Arc::clone(self))
    }

    /// Notes that it left or began to terminate. Whoever is on it is told apart; who is on the way sees it by
    /// [`Loaded::departed_meanwhile`].
    pub(crate) fn depart(&self) {
        self.departures.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how long the endpoint took to begin its answer.
    pub(super) fn answered_after(&self, duration: Duration, now: Instant) {
        self.latency.observe(duration, self.health.age(now));
    }

    /// How long answers take to begin, in microseconds; 0 where nobody knows or it was long ago.
    pub(super) fn latency(&self, now: Instant) -> u32 {
        self.latency.read(self.health.age(now))
    }
}

/// One exchange or tunnel on an endpoint; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Loaded {
    cell: Arc<EndpointCell>,
    load: Load,
    /// As it was at the beginning.
    departures: u32,
}

impl Loaded {
    /// The endpoint.
    pub(crate) fn endpoint(&self) -> SocketAddr {
        self.cell.address
    }

    /// The endpoint's cell.
    pub(crate) fn cell(&self) -> &Arc<EndpointCell> {
        &self.cell
    }

    /// Whether the endpoint left or began to terminate since then.
    pub(crate) fn departed_meanwhile(&self) -> bool {
        self.cell.departures.load(Ordering::Relaxed) != self.departures
    }

    /// The number of the origin's cell.
    pub(super) fn origin(&self) -> u64 {
        self.cell.origin.id
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.cell.loads.fetch_sub(self.load.one(), Ordering::Relaxed);
    }
}

/// One tunnel that moves to another endpoint; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Moving(Arc<EndpointCell>);

impl Drop for Moving {
    fn drop(&mut self) {
        self.0.moving.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A moving average that is forgotten when nothing new comes, so that an endpoint which was slow once is asked
/// again: microseconds in the upper half, when they were noted (milliseconds of the cell's age) in the lower one.
#[derive(Debug, Default)]
struct Latency(AtomicU64);

impl Latency {
    /// How much of it a new value changes: an eighth.
    const WEIGHT: i64 = 8;
    /// Without a new value it is halved each time this passes.
    const HALF_LIFE_MS: u32 = 5_000;

    /// Of values that come at the same time one may be lost, which an average can bear.
    fn observe(&self, duration: Duration, age: Duration) {
        let value = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).min(i64::from(u32::MAX));
        let before = i64::from(self.read(age));
        let average = if before == 0 { value } else { before + (value - before) / Self::WEIGHT };
        let average = u64::try_from(average).unwrap_or_default();
        self.0.store(average << 32 | u64::from(milliseconds(age)), Ordering::Relaxed);
    }

    fn read(&self, age: Duration) -> u32 {
        let noted = self.0.load(Ordering::Relaxed);
        let average = u32::try_from(noted >> 32).unwrap_or(u32::MAX);
        let at = u32::try_from(noted & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        let now = milliseconds(age);
        // Another worker may have noted one a moment after our now.
        let ahead = at.wrapping_sub(now) < Self::HALF_LIFE_MS;
        let passed = if ahead { 0 } else { now.wrapping_sub(at) };
        average.checked_shr(passed / Self::HALF_LIFE_MS).unwrap_or(0)
    }
}

/// It begins anew after 49 days, where an average is then forgotten too late or too early.
fn milliseconds(age: Duration) -> u32 {
    u32::try_from(age.as_millis() & u128::from(u32::MAX)).unwrap_or_default()
}

/// Cells of one origin, for the tests of who counts on them.
#[cfg(test)]
pub(crate) fn cells_for_test(count: u16) -> Vec<Arc<EndpointCell>> {
    OriginCell::new().endpoints((1..=count).map(|port| ([192, 0, 2, 1], port).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_for_exchanges_and_tunnels_together() {
        let [cell] = &cells_for_test(1)[..] else { unreachable!() };
        let limit = NonZeroU32::new(2);
        let exchange = cell.enter(Load::Exchange, limit).unwrap();
        let tunnel = cell.enter(Load::Tunnel, limit).unwrap();
        assert_eq!((cell.loaded_with(Load::Exchange), cell.loaded_with(Load::Tunnel)), (1, 1));
        assert!(cell.enter(Load::Exchange, limit).is_none());
        assert!(cell.enter(Load::Exchange, None).is_some());
        drop(tunnel);
        assert!(cell.enter(Load::Exchange, limit).is_some());
        drop(exchange);
        assert_eq!((cell.loaded_with(Load::Exchange), cell.loaded_with(Load::Tunnel)), (0, 0));
    }

    #[test]
    fn a_limit_is_kept_whoever_comes_at_the_same_time() {
        let [cell] = &cells_for_test(1)[..] else { unreachable!() };
        let limit = NonZeroU32::new(5);
        let entered: Vec<_> = std::thread::scope(|scope| {
            let threads = (0..4).map(|_| {
                scope.spawn(|| (0..50).filter_map(|_| cell.enter(Load::Tunnel, limit)).collect::<Vec<_>>())
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(entered.len(), 5);
    }

    #[test]
    fn a_cell_is_kept_as_long_as_somebody_counts_on_it() {
        let origin = OriginCell::new();
        let address: SocketAddr = ([192, 0, 2, 1], 80).into();
        let open = origin.endpoints([address].into_iter())[0].enter(Load::Tunnel, None);
        assert_eq!(origin.endpoints([].into_iter()).len(), 0);
        assert_eq!(origin.endpoints([address].into_iter())[0].loaded_with(Load::Tunnel), 1);
        drop(open);
        assert_eq!(origin.endpoints([address].into_iter())[0].loaded_with(Load::Tunnel), 0);
    }

    #[test]
    fn latency_follows_slowly_and_is_forgotten() {
        let latency = Latency::default();
        let at = Duration::from_millis;
        latency.observe(Duration::from_micros(800), at(0));
        assert_eq!(latency.read(at(10)), 800);
        latency.observe(Duration::from_micros(1600), at(10));
        assert_eq!(latency.read(at(10)), 900);
        // Another worker's clock was read earlier.
        assert_eq!(latency.read(at(9)), 900);
        assert_eq!(latency.read(at(5_010)), 450);
        assert_eq!(latency.read(at(500_000)), 0);
    }
}
