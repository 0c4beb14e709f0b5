//! Origins: the Services that requests go to, and how they are spoken to.
//!
//! How an origin's endpoints are chosen is in `load_balancing`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Duration, HttpVersion, LoadBalancing, OutlierDetection, PortReference,
    defaults::{self, is_default},
    form::{self, Text},
    rule::validations,
    rules,
};

/// A Service that requests can go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = validations(rules::ORIGIN)))]
pub struct Origin {
    /// The name by which behaviors and origin groups refer to this origin.
    #[schemars(with = "Text<form::Id>")]
    pub id: String,

    /// The Service; its pods are connected to directly, not through its cluster address.
    pub service: ServiceReference,

    /// The Service port for HTTP, by number or name.
    /// Without it: 80 if the Service has that port, else its only port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_port: Option<PortReference>,

    /// The Service port for HTTPS, by number or name.
    /// Without it: 443 if the Service has that port, else its only port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https_port: Option<PortReference>,

    /// Whether TLS is spoken to the origin, for WebSocket, too: `http-only` (never), `https-only` (always) or `match-viewer` (as the viewer does).
    /// Without it the Service port's `appProtocol` decides, else it is `http-only`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OriginProtocolPolicy")]
    pub origin_protocol_policy: Option<OriginProtocolPolicy>,

    /// A prefix put before the path of each request, such as `/v2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::OriginPath>")]
    pub origin_path: Option<String>,

    /// The Host that the origin sees: `viewer` (as the viewer sent it), `origin` (`SERVICE.NAMESPACE.svc`), or a host name.
    #[serde(default = "defaults::host_header")]
    #[schemars(with = "Text<form::HostName>")]
    pub host_header: HostHeader,

    /// Headers set on each request to this origin, in place of what the viewer sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"], "x-kubernetes-validations" = validations(rules::ORIGIN_HEADERS)))]
    pub custom_headers: Vec<OriginCustomHeader>,

    /// How often a connection is tried, each time on another endpoint where there is one.
    #[serde(default = "defaults::connection_attempts")]
    #[schemars(range(min = 1, max = 3))]
    pub connection_attempts: i32,

    /// How long one attempt to connect may take.
    #[serde(default = "defaults::connection_timeout")]
    #[schemars(with = "Text<form::ConnectionTimeout>")]
    pub connection_timeout: Duration,

    /// How long the origin may take until the head of its response.
    #[serde(default = "defaults::origin_read_timeout")]
    #[schemars(with = "Text<form::MoreThanZero>")]
    pub origin_read_timeout: Duration,

    /// How long a response body may pause.
    /// It does not hold for WebSockets.
    #[serde(default = "defaults::response_idle_timeout")]
    #[schemars(with = "Text<form::MoreThanZero>")]
    pub response_idle_timeout: Duration,

    /// How long an idle connection to the origin is kept.
    #[serde(default = "defaults::origin_keepalive_timeout")]
    #[schemars(with = "Text<form::AnyDuration>")]
    pub origin_keepalive_timeout: Duration,

    /// How long the whole exchange may take, with its retries; without it there is no such limit.
    /// It does not hold for WebSockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::MoreThanZero>")]
    pub response_completion_timeout: Option<Duration>,

    /// The HTTP version spoken to the origin: `http1.1`, or `http2`, which gRPC needs.
    /// Without it the Service port's `appProtocol` decides, else it is `http1.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "HttpVersion")]
    pub http_version: Option<HttpVersion>,

    /// How the origin's certificate is verified.
    #[serde(default, skip_serializing_if = "is_default")]
    pub origin_tls: OriginTls,

    /// How an endpoint is chosen.
    #[serde(default, skip_serializing_if = "is_default")]
    pub load_balancing: LoadBalancing,

    /// When an endpoint that fails is left out for a while.
    #[serde(default, skip_serializing_if = "is_default")]
    pub outlier_detection: OutlierDetection,

