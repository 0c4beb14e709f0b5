//! The life of one watcher: list, follow, and begin again, until it is cancelled.
//!
//! What it sees goes to the shared inventory; what goes wrong goes through [`Outage`] to the log and, where a
//! person must act, to the inventory as a degraded kind. Start at [`watch`].

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::Client;
use kube::runtime::watcher::{self, DefaultBackoff, Event, watcher};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Limits;
use super::fault::{Fault, Outage};
use super::inventory::Shared;
use super::kinds::Watched;
use super::observed::{Observed, Version};
use super::scope::Scope;
use crate::provider::Class;
use crate::snapshot::Kind;
use crate::telemetry::metrics::Metrics;

/// What one watcher needs.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) client: Client,
    pub(crate) scope: Scope,
    pub(crate) class: Class,
    pub(crate) limits: Limits,
    pub(crate) shared: Arc<Shared>,
    pub(crate) metrics: Metrics,
}

/// Watches the kind `K` until `cancel`.
pub(crate) async fn watch<K: Watched>(task: Task, cancel: CancellationToken) {
    let shared = Arc::clone(&task.shared);
    let mut watch = Watch {
        task,
        version: Version::default(),
        backoff: DefaultBackoff::default(),
        outage: Outage::default(),
        begun: Instant::now(),
    };
    let watching = async {
        if K::IS_OPTIONAL {
            // An API server that lists Distributions has read its CustomResourceDefinitions: what it does not know
            // from then on does not exist.
            shared.listed(Kind::Distribution).await;
        }
        watch.forever::<K>().await;
    };
    cancel.run_until_cancelled(watching).await;
}

struct Watch {
    task: Task,
    /// The version that the API server knows, as far as it was asked.
    version: Version,
    backoff: DefaultBackoff,
    outage: Outage,
    /// When it first asked.
    begun: Instant,
}

impl Watch {
    async fn forever<K: Watched>(&mut self) {
        loop {
            // A stream that failed is dropped, not polled again: one that starts with 410 would ask for the same
            // version for ever, and after an outage only a new list shows what was missed.
            match self.follow::<K>().await {
                Err(Fault::Missing) if self.turn_to_another_version::<K>() => {}
                Err(Fault::Missing) if K::IS_OPTIONAL => {
                    self.absent::<K>();
                    self.back_off().await;
                }
                Err(fault) => {
                    self.failed::<K>(&fault);
                    self.back_off().await;
                }
                Ok(()) => {}
            }
        }
    }

    /// Lists and follows the kind until the time to list it afresh, or until it fails.
    async fn follow<K: Watched>(&mut self) -> Result<(), Fault> {
        let mut events = pin!(watcher(
            self.task.scope.api::<K>(self.task.client.clone(), self.version),
            self.config::<K>()
        ));
        let mut listing = Some(Vec::new());
        let fresh_list = Instant::now() + jittered(self.task.limits.relist);
        // After an outage a list alone proves nothing, since the right to watch may still be missing: what counts
        // is that nothing fails for a while.
        let mut quiet = fresh_list;
        loop {
            tokio::select! {
                // 1. An event or a failure; while a list is on its way one of them must come in time.
                next = next(&mut events, listing.is_some(), self.task.limits.list) => match next? {
                    Ok(event) => {
                        if matches!(event, Event::InitDone) {
                            quiet = Instant::now() + self.task.limits.patience;
                        }
                        self.take::<K>(event, &mut listing);
                    }
                    // The stream was cut; the next poll resumes where it ended.
                    Err(watcher::Error::WatchFailed(error)) => {
                        tracing::debug!(kind = K::KIND.as_str(), %error, "a watch was cut and is resumed");
                        self.back_off().await;
                    }
                    Err(error) => return Err(Fault::of(&error)),
                },
                // 2. No failure for a while after an outage.
                () = sleep_until(quiet), if self.outage.lasts() && listing.is_none() => self.recovered::<K>(),
                // 3. Time for a fresh list, because nothing says so when etcd was restored.
                () = sleep_until(fresh_list) => return Ok(()),
            }
        }
    }

    fn config<K: Watched>(&self) -> watcher::Config {
        let config = watcher::Config::default().timeout(self.task.limits.watch_seconds);
        self.task.scope.field_selector::<K>().iter().fold(config, |config, selector| config.fields(selector))
    }

