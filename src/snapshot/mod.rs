//! The objects that one translation sees, frozen, together with what could not be read.
//!
//! A snapshot does not know where it comes from: the cluster, a folder and a test make the same value.
//! Objects are shared (`Arc`), so two snapshots tell by pointer which objects did not change between them.

pub mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::{Deserialize, Serialize, Serializer};

use crate::api::{Challenge, Distribution, ReferenceGrant};
use crate::object::ObjectKey;

/// Everything that translation may look at.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// The Distributions of our class, the last decodable version of each.
    pub distributions: BTreeMap<ObjectKey, Arc<Distribution>>,
    /// Services.
    pub services: BTreeMap<ObjectKey, Arc<Service>>,
    /// EndpointSlices; their Service stands in the label `kubernetes.io/service-name`.
    pub endpoint_slices: BTreeMap<ObjectKey, Arc<EndpointSlice>>,
    /// Secrets.
    pub secrets: BTreeMap<ObjectKey, Arc<Secret>>,
    /// ConfigMaps, at least those that a Distribution names.
    pub config_maps: BTreeMap<ObjectKey, Arc<ConfigMap>>,
    /// ReferenceGrants.
    pub reference_grants: BTreeMap<ObjectKey, Arc<ReferenceGrant>>,
    /// Challenges of ACME servers.
    pub challenges: BTreeMap<ObjectKey, Arc<Challenge>>,
    /// What could not be read.
    pub problems: Problems,
    /// Where all of it comes from a [`mod@file`] that an earlier process kept: of when, and how complete.
    pub stored: Option<Stored>,
}

/// What is particular of a snapshot that was kept in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// When it was what the API server said.
    pub at: Timestamp,
    /// Whether keys are in it.
    pub keys: Keys,
}

impl Stored {
    /// How long ago that was at `now`.
    pub fn age(&self, now: Timestamp) -> Duration {
        // A calendar that was set back makes nothing younger than it is.
        Duration::try_from(now.duration_since(self.at)).unwrap_or_default()
    }
}

/// Whether a file holds what stands in Secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Keys {
    /// It does.
    Kept,
    /// Of Secrets it has the names only.
    LeftOut,
}

/// Only names: Secrets hold keys, and nobody who prints a snapshot, or what contains one, means those.
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("distributions", &self.distributions.keys())
            .field("services", &self.services.keys())
            .field("endpoint_slices", &self.endpoint_slices.keys())
            .field("secrets", &self.secrets.keys())
            .field("config_maps", &self.config_maps.keys())
            .field("reference_grants", &self.reference_grants.keys())
            .field("challenges", &self.challenges.keys())
            .field("problems", &self.problems)
            .field("stored", &self.stored)
            .finish()
    }
}

/// The kinds that a provider reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// `tidegate.io/v1alpha1 Distribution`.
    Distribution,
    /// `v1 Service`.
    Service,
    /// `discovery.k8s.io/v1 EndpointSlice`.
    EndpointSlice,
    /// `v1 Secret`.
    Secret,
    /// `v1 ConfigMap`.
    ConfigMap,
    /// `gateway.networking.k8s.io/v1 ReferenceGrant`, or its `v1beta1`.
    ReferenceGrant,
    /// `acme.cert-manager.io/v1 Challenge`.
    Challenge,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Distribution,
        Self::Service,
        Self::EndpointSlice,
        Self::Secret,
        Self::ConfigMap,
        Self::ReferenceGrant,
        Self::Challenge,
    ];

    /// The kind's name as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Distribution => "Distribution",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::ReferenceGrant => "ReferenceGrant",
            Self::Challenge => "Challenge",
        }
    }
}

/// What a provider could not read; each entry becomes a condition or stands at `/debug/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// Objects whose present version does not decode.
    pub undecodable: BTreeMap<(Kind, ObjectKey), Undecodable>,
    /// Documents of files that do not parse (standalone only), in the order of path and line.
    pub files: Vec<FileProblem>,
    /// Kinds that cannot be listed or watched in a namespace, or where none is named in all, with the sentence that
    /// names the remedy.
    pub degraded: BTreeMap<(Kind, Option<String>), String>,
    /// Objects that are read all the same, each by its name.
    pub read_by_name: BTreeSet<(Kind, ObjectKey)>,
    /// Objects that Distributions name and that cannot be read, whatever is true of the rest of their kind, with
    /// the sentence that names the remedy.
    pub unreadable: BTreeMap<(Kind, ObjectKey), String>,
}

