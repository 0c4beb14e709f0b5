//! Everything that the watchers have seen, and whether it is complete.
//!
//! One lock over all kinds, held for the time of a map's copy and never across an `.await`: a snapshot is one
//! moment. It knows neither the network nor what a snapshot is used for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Limits;
use super::fault::Fault;
use super::kinds::{CERTIFICATE_KEYS, Watched};
use super::named::{Name, Names, past_limit};
use super::observed::Observed;
use super::published;
use super::scope::Scope;
use super::shelf::{Effect, Shelf};
use super::shown::Shown;
use crate::api::{Challenge, Distribution, LoadBalancerStatus, ReferenceGrant};
use crate::object::ObjectKey;
use crate::provider::Change;
use crate::snapshot::{Kind, Problems, Snapshot, Undecodable};

/// What the watchers have seen.
pub(crate) struct Inventory {
    pub(crate) distributions: Shelf<Distribution>,
    pub(crate) services: Shelf<Service>,
    /// The one whose addresses statuses tell, where there is one.
    pub(crate) published: Shelf<Service>,
    pub(crate) endpoint_slices: Shelf<EndpointSlice>,
    /// Those of type `kubernetes.io/tls`.
    pub(crate) secrets: Shelf<Secret>,
    /// Those that are watched by name.
    pub(crate) named_secrets: Shelf<Secret>,
    /// Those that are watched by name.
    pub(crate) config_maps: Shelf<ConfigMap>,
    pub(crate) reference_grants: Shelf<ReferenceGrant>,
    pub(crate) challenges: Shelf<Challenge>,
    shown: Shown,
    /// The watchers of kinds that have not listed yet.
    unlisted: BTreeSet<(Kind, Scope)>,
    /// Whether there was a snapshot: from then on there always is one.
    complete: bool,
    /// What an earlier process kept, for as long as there is none.
    stored: Option<Snapshot>,
    /// The watchers that may not, or cannot, see their kind, with the remedy.
    degraded: BTreeMap<(Kind, Scope), String>,
}

impl Inventory {
    /// Nothing yet. `unlisted` are to list, and of a namespace up to `names` objects are watched by name.
    pub(crate) fn new(unlisted: BTreeSet<(Kind, Scope)>, names: usize) -> Self {
        Self {
            distributions: Shelf::default(),
            services: Shelf::default(),
            published: Shelf::default(),
            endpoint_slices: Shelf::default(),
            secrets: Shelf::default(),
            named_secrets: Shelf::default(),
            config_maps: Shelf::default(),
            reference_grants: Shelf::default(),
            challenges: Shelf::default(),
            shown: Shown::new(names),
            unlisted,
            complete: false,
            stored: None,
            degraded: BTreeMap::new(),
        }
    }

    /// Takes the present version of an object.
    pub(crate) fn apply<K: Watched>(&mut self, scope: &Scope, object: Observed<K>) -> Effect {
        let Some(key) = object.key() else { return Effect::default() };
        K::shelf(self, scope).apply(object) | self.show::<K>([key])
    }

    /// Forgets an object.
    pub(crate) fn delete<K: Watched>(&mut self, scope: &Scope, key: ObjectKey) -> Effect {
        K::shelf(self, scope).delete(&key) | self.show::<K>([key])
    }

    /// Takes a complete list of the objects in `scope`.
    pub(crate) fn replace<K: Watched>(&mut self, scope: &Scope, list: Vec<Observed<K>>) -> Effect {
        let effect = K::shelf(self, scope).replace(scope, list);
        let all: BTreeSet<ObjectKey> =
            self.shown.keys().chain(self.distributions.objects.keys()).cloned().collect();
        effect | self.show::<K>(all) | self.listed(K::KIND, scope)
    }

    /// Says that a watcher has listed: its part is complete.
    fn listed(&mut self, kind: Kind, scope: &Scope) -> Effect {
        let waited_for = match scope {
            Scope::Object(key) => self.shown.answered(&(kind, key.clone())),
            Scope::Cluster | Scope::Namespace(_) => self.unlisted.remove(&(kind, scope.clone())),
        };
        if waited_for { Effect::SNAPSHOT } else { Effect::default() }
    }

