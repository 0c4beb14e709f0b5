//! How many tunnels of an origin may still move to endpoints that were added, and when: one count for all workers.
//!
//! What is more than an even share when endpoints are added may move, once. So whatever comes back where it was, because
//! of a cookie or a hash, is not moved again and again.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::endpoint::EndpointCell;

/// What is left of a scale-out.
#[derive(Debug, Default)]
pub(crate) struct Moves(Mutex<Left>);

#[derive(Debug, Default)]
struct Left {
    count: u64,
    /// When the next one may move.
    next: Option<Instant>,
}

/// Whether one more may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// At this time.
    At(Instant),
    /// Not so soon.
    Later,
    /// Not before more endpoints are added.
    Spent,
}

impl Moves {
    /// Endpoints were added: from now on as many may move as are more than an even share.
    pub(crate) fn begin(&self, cells: &[Arc<EndpointCell>]) {
        let settled: Vec<_> = cells.iter().map(|cell| cell.settled()).collect();
        let share = settled.iter().sum::<u64>().div_ceil(u64::try_from(settled.len()).unwrap_or(1).max(1));
        self.locked().count = settled.iter().map(|settled| settled.saturating_sub(share)).sum();
    }

    /// Whether any may still move.
    pub(crate) fn go_on(&self) -> bool {
        self.locked().count > 0
    }

    /// The time for one to move until `latest`, at an even pace of so many in a second.
    pub(crate) fn reserve(&self, latest: Instant, per_second: NonZeroU32) -> Slot {
        let mut left = self.locked();
        let Some(fewer) = left.count.checked_sub(1) else { return Slot::Spent };
        let now = Instant::now();
        let at = left.next.map_or(now, |next| next.max(now));
        if at > latest {
            return Slot::Later;
        }
        *left = Left { count: fewer, next: Some(at + Duration::from_secs(1) / per_second.get()) };
        Slot::At(at)
    }

    /// A panic of another thread cannot have left two numbers half written.
    fn locked(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
