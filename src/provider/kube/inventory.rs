//! Everything that the watchers have seen, and whether it is complete.
//!
//! One lock over all kinds, held for the time of a map's copy and never across an `.await`: a snapshot is one
//! moment. It knows neither the network nor what a snapshot is used for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::kinds::Watched;
use super::scope::Scope;
use super::shelf::{Effect, Shelf};
use crate::api::Distribution;
use crate::object::ObjectKey;
use crate::provider::Change;
use crate::snapshot::{Kind, Problems, Snapshot, Undecodable};

/// What the watchers have seen.
#[derive(Default)]
pub(crate) struct Inventory {
    pub(crate) distributions: Shelf<Distribution>,
    pub(crate) services: Shelf<Service>,
    pub(crate) endpoint_slices: Shelf<EndpointSlice>,
    pub(crate) secrets: Shelf<Secret>,
    /// The watchers that have not listed yet.
    unlisted: BTreeSet<(Kind, Scope)>,
    /// The watchers that may not, or cannot, see their kind, with the remedy.
    degraded: BTreeMap<(Kind, Scope), String>,
}

impl Inventory {
    /// Says that a watcher has listed: its part is complete.
    pub(crate) fn listed(&mut self, kind: Kind, scope: &Scope) -> Effect {
        match self.unlisted.remove(&(kind, scope.clone())) {
            true => Effect::SNAPSHOT,
            false => Effect::default(),
        }
    }

    /// Says that a watcher cannot see its kind. What it saw before stays.
    pub(crate) fn degrade(&mut self, kind: Kind, scope: &Scope, remedy: String) -> Effect {
        self.degraded.insert((kind, scope.clone()), remedy);
        Effect::SNAPSHOT
    }

    /// Waits no longer for a kind's first list: what was never seen counts as empty, so that the other kinds go
    /// on. Without Distributions there is nothing to go on with.
    pub(crate) fn give_up_first_list(&mut self, kind: Kind, scope: &Scope) -> Effect {
        match kind {
            Kind::Distribution => Effect::default(),
            Kind::Service | Kind::EndpointSlice | Kind::Secret => self.listed(kind, scope),
        }
    }

    /// Says that a watcher sees its kind again.
    pub(crate) fn recovered(&mut self, kind: Kind, scope: &Scope) -> Effect {
        match self.degraded.remove(&(kind, scope.clone())) {
            Some(_) => Effect::SNAPSHOT,
            None => Effect::default(),
        }
    }

    fn snapshot(&self) -> Option<Snapshot> {
        self.unlisted.is_empty().then(|| Snapshot {
            distributions: self.distributions.objects.clone(),
            services: self.services.objects.clone(),
            endpoint_slices: self.endpoint_slices.objects.clone(),
            secrets: self.secrets.objects.clone(),
            problems: self.problems(),
        })
    }

    fn problems(&self) -> Problems {
        let mut problems = Problems::default();
        problems.undecodable.extend(undecodable(&self.distributions));
        problems.undecodable.extend(undecodable(&self.services));
        problems.undecodable.extend(undecodable(&self.endpoint_slices));
        problems.undecodable.extend(undecodable(&self.secrets));
        for ((kind, _), remedy) in &self.degraded {
            let all = problems.degraded.entry(*kind).or_default();
            let separator = if all.is_empty() { "" } else { "; " };
            all.push_str(separator);
            all.push_str(remedy);
        }
        problems
    }
}

fn undecodable<K: Watched>(shelf: &Shelf<K>) -> impl Iterator<Item = ((Kind, ObjectKey), Undecodable)> {
    shelf.undecodable.iter().map(|(key, problem)| ((K::KIND, key.clone()), problem.clone()))
}

/// The inventory as watchers and readers share it.
pub(crate) struct Shared {
    inventory: Mutex<Inventory>,
    changes: watch::Sender<Change>,
    statuses: watch::Sender<()>,
}

/// Without the inventory, which holds Secrets.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// An empty inventory that waits for `unlisted` to list.
    pub(crate) fn new(unlisted: BTreeSet<(Kind, Scope)>) -> Self {
        Self {
            inventory: Mutex::new(Inventory { unlisted, ..Inventory::default() }),
            changes: watch::Sender::new(Change { at: Instant::now() }),
            statuses: watch::Sender::new(()),
        }
    }

    /// Changes the inventory and wakes who waits for what the change did.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Inventory) -> Effect) {
        let effect = change(&mut self.lock());
        if effect.snapshot {
            self.changes.send_replace(Change { at: Instant::now() });
        }
        if effect.statuses {
            self.statuses.send_replace(());
        }
    }

    pub(crate) fn changes(&self) -> watch::Receiver<Change> {
        self.changes.subscribe()
    }

    pub(crate) fn status_changes(&self) -> watch::Receiver<()> {
        self.statuses.subscribe()
    }

    /// The objects now; none before every watcher has listed.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        self.lock().snapshot()
    }

    /// The present `status` of each Distribution that has one.
    pub(crate) fn statuses(&self) -> BTreeMap<ObjectKey, Arc<Value>> {
        self.lock().distributions.statuses.clone()
    }

    // Every change leaves the inventory whole, so a watcher's panic elsewhere does not spoil it; and that panic
    // ends the process through the watcher's owner.
    fn lock(&self) -> MutexGuard<'_, Inventory> {
        self.inventory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
