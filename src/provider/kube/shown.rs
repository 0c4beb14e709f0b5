//! The Distributions as a snapshot shows them: none before the objects that it names were asked for.
//!
//! An object that is watched by name is asked for once a Distribution names it. Until there is an answer, a
//! snapshot shows the Distribution's version before, so that what was just named never looks like what is missing;
//! no other Distribution waits. A namespace has a bounded number of names; those past it are refused, until others
//! of the namespace are named no more. It does not know how objects are watched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::named::{Name, Names, named_by};
use crate::api::Distribution;
use crate::object::ObjectKey;

/// Distributions, and what they name.
pub(crate) struct Shown {
    /// The versions that are shown.
    distributions: BTreeMap<ObjectKey, Arc<Distribution>>,
    /// Newer versions, which name what nobody answered for yet.
    waiting: BTreeMap<ObjectKey, Arc<Distribution>>,
    names: BTreeMap<Name, Naming>,
    /// How many names of a namespace are asked for, or were.
    taken: BTreeMap<String, usize>,
    /// How many may be.
    limit: usize,
}

/// What is known of a name.
struct Naming {
    /// The Distributions that name it; none where its watcher is about to end, unless it is named again before.
    by: BTreeSet<ObjectKey>,
    state: State,
}

/// How far it is with a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Past the limit, and so not asked for.
    Refused,
    /// Asked for since there was room, and refused before; the answer is awaited.
    Admitted,
    /// Asked for; the answer is awaited.
    Asked,
    /// An object of this name that was not seen does not exist.
    Answered,
}

impl State {
    fn is_unanswered(self) -> bool {
        matches!(self, Self::Asked | Self::Admitted)
    }
}

