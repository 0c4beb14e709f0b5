//! The name of a namespaced Kubernetes object, the one key that every floor shares.
//!
//! It knows nothing of kinds: a map says by its type what its keys name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Namespace and name of an object; shown as `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// The namespace; never empty, since every kind we read is namespaced.
    pub namespace: String,
    /// The name within the namespace.
    pub name: String,
}

impl ObjectKey {
    /// The key of `NAMESPACE/NAME`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A text that is not `NAMESPACE/NAME`.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not NAMESPACE/NAME; write for example `prod/web-tls`")]
pub struct NotAnObjectKey(String);

impl std::str::FromStr for ObjectKey {
    type Err = NotAnObjectKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self::new(namespace, name))
            }
            _ => Err(NotAnObjectKey(text.to_owned())),
        }
    }
}