    /// Shows the present versions of Distributions, as soon as what they name was asked for.
    fn show<K: Watched>(&mut self, keys: impl IntoIterator<Item = ObjectKey>) -> Effect {
        if K::KIND != Kind::Distribution {
            return Effect::default();
        }
        let names = keys
            .into_iter()
            .fold(false, |names, key| self.shown.take(&key, self.distributions.objects.get(&key)) | names);
        // After all of them, so that who names one thing in place of another keeps the place.
        if names {
            self.shown.admit();
        }
        Effect { names, ..Effect::default() }
    }

    /// Forgets what is said of a name whose watcher has ended, and its object, but where it was named again.
    pub(crate) fn forget(&mut self, name: &Name) -> Effect {
        let (kind, key) = name;
        self.shown.forget(name);
        let gone = match kind {
            _ if self.shown.is_named(name) => Effect::default(),
            Kind::Secret => self.named_secrets.delete(key),
            Kind::ConfigMap => self.config_maps.delete(key),
            Kind::Distribution
            | Kind::Service
            | Kind::EndpointSlice
            | Kind::ReferenceGrant
            | Kind::Challenge => Effect::default(),
        };
        gone | self.recovered(*kind, &Scope::Object(key.clone()))
    }

    /// Says that a watcher cannot see its kind. What it saw before stays.
    pub(crate) fn degrade(&mut self, kind: Kind, scope: &Scope, remedy: String) -> Effect {
        self.degraded.insert((kind, scope.clone()), remedy);
        Effect::SNAPSHOT
    }

    /// Waits no longer for a first list that `fault` holds up: what was never seen counts as missing, so that the
    /// others go on. Without Distributions there is nothing to go on with; and an outage of the API server holds up
    /// a start for as long as it lasts.
    pub(crate) fn give_up_first_list<K: Watched>(&mut self, scope: &Scope, fault: &Fault) -> Effect {
        match K::KIND {
            Kind::Distribution => Effect::default(),
            _ if fault.may_pass() => self.listed(K::KIND, scope),
            Kind::Service
            | Kind::EndpointSlice
            | Kind::Secret
            | Kind::ConfigMap
            | Kind::ReferenceGrant
            | Kind::Challenge => Effect::default(),
        }
    }

    /// Takes that the API server does not know an optional kind, and for how long it has not. What it said before it
    /// forgot the kind it may say again: for a moment after its restart it knows no kind of others.
    pub(crate) fn absent<K: Watched>(&mut self, scope: &Scope, age: Duration, limits: Limits) -> Effect {
        let unlisted = self.unlisted.contains(&(K::KIND, scope.clone()));
        if unlisted || age >= limits.patience {
            return self.replace::<K>(scope, Vec::new()) | self.recovered(K::KIND, scope);
        }
        Effect::default()
    }

    /// Whether every watcher of a kind has listed.
    fn has_listed(&self, kind: Kind) -> bool {
        self.unlisted.iter().all(|(unlisted, _)| *unlisted != kind)
    }

    /// Waits no longer for a first list of one name, whatever `fault` holds it up: after `waited` it counts as
    /// unreadable, until it is seen. One name that the API server cannot answer for must keep no replica unready.
    pub(crate) fn give_up_name<K: Watched>(
        &mut self,
        key: &ObjectKey,
        fault: &Fault,
        waited: Duration,
        limits: Limits,
    ) -> Effect {
        // An API server that is short of breath when a replica starts is worth a longer wait.
        let at_once = fault.may_pass() || self.complete;
        let patience = if at_once { limits.patience } else { limits.first_patience };
        if waited < patience || !self.shown.is_unanswered(&(K::KIND, key.clone())) {
            return Effect::default();
        }
        let scope = Scope::Object(key.clone());
        self.degrade(K::KIND, &scope, fault.sentence::<K>(&scope)) | self.listed(K::KIND, &scope)
    }

