//! Endpoints that fail time and again are left out for a while.
//!
//! Failures in a row eject an endpoint. When its time is over it is on trial: one single request goes there,
//! and its outcome brings it back or ejects it for twice as long. Never more than the allowed share of an
//! origin's endpoints is out at once. Where no other endpoint is left, one that is ejected is better than none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::endpoint::EndpointCell;
use crate::table::balancing::OutlierDetection;

/// No ejection lasts longer than this, or than `ejectionTime` where that is longer.
const LONGEST: Duration = Duration::from_secs(300);

/// How an endpoint has done.
///
/// It is changed under the lock of its origin, except for what a success resets, and read without.
#[derive(Debug)]
pub(super) struct Health {
    /// What the times below count from.
    born: Instant,
    /// Failures since the last success.
    failures: AtomicU32,
    /// When its ejection ends, in milliseconds; 0 where it is not ejected.
    ejected_until: AtomicU64,
    /// When its last ejection ended, in milliseconds.
    trusted_since: AtomicU64,
    /// How often it was ejected without having been trusted for long in between.
    ejections: AtomicU32,
    /// Whether a request is finding out if it is well again.
    on_trial: AtomicBool,
}

impl Health {
    pub(super) fn new(born: Instant) -> Self {
        Self {
            born,
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            trusted_since: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            on_trial: AtomicBool::new(false),
        }
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.born)
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.ejected_until.load(Ordering::Relaxed) != 0
    }

    /// Whether a request may go there: it is not ejected, or is due for its trial.
    pub(super) fn admits(&self, now: Instant) -> bool {
        match self.ejected_until.load(Ordering::Relaxed) {
            0 => true,
            until => until <= self.milliseconds(now) && !self.on_trial.load(Ordering::Relaxed),
        }
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        u64::try_from(self.age(now).as_millis()).unwrap_or(u64::MAX)
    }
}

/// One attempt on an endpoint, as far as it tells how the endpoint does. Dropped without a verdict, it tells
/// nothing.
#[derive(Debug)]
pub(super) struct Trial {
    cell: Arc<EndpointCell>,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The endpoint was not ejected.
    Trusted,
    /// It was, and this is the one request that finds out.
    OnTrial,
    /// It was, and there was no other.
    LastResort,
}

impl Trial {
    /// Begins an attempt; none where the endpoint is ejected and somebody else is finding out.
    pub(super) fn begin(cell: &Arc<EndpointCell>, now: Instant) -> Option<Self> {
        let health = &cell.health;
        let standing = match health.ejected_until.load(Ordering::Relaxed) {
            0 => Standing::Trusted,
            until if until > health.milliseconds(now) => return None,
            _ if health.on_trial.swap(true, Ordering::Relaxed) => return None,
            _ => Standing::OnTrial,
        };
        Some(Self { cell: Arc::clone(cell), standing })
    }

    /// Begins an attempt on an endpoint, ejected or not, since there is no other.
    pub(super) fn last_resort(cell: &Arc<EndpointCell>) -> Self {
        let ejected = cell.health.is_ejected();
        let standing = if ejected { Standing::LastResort } else { Standing::Trusted };
        Self { cell: Arc::clone(cell), standing }
    }

    /// The endpoint.
    pub(super) fn endpoint(&self) -> &EndpointCell {
        &self.cell
    }

    /// The endpoint did well; gives its address if that brought it back.
    pub(super) fn succeeded(self, now: Instant) -> Option<SocketAddr> {
        let health = &self.cell.health;
        // Written only where it changes something, since all workers read it.
        if health.failures.load(Ordering::Relaxed) != 0 {
            health.failures.store(0, Ordering::Relaxed);
        }
        if self.standing == Standing::Trusted {
            return None;
        }
        let _deciding = self.cell.origin.lock();
        health.readmit(now).then_some(self.cell.address)
    }

