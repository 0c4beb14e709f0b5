//! The loop that writes statuses: only what differs, a few at a time, never in a hurry, and only while this replica
//! leads. One that does not lead takes note all the same, and so has nothing to catch up with when it does.
//!
//! It is given facts and what stands in the cluster, and knows neither provider nor table.
//! Start at [`run`]; what is due is decided in the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use kube::Client;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::apply::{Failure, apply};
use super::events::{self, Events};
use super::leader::Leadership;
use super::ledger::{Ledger, Moment, Write};
use crate::api::LoadBalancerStatus;
use crate::conditions::facts::Facts;
use crate::conditions::roster::Roster;
use crate::conditions::story;
use crate::object::ObjectKey;
use crate::telemetry::metrics::Metrics;

/// Far away, for timers that are not set.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// What stands in the cluster.
pub struct Present {
    /// Wakes when any of it changed.
    pub changes: watch::Receiver<()>,
    /// The `status` of each Distribution that has one; the same `Arc` as long as it did not change.
    pub read: Box<dyn Fn() -> BTreeMap<ObjectKey, Arc<Value>> + Send + Sync>,
    /// Where viewers come to; none as long as nobody knows, and then what was written before stays.
    pub load_balancer: Box<dyn Fn() -> Option<LoadBalancerStatus> + Send + Sync>,
}

/// The waits of the writer; tests shrink them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long changes gather before they are judged.
    pub debounce: Duration,
    /// How long one write may take: shorter than a leader's term, so that one that hangs is known to have failed.
    pub call: Duration,
    /// How many writes are on their way at once.
    pub at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { debounce: Duration::from_millis(200), call: Duration::from_secs(5), at_once: 8 }
    }
}

/// What the writer is made of.
pub struct Writer {
    /// Writes.
    pub client: Client,
    /// The facts, newest wins; none before the first table.
    pub facts: watch::Receiver<Option<Arc<Facts>>>,
    /// What stands in the cluster.
    pub present: Present,
    /// The live replicas, and what each has judged; none before they have been listed, and then nothing is written.
    pub roster: watch::Receiver<Option<Arc<Roster>>>,
    /// Whether this replica is the one that writes.
    pub leadership: Leadership,
    /// The calendar.
    pub clock: fn() -> Timestamp,
    /// Where what changed is told.
    pub events: Events,
    /// Counts attempts.
    pub metrics: Metrics,
    /// The waits.
    pub limits: Limits,
}

/// Writes statuses until `stop`, or until nobody hands on facts any more.
pub async fn run(mut writer: Writer, stop: CancellationToken) {
    let mut ledger = Ledger::default();
    let mut calls = FuturesUnordered::new();
    let mut voice = Voice { silenced: false, events: writer.events.clone() };
    writer.facts.mark_changed(); // what was found before we began counts, too
    let mut gathered: Option<Instant> = None;
    loop {
        let never = Instant::now() + NEVER;
        let alarm = ledger.next_alarm().unwrap_or(never);
        tokio::select! {
            // 1. Something changed: gather for a moment what comes with it.
            changed = changed(&mut writer.facts, &mut writer.present, &mut writer.roster), if gathered.is_none() => {
                if changed.is_err() {
                    return;
                }
                gathered = Some(Instant::now() + writer.limits.debounce);
            }
            // 2. Enough has gathered.
            () = sleep_until(gathered.unwrap_or(never)), if gathered.is_some() => {
                gathered = None;
                observe(&mut writer, &mut ledger);
            }
            // 3. Something is due though nothing changed: a certificate's end, another attempt.
            () = sleep_until(alarm) => ledger.ring(Instant::now()),
            // 4. A write ended.
            Some((write, result)) = calls.next() => match result {
                Some(result) => voice.ended(&mut ledger, &writer.metrics, write, result),
                None => ledger.interrupted(&write.key),
            },
            // 5. This replica may write from now on, or no longer.
            () = writer.leadership.changed() => {}
            // 6. The end.
            () = stop.cancelled() => return,
        }
        while calls.len() < writer.limits.at_once && writer.leadership.remaining().is_some() {
            let now = Moment { calendar: (writer.clock)(), steady: Instant::now() };
            let Some(write) = ledger.next_write(now) else { break };
            calls.push(call(writer.client.clone(), writer.leadership.clone(), write, writer.limits.call));
        }
    }
}

async fn changed(
    facts: &mut watch::Receiver<Option<Arc<Facts>>>,
    present: &mut Present,
    roster: &mut watch::Receiver<Option<Arc<Roster>>>,
) -> Result<(), watch::error::RecvError> {
    tokio::select! {
        changed = facts.changed() => changed,
        changed = present.changes.changed() => changed,
        changed = roster.changed() => changed,
    }
}

fn observe(writer: &mut Writer, ledger: &mut Ledger) {
    writer.present.changes.mark_unchanged();
    let present = (writer.present.read)();
    ledger.reached_at((writer.present.load_balancer)());
    let Some(roster) = writer.roster.borrow_and_update().clone() else { return };
    if let Some(facts) = writer.facts.borrow_and_update().as_ref() {
        ledger.observe(facts, &present, roster, Instant::now());
    }
}

/// What became of a write; none where this replica did not lead any more before it was known.
async fn call(
    client: Client,
    leadership: Leadership,
    write: Write,
    limit: Duration,
) -> (Write, Option<Result<(), Failure>>) {
    let result = leadership.while_leading(apply(client, &write, limit)).await;
    (write, result)
}

/// Tells of writes: each change of state once.
struct Voice {
    /// Whether it is known that no status can be written at all.
    silenced: bool,
    events: Events,
}

impl Voice {
    fn ended(&mut self, ledger: &mut Ledger, metrics: &Metrics, write: Write, result: Result<(), Failure>) {
        match result {
            Ok(()) => {
                metrics.status_write("ok");
                self.silenced = false;
                story::tell(&write.key, write.before.as_ref(), &write.status);
                self.events.tell(&write.key, write.uid.as_deref(), events::of_write(&write));
                ledger.written(&write.key, write.status);
            }
            Err(failure) => {
                metrics.status_write(failure.result());
                let first = ledger.failed(&write.key, Instant::now());
                self.failed(&write, &failure, first);
            }
        }
    }

    fn failed(&mut self, write: &Write, failure: &Failure, first: bool) {
        let (namespace, name) = (&write.key.namespace, &write.key.name);
        match failure {
            // Deleted or changed meanwhile: the next facts tell.
            Failure::Gone | Failure::Conflict => {
                tracing::debug!(namespace, name, %failure, "status not written")
            }
            Failure::Refused { .. } if first => {
                tracing::warn!(event = "status.refused", namespace, name, "{failure}");
                let told = events::of_refusal(write, &failure.to_string());
                self.events.tell(&write.key, write.uid.as_deref(), told);
            }
            Failure::Refused { .. } => {}
            Failure::Forbidden | Failure::Unavailable(_) => {
                if !std::mem::replace(&mut self.silenced, true) {
                    tracing::warn!(event = "status.unavailable", "{failure}");
                }
            }
        }
    }
}
