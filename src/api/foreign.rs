//! What of other APIs a Distribution has to do with: the ReferenceGrant of Gateway API and the Challenge of cert-manager.
//!
//! Only the fields that are read here are named. Both kinds are optional in a cluster, and are never written.

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

/// What an ACME server asks for to see that a host is ours, as cert-manager keeps it.
///
/// `acme.cert-manager.io/v1`. Source: <https://cert-manager.io/docs/reference/api-docs/#acme.cert-manager.io/v1.ChallengeSpec>.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[kube(
    group = "acme.cert-manager.io",
    version = "v1",
    kind = "Challenge",
    plural = "challenges",
    namespaced,
    doc = "What an ACME server asks for to see that a host is ours.",
    derive = "PartialEq"
)]
pub struct ChallengeSpec {
    /// The host.
    pub dns_name: String,

    /// `HTTP-01` or `DNS-01`.
    #[serde(rename = "type")]
    pub method: String,

    /// What the ACME server asks for.
    pub token: String,

    /// What it is to be answered.
    pub key: String,
}