impl Problems {
    /// Why objects of a kind cannot be listed or watched in a namespace. What is so of another one does not matter.
    pub fn degraded_for(&self, kind: Kind, namespace: &str) -> Option<&str> {
        // An empty map is the rule, and a look-up needs an owned key.
        if self.degraded.is_empty() {
            return None;
        }
        let here = self.degraded.get(&(kind, Some(namespace.to_owned())));
        here.or_else(|| self.degraded.get(&(kind, None))).map(String::as_str)
    }

    /// Why what is known of an object may not be what it is now, though it may decode.
    pub fn unreadable_for(&self, kind: Kind, key: &ObjectKey) -> Option<&str> {
        if self.degraded.is_empty() && self.unreadable.is_empty() {
            return None;
        }
        let name = (kind, key.clone());
        match self.unreadable.get(&name) {
            Some(sentence) => Some(sentence),
            None if self.read_by_name.contains(&name) => None,
            None => self.degraded_for(kind, &key.namespace),
        }
    }
}

/// An object whose present version does not decode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecodable {
    /// The object's `metadata.uid`, where even that could be read.
    pub uid: Option<String>,
    /// The class that it names.
    pub class_name: Option<String>,
    /// The generation that does not decode.
    pub generation: Option<i64>,
    /// What is wrong and what to do, without the object's name.
    pub message: String,
}

/// A document of a file that does not parse.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FileProblem {
    /// The file; what of its name is not UTF-8 is written as U+FFFD.
    #[serde(serialize_with = "lossily")]
    pub path: PathBuf,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// The field's path within the document (`spec.origins[0].htpPort`); empty for broken syntax.
    pub field: String,
    /// What is wrong, the nearest candidate, and what is served meanwhile.
    pub message: String,
}

/// A path as text. Those who read JSON show it, and open nothing by it.
fn lossily<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn a_list_that_is_refused_is_a_problem_of_its_kind_and_namespace_and_not_of_what_is_read_by_name() {
        let [own, token] = ["own", "token"].map(|name| ObjectKey::new("shop", name));
        let mut problems = Problems::default();
        let told = |problems: &Problems, key| problems.unreadable_for(Kind::Secret, key).map(str::to_owned);
        assert_eq!(told(&problems, &own), None);
        problems.degraded.insert((Kind::Secret, Some("blog".to_owned())), "blog".to_owned());
        problems.degraded.insert((Kind::Service, None), "services".to_owned());
        assert_eq!(told(&problems, &own), None);
        assert_eq!(problems.degraded_for(Kind::Secret, "blog"), Some("blog"));
        assert_eq!(problems.degraded_for(Kind::Service, "shop"), Some("services"));
        problems.degraded.insert((Kind::Secret, None), "all".to_owned());
        problems.read_by_name.insert((Kind::Secret, token.clone()));
        assert_eq!((told(&problems, &own).as_deref(), told(&problems, &token)), (Some("all"), None));
        problems.unreadable.insert((Kind::Secret, token.clone()), "it".to_owned());
        assert_eq!(told(&problems, &token).as_deref(), Some("it"));
    }

    #[test]
    fn a_printed_snapshot_holds_no_key() {
        let mut snapshot = Snapshot::default();
        let data = [("tls.key".to_owned(), ByteString(b"private".to_vec()))].into();
        let secret = Secret { data: Some(data), ..Secret::default() };
        snapshot.secrets.insert(ObjectKey::new("shop", "web-tls"), Arc::new(secret));
        let printed = format!("{snapshot:?}");
        assert!(printed.contains("web-tls"), "{printed}");
        assert!(!printed.contains("tls.key"), "{printed}");
    }
}
