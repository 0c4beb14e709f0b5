//! Which part of the cluster one watcher sees: all of it, or one namespace.

use std::fmt;

use kube::{Api, Client};

use super::kinds::Watched;
use super::observed::Observed;
use crate::object::ObjectKey;

/// The part of the cluster that one watcher sees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Every namespace.
    Cluster,
    /// One namespace.
    Namespace(String),
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
        }
    }

    /// The API of a kind in this scope.
    pub(crate) fn api<K: Watched>(&self, client: Client) -> Api<Observed<K>> {
        match self {
            Self::Cluster => Api::all(client),
            Self::Namespace(namespace) => Api::namespaced(client, namespace),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("all namespaces"),
            Self::Namespace(namespace) => write!(f, "namespace {namespace}"),
        }
    }
}
