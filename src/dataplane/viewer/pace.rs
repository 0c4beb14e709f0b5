//! How slowly a viewer may send a request body.
//!
//! Two limits over one time: no gap between two reads may be that long, and over that much time of waiting so
//! many bytes must come. The clock runs only while we wait for the viewer, never while the origin is slow.

use std::time::Duration;

use tokio::time::Instant;

/// The pace of one body.
#[derive(Debug)]
pub(crate) struct Pace {
    gap: Duration,
    /// What must come while `gap` is waited, in bytes.
    least: u64,
    /// Since when the next bytes are waited for; none while they are not.
    since: Option<Instant>,
    /// From when the present wait counts for the present window.
    counted_from: Instant,
    /// What was waited in the present window before the present wait.
    waited: Duration,
    /// What came in the present window, in bytes.
    came: u64,
}

impl Pace {
    /// A pace that allows waits shorter than `gap`, and over `gap` of waiting at least `rate` bytes a second.
    pub(crate) fn new(gap: Duration, rate: u32, now: Instant) -> Self {
        let millis = u64::try_from(gap.as_millis()).unwrap_or(u64::MAX);
        Self {
            gap,
            least: millis.saturating_mul(u64::from(rate)) / 1000,
            since: None,
            counted_from: now,
            waited: Duration::ZERO,
            came: 0,
        }
    }

    /// The next bytes are waited for; says when [`Self::is_too_slow`] is to be asked.
    pub(crate) fn wait(&mut self, now: Instant) -> Instant {
        if self.since.is_none() {
            (self.since, self.counted_from) = (Some(now), now);
        }
        let gap_ends = self.since.unwrap_or(now) + self.gap;
        let window_ends = self.counted_from + self.gap.saturating_sub(self.waited);
        gap_ends.min(window_ends)
    }

    /// Bytes came, perhaps none.
    pub(crate) fn came(&mut self, bytes: u64, now: Instant) {
        self.came += bytes;
        if self.since.take().is_some() {
            self.waited += now - self.counted_from;
        }
    }

    /// Whether a limit is passed. A window that has ended and is not too slow gives way to the next one.
    pub(crate) fn is_too_slow(&mut self, now: Instant) -> bool {
        let Some(since) = self.since else { return false };
        let window_over = self.waited + (now - self.counted_from) >= self.gap;
        if now - since >= self.gap || (window_over && self.came < self.least) {
            return true;
        }
        if window_over {
            (self.counted_from, self.waited, self.came) = (now, Duration::ZERO, 0);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_secs(30);
    const SECOND: Duration = Duration::from_secs(1);

    /// Plays a viewer that sends `bytes` after each `pause`; gives how many times it could.
    fn sent_before_too_slow(bytes: u64, pause: Duration) -> usize {
        let mut pace = Pace::new(GAP, 240, Instant::now());
        let mut now = Instant::now();
        for times in 0..1000 {
            let bytes_come = now + pause;
            loop {
                let deadline = pace.wait(now);
                if bytes_come <= deadline {
                    break;
                }
                now = deadline;
                if pace.is_too_slow(now) {
                    return times;
                }
            }
            now = bytes_come;
            pace.came(bytes, now);
        }
        1000
    }

    #[test]
    fn a_gap_is_too_slow_however_much_came_before_it() {
        assert_eq!(sent_before_too_slow(1 << 20, GAP + SECOND), 0);
        assert_eq!(sent_before_too_slow(1 << 20, GAP - SECOND), 1000);
    }

    #[test]
    fn a_gap_counts_from_the_last_bytes_over_the_end_of_a_window() {
        let mut pace = Pace::new(GAP, 240, Instant::now());
        let start = Instant::now();
        pace.wait(start);
        pace.came(1 << 20, start + 20 * SECOND);
        assert_eq!(pace.wait(start + 20 * SECOND), start + GAP);
        assert!(!pace.is_too_slow(start + GAP));
        assert_eq!(pace.wait(start + GAP), start + 20 * SECOND + GAP);
        assert!(pace.is_too_slow(start + 20 * SECOND + GAP));
    }

    #[test]
    fn a_drip_is_too_slow_after_one_window() {
        assert_eq!(sent_before_too_slow(1, 2 * SECOND), 15);
        assert_eq!(sent_before_too_slow(239, SECOND), 30);
        assert_eq!(sent_before_too_slow(240, SECOND), 1000);
    }

    #[test]
    fn only_waiting_counts() {
        let mut pace = Pace::new(GAP, 240, Instant::now());
        let mut now = Instant::now();
        for _ in 0..20 {
            pace.wait(now);
            now += SECOND;
            pace.came(1, now);
            // The origin is slow.
            now += 100 * SECOND;
        }
        assert_eq!(pace.wait(now), now + 10 * SECOND);
    }
}
