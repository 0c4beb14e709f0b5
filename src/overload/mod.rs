//! Overload: what the use of memory asks of the data plane, as one value that everybody reads.
//!
//! The control thread reads the memory several times a second ([`watch`]); a worker reads one atomic. It knows
//! nothing of requests; who serves decides what a [`Level`] means.

mod memory;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

pub use memory::Memory;

/// How often memory is read.
const LOOK: Duration = Duration::from_millis(250);

/// From this share of the limit on, viewers are asked to leave after their answer.
const HIGH: f64 = 0.92;

/// From this share of the limit on, new requests are refused.
const CRITICAL: f64 = 0.95;

/// A level ends only this much below the share at which it begins, so that it does not flicker: at 90 % and 93 %.
const HYSTERESIS: f64 = 0.02;

/// How short memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// There is enough.
    Normal,
    /// Connections are not kept: each answer asks its viewer to come back on another one, maybe elsewhere.
    High,
    /// New requests are refused, besides, so that those that are under way can end.
    Critical,
}

impl Level {
    const ALL: [Self; 3] = [Self::Normal, Self::High, Self::Critical];

    /// The name that logs carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The level that follows this one when `share` of the limit is in use.
    fn next(self, share: f64) -> Self {
        let begins = |level| match level {
            Self::Normal => 0.0,
            Self::High => HIGH,
            Self::Critical => CRITICAL,
        };
        let holds = |level: &Self| {
            let slack = if *level <= self { HYSTERESIS } else { 0.0 };
            share > begins(*level) - slack
        };
        Self::ALL.into_iter().rev().find(holds).unwrap_or(Self::Normal)
    }
}

/// The side that decides; one per process (and per test).
#[derive(Debug)]
pub struct Controller(Arc<Shared>);

/// The side that reads; cheap to clone.
#[derive(Clone, Debug)]
pub struct Overload(Arc<Shared>);

#[derive(Debug)]
#[repr(align(128))] // its own cache line: every request reads it
struct Shared(AtomicU8);

/// The two sides, at [`Level::Normal`].
pub fn channel() -> (Controller, Overload) {
    let shared = Arc::new(Shared(AtomicU8::new(Level::Normal as u8)));
    (Controller(Arc::clone(&shared)), Overload(shared))
}

impl Controller {
    /// Goes to `level`.
    pub fn set(&self, level: Level) {
        self.0.0.store(level as u8, Ordering::Relaxed);
    }
}

impl Overload {
    /// The level right now.
    pub fn level(&self) -> Level {
        let number = usize::from(self.0.0.load(Ordering::Relaxed));
        Level::ALL.get(number).copied().unwrap_or(Level::Normal)
    }
}

/// Reads `memory` for ever and sets the level; `tell` gets the share of the limit that is in use, each time.
/// Where there is no limit, it has nothing to do.
pub async fn watch(memory: Memory, controller: Controller, tell: impl Fn(f64)) {
    let mut level = Level::Normal;
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(share) = memory.share() else { return std::future::pending().await };
        tell(share);
        let next = level.next(share);
        if next != level {
            level = next;
            controller.set(level);
            log_change(level, share);
        }
    }
}

/// One line per change.
fn log_change(level: Level, share: f64) {
    let percent = (share * 100.0).round();
    let level = level.as_str();
    if level == Level::Normal.as_str() {
        tracing::info!(event = "memory.level", level, percent, "memory suffices again");
    } else {
        tracing::warn!(
            event = "memory.level",
            level,
            percent,
            "memory is short: viewers are asked to leave, and at the level critical requests are refused; raise the memory limit or add replicas"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(shares: &[f64]) -> Vec<Level> {
        let mut level = Level::Normal;
        let next = |share: &f64| {
            level = level.next(*share);
            level
        };
        shares.iter().map(next).collect()
    }

    #[test]
    fn a_level_begins_above_its_share_and_ends_two_points_below_it() {
        use Level::{Critical, High, Normal};
        assert_eq!(levels(&[0.92, 0.921, 0.901, 0.90]), [Normal, High, High, Normal]);
        assert_eq!(levels(&[0.93, 0.95, 0.951, 0.931, 0.929]), [High, High, Critical, Critical, High]);
        assert_eq!(levels(&[0.99, 0.5]), [Critical, Normal]);
    }

    #[test]
    fn what_is_set_is_what_is_read() {
        let (controller, overload) = channel();
        for level in Level::ALL {
            controller.set(level);
            assert_eq!(overload.clone().level(), level);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_share_is_told_and_sets_the_level() {
        let folder = tempfile::tempdir().unwrap();
        memory::tests::write_v2(folder.path(), "100", "anon 90\nsock 6\n");
        let (controller, overload) = channel();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let watching = watch(Memory::find(folder.path()), controller, move |share| tell.send(share).unwrap());
        tokio::select! {
            () = watching => unreachable!("it watches for ever"),
            share = told.recv() => assert_eq!(share, Some(0.96)),
        }
        // Told first, set in the same breath.
        assert_eq!(overload.level(), Level::Critical);
    }
}
