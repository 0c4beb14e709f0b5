//! What is known of each Distribution's status: what was found, what stands in the cluster, what is due.
//!
//! Pure bookkeeping: time comes in as a parameter, and nothing is written from here.
//! Start at [`Ledger::next_write`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use crate::api::{DistributionStatus, LoadBalancerStatus};
use crate::conditions::facts::{DistributionFacts, Facts, Warning};
use crate::conditions::roster::{Roster, Tally};
use crate::conditions::story::keep_times;
use crate::conditions::{Fleet, finish};
use crate::object::ObjectKey;

/// The first wait after a failed write; each further one doubles it.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait after a failed write.
const LAST_RETRY: Duration = Duration::from_secs(300);
/// How long the others have to take a new generation before it is told that they have not: most do so at once, and
/// need not make a status flip at each edit.
const SETTLING: Duration = Duration::from_secs(1);
/// The longest time until a status is looked at again, so that a clock that was set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// One moment on both clocks: the calendar's, which certificates go by, and the steady one that waits go by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) calendar: Timestamp,
    pub(super) steady: Instant,
}

/// A status that is due.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) key: ObjectKey,
    pub(super) uid: Option<String>,
    /// What stands in the cluster, as far as it can be read.
    pub(super) before: Option<DistributionStatus>,
    /// The whole new status.
    pub(super) status: DistributionStatus,
    /// What is odd, which the status tells in a message.
    pub(super) warnings: Vec<Warning>,
}

/// The statuses of all Distributions.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<ObjectKey, Entry>,
    /// Which may differ from what stands in the cluster.
    dirty: BTreeSet<ObjectKey>,
    /// When to look at which one though nothing changed.
    alarms: BTreeSet<(Instant, ObjectKey)>,
    /// The live replicas, and what they were last compared with.
    roster: Arc<Roster>,
    tally: Tally,
    /// Where viewers come to; none as long as nobody knows.
    load_balancer: Option<LoadBalancerStatus>,
}

#[derive(Debug)]
struct Entry {
    facts: Arc<DistributionFacts>,
    /// The status as the cluster last showed it.
    present: Option<Arc<Value>>,
    /// The same, read; or what we wrote since, which the cluster has yet to show.
    stands: Option<DistributionStatus>,
    writing: bool,
    alarm: Option<Instant>,
    retry: Option<Retry>,
    /// When the others are expected to have taken this generation.
    settled_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Retry {
    at: Instant,
    wait: Duration,
}

impl Ledger {
    /// Takes what was found, what stands in the cluster and who is there; what is the very same as before costs
    /// nothing.
    pub(super) fn observe(
        &mut self,
        facts: &Arc<Facts>,
        present: &BTreeMap<ObjectKey, Arc<Value>>,
        roster: Arc<Roster>,
        now: Instant,
    ) {
        let gone: Vec<ObjectKey> =
            self.entries.keys().filter(|key| !facts.0.contains_key(key)).cloned().collect();
        for key in gone {
            self.set_alarm(&key, None);
            self.entries.remove(&key);
            self.dirty.remove(&key);
        }
        let another_roster = self.roster != roster;
        self.tally = Tally::new(Arc::clone(&roster), Arc::clone(facts));
        self.roster = roster;
        for (key, facts) in &facts.0 {
            let present = present.get(key);
            let changed = match self.entries.get_mut(key) {
                Some(entry) => entry.observe(facts, present, now) || (another_roster && !entry.is_deployed()),
                None => {
                    self.entries.insert(key.clone(), Entry::new(facts, present, now));
                    true
                }
            };
            if changed {
                self.dirty.insert(key.clone());
            }
        }
    }

    /// Takes where viewers come to. As long as nobody knows, what stands in the cluster is kept.
    pub(super) fn reached_at(&mut self, load_balancer: Option<LoadBalancerStatus>) {
        if self.load_balancer != load_balancer {
            self.load_balancer = load_balancer;
            self.dirty.extend(self.entries.keys().cloned());
        }
    }

    /// The next moment at which something is due though nothing changes.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Marks what is due by now.
    pub(super) fn ring(&mut self, now: Instant) {
        while self.next_alarm().is_some_and(|at| at <= now) {
            let Some((_, key)) = self.alarms.pop_first() else { return };
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.alarm = None;
            }
            self.dirty.insert(key);
        }
    }

    /// Judges what may differ, until it finds a status that does.
    pub(super) fn next_write(&mut self, now: Moment) -> Option<Write> {
        while let Some(key) = self.dirty.pop_first() {
            let Some(entry) = self.entries.get_mut(&key).filter(|entry| !entry.writing) else { continue };
            let (write, alarm) = entry.judge(&key, &self.tally, self.load_balancer.as_ref(), now);
            self.set_alarm(&key, alarm);
            if write.is_some() {
                return write;
            }
        }
        None
    }

