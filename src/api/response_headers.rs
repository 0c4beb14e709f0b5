//! What a behavior does to the headers of responses: first remove, then add.
//!
//! The names are those of CloudFront's response headers policies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    defaults::is_default,
    form::{self, Text},
    rule::validations,
    rules,
};

/// Headers removed from and added to responses, the proxy's own errors and redirects included; the handshake of a WebSocket is left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResponseHeadersPolicy {
    /// Names of headers of the origin that viewers do not get.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Text<form::ViewerHeaderName>>", length(max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub remove_headers: Vec<String>,

    /// Headers added to responses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"], "x-kubernetes-validations" = validations(rules::RESPONSE_HEADERS)))]
    pub custom_headers: Vec<ResponseCustomHeader>,

    /// Cross-origin resource sharing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors_config: Option<CorsConfig>,

    /// Headers that browsers enforce for security.
    #[serde(skip_serializing_if = "is_default")]
    pub security_headers_config: SecurityHeadersConfig,

    /// The `Server-Timing` header: the time to connect and to the first byte, and the request id, behind what the origin says.
    #[serde(skip_serializing_if = "is_default")]
    pub server_timing: ServerTiming,
}

/// A header added to responses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResponseCustomHeader {
    /// The name of the header.
    #[schemars(with = "Text<form::ViewerHeaderName>")]
    pub name: String,

    /// The value of the header.
    #[schemars(with = "Text<form::HeaderValue>")]
    pub value: String,

    /// Whether it replaces the origin's header of that name; when false, the origin's stays.
    #[serde(default, rename = "override")]
    pub overrides: bool,
}

/// Cross-origin resource sharing, as the Fetch standard defines it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = validations(rules::CORS)))]
pub struct CorsConfig {
    /// Values of `Origin` that may read responses, such as `https://app.example.com`, `https://*.example.com` or `*`.
    #[schemars(with = "Vec<Text<form::CorsOrigin>>", length(min = 1, max = 50), extend("x-kubernetes-list-type" = "set"))]
    pub access_control_allow_origins: Vec<String>,

    /// Methods that a preflight allows, beside GET, HEAD and POST, which need none: `ALL` for the usual seven, or `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Text<form::CorsMethod>>", length(max = 20), extend("x-kubernetes-list-type" = "set"))]
    pub access_control_allow_methods: Vec<String>,

    /// Request headers that a preflight allows, or `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Text<form::AnyHeaderName>>", length(max = 32), extend("x-kubernetes-list-type" = "set"))]
    pub access_control_allow_headers: Vec<String>,

    /// Response headers that scripts may read, or `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Text<form::AnyHeaderName>>", length(max = 32), extend("x-kubernetes-list-type" = "set"))]
    pub access_control_expose_headers: Vec<String>,

    /// Whether cookies and other credentials may be sent.
    #[serde(default)]
    pub access_control_allow_credentials: bool,

    /// How long browsers keep the answer to a preflight, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub access_control_max_age_sec: Option<i32>,

    /// Whether these headers replace all of the origin's about CORS, and the proxy answers the preflights that they allow; when false, the origin's stay and preflights go to it.
    #[serde(default)]
    pub origin_override: bool,
}

/// Headers that browsers enforce for security; what is absent is not added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecurityHeadersConfig {
    /// `Strict-Transport-Security`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict_transport_security: Option<StrictTransportSecurity>,

    /// `X-Content-Type-Options: nosniff`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type_options: Option<ContentTypeOptions>,

    /// `X-Frame-Options`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_options: Option<FrameOptions>,

    /// `Referrer-Policy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referrer_policy: Option<ReferrerPolicy>,

    /// `Content-Security-Policy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_security_policy: Option<ContentSecurityPolicy>,
}

/// `Strict-Transport-Security` (RFC 6797), for viewers that came over HTTPS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StrictTransportSecurity {
    /// How long browsers use HTTPS only, in seconds.
    #[schemars(range(min = 0))]
    pub access_control_max_age_sec: i32,

    /// Whether this holds for the names below, too.
    #[serde(default)]
    pub include_subdomains: bool,

    /// Whether browsers may ship the host in their preload lists.
    #[serde(default)]
    pub preload: bool,

    /// Whether it replaces the origin's header; when false, the origin's stays.
    #[serde(default, rename = "override")]
    pub overrides: bool,
}

/// `X-Content-Type-Options: nosniff`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContentTypeOptions {
    /// Whether it replaces the origin's header; when false, the origin's stays.
    #[serde(default, rename = "override")]
    pub overrides: bool,
}

/// `X-Frame-Options` (RFC 7034).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FrameOptions {
    /// Who may put the page into a frame: `DENY` (nobody) or `SAMEORIGIN` (pages of the same origin).
    pub frame_option: FrameOption,

    /// Whether it replaces the origin's header; when false, the origin's stays.
    #[serde(default, rename = "override")]
    pub overrides: bool,
}

/// Who may put a page into a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum FrameOption {
    /// Nobody.
    #[serde(rename = "DENY")]
    Deny,
    /// Pages of the same origin.
    #[serde(rename = "SAMEORIGIN")]
    SameOrigin,
}

/// `Referrer-Policy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReferrerPolicy {
    /// The value of the header, as the Referrer Policy standard defines it.
    pub referrer_policy: ReferrerPolicyValue,

    /// Whether it replaces the origin's header; when false, the origin's stays.
    #[serde(default, rename = "override")]
    pub overrides: bool,
}

/// The values of `Referrer-Policy` that browsers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each variant is the value of the header that it is named after")]
pub enum ReferrerPolicyValue {
    NoReferrer,
    NoReferrerWhenDowngrade,
    Origin,
    OriginWhenCrossOrigin,
    SameOrigin,
    StrictOrigin,
    StrictOriginWhenCrossOrigin,
    UnsafeUrl,
}

impl ReferrerPolicyValue {
    /// The value as it stands in the header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoReferrer => "no-referrer",
            Self::NoReferrerWhenDowngrade => "no-referrer-when-downgrade",
            Self::Origin => "origin",
            Self::OriginWhenCrossOrigin => "origin-when-cross-origin",
            Self::SameOrigin => "same-origin",
            Self::StrictOrigin => "strict-origin",
            Self::StrictOriginWhenCrossOrigin => "strict-origin-when-cross-origin",
            Self::UnsafeUrl => "unsafe-url",
        }
    }
}

/// `Content-Security-Policy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContentSecurityPolicy {
    /// The value of the header.
    #[schemars(with = "Text<form::HeaderValue>")]
    pub content_security_policy: String,

    /// Whether it replaces the origin's header; when false, the origin's stays.
    #[serde(default, rename = "override")]
    pub overrides: bool,
}

/// The `Server-Timing` header, which tells where the time of a response went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerTiming {
    /// Whether the header is added.
    pub enabled: bool,
}
