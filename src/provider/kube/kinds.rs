//! The kinds that are watched, and what is particular to each.
//!
//! A kind that is added here gets its watcher in [`super::KubeProvider::start`], or in `named` where only the
//! objects that Distributions name are watched, and its shelf in the inventory.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::inventory::Inventory;
use super::scope::Scope;
use super::shelf::Shelf;
use crate::api::{Challenge, Distribution, ReferenceGrant};
use crate::snapshot::Kind;

/// The keys of a Secret that are read of those that are listed.
pub(super) const CERTIFICATE_KEYS: [&str; 3] = ["tls.crt", "tls.key", AUTHORITIES];

/// The key of the authorities, in Secrets and ConfigMaps.
const AUTHORITIES: &str = "ca.crt";

/// A kind that the provider watches.
pub(crate) trait Watched:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + DeserializeOwned
    + Clone
    + PartialEq
    + Send
    + Sync
    + 'static
{
    /// Its name in a snapshot.
    const KIND: Kind;
    /// Restricts what the API server sends.
    const FIELD_SELECTOR: Option<&'static str> = None;
    /// Whether what is wrong with an object must not be quoted.
    const CONFIDENTIAL: bool = false;
    /// Whether a cluster may do without the kind, which then is an empty one.
    const IS_OPTIONAL: bool = false;
    /// An older version of the same shape, for API servers that do not know the newer one.
    const OLDER_VERSION: Option<&'static str> = None;
    /// Whether objects belong to a class.
    const HAS_CLASS: bool = false;

    /// Whether somebody looks at the `status` of an object that was seen in such a scope.
    fn keeps_status(_scope: &Scope) -> bool {
        false
    }

    /// Removes what nobody reads, before the object is decoded.
    fn prune(_object: &mut Map<String, Value>) {}

    /// Removes what nobody reads of an object that was seen in such a scope.
    fn trim(&mut self, _scope: &Scope) {}

    /// Where the objects of such a scope are kept.
    fn shelf<'i>(inventory: &'i mut Inventory, scope: &Scope) -> &'i mut Shelf<Self>;
}

impl Watched for Distribution {
    const KIND: Kind = Kind::Distribution;
    const HAS_CLASS: bool = true;

    fn keeps_status(_scope: &Scope) -> bool {
        true
    }

    fn shelf<'i>(inventory: &'i mut Inventory, _scope: &Scope) -> &'i mut Shelf<Self> {
        &mut inventory.distributions
    }
}

impl Watched for Service {
    const KIND: Kind = Kind::Service;

    // The status of the published one says where viewers come to.
    fn keeps_status(scope: &Scope) -> bool {
        scope.is_one_object()
    }

    // The published one is kept apart, since its namespace may not be served.
    fn shelf<'i>(inventory: &'i mut Inventory, scope: &Scope) -> &'i mut Shelf<Self> {
        match scope {
            Scope::Object(_) => &mut inventory.published,
            Scope::Cluster | Scope::Namespace(_) => &mut inventory.services,
        }
    }
}

impl Watched for EndpointSlice {
    const KIND: Kind = Kind::EndpointSlice;

    fn shelf<'i>(inventory: &'i mut Inventory, _scope: &Scope) -> &'i mut Shelf<Self> {
        &mut inventory.endpoint_slices
    }
}

impl Watched for Secret {
    const KIND: Kind = Kind::Secret;
    const FIELD_SELECTOR: Option<&'static str> = Some("type=kubernetes.io/tls");
    const CONFIDENTIAL: bool = true;

    // Of those that are watched by name any key may be the value of a header.
    fn trim(&mut self, scope: &Scope) {
        if let Some(data) = self.data.as_mut().filter(|_| !scope.is_one_object()) {
            data.retain(|key, _| CERTIFICATE_KEYS.contains(&key.as_str()));
        }
    }

    // Those of a name are kept apart, since the list of the others knows nothing of them.
    fn shelf<'i>(inventory: &'i mut Inventory, scope: &Scope) -> &'i mut Shelf<Self> {
        match scope {
            Scope::Object(_) => &mut inventory.named_secrets,
            Scope::Cluster | Scope::Namespace(_) => &mut inventory.secrets,
        }
    }
}

impl Watched for ConfigMap {
    const KIND: Kind = Kind::ConfigMap;

    fn prune(object: &mut Map<String, Value>) {
        for field in ["data", "binaryData"] {
            if let Some(Value::Object(data)) = object.get_mut(field) {
                data.retain(|key, _| key == AUTHORITIES);
            }
        }
    }

    fn shelf<'i>(inventory: &'i mut Inventory, _scope: &Scope) -> &'i mut Shelf<Self> {
        &mut inventory.config_maps
    }
}

impl Watched for ReferenceGrant {
    const KIND: Kind = Kind::ReferenceGrant;
    const IS_OPTIONAL: bool = true;
    const OLDER_VERSION: Option<&'static str> = Some("v1beta1");

    fn shelf<'i>(inventory: &'i mut Inventory, _scope: &Scope) -> &'i mut Shelf<Self> {
        &mut inventory.reference_grants
    }
}

impl Watched for Challenge {
    const KIND: Kind = Kind::Challenge;
    const IS_OPTIONAL: bool = true;

    // How cert-manager presents it elsewhere is long, and nothing here.
    fn prune(object: &mut Map<String, Value>) {
        if let Some(Value::Object(spec)) = object.get_mut("spec") {
            spec.retain(|field, _| ["dnsName", "type", "token", "key"].contains(&field.as_str()));
        }
    }

    fn shelf<'i>(inventory: &'i mut Inventory, _scope: &Scope) -> &'i mut Shelf<Self> {
        &mut inventory.challenges
    }
}
