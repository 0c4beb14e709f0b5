//! Behaviors: what happens to the requests of a path.
//!
//! The fields that the default behavior and the others share are [`Behavior`]; [`CacheBehavior`] adds the path.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ResponseHeadersPolicy, WebSocket,
    defaults::{self, is_default},
    form::{self, Text},
};

/// A behavior for the paths of one pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheBehavior {
    /// The paths, such as `/api/*`: `*` is any run of characters, `/` included, and `?` is exactly one.
    /// A pattern that does not begin with `/` is read as if it did; letter case counts, and the query is not looked at.
    #[schemars(with = "Text<form::PathPattern>")]
    pub path_pattern: String,

    /// What happens to the requests of these paths.
    #[serde(flatten)]
    pub behavior: Behavior,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// The id of the origin or origin group that requests go to.
    #[schemars(with = "Text<form::Id>")]
    pub target_origin_id: String,

    /// Whether viewers may use HTTP without TLS, and `ws://`: `allow-all` (they may), `https-only` (they get 403) or `redirect-to-https` (they get 301 for GET and HEAD, 307 for other methods).
    /// Without it: `redirect-to-https` where `viewerCertificate` is set, else `allow-all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ViewerProtocolPolicy")]
    pub viewer_protocol_policy: Option<ViewerProtocolPolicy>,

    /// The methods that are passed on; others are answered with 403, and CONNECT and TRACE always with 405.
    #[serde(default = "defaults::allowed_methods")]
    #[schemars(with = "Vec<Text<form::Method>>", length(min = 1, max = 20), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_methods: Vec<String>,

    /// The longest request body in bytes; a longer one is answered with 413, and without it there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_request_body_bytes: Option<i64>,

    /// Whether responses of compressible types are compressed.
    #[serde(default)]
    pub compress: bool,

    /// Headers removed from and added to responses.
    #[serde(default, skip_serializing_if = "is_default")]
    pub response_headers_policy: ResponseHeadersPolicy,

    /// Which viewer addresses are served; the others get 403.
    #[serde(default, skip_serializing_if = "is_default")]
    pub source_ranges: SourceRanges,

    /// How WebSockets are treated; they are served without this block, too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub web_socket: WebSocket,
}

/// Whether viewers may use HTTP without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ViewerProtocolPolicy {
    /// Both are served.
    AllowAll,
    /// HTTP is answered with 403.
    HttpsOnly,
    /// HTTP is answered with a redirect: 301 for GET and HEAD, 307 for other methods.
    RedirectToHttps,
}

/// Which viewer addresses are served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceRanges {
    /// Address ranges in CIDR form that are served; empty means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Text<form::Cidr>>", length(max = 256), extend("x-kubernetes-list-type" = "set"))]
    pub allow: Vec<String>,

    /// Address ranges in CIDR form that are not served, even where `allow` has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Text<form::Cidr>>", length(max = 256), extend("x-kubernetes-list-type" = "set"))]
    pub deny: Vec<String>,
}