    /// Notes that a status now stands in the cluster.
    pub(super) fn written(&mut self, key: &ObjectKey, status: DistributionStatus) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.writing = false;
            entry.stands = Some(status);
            entry.retry = None;
            // What changed during the write was put off until now.
            self.dirty.insert(key.clone());
        }
    }

    /// Notes that nobody knows whether a write came to pass; what stands in the cluster will tell.
    pub(super) fn interrupted(&mut self, key: &ObjectKey) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.writing = false;
            self.dirty.insert(key.clone());
        }
    }

    /// Notes that a write failed, and when to try again; true where it had not failed before.
    pub(super) fn failed(&mut self, key: &ObjectKey, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        entry.writing = false;
        let first = entry.retry.is_none();
        let wait = entry.retry.map_or(FIRST_RETRY, |retry| (retry.wait * 2).min(LAST_RETRY));
        entry.retry = Some(Retry { at: now + wait, wait });
        self.dirty.insert(key.clone());
        first
    }

    fn set_alarm(&mut self, key: &ObjectKey, alarm: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if let Some(old) = std::mem::replace(&mut entry.alarm, alarm) {
            self.alarms.remove(&(old, key.clone()));
        }
        if let Some(new) = alarm {
            self.alarms.insert((new, key.clone()));
        }
    }
}

impl Entry {
    fn new(facts: &Arc<DistributionFacts>, present: Option<&Arc<Value>>, now: Instant) -> Self {
        Self {
            facts: Arc::clone(facts),
            present: present.cloned(),
            stands: present.and_then(read),
            writing: false,
            alarm: None,
            retry: None,
            settled_at: now + SETTLING,
        }
    }

    /// Whether every replica has served this generation, and that is told.
    fn is_deployed(&self) -> bool {
        self.stands.as_ref().is_some_and(|status| Fleet::kept(status, self.facts.generation).is_some())
    }

    /// Whether anything is new.
    fn observe(
        &mut self,
        facts: &Arc<DistributionFacts>,
        present: Option<&Arc<Value>>,
        now: Instant,
    ) -> bool {
        let same_present = match (&self.present, present) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if !same_present {
            self.present = present.cloned();
            self.stands = present.and_then(read);
        }
        let same_facts = Arc::ptr_eq(&self.facts, facts);
        if self.facts.generation != facts.generation || self.facts.uid != facts.uid {
            // An edit may be the remedy.
            self.retry = None;
            self.settled_at = now + SETTLING;
        }
        self.facts = Arc::clone(facts);
        !(same_present && same_facts)
    }

    /// The write that is due now, if any, and when to look again.
    fn judge(
        &mut self,
        key: &ObjectKey,
        tally: &Tally,
        load_balancer: Option<&LoadBalancerStatus>,
        now: Moment,
    ) -> (Option<Write>, Option<Instant>) {
        let fleet = tally.fleet(&self.facts, self.stands.as_ref());
        if !fleet.is_complete() && self.settled_at > now.steady {
            return (None, Some(self.settled_at));
        }
        let mut judgement = finish(&self.facts, fleet, whole_second(now.calendar));
        let told = self.stands.as_ref().map(|stands| &stands.load_balancer);
        judgement.status.load_balancer = load_balancer.or(told).cloned().unwrap_or_default();
        if let Some(stands) = &self.stands {
            keep_times(&mut judgement.status, stands);
        }
        let look_again = judgement.look_again_at.map(|at| instant(at, now));
        if self.stands.as_ref() == Some(&judgement.status) {
            self.retry = None;
            return (None, look_again);
        }
        if let Some(retry) = self.retry.filter(|retry| retry.at > now.steady) {
            return (None, Some(retry.at));
        }
        self.writing = true;
        let write = Write {
            key: key.clone(),
            uid: self.facts.uid.clone(),
            before: self.stands.clone(),
            status: judgement.status,
            warnings: self.facts.warnings.clone(),
        };
        (Some(write), look_again)
    }
}

/// A status that a later version wrote may not be readable; then it counts as none and is written anew.
fn read(status: &Arc<Value>) -> Option<DistributionStatus> {
    serde::Deserialize::deserialize(status.as_ref()).ok()
}

/// The API's times have no fractions: with one, what we wrote would never equal what we read.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn instant(at: Timestamp, now: Moment) -> Instant {
    let wait = Duration::try_from(at.duration_since(now.calendar)).unwrap_or_default();
    now.steady + wait.min(LONGEST_SLEEP)
}