    /// The endpoint failed; `all` are those of its origin. If that ejects it, gives its address and for how
    /// long.
    pub(super) fn failed(
        self,
        rules: &OutlierDetection,
        all: &[Arc<EndpointCell>],
        now: Instant,
    ) -> Option<(SocketAddr, Duration)> {
        let health = &self.cell.health;
        let failures = health.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        match self.standing {
            Standing::Trusted if failures < rules.consecutive_failures.get() => return None,
            Standing::Trusted | Standing::OnTrial => {}
            // It is out already, and its time runs.
            Standing::LastResort => return None,
        }
        let _deciding = self.cell.origin.lock();
        let again = health.is_ejected();
        if self.standing == Standing::Trusted && again {
            return None; // others failed at the same time
        }
        if !again && ejected(all) + 1 > most_ejected(rules, all) {
            return None;
        }
        let time = health.next_ejection(rules.ejection_time, again, now);
        let until = health.milliseconds(now + time).max(1);
        health.ejected_until.store(until, Ordering::Relaxed);
        health.failures.store(0, Ordering::Relaxed);
        Some((self.cell.address, time))
    }
}

/// Brings back as many as are out too many, since the rules or the endpoints are others now: those whose time is
/// over first.
pub(super) fn keep_share(rules: &OutlierDetection, all: &[Arc<EndpointCell>], now: Instant) {
    let Some(_deciding) = all.first().map(|first| first.origin.lock()) else { return };
    while ejected(all) > most_ejected(rules, all) {
        let out = all.iter().filter(|cell| cell.health.is_ejected());
        let first = out.min_by_key(|cell| cell.health.remaining(now));
        first.map(|cell| cell.health.readmit(now));
    }
}

/// How many of them are ejected.
pub(super) fn ejected(all: &[Arc<EndpointCell>]) -> usize {
    all.iter().filter(|cell| cell.health.is_ejected()).count()
}

fn most_ejected(rules: &OutlierDetection, all: &[Arc<EndpointCell>]) -> usize {
    all.len() * usize::from(rules.max_ejected_percent) / 100
}

impl Health {
    /// Under the lock of its origin: says whether it was ejected.
    fn readmit(&self, now: Instant) -> bool {
        let was_ejected = self.ejected_until.swap(0, Ordering::Relaxed) != 0;
        if was_ejected {
            self.failures.store(0, Ordering::Relaxed);
            self.trusted_since.store(self.milliseconds(now), Ordering::Relaxed);
        }
        was_ejected
    }

    fn remaining(&self, now: Instant) -> u64 {
        self.ejected_until.load(Ordering::Relaxed).saturating_sub(self.milliseconds(now))
    }