    /// Takes one event. `listing` gathers a list until it is complete, so that the live objects never go.
    fn take<K: Watched>(&self, event: Event<Observed<K>>, listing: &mut Option<Vec<Observed<K>>>) {
        let ours =
            |object: &Observed<K>| !K::HAS_CLASS || self.task.class.serves(object.class_name.as_deref());
        let scope = &self.task.scope;
        match event {
            Event::Init => *listing = Some(Vec::new()),
            Event::InitApply(object) => {
                if ours(&object) {
                    listing.get_or_insert_default().push(object.seen_in(scope));
                }
            }
            Event::InitDone => {
                let list = listing.take().unwrap_or_default();
                self.task.shared.update(|inventory| inventory.replace::<K>(scope, list));
            }
            Event::Apply(object) if ours(&object) => {
                let object = object.seen_in(scope);
                self.task.shared.update(|inventory| inventory.apply::<K>(scope, object));
            }
            // An object that went to another class is gone as far as we are concerned.
            Event::Apply(object) | Event::Delete(object) => {
                if let Some(key) = object.key() {
                    self.task.shared.update(|inventory| inventory.delete::<K>(scope, key));
                }
            }
        }
    }

    /// Turns to the older version of a kind, and from that back to the newer; true where there is one left to ask
    /// for.
    fn turn_to_another_version<K: Watched>(&mut self) -> bool {
        self.version = match self.version {
            Version(None) => Version(K::OLDER_VERSION),
            Version(Some(_)) => Version::default(),
        };
        self.version != Version::default()
    }

    /// An optional kind that the API server does not know is no fault, and may come at any time.
    fn absent<K: Watched>(&mut self) {
        let (now, limits) = (Instant::now(), self.task.limits);
        if self.outage.failed(&Fault::Missing, now, limits.patience) {
            let sentence = Fault::Missing.sentence::<K>(&self.task.scope);
            tracing::info!(event = "watch.absent", kind = K::KIND.as_str(), scope = %self.task.scope, "{sentence}");
        }
        let (scope, age) = (&self.task.scope, self.outage.age(now));
        self.task.shared.update(|inventory| inventory.absent::<K>(scope, age, limits));
    }

    fn failed<K: Watched>(&mut self, fault: &Fault) {
        self.task.metrics.watch_error(K::KIND.as_str(), fault.reason());
        let (now, limits) = (Instant::now(), self.task.limits);
        if self.outage.failed(fault, now, limits.patience) {
            self.tell::<K>(fault);
        }
        let shared = &self.task.shared;
        match &self.task.scope {
            // What holds up a name may change from one attempt to the next, and all of it counts.
            Scope::Object(key) if self.outage.lasts() => {
                let waited = now.duration_since(self.begun);
                shared.update(|inventory| inventory.give_up_name::<K>(key, fault, waited, limits));
            }
            scope @ (Scope::Cluster | Scope::Namespace(_))
                if self.outage.age(now) >= limits.first_patience =>
            {
                shared.update(|inventory| inventory.give_up_first_list::<K>(scope, fault));
            }
            Scope::Object(_) | Scope::Cluster | Scope::Namespace(_) => {}
        }
    }

    fn tell<K: Watched>(&self, fault: &Fault) {
        let sentence = fault.sentence::<K>(&self.task.scope);
        let (kind, reason) = (K::KIND.as_str(), fault.reason());
        // An outage of the API server is told by the watchers of whole kinds; there may be many of names.
        if fault.may_pass() || !self.task.scope.is_one_object() {
            tracing::warn!(event = "watch.error", kind, scope = %self.task.scope, reason, "{sentence}");
        }
        if fault.may_pass() {
            self.task.shared.update(|inventory| inventory.degrade(K::KIND, &self.task.scope, sentence));
        }
    }

    fn recovered<K: Watched>(&mut self) {
        self.task.shared.update(|inventory| inventory.recovered(K::KIND, &self.task.scope));
        if self.outage.end() && !self.task.scope.is_one_object() {
            let kind = K::KIND.as_str();
            tracing::info!(event = "watch.recovered", kind, scope = %self.task.scope, "{kind} objects are seen again");
        }
    }

    async fn back_off(&mut self) {
        sleep(self.backoff.next().unwrap_or(self.task.limits.patience)).await;
    }
}

/// The stream's next item. A watch may be silent for as long as its own timeout allows; a list may not.
async fn next<S: StreamExt + Unpin>(
    events: &mut S,
    listing: bool,
    limit: Duration,
) -> Result<S::Item, Fault> {
    let ended = || Fault::Failing("the watcher ended".to_owned());
    if !listing {
        return events.next().await.ok_or_else(ended);
    }
    match timeout(limit, events.next()).await {
        Ok(item) => item.ok_or_else(ended),
        Err(_) => Err(Fault::Failing(format!("no answer within {} s", limit.as_secs()))),
    }
}

/// Between `most / 2` and `most`, so that the lists of several replicas and kinds do not coincide.
fn jittered(most: Duration) -> Duration {
    most.mul_f64(0.5 + fastrand::f64() / 2.0)
}
