//! The provider that reads a cluster: one watcher for each kind, and one inventory that they all fill.
//!
//! It does not know what snapshots are used for, and it writes nothing.
//! Follow an event from [`watch`] over `observed` and `shelf` into `inventory`.

mod connect;
mod fault;
mod inventory;
mod kinds;
mod named;
mod observed;
mod published;
mod scope;
mod shelf;
mod shown;
mod stored;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::connect::{ConnectError, connect};
pub use self::stored::{Store, keep};

use self::inventory::Shared;
use self::scope::Scope;
use self::watch::Task;
use super::{Change, Class, Provider};
use crate::api::{Challenge, Distribution, LoadBalancerStatus, ReferenceGrant};
use crate::object::ObjectKey;
use crate::snapshot::{Kind, Snapshot};
use crate::telemetry::metrics::Metrics;

/// The waits and bounds of the watchers; tests shrink them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a watch request may live, in seconds; also how soon a silent connection is noticed.
    pub watch_seconds: u32,
    /// How long the API server may be silent while it lists.
    pub list: Duration,
    /// The longest time from one list to the next; half of it is the shortest.
    pub relist: Duration,
    /// How long what may pass (403 and 404 after a restart of the API server) is not told of, and how long a
    /// watch must be quiet after an outage before it counts as recovered.
    pub patience: Duration,
    /// How long a kind that was never listed may be refused (403, 404) before it counts as empty, and how long a
    /// first snapshot waits for an object that is watched by name and that the API server fails to answer for; the
    /// first refusal after that decides. Longer than `patience`, since the two mistakes differ: an outage later on
    /// leaves the objects that were seen, while a first list that is given up makes a new replica ready that
    /// answers 503 for everything, though the RBAC rules installed beside it may only be on their way.
    pub first_patience: Duration,
    /// How many objects the Distributions of one namespace may have watched by name. Each costs a connection to the
    /// API server, here as there a file descriptor, and one namespace must not take those of all others; 256 are
    /// authorities and certificates for more origins than one team has.
    pub names: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            watch_seconds: 45,
            list: Duration::from_secs(60),
            relist: Duration::from_secs(30 * 60),
            patience: Duration::from_secs(5),
            first_patience: Duration::from_secs(30),
            names: 256,
        }
    }
}

/// What is watched, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which Distributions are ours.
    pub class: Class,
    /// The namespaces to watch; empty means all.
    pub namespaces: Vec<String>,
    /// The Service whose addresses statuses tell.
    pub published_service: Option<ObjectKey>,
    /// The waits.
    pub limits: Limits,
}

/// The kinds of which all is listed, of Secrets those of one type; the rest is watched by name.
const LISTED: [Kind; 6] = [
    Kind::Distribution,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Secret,
    Kind::ReferenceGrant,
    Kind::Challenge,
];

/// The provider of a cluster's objects. Cheap to clone; all clones see the same.
#[derive(Clone, Debug)]
pub struct KubeProvider(Arc<Shared>);

impl KubeProvider {
    /// Starts to watch; `cancel` ends it. Somebody must await [`Watchers::run`], which is where the end of a
    /// watcher shows.
    pub fn start(
        client: &Client,
        settings: &Settings,
        metrics: &Metrics,
        cancel: &CancellationToken,
    ) -> (Self, Watchers) {
        let scopes = Scope::of(&settings.namespaces);
        let watchers = |kind| scopes.iter().map(move |scope| (kind, scope.clone()));
        let unlisted: BTreeSet<_> = LISTED.into_iter().flat_map(watchers).collect();
        let shared = Arc::new(Shared::new(unlisted, settings.limits.names));
        let mut tasks = JoinSet::new();
        let task = |scope| Task {
            client: client.clone(),
            scope,
            class: settings.class.clone(),
            limits: settings.limits,
            shared: Arc::clone(&shared),
            metrics: metrics.clone(),
        };
        tasks.spawn(named::follow(task(Scope::Cluster), cancel.clone()));
        if let Some(key) = settings.published_service.clone() {
            tasks.spawn(watch::watch::<Service>(task(Scope::Object(key)), cancel.clone()));
        }
        for scope in scopes {
            let task = task(scope);
            tasks.spawn(watch::watch::<Distribution>(task.clone(), cancel.clone()));
            tasks.spawn(watch::watch::<Service>(task.clone(), cancel.clone()));
            tasks.spawn(watch::watch::<EndpointSlice>(task.clone(), cancel.clone()));
            tasks.spawn(watch::watch::<Secret>(task.clone(), cancel.clone()));
            tasks.spawn(watch::watch::<ReferenceGrant>(task.clone(), cancel.clone()));
            tasks.spawn(watch::watch::<Challenge>(task, cancel.clone()));
        }
        (Self(shared), Watchers { tasks, cancel: cancel.clone() })
    }

    /// The present `status` of each Distribution of ours that has one, as it stands in the cluster.
    pub fn statuses(&self) -> BTreeMap<ObjectKey, Arc<Value>> {
        self.0.statuses()
    }

    /// Where viewers come to by the published Service; none before it was looked for.
    pub fn load_balancer(&self) -> Option<LoadBalancerStatus> {
        self.0.load_balancer()
    }

    /// Wakes when a status changed in the cluster, the published Service's included.
    pub fn status_changes(&self) -> tokio::sync::watch::Receiver<()> {
        self.0.status_changes()
    }
}

impl Provider for KubeProvider {
    fn changes(&self) -> tokio::sync::watch::Receiver<Change> {
        self.0.changes()
    }

    fn snapshot(&self) -> Option<Snapshot> {
        self.0.snapshot()
    }
}

/// The running watchers.
#[derive(Debug)]
pub struct Watchers {
    tasks: JoinSet<()>,
    cancel: CancellationToken,
}

/// A watcher ended though nobody had asked it to; the process must end too, since it would grow blind.
#[derive(Debug, thiserror::Error)]
#[error("a watcher of the API server ended unexpectedly; restart the process and report this")]
pub struct WatcherEnded(#[source] Option<tokio::task::JoinError>);

impl Watchers {
    /// Waits for the watchers' end.
    ///
    /// # Errors
    /// When one ends, or panics, before it was cancelled.
    pub async fn run(mut self) -> Result<(), WatcherEnded> {
        while let Some(end) = self.tasks.join_next().await {
            match end {
                Ok(()) if self.cancel.is_cancelled() => {}
                Ok(()) => return Err(WatcherEnded(None)),
                Err(error) => return Err(WatcherEnded(Some(error))),
            }
        }
        Ok(())
    }
}