    /// Says that a watcher sees its kind again.
    pub(crate) fn recovered(&mut self, kind: Kind, scope: &Scope) -> Effect {
        match self.degraded.remove(&(kind, scope.clone())) {
            Some(_) => Effect::SNAPSHOT,
            None => Effect::default(),
        }
    }

    /// Shows what an earlier process kept, until the API server has told everything.
    pub(crate) fn show_stored(&mut self, snapshot: Snapshot) -> Effect {
        if self.complete {
            return Effect::default();
        }
        self.stored = Some(snapshot);
        Effect::SNAPSHOT
    }

    /// Takes note where everything was listed.
    fn complete(&mut self) {
        if self.unlisted.is_empty() && self.shown.is_complete() {
            self.complete = true;
            self.stored = None;
        }
    }

    fn snapshot(&self) -> Option<Snapshot> {
        if !self.complete {
            return self.stored.clone();
        }
        Some(Snapshot {
            distributions: self.shown.distributions().clone(),
            services: self.services.objects.clone(),
            endpoint_slices: self.endpoint_slices.objects.clone(),
            secrets: self.secrets(),
            config_maps: self.config_maps.objects.clone(),
            reference_grants: self.reference_grants.objects.clone(),
            challenges: self.challenges.objects.clone(),
            problems: self.problems(),
            stored: None,
        })
    }

    fn secrets(&self) -> BTreeMap<ObjectKey, Arc<Secret>> {
        let mut all = self.secrets.objects.clone();
        for (key, named) in &self.named_secrets.objects {
            // A list of the type shows the same, and its version is the one that certificates are known by; but
            // what it showed before it was refused may be old. Who may list may read each name, so that a name that
            // is refused as well was refused later. And of other keys than those of a certificate it shows nothing.
            let more = has_other_keys(named) && !self.is_degraded(Scope::Object(key.clone()));
            match all.get(key) {
                Some(listed) if listed == named || !(more || self.is_list_degraded(key)) => {}
                Some(_) | None => drop(all.insert(key.clone(), Arc::clone(named))),
            }
        }
        // What a list showed before it was refused may be gone by now.
        for (_, key) in self.read_by_name() {
            if !self.named_secrets.objects.contains_key(key)
                && !self.named_secrets.undecodable.contains_key(key)
            {
                all.remove(key);
            }
        }
        all
    }

    /// The Secrets whose own watchers see them though their list is refused.
    fn read_by_name(&self) -> impl Iterator<Item = &Name> {
        self.shown.followed().filter(|(kind, key)| {
            *kind == Kind::Secret
                && self.is_list_degraded(key)
                && !self.is_degraded(Scope::Object(key.clone()))
        })
    }

    /// Whether the list that shows a Secret is refused.
    fn is_list_degraded(&self, key: &ObjectKey) -> bool {
        self.is_degraded(Scope::Cluster) || self.is_degraded(Scope::Namespace(key.namespace.clone()))
    }

    /// Whether the watcher of such Secrets is refused.
    fn is_degraded(&self, secrets: Scope) -> bool {
        self.degraded.contains_key(&(Kind::Secret, secrets))
    }

    fn problems(&self) -> Problems {
        let mut problems = Problems::default();
        problems.undecodable.extend(undecodable(&self.distributions));
        problems.undecodable.extend(undecodable(&self.services));
        problems.undecodable.extend(undecodable(&self.endpoint_slices));
        problems.undecodable.extend(undecodable(&self.secrets));
        problems.undecodable.extend(undecodable(&self.named_secrets));
        problems.undecodable.extend(undecodable(&self.config_maps));
        problems.undecodable.extend(undecodable(&self.reference_grants));
        problems.undecodable.extend(undecodable(&self.challenges));
        let refused = self.shown.refused().map(|name| (name.clone(), past_limit(name, self.shown.limit())));
        problems.unreadable.extend(refused);
        for ((kind, scope), remedy) in &self.degraded {
            let namespace = match scope {
                Scope::Cluster => None,
                Scope::Namespace(namespace) => Some(namespace.clone()),
                Scope::Object(key) => {
                    problems.unreadable.insert((*kind, key.clone()), remedy.clone());
                    continue;
                }
            };
            problems.degraded.insert((*kind, namespace), remedy.clone());
        }
        problems.read_by_name = self.read_by_name().cloned().collect();
        problems
    }
}

