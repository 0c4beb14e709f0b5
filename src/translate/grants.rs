//! Whether a Distribution may name an object: those of its own namespace always, those of another one where a
//! ReferenceGrant there says so.
//!
//! One judgement for every field that may name another namespace. It does not look for the object: whoever may not
//! name it must not learn from us whether it exists.

use std::collections::BTreeMap;

use super::lookup::clause;
use crate::api::ReferenceGrant;
use crate::object::ObjectKey;
use crate::snapshot::{Kind, Problems, Snapshot};

/// The group and kind of who refers, as a grant names them.
const REFERRER: (&str, &str) = ("tidegate.io", "Distribution");

/// The ReferenceGrants of a snapshot.
pub(super) struct Grants<'s> {
    by_namespace: BTreeMap<&'s str, Vec<&'s ReferenceGrant>>,
    problems: &'s Problems,
}

impl<'s> Grants<'s> {
    /// The grants that are in force. One whose present version does not decode grants nothing: what it said before
    /// may be what was taken back.
    pub(super) fn of(snapshot: &'s Snapshot) -> Self {
        let problems = &snapshot.problems;
        let mut by_namespace: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, grant) in &snapshot.reference_grants {
            if !problems.undecodable.contains_key(&(Kind::ReferenceGrant, key.clone())) {
                by_namespace.entry(key.namespace.as_str()).or_default().push(&**grant);
            }
        }
        Self { by_namespace, problems }
    }

    /// Why those of a namespace cannot be read, as a clause; those that are known are in force.
    pub(super) fn unreadable(&self, namespace: &str) -> Option<String> {
        self.problems.degraded_for(Kind::ReferenceGrant, namespace).map(clause)
    }

    /// Whether a Distribution may name the object `key` of `kind`.
    pub(super) fn permit(&self, distribution: &ObjectKey, kind: Kind, key: &ObjectKey) -> bool {
        let there = || self.by_namespace.get(key.namespace.as_str()).into_iter().flatten();
        distribution.namespace == key.namespace
            || there().any(|grant| permits(grant, &distribution.namespace, kind, &key.name))
    }
}

fn permits(grant: &ReferenceGrant, from_namespace: &str, kind: Kind, name: &str) -> bool {
    let from = grant.spec.from.iter().any(|from| {
        (from.group.as_str(), from.kind.as_str()) == REFERRER && from.namespace == from_namespace
    });
    // Services and Secrets are of the core group. An empty name is none, as for every object.
    from && grant.spec.to.iter().any(|to| {
        let named = to.name.as_deref().filter(|name| !name.is_empty());
        to.group.is_empty() && to.kind == kind.as_str() && named.is_none_or(|named| named == name)
    })
}

/// What to do where it is not permitted, as a clause.
pub(super) fn remedy(distribution: &ObjectKey, kind: Kind, key: &ObjectKey) -> String {
    let (group, referrer) = REFERRER;
    let (kind, name, here, there) = (kind.as_str(), &key.name, &distribution.namespace, &key.namespace);
    format!(
        "namespace {there} needs a ReferenceGrant from group {group:?}, kind {referrer}, namespace {here:?} to \
         group \"\", kind {kind}, name {name:?}"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::snapshot::Undecodable;

    /// A snapshot with this grant as `bank/grant`.
    fn granting(spec: &Value) -> Snapshot {
        let grant = json!({"metadata": {"namespace": "bank", "name": "grant"}, "spec": spec});
        let grant = serde_json::from_value(grant).expect("a grant");
        let mut snapshot = Snapshot::default();
        snapshot.reference_grants.insert(ObjectKey::new("bank", "grant"), Arc::new(grant));
        snapshot
    }

    /// Whether `shop/web` may name a Service.
    fn permits(snapshot: &Snapshot, namespace: &str) -> bool {
        let (web, ledger) = (ObjectKey::new("shop", "web"), ObjectKey::new(namespace, "ledger"));
        Grants::of(snapshot).permit(&web, Kind::Service, &ledger)
    }

    #[test]
    fn every_part_of_a_grant_must_be_the_right_one() {
        let from = json!({"group": "tidegate.io", "kind": "Distribution", "namespace": "shop"});
        let to = json!({"group": "", "kind": "Service"});
        let with = |under: &Value, field: &str, value: &str| {
            let mut changed = under.clone();
            changed[field] = json!(value);
            changed
        };
        let rows = [
            (from.clone(), to.clone(), true),
            (from.clone(), with(&to, "name", "ledger"), true),
            (from.clone(), with(&to, "name", ""), true),
            (from.clone(), with(&to, "name", "vault"), false),
            (from.clone(), with(&to, "kind", "Secret"), false),
            (from.clone(), with(&to, "group", "core"), false),
            (with(&from, "namespace", "blog"), to.clone(), false),
            (with(&from, "namespace", "*"), to.clone(), false),
            (with(&from, "kind", "HTTPRoute"), to.clone(), false),
            (with(&from, "group", "gateway.networking.k8s.io"), to.clone(), false),
        ];
        for (from, to, expected) in rows {
            let snapshot = granting(&json!({"from": [from], "to": [to]}));
            assert_eq!(permits(&snapshot, "bank"), expected, "{from} {to}");
            assert!(!permits(&snapshot, "vault"), "a grant is for its own namespace");
            assert!(permits(&snapshot, "shop"), "one's own needs none");
        }
        let several = json!({"from": [with(&from, "namespace", "blog"), from], "to": [with(&to, "kind", "Secret"), to]});
        assert!(permits(&granting(&several), "bank"));
        assert!(!permits(&granting(&json!({"from": [from], "to": []})), "bank"));
        assert!(!permits(&granting(&json!({"from": [], "to": [to]})), "bank"));
    }

    #[test]
    fn what_does_not_decode_any_more_grants_nothing() {
        let from = json!({"group": "tidegate.io", "kind": "Distribution", "namespace": "shop"});
        let mut snapshot = granting(&json!({"from": [from], "to": [{"group": "", "kind": "Service"}]}));
        let problem =
            Undecodable { uid: None, class_name: None, generation: None, message: "bad".to_owned() };
        let grant = (Kind::ReferenceGrant, ObjectKey::new("bank", "grant"));
        snapshot.problems.undecodable.insert(grant, problem);
        assert!(!permits(&snapshot, "bank"));
    }
}
