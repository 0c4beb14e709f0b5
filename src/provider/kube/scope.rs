//! Which part of the cluster one watcher sees: all of it, one namespace, or one object.

use std::fmt;

use kube::{Api, Client};

use super::kinds::Watched;
use super::observed::{Observed, Version};
use crate::object::ObjectKey;

/// The part of the cluster that one watcher sees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Every namespace.
    Cluster,
    /// One namespace.
    Namespace(String),
    /// The object of one name, whether it exists or not.
    Object(ObjectKey),
}

impl Scope {
    /// The scopes that watch `namespaces` together; none named means all of them.
    pub(crate) fn of(namespaces: &[String]) -> Vec<Self> {
        if namespaces.is_empty() {
            return vec![Self::Cluster];
        }
        namespaces.iter().cloned().map(Self::Namespace).collect()
    }

    /// Whether an object of this name is seen.
    pub(crate) fn covers(&self, key: &ObjectKey) -> bool {
        match self {
            Self::Cluster => true,
            Self::Namespace(namespace) => *namespace == key.namespace,
            Self::Object(name) => name == key,
        }
    }

    /// Whether it is a single object, which may not exist.
    pub(crate) fn is_one_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// The API of a kind in this scope.
    pub(crate) fn api<K: Watched>(&self, client: Client, version: Version) -> Api<Observed<K>> {
        let all = Api::all_with(client, &version);
        match self {
            Self::Cluster => all,
            Self::Namespace(namespace) => all.constrain(namespace),
            Self::Object(name) => all.constrain(&name.namespace),
        }
    }

    /// What the API server is asked to leave out: of a kind that is listed what nobody reads, else all other names.
    pub(crate) fn field_selector<K: Watched>(&self) -> Option<String> {
        match self {
            Self::Object(name) => Some(format!("metadata.name={}", name.name)),
            Self::Cluster | Self::Namespace(_) => K::FIELD_SELECTOR.map(str::to_owned),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("all namespaces"),
            Self::Namespace(namespace) => write!(f, "namespace {namespace}"),
            Self::Object(name) => write!(f, "namespace {} for the name {:?}", name.namespace, name.name),
        }
    }
}
