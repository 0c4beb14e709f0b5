//! From facts to conditions: what translation found, plus the fleet and the time, told in the API's words.
//!
//! Pure: the clock and the fleet are parameters. The status writer, `/debug/status`, `check` and the golden
//! files share [`finish`], so they tell one story.

pub mod facts;
pub mod reasons;

use jiff::Timestamp;

use crate::api::DistributionStatus;

/// How many replicas serve what was judged.
///
/// Facts are handed on after their table was published, so a replica always counts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// Live replicas that serve the judged generation.
    pub serving: u32,
    /// Live replicas.
    pub alive: u32,
}

impl Fleet {
    /// A single replica, which serves what it judged.
    pub const ALONE: Self = Self { serving: 1, alive: 1 };
}

/// A Distribution's status, and when it must be judged again though nothing changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The whole status; each condition's `lastTransitionTime` is `now`: who writes it keeps the time of a
    /// condition that did not flip.
    pub status: DistributionStatus,
    /// When a certificate comes near its end or reaches it.
    pub look_again_at: Option<Timestamp>,
}
