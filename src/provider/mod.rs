//! The seam between where objects live and what is made of them: a provider is a source of snapshots.
//!
//! It does not know what a snapshot is used for. `kube` reads a cluster, `manifests` a folder of the same kinds.

pub mod kube;
pub mod manifests;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::snapshot::Snapshot;

/// A source of snapshots.
pub trait Provider: Send + Sync + 'static {
    /// Wakes with every change, newest wins. Waiting on it costs nothing while nothing changes.
    fn changes(&self) -> watch::Receiver<Change>;

    /// The objects as they are now; none before every kind has been listed once. "Not synced" and "empty" are
    /// different answers: the second one is a valid table.
    fn snapshot(&self) -> Option<Snapshot>;
}

/// The newest change that a provider saw.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// When it was seen, for the time from event to publish.
    pub at: Instant,
}

/// Which Distributions are ours.
#[derive(Clone, Debug)]
pub struct Class {
    /// The class that we serve.
    pub name: String,
    /// Whether we also serve Distributions that name no class.
    pub default: bool,
    /// Another class that we serve, too, and whose status somebody else writes.
    pub also: Option<String>,
}

impl Class {
    /// Whether we serve a Distribution with this `spec.className`.
    pub fn serves(&self, class_name: Option<&str>) -> bool {
        self.owns(class_name) || class_name.is_some_and(|name| self.also.as_deref() == Some(name))
    }

    /// Whether it is ours, so that we write its status.
    pub fn owns(&self, class_name: Option<&str>) -> bool {
        class_name.map_or(self.default, |name| name == self.name)
    }
}
