//! How one of an origin's endpoints is chosen, and which are left out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Duration,
    defaults::{self, is_default},
    form::{self, Text},
    rule::validations,
    rules,
};

/// How an endpoint of an origin is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = validations(rules::LOAD_BALANCING)))]
pub struct LoadBalancing {
    /// The rule of choice: `least-request` (the endpoint with less in flight), `round-robin` (one after the other) or `hash` (the same endpoint for the same value of `hashOn`).
    pub algorithm: Algorithm,

    /// What `algorithm: hash` looks at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_on: Option<HashOn>,

    /// Keeps a viewer on one endpoint by a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<SessionAffinity>,
}

/// The rule by which an endpoint is chosen.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// The endpoint with less in flight.
    #[default]
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// The same endpoint for the same value of `hashOn`.
    Hash,
}

/// What a hash is taken of: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = validations(rules::HASH_ON)))]
pub struct HashOn {
    /// The value of this request header.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::AnyHeaderName>")]
    pub header_name: Option<String>,

    /// The value of this cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::CookieName>")]
    pub cookie_name: Option<String>,

    /// The viewer's address, when true.
    #[serde(rename = "clientIP", skip_serializing_if = "is_default")]
    pub client_ip: bool,
}

/// Keeps a viewer on one endpoint by a cookie that the proxy sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionAffinity {
    /// The name of the cookie.
    #[schemars(with = "Text<form::CookieName>")]
    pub cookie_name: String,

    /// How long the viewer keeps the cookie; without it, as long as the browser's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::AtLeastASecond>")]
    pub ttl: Option<Duration>,
}

/// When an endpoint that fails is left out for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OutlierDetection {
    /// How many failures in a row eject an endpoint.
    /// Failed connections, resets and timeouts count, and the statuses of `statusCodes`.
    #[schemars(range(min = 1))]
    pub consecutive_failures: i32,

    /// How long the first ejection lasts; each further one lasts twice as long.
    #[schemars(with = "Text<form::AtLeastASecond>")]
    pub ejection_time: Duration,

    /// How many of the endpoints may be ejected at once.
    #[schemars(range(min = 0, max = 100))]
    pub max_ejected_percent: i32,

    /// Statuses that count as failures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(range(min = 400, max = 599)), extend("x-kubernetes-list-type" = "set"))]
    pub status_codes: Vec<i32>,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_failures: defaults::consecutive_failures(),
            ejection_time: defaults::ejection_time(),
            max_ejected_percent: defaults::max_ejected_percent(),
            status_codes: Vec::new(),
        }
    }
}