fn has_other_keys(secret: &Secret) -> bool {
    let mut keys = secret.data.iter().flat_map(|data| data.keys());
    keys.any(|key| !CERTIFICATE_KEYS.contains(&key.as_str()))
}

fn undecodable<K: Watched>(shelf: &Shelf<K>) -> impl Iterator<Item = ((Kind, ObjectKey), Undecodable)> {
    shelf.undecodable.iter().map(|(key, problem)| ((K::KIND, key.clone()), problem.clone()))
}

/// The inventory as watchers and readers share it.
pub(crate) struct Shared {
    inventory: Mutex<Inventory>,
    changes: watch::Sender<Change>,
    statuses: watch::Sender<()>,
    names: watch::Sender<Names>,
}

/// Without the inventory, which holds Secrets.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// An empty inventory that waits for `unlisted` to list, with up to `names` names in each namespace.
    pub(crate) fn new(unlisted: BTreeSet<(Kind, Scope)>, names: usize) -> Self {
        Self {
            inventory: Mutex::new(Inventory::new(unlisted, names)),
            changes: watch::Sender::new(Change { at: Instant::now() }),
            statuses: watch::Sender::new(()),
            names: watch::Sender::default(),
        }
    }

    /// Changes the inventory and wakes who waits for what the change did.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Inventory) -> Effect) {
        let effect = {
            let mut inventory = self.lock();
            let effect = change(&mut inventory);
            inventory.complete();
            if effect.names {
                self.names.send_replace(inventory.shown.names());
            }
            effect
        };
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

    /// Waits until every watcher of a kind has listed.
    pub(crate) async fn listed(&self, kind: Kind) {
        // It ends with the sender, which lives in `self`.
        let mut changes = self.changes();
        let _listed = changes.wait_for(|_| self.lock().has_listed(kind)).await;
    }

    /// What Distributions name.
    pub(crate) fn names(&self) -> watch::Receiver<Names> {
        self.names.subscribe()
    }

    pub(crate) fn status_changes(&self) -> watch::Receiver<()> {
        self.statuses.subscribe()
    }

    /// Waits until the API server has told everything once.
    pub(crate) async fn complete(&self) {
        // It ends with the sender, which lives in `self`.
        let mut changes = self.changes();
        let _complete = changes.wait_for(|_| self.lock().complete).await;
    }

    /// The objects now; none before every watcher has listed, but what was [stored](Inventory::show_stored).
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        self.lock().snapshot()
    }

    /// The present `status` of each Distribution that has one.
    pub(crate) fn statuses(&self) -> BTreeMap<ObjectKey, Arc<Value>> {
        self.lock().distributions.statuses.clone()
    }

    /// Where viewers come to by the published Service; none before it was looked for.
    pub(crate) fn load_balancer(&self) -> Option<LoadBalancerStatus> {
        published::load_balancer(&self.lock().published)
    }

    // Every change leaves the inventory whole, so a watcher's panic elsewhere does not spoil it; and that panic
    // ends the process through the watcher's owner.
    fn lock(&self) -> MutexGuard<'_, Inventory> {
        self.inventory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(uid: &str) -> Observed<Secret> {
        let object = json!({
            "metadata": {"namespace": "shop", "name": "own", "uid": uid}, "type": "kubernetes.io/tls",
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_secret_with_keys_that_no_list_shows_is_taken_from_its_name() {
        let key = ObjectKey::new("shop", "own");
        let (list, name) = (Scope::Cluster, Scope::Object(key.clone()));
        let object = |data: Value| -> Observed<Secret> {
            let object = json!({
                "metadata": {"namespace": "shop", "name": "own"}, "type": "kubernetes.io/tls", "data": data,
            });
            serde_json::from_value(object).unwrap()
        };
        let both = || object(json!({"tls.crt": "YQ==", "token": "Yg=="}));
        let mut inventory = Inventory::new(BTreeSet::new(), 1);
        let keys = |inventory: &Inventory| -> Vec<String> {
            inventory.secrets()[&key].data.iter().flat_map(|data| data.keys().cloned()).collect()
        };
        inventory.apply(&list, both().seen_in(&list));
        assert_eq!(keys(&inventory), ["tls.crt"], "nobody reads the others");
        inventory.apply(&name, both().seen_in(&name));
        assert_eq!(keys(&inventory), ["tls.crt", "token"]);
        inventory.degrade(Kind::Secret, &name, "grant it".to_owned());
        assert_eq!(keys(&inventory), ["tls.crt"], "the list knows better by now");
    }

    #[test]
    fn a_secret_is_taken_from_its_name_while_its_list_is_refused() {
        let key = ObjectKey::new("shop", "own");
        let (list, name) = (Scope::Namespace("shop".to_owned()), Scope::Object(key.clone()));
        let mut inventory = Inventory::new(BTreeSet::new(), 1);
        inventory.apply(&list, secret("old"));
        inventory.apply(&name, secret("old"));
        let shown = |inventory: &Inventory| Arc::clone(&inventory.secrets()[&key]);
        let is = |inventory: &Inventory, uid: &str| shown(inventory).metadata.uid.as_deref() == Some(uid);
        let listed = shown(&inventory);
        inventory.degrade(Kind::Secret, &list, "grant it".to_owned());
        assert!(Arc::ptr_eq(&listed, &shown(&inventory)), "nothing is read anew that did not change");
        inventory.apply(&name, secret("new"));
        assert!(is(&inventory, "new"));
        inventory.degrade(Kind::Secret, &name, "grant it".to_owned());
        assert!(is(&inventory, "new"), "it does not go back");
        inventory.recovered(Kind::Secret, &name);
        inventory.recovered(Kind::Secret, &list);
        assert!(is(&inventory, "old"), "a list that works says what there is");
        inventory.degrade(Kind::Secret, &Scope::Namespace("bank".to_owned()), "grant it".to_owned());
        assert!(is(&inventory, "old"), "that is another list");
    }

    #[test]
    fn a_secret_that_is_named_is_judged_by_its_own_watcher_while_its_list_is_refused() {
        let [own, other] = ["own", "other"].map(|name| ObjectKey::new("shop", name));
        let (list, name) = (Scope::Namespace("shop".to_owned()), Scope::Object(own.clone()));
        let web: Observed<Distribution> = serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {
                "origins": [{"id": "a", "service": {"name": "a"}, "originTls": {"caSecretName": "own"}}],
                "defaultCacheBehavior": {"targetOriginId": "a"},
            },
        }))
        .unwrap();
        let mut inventory = Inventory::new(BTreeSet::new(), 1);
        inventory.apply(&Scope::Cluster, web);
        inventory.apply(&list, secret("old"));
        inventory.replace(&name, vec![secret("old")]);
        let told = |inventory: &Inventory, key: &ObjectKey| {
            inventory.problems().unreadable_for(Kind::Secret, key).map(str::to_owned)
        };
        inventory.degrade(Kind::Secret, &Scope::Namespace("blog".to_owned()), "blog".to_owned());
        assert_eq!((told(&inventory, &own), told(&inventory, &other)), (None, None));
        inventory.degrade(Kind::Secret, &list, "list".to_owned());
        assert_eq!((told(&inventory, &own), told(&inventory, &other).as_deref()), (None, Some("list")));
        inventory.delete::<Secret>(&name, own.clone());
        assert!(inventory.secrets().is_empty() && told(&inventory, &own).is_none(), "its end is noticed");
        inventory.degrade(Kind::Secret, &name, "name".to_owned());
        assert_eq!(told(&inventory, &own).as_deref(), Some("name"));
    }
}
