//! The pings of one tunnel: when the viewer is asked for a sign of life, and when too many signs were missed.
//!
//! Whether a ping finds a place and a pong could be heard is the flows' business.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::frames::Mark;

/// So many pongs in a row may not come.
const MISSED: u8 = 2;

/// What a tunnel keeps of its pings.
#[derive(Debug)]
pub(super) struct Pings {
    interval: Duration,
    mark: Mark,
    due: Instant,
    /// How many pongs had come when the last ping was sent; none before the first.
    heard: Option<u64>,
    missed: u8,
}

impl Pings {
    /// The first one is due after one interval.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, mark: Mark::new(), due: Instant::now() + interval, heard: None, missed: 0 }
    }

    /// What they carry.
    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    /// When the next one is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Leaves out the one that is due: it finds no place, or its answer could not be heard.
    pub(super) fn skip(&mut self) {
        self.due = Instant::now() + self.interval;
    }

    /// The ping that is due, when so many pongs have come from the viewer; none when too many did not. Whatever pong
    /// comes is a sign of life, also one that is for the origin: only the last of several pings must be answered
    /// (RFC 6455 section 5.5.3).
    pub(super) fn next(&mut self, pongs: u64) -> Option<Bytes> {
        self.missed = if self.heard == Some(pongs) { self.missed + 1 } else { 0 };
        if self.missed == MISSED {
            return None;
        }
        self.heard = Some(pongs);
        self.skip();
        Some(self.mark.ping().into())
    }
}
