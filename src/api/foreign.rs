//! What of Gateway API a Distribution has to do with: the ReferenceGrant.
//!
//! Only the fields that are read here are named. The kind is optional in a cluster, and is never written.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Allows objects of other namespaces to refer to objects of this one.
///
/// `gateway.networking.k8s.io/v1`; `v1beta1` has the same shape.
/// Source: <https://gateway-api.sigs.k8s.io/api-types/referencegrant/>.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "ReferenceGrant",
    plural = "referencegrants",
    namespaced,
    doc = "Allows objects of other namespaces to refer to objects of this one.",
    derive = "PartialEq"
)]
pub struct ReferenceGrantSpec {
    /// Who may refer.
    pub from: Vec<ReferenceGrantFrom>,

    /// What may be referred to.
    pub to: Vec<ReferenceGrantTo>,
}

/// The objects of one kind and namespace, which may refer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantFrom {
    /// The API group of the objects.
    pub group: String,

    /// Their kind.
    pub kind: String,

    /// Their namespace.
    pub namespace: String,
}

/// Objects of one kind, which may be referred to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantTo {
    /// The API group of the objects; empty for Services and Secrets.
    pub group: String,

    /// Their kind.
    pub kind: String,

    /// The name of the only one that is meant; without it, all of them are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