    /// How many connections one endpoint takes, WebSockets included; without it there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_connections_per_endpoint: Option<i32>,
}

/// A Service by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceReference {
    /// The name of the Service.
    #[schemars(with = "Text<form::ServiceName>")]
    pub name: String,

    /// The namespace of the Service, where it is another than the Distribution's.
    /// A ReferenceGrant in that namespace must allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::Namespace>")]
    pub namespace: Option<String>,
}

/// Whether TLS is spoken to an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OriginProtocolPolicy {
    /// Never.
    HttpOnly,
    /// Always.
    HttpsOnly,
    /// As the viewer does.
    MatchViewer,
}

/// The Host that an origin sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum HostHeader {
    /// The viewer's.
    Viewer,
    /// The Service's own: `SERVICE.NAMESPACE.svc`.
    Origin,
    /// This one.
    Literal(String),
}

impl From<String> for HostHeader {
    fn from(text: String) -> Self {
        match text.as_str() {
            "viewer" => Self::Viewer,
            "origin" => Self::Origin,
            _ => Self::Literal(text),
        }
    }
}

impl From<HostHeader> for String {
    fn from(host: HostHeader) -> Self {
        match host {
            HostHeader::Viewer => "viewer".to_owned(),
            HostHeader::Origin => "origin".to_owned(),
            HostHeader::Literal(name) => name,
        }
    }
}

/// A header set on requests to an origin, with its value written here or kept in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = validations(rules::ORIGIN_HEADER)))]
pub struct OriginCustomHeader {
    /// The name of the header.
    #[schemars(with = "Text<form::OriginHeaderName>")]
    pub name: String,

    /// The value of the header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::HeaderValue>")]
    pub value: Option<String>,

    /// Where the value is kept, instead of `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<SecretKeyReference>,
}

/// One key of a Secret in the Distribution's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyReference {
    /// The name of the Secret.
    #[schemars(with = "Text<form::ObjectName>")]
    pub secret_name: String,

    /// The key in it.
    #[schemars(with = "Text<form::SecretKey>")]
    pub key: String,
}

/// How the certificate of an origin is verified, and what is shown to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = validations(rules::ORIGIN_TLS)))]
pub struct OriginTls {
    /// The name asked for and looked for in the certificate; without a CA it is verified against the public roots.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::HostName>")]
    pub server_name: Option<String>,

    /// The Secret whose key `ca.crt` holds the authorities to trust.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::ObjectName>")]
    pub ca_secret_name: Option<String>,

    /// The ConfigMap whose key `ca.crt` holds the authorities to trust.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::ObjectName>")]
    pub ca_config_map_name: Option<String>,

    /// SHA-256 digests of certificates to trust, as 64 hexadecimal digits.
    /// A pin alone suffices, also for a self-signed certificate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Text<form::Sha256>>", length(max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub certificate_sha256: Vec<String>,

    /// The Secret, of any type, whose certificate `tls.crt` with the key `tls.key` is shown to the origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::ObjectName>")]
    pub client_certificate_secret_name: Option<String>,

    /// Trusts whatever the origin shows.
    #[serde(skip_serializing_if = "is_default")]
    pub insecure_skip_verify: bool,
}

/// Origins that stand in for each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = validations(rules::GROUP)))]
pub struct OriginGroup {
    /// The name by which behaviors refer to this group; no origin has the same.
    #[schemars(with = "Text<form::Id>")]
    pub id: String,

    /// The ids of two to eight origins, in the order in which they are tried.
    #[schemars(with = "Vec<Text<form::Id>>", length(min = 2, max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub members: Vec<String>,

    /// When the next member is tried, besides a failed connection, a timeout and a member without endpoints.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failover_criteria: FailoverCriteria,
}

/// When the next member of a group is tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FailoverCriteria {
    /// Statuses of a response after which the next member is tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<form::FailoverStatus>", length(max = 9), extend("x-kubernetes-list-type" = "set"))]
    pub status_codes: Vec<i32>,
}
