//! One object that a Distribution names, as the snapshot has it: there or not, and what could not be read.

use std::collections::BTreeMap;
use std::ops::{Bound, Deref};
use std::sync::Arc;

use crate::nearest::nearest;
use crate::object::ObjectKey;
use crate::snapshot::{Kind, Problems};

/// An object of a snapshot; two are equal when they are the very same, which is how a unit sees that nothing of
/// its inputs changed.
pub(super) struct Object<T>(pub Arc<T>);

impl<T> PartialEq for Object<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Deref for Object<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What the snapshot knows of a named object, an [`Object`].
#[derive(PartialEq)]
pub(super) struct Lookup<O> {
    /// The object, in its last version that decodes.
    pub found: Option<O>,
    /// Why what was found may not be the newest, or why nothing was found.
    pub trouble: Option<Trouble>,
    /// For an object that does not exist: the most similar name in its namespace.
    pub nearest: Option<String>,
}

/// What stands between an object and us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It, or all of its kind in its namespace, cannot be read; the clause names the remedy.
    Unreadable(String),
    /// Its present version does not decode; the clause says why.
    Undecodable(String),
    /// It is of another namespace, which does not permit it; the clause names the remedy. Whether it exists is not
    /// known.
    NotPermitted(String),
}

impl<T> Lookup<Object<T>> {
    /// Looks for `key` among the objects of a kind.
    pub(super) fn of(
        key: &ObjectKey,
        found: Option<&Arc<T>>,
        kind: Kind,
        problems: &Problems,
        nearest: impl FnOnce() -> Option<String>,
    ) -> Self {
        let trouble = trouble(kind, key, problems);
        let nearest = if found.is_none() && trouble.is_none() { nearest() } else { None };
        Self { found: found.map(|object| Object(Arc::clone(object))), trouble, nearest }
    }
}

impl<O> Lookup<O> {
    /// An object that may not be looked for.
    pub(super) fn not_permitted(remedy: String) -> Self {
        Self { found: None, trouble: Some(Trouble::NotPermitted(remedy)), nearest: None }
    }

    /// Whether it may be looked for.
    pub(super) fn is_permitted(&self) -> bool {
        !matches!(self.trouble, Some(Trouble::NotPermitted(_)))
    }
}

fn trouble(kind: Kind, key: &ObjectKey, problems: &Problems) -> Option<Trouble> {
    if let Some(sentence) = problems.unreadable_for(kind, key) {
        return Some(Trouble::Unreadable(clause(sentence)));
    }
    // An empty map is the rule, and a look-up needs an owned key.
    if problems.undecodable.is_empty() {
        return None;
    }
    let undecodable = problems.undecodable.get(&(kind, key.clone()))?;
    Some(Trouble::Undecodable(clause(&undecodable.message)))
}

/// A sentence without its end, to be followed by its consequence.
pub(super) fn clause(sentence: &str) -> String {
    sentence.trim_end_matches('.').to_owned()
}

/// The most similar name among the objects of `key`'s namespace, where one is similar enough to be meant.
pub(super) fn nearest_in_namespace<T>(key: &ObjectKey, objects: &BTreeMap<ObjectKey, T>) -> Option<String> {
    let first = ObjectKey::new(key.namespace.as_str(), "");
    let in_namespace = objects
        .range((Bound::Included(first), Bound::Unbounded))
        .take_while(|(other, _)| other.namespace == key.namespace);
    nearest(&key.name, in_namespace.map(|(other, _)| other.name.as_str())).map(str::to_owned)
}

/// `; did you mean "api"?` or the end of the sentence.
pub(super) fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(|| ".".to_owned(), |name| format!("; did you mean {name:?}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_similar_name_of_the_same_namespace_is_proposed() {
        let services: BTreeMap<_, _> = [("shop", "api"), ("shop", "web"), ("other", "api-v2")]
            .map(|(namespace, name)| (ObjectKey::new(namespace, name), ()))
            .into();
        assert_eq!(
            nearest_in_namespace(&ObjectKey::new("shop", "api-v2"), &services).as_deref(),
            Some("api")
        );
        assert_eq!(nearest_in_namespace(&ObjectKey::new("shop", "database"), &services), None);
        assert_eq!(nearest_in_namespace(&ObjectKey::new("none", "api"), &services), None);
    }
}
