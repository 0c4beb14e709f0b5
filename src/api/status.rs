//! What the controller says about a Distribution.
//!
//! The closed lists of condition types and reasons are in `conditions`; here is only their place.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults::is_default;

/// What the controller says about a Distribution.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DistributionStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Everything in one word: `Deployed` (every live replica serves this generation), `InProgress` (not yet), `Degraded` (served, but a part does not work), `Rejected` (nothing of this generation is served) or `Disabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DistributionState")]
    pub state: Option<DistributionState>,

    /// The name that the Distribution has under the controller's base domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain_name: Option<String>,

    /// The hosts in short, such as `a.example.com +2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<String>,

    /// How many of the live replicas serve this generation, such as `2/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<String>,

    /// Where viewers reach the controller.
    #[serde(skip_serializing_if = "is_default")]
    pub load_balancer: LoadBalancerStatus,

    /// The certificate that expires first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,

    /// Which of the aliases this Distribution holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub aliases: Vec<AliasStatus>,

    /// Which of the origins can be reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub origins: Vec<OriginStatus>,

    /// What holds and what does not, by type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// The state of a Distribution in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DistributionState {
    /// Every live replica serves this generation.
    Deployed,
    /// Not every live replica serves this generation yet.
    InProgress,
    /// Served, but a part of it does not work.
    Degraded,
    /// Nothing of this generation is served.
    Rejected,
    /// `enabled` is false.
    Disabled,
}

/// Where viewers reach the controller, as an Ingress has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerStatus {
    /// The points of entry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub ingress: Vec<LoadBalancerIngress>,
}

/// One point of entry: an address or a host name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerIngress {
    /// The address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,

    /// The host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}

/// The certificate that expires first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// When it expires.
    pub not_after: Time,

    /// The Secret that holds it.
    pub secret_name: String,
}

/// One alias of a Distribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AliasStatus {
    /// The alias.
    pub name: String,

    /// Whether this Distribution holds it: `Active`, or `Conflict` where another one does.
    pub state: AliasState,
}

/// Whether a Distribution holds an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AliasState {
    /// It does.
    Active,
    /// Another Distribution does.
    Conflict,
}

/// One origin of a Distribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OriginStatus {
    /// The id of the origin.
    pub id: String,

    /// Whether it can be reached: `Available`, `NoEndpoints` (none that serves), or `NotFound` (no such Service or port).
    pub state: OriginState,

    /// Why not, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether an origin can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OriginState {
    /// It has an endpoint that serves.
    Available,
    /// It has none.
    NoEndpoints,
    /// Its Service or port does not exist.
    NotFound,
}
