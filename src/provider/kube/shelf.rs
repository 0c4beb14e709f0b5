//! The objects of one kind, kept up to date event by event.
//!
//! A shelf does not know where events come from. It tells what an event changed, and keeps the `Arc` of an
//! object that an event did not change: translation recognises unchanged inputs by it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::BitOr;
use std::sync::Arc;

use serde_json::Value;

use super::kinds::Watched;
use super::observed::Observed;
use super::scope::Scope;
use crate::object::ObjectKey;
use crate::snapshot::Undecodable;

/// The objects of the kind `K`.
pub(crate) struct Shelf<K> {
    /// The last version of each that decoded.
    pub(crate) objects: BTreeMap<ObjectKey, Arc<K>>,
    /// What is wrong with the present version of those that do not decode.
    pub(crate) undecodable: BTreeMap<ObjectKey, Undecodable>,
    /// The present `status` of each, for kinds that keep it.
    pub(crate) statuses: BTreeMap<ObjectKey, Arc<Value>>,
    /// Whether a list was complete: what is not here is then known not to exist.
    pub(crate) listed: bool,
}

/// What an event changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    /// Something that a snapshot shows.
    pub(crate) snapshot: bool,
    /// A status.
    pub(crate) statuses: bool,
    /// Which objects Distributions name.
    pub(crate) names: bool,
}

impl Effect {
    /// The effect of a change that a snapshot shows.
    pub(crate) const SNAPSHOT: Self = Self { snapshot: true, statuses: false, names: false };
}

impl BitOr for Effect {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            snapshot: self.snapshot | other.snapshot,
            statuses: self.statuses | other.statuses,
            names: self.names | other.names,
        }
    }
}

impl<K> Default for Shelf<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            undecodable: BTreeMap::new(),
            statuses: BTreeMap::new(),
            listed: false,
        }
    }
}

impl<K: Watched> Shelf<K> {
    /// Takes the present version of an object.
    pub(crate) fn apply(&mut self, observed: Observed<K>) -> Effect {
        let Some(key) = observed.key() else { return Effect::default() };
        let statuses = self.statuses.get(&key) != observed.status.as_ref();
        match &observed.status {
            Some(status) if statuses => drop(self.statuses.insert(key.clone(), Arc::clone(status))),
            Some(_) => {}
            None => drop(self.statuses.remove(&key)),
        }
        let snapshot = match &observed.decoded {
            Ok(object) => self.keep(key, object),
            Err(message) => self.keep_last_good(key, &observed, message),
        };
        Effect { snapshot, statuses, names: false }
    }

    /// Forgets an object, its last good version included.
    pub(crate) fn delete(&mut self, key: &ObjectKey) -> Effect {
        let object = self.objects.remove(key).is_some();
        let problem = self.undecodable.remove(key).is_some();
        let statuses = self.statuses.remove(key).is_some();
        Effect { snapshot: object | problem, statuses, names: false }
    }

    /// Takes a complete list of the objects in `scope`: those that it lacks are gone.
    pub(crate) fn replace(&mut self, scope: &Scope, listed: Vec<Observed<K>>) -> Effect {
        let present: BTreeSet<ObjectKey> = listed.iter().filter_map(Observed::key).collect();
        let known = self.objects.keys().chain(self.undecodable.keys());
        let gone: BTreeSet<ObjectKey> =
            known.filter(|key| scope.covers(key) && !present.contains(key)).cloned().collect();
        let first = Effect { statuses: !std::mem::replace(&mut self.listed, true), ..Effect::default() };
        let gone = gone.iter().map(|key| self.delete(key)).fold(first, Effect::bitor);
        listed.into_iter().map(|observed| self.apply(observed)).fold(gone, Effect::bitor)
    }

    fn keep(&mut self, key: ObjectKey, object: &Arc<K>) -> bool {
        let healed = self.undecodable.remove(&key).is_some();
        if self.objects.get(&key) == Some(object) {
            return healed;
        }
        self.objects.insert(key, Arc::clone(object));
        true
    }

    fn keep_last_good(&mut self, key: ObjectKey, observed: &Observed<K>, message: &str) -> bool {
        // The last good version of an object that was deleted and made anew is another object's.
        let another = |last: &Arc<K>| last.meta().uid.as_deref() != observed.uid();
        let forgotten = self.objects.get(&key).is_some_and(another) && self.objects.remove(&key).is_some();
        let problem = Undecodable {
            uid: observed.uid().map(str::to_owned),
            class_name: observed.class_name.clone(),
            generation: observed.generation(),
            message: message.to_owned(),
        };
        let told = self.undecodable.get(&key) == Some(&problem);
        self.undecodable.insert(key, problem);
        forgotten || !told
    }
}
