//! Types of other projects that a Distribution has to do with: Gateway API's ReferenceGrant and cert-manager's Challenge.
//!
//! Only the fields that are read here are named; both kinds are optional in a cluster, and neither is ever written.

use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// Allows objects of other namespaces to refer to objects of this one.
///
/// `gateway.networking.k8s.io/v1`; `v1beta1` has the same shape.
/// Source: <https://gateway-api.sigs.k8s.io/api-types/referencegrant/>.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "ReferenceGrant",
    plural = "referencegrants",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantSpec {
    /// Who may refer.
    #[serde(default)]
    pub from: Vec<ReferenceGrantFrom>,

    /// What may be referred to.
    #[serde(default)]
    pub to: Vec<ReferenceGrantTo>,
}

/// A kind of object in one namespace that may refer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantFrom {
    /// The API group of the referring object.
    #[serde(default)]
    pub group: String,

    /// The kind of the referring object.
    pub kind: String,

    /// The namespace of the referring object.
    pub namespace: String,
}

/// A kind of object that may be referred to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantTo {
    /// The API group of the object; empty for Services, Secrets and ConfigMaps.
    #[serde(default)]
    pub group: String,

    /// The kind of the object.
    pub kind: String,

    /// The name of the only object that is meant; without it, all of the kind are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Something that cert-manager has to prove to a certificate authority.
///
/// `acme.cert-manager.io/v1`.
/// Source: <https://cert-manager.io/docs/reference/api-docs/#acme.cert-manager.io/v1.Challenge>.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "acme.cert-manager.io",
    version = "v1",
    kind = "Challenge",
    plural = "challenges",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct ChallengeSpec {
    /// How the proof is given: `HTTP-01` or `DNS-01`.
    #[serde(rename = "type")]
    pub type_: String,

    /// The host name that is proved.
    pub dns_name: String,

    /// The last segment of the path that the authority asks for.
    pub token: String,

    /// The body that the authority expects there (RFC 8555, section 8.3).
    pub key: String,
}