impl Shown {
    /// No Distributions, which may name `limit` objects in each namespace.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            distributions: BTreeMap::new(),
            waiting: BTreeMap::new(),
            names: BTreeMap::new(),
            taken: BTreeMap::new(),
            limit,
        }
    }

    /// Takes the present version of a Distribution, or that it is gone; true where other objects are named now.
    pub(crate) fn take(&mut self, key: &ObjectKey, present: Option<&Arc<Distribution>>) -> bool {
        let last = self.waiting.get(key).or_else(|| self.distributions.get(key));
        if last.map(Arc::as_ptr) == present.map(Arc::as_ptr) {
            return false;
        }
        let named =
            |version: Option<&Arc<Distribution>>| version.map(|it| named_by(key, it)).unwrap_or_default();
        let (before, now) = (named(last), named(present));
        let mut others = false;
        for name in before.difference(&now) {
            others |= self.unname(name, key);
        }
        for name in now.difference(&before) {
            others |= self.name(name, key);
        }
        self.waiting.remove(key);
        match present {
            None => drop(self.distributions.remove(key)),
            Some(version) if self.waits(&now) => drop(self.waiting.insert(key.clone(), Arc::clone(version))),
            Some(version) => drop(self.distributions.insert(key.clone(), Arc::clone(version))),
        }
        others
    }

    /// Takes that a name was asked for, whatever came of it; true where it was waited for.
    pub(crate) fn answered(&mut self, name: &Name) -> bool {
        let unanswered = self.names.get_mut(name).filter(|naming| naming.state.is_unanswered());
        let Some(naming) = unanswered else { return false };
        naming.state = State::Answered;
        for key in naming.by.clone() {
            let version = self.waiting.get(&key);
            if version.is_some_and(|version| !self.waits(&named_by(&key, version))) {
                self.distributions.extend(self.waiting.remove_entry(&key));
            }
        }
        true
    }

    /// Gives names that were refused the room that others left.
    pub(crate) fn admit(&mut self) {
        let refused = self.names.iter_mut().filter(|(_, naming)| naming.state == State::Refused);
        for ((_, key), naming) in refused {
            if take_room(&mut self.taken, &key.namespace, self.limit) {
                naming.state = State::Admitted;
            }
        }
    }

    /// Whether an answer to a name is awaited.
    pub(crate) fn is_unanswered(&self, name: &Name) -> bool {
        self.names.get(name).is_some_and(|naming| naming.state.is_unanswered())
    }

    /// Whether a Distribution names it, and it is not refused.
    pub(crate) fn is_named(&self, name: &Name) -> bool {
        self.names.get(name).is_some_and(Naming::is_asked_for)
    }

    /// Names that count as unreadable since their namespaces have too many.
    pub(crate) fn refused(&self) -> impl Iterator<Item = &Name> {
        let refused = |naming: &Naming| matches!(naming.state, State::Refused | State::Admitted);
        self.names.iter().filter(move |(_, naming)| refused(naming)).map(|(name, _)| name)
    }

    /// Names that were answered for, and are watched.
    pub(crate) fn followed(&self) -> impl Iterator<Item = &Name> {
        let followed = |naming: &Naming| naming.is_asked_for() && naming.state == State::Answered;
        self.names.iter().filter(move |(_, naming)| followed(naming)).map(|(name, _)| name)
    }

    /// How many names a namespace may have.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Forgets the answer for a name whose watcher has ended, but where it was named again.
    pub(crate) fn forget(&mut self, name: &Name) {
        if self.names.get(name).is_some_and(|naming| naming.by.is_empty()) {
            self.names.remove(name);
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_complete(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Everything that is to be asked for.
    pub(crate) fn names(&self) -> Names {
        let named = self.names.iter().filter(|(_, naming)| naming.is_asked_for());
        named.map(|(name, _)| name.clone()).collect()
    }

    /// The versions to show.
    pub(crate) fn distributions(&self) -> &BTreeMap<ObjectKey, Arc<Distribution>> {
        &self.distributions
    }

    /// Every Distribution that was taken and is not gone.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.distributions.keys().chain(self.waiting.keys())
    }

    fn waits(&self, names: &Names) -> bool {
        // What was refused a while ago is shown as such already.
        names.iter().any(|name| self.names.get(name).is_some_and(|naming| naming.state == State::Asked))
    }

    /// True where nobody named it before.
    fn name(&mut self, name: &Name, by: &ObjectKey) -> bool {
        let naming = self.names.entry(name.clone());
        let naming = naming.or_insert_with(|| Naming { by: BTreeSet::new(), state: State::Asked });
        let anew = naming.by.is_empty();
        if anew && !take_room(&mut self.taken, &name.1.namespace, self.limit) {
            naming.state = State::Refused;
        }
        naming.by.insert(by.clone());
        anew
    }

    /// True where nobody names it any more.
    fn unname(&mut self, name: &Name, by: &ObjectKey) -> bool {
        let Some(naming) = self.names.get_mut(name) else { return false };
        naming.by.remove(by);
        if !naming.by.is_empty() {
            return false;
        }
        if naming.state != State::Refused {
            leave_room(&mut self.taken, &name.1.namespace);
        }
        // What was answered stays known until the watcher has ended: one that is named again before goes on, and
        // does not answer a second time.
        if naming.state != State::Answered {
            self.names.remove(name);
        }
        true
    }
}

impl Naming {
    fn is_asked_for(&self) -> bool {
        !self.by.is_empty() && self.state != State::Refused
    }
}

/// Takes room for a name of a namespace; false where there is none.
fn take_room(taken: &mut BTreeMap<String, usize>, namespace: &str, limit: usize) -> bool {
    let taken = taken.entry(namespace.to_owned()).or_default();
    let room = *taken < limit;
    *taken += usize::from(room);
    room
}

fn leave_room(taken: &mut BTreeMap<String, usize>, namespace: &str) {
    let left = taken.get(namespace).map_or(0, |taken| taken.saturating_sub(1));
    if left == 0 {
        taken.remove(namespace);
    } else {
        taken.insert(namespace.to_owned(), left);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::snapshot::Kind;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("shop", name)
    }

    fn name(of: &str) -> Name {
        (Kind::ConfigMap, key(of))
    }

    /// A Distribution whose origins trust the authorities in these ConfigMaps.
    fn trusting(config_maps: &[&str]) -> Arc<Distribution> {
        let origin = |ca| json!({"id": ca, "service": {"name": "a"}, "originTls": {"caConfigMapName": ca}});
        let origins: Vec<_> = config_maps.iter().map(origin).collect();
        let spec = json!({"origins": origins, "defaultCacheBehavior": {"targetOriginId": "a"}});
        Arc::new(Distribution::new("web", serde_json::from_value(spec).unwrap()))
    }

    fn is_shown(shown: &Shown, name: &str, version: &Arc<Distribution>) -> bool {
        shown.distributions().get(&key(name)).is_some_and(|it| Arc::ptr_eq(it, version))
    }

    #[test]
    fn a_version_that_names_something_new_waits_alone_until_all_of_it_was_asked_for() {
        let mut shown = Shown::new(9);
        let (plain, first, next) = (trusting(&[]), trusting(&["a"]), trusting(&["a", "b", "c"]));
        assert!(!shown.take(&key("plain"), Some(&plain)) && is_shown(&shown, "plain", &plain));
        assert!(shown.take(&key("web"), Some(&first)) && !is_shown(&shown, "web", &first));
        assert!(shown.answered(&name("a")) && is_shown(&shown, "web", &first));
        assert!(shown.take(&key("web"), Some(&next)));
        assert!(shown.answered(&name("c")) && is_shown(&shown, "web", &first) && !shown.is_complete());
        assert!(shown.answered(&name("b")) && is_shown(&shown, "web", &next) && shown.is_complete());
        assert!(!shown.answered(&name("b")), "it is known");
    }

    #[test]
    fn a_name_lasts_as_long_as_somebody_names_it_and_is_asked_for_anew_afterwards() {
        let mut shown = Shown::new(9);
        let version = trusting(&["a"]);
        assert!(shown.take(&key("web"), Some(&version)));
        assert!(!shown.take(&key("blog"), Some(&version)), "it is named already");
        shown.answered(&name("a"));
        assert!(!shown.take(&key("web"), None) && shown.is_named(&name("a")));
        assert!(shown.take(&key("blog"), Some(&trusting(&[]))) && !shown.is_named(&name("a")));
        assert!(shown.names().is_empty());
        shown.forget(&name("a"));
        assert!(shown.take(&key("blog"), Some(&version)) && shown.is_unanswered(&name("a")));
        assert!(!shown.answered(&name("other")));
    }

    #[test]
    fn a_name_that_is_taken_up_again_before_its_watcher_ends_is_still_answered() {
        let mut shown = Shown::new(9);
        let version = trusting(&["a"]);
        shown.take(&key("web"), Some(&version));
        shown.answered(&name("a"));
        assert!(shown.take(&key("web"), None), "its watcher is to end");
        assert!(shown.take(&key("blog"), Some(&version)), "its watcher is to go on");
        assert!(is_shown(&shown, "blog", &version) && shown.names() == Names::from([name("a")]));
        shown.forget(&name("a"));
        assert!(shown.is_named(&name("a")) && !shown.is_unanswered(&name("a")));
    }

    #[test]
    fn a_name_past_the_limit_is_refused_until_there_is_room_and_costs_no_other_its_place() {
        let mut shown = Shown::new(1);
        let (first, second, moved) = (trusting(&["b"]), trusting(&["a"]), trusting(&["c"]));
        shown.take(&key("web"), Some(&first));
        shown.take(&key("blog"), Some(&second));
        assert!(is_shown(&shown, "blog", &second), "nobody asks, so there is nothing to wait for");
        assert_eq!(
            (shown.names(), shown.refused().collect::<Vec<_>>()),
            (Names::from([name("b")]), vec![&name("a")])
        );
        assert!(!shown.answered(&name("a")));
        shown.take(&key("web"), Some(&moved));
        shown.admit();
        assert_eq!(shown.names(), Names::from([name("c")]), "who names another keeps the place");
        shown.take(&key("web"), None);
        shown.admit();
        assert_eq!((shown.names(), shown.refused().count()), (Names::from([name("a")]), 1));
        assert!(shown.answered(&name("a")) && shown.refused().count() == 0);
        shown.take(&key("blog"), None);
        assert!(shown.taken.is_empty(), "nothing is left of a namespace that names nothing");
    }

    #[test]
    fn a_version_that_waits_gives_way_to_a_newer_one_and_to_the_end() {
        let mut shown = Shown::new(9);
        let (first, last) = (trusting(&["a"]), trusting(&[]));
        shown.take(&key("web"), Some(&first));
        assert!(
            shown.take(&key("web"), Some(&last)) && is_shown(&shown, "web", &last) && shown.is_complete()
        );
        shown.take(&key("web"), Some(&first));
        assert!(shown.take(&key("web"), None) && shown.is_complete() && shown.distributions().is_empty());
    }
}