    /// How long it is ejected this time: twice as long as the last time, unless it was trusted for longer than
    /// that in between.
    fn next_ejection(&self, first: Duration, again: bool, now: Instant) -> Duration {
        let longest = LONGEST.max(first);
        let after = |ejections: u32| {
            first.saturating_mul(1_u32.checked_shl(ejections).unwrap_or(u32::MAX)).min(longest)
        };
        let before = self.ejections.load(Ordering::Relaxed);
        let trusted = Duration::from_millis(self.trusted_since.load(Ordering::Relaxed));
        let is_forgiven = !again && self.age(now).saturating_sub(trusted) > after(before);
        let ejections = if is_forgiven { 0 } else { before };
        self.ejections.store(ejections.saturating_add(1), Ordering::Relaxed);
        after(ejections)
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if self.standing == Standing::OnTrial {
            self.cell.health.on_trial.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::super::endpoint::cells_for_test;
    use super::*;

    fn rules(max_ejected_percent: u8) -> OutlierDetection {
        OutlierDetection {
            consecutive_failures: NonZeroU32::new(3).unwrap(),
            ejection_time: Duration::from_secs(10),
            max_ejected_percent,
            statuses: Vec::new(),
        }
    }

    /// What becomes of so many failures in a row.
    fn fail(
        times: u32,
        all: &[Arc<EndpointCell>],
        at: usize,
        rules: &OutlierDetection,
        now: Instant,
    ) -> Option<Duration> {
        (0..times)
            .filter_map(|_| Trial::begin(&all[at], now)?.failed(rules, all, now))
            .fold(None, |_, (_, time)| Some(time))
    }

    #[test]
    fn failures_in_a_row_eject_and_a_success_between_them_does_not() {
        let (all, now, rules) = (cells_for_test(4), Instant::now(), rules(50));
        assert_eq!(fail(2, &all, 0, &rules, now), None);
        assert_eq!(Trial::begin(&all[0], now).unwrap().succeeded(now), None);
        assert_eq!(fail(2, &all, 0, &rules, now), None);
        assert!(all[0].health.admits(now));
        assert_eq!(fail(1, &all, 0, &rules, now), Some(Duration::from_secs(10)));
        assert!(!all[0].health.admits(now) && all[1].health.admits(now));
    }

    #[test]
    fn one_request_finds_out_and_its_outcome_counts() {
        let (all, start, rules) = (cells_for_test(4), Instant::now(), rules(50));
        fail(3, &all, 0, &rules, start);
        let later = |seconds| start + Duration::from_secs(seconds);
        assert!(Trial::begin(&all[0], later(9)).is_none());
        let trial = Trial::begin(&all[0], later(10)).unwrap();
        assert!(Trial::begin(&all[0], later(10)).is_none(), "a second one goes there as well");
        drop(trial);
        let trial = Trial::begin(&all[0], later(11)).unwrap();
        let twenty = Duration::from_secs(20);
        assert_eq!(trial.failed(&rules, &all, later(11)), Some((all[0].address, twenty)));
        assert!(Trial::begin(&all[0], later(30)).is_none());
        assert_eq!(Trial::begin(&all[0], later(31)).unwrap().succeeded(later(31)), Some(all[0].address));
        assert!(all[0].health.admits(later(31)));
        assert_eq!(
            fail(3, &all, 0, &rules, later(40)),
            Some(Duration::from_secs(40)),
            "it soon failed again"
        );
        assert_eq!(Trial::begin(&all[0], later(80)).unwrap().succeeded(later(80)), Some(all[0].address));
        assert_eq!(
            fail(3, &all, 0, &rules, later(600)),
            Some(Duration::from_secs(10)),
            "it was well for long"
        );
    }

    #[test]
    fn no_ejection_lasts_for_ever() {
        let (all, rules, mut now) = (cells_for_test(4), rules(50), Instant::now());
        let mut time = fail(3, &all, 0, &rules, now).unwrap();
        for _ in 0..50 {
            now += time;
            time = fail(1, &all, 0, &rules, now).unwrap();
        }
        assert_eq!(time, LONGEST);
    }

    #[test]
    fn never_more_than_the_share_are_out() {
        let now = Instant::now();
        for (count, percent, most) in
            [(1, 50, 0), (2, 50, 1), (3, 50, 1), (10, 30, 3), (10, 0, 0), (3, 100, 3)]
        {
            let (all, rules) = (cells_for_test(count), rules(percent));
            let out = (0..all.len()).filter_map(|at| fail(3, &all, at, &rules, now)).count();
            assert_eq!(out, most, "{count} endpoints, {percent} %");
        }
    }

    #[test]
    fn fewer_endpoints_bring_back_who_is_out_too_many() {
        let (all, now, rules) = (cells_for_test(4), Instant::now(), rules(50));
        fail(3, &all, 0, &rules, now);
        fail(3, &all, 1, &rules, now + Duration::from_secs(1));
        keep_share(&rules, &all, now);
        assert_eq!(ejected(&all), 2);
        keep_share(&rules, &all[..2], now + Duration::from_secs(2));
        assert!(!all[0].health.is_ejected() && all[1].health.is_ejected());
    }

    #[test]
    fn the_last_resort_says_when_it_is_well_again() {
        let (all, now, rules) = (cells_for_test(1), Instant::now(), rules(100));
        fail(3, &all, 0, &rules, now);
        assert_eq!(Trial::last_resort(&all[0]).failed(&rules, &all, now), None);
        assert!(Trial::last_resort(&all[0]).succeeded(now).is_some());
        assert!(all[0].health.admits(now));
    }
}
