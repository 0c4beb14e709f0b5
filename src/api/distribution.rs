//! The Distribution itself: one logical site.
//!
//! Start here; every field leads to the file of its type.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Behavior, CacheBehavior, CustomErrorResponse, DistributionStatus, HttpVersion, Origin, OriginGroup,
    ViewerCertificate, ViewerMtls, defaults,
    form::{self, Text},
    rule::validations,
    rules,
};

/// One logical site: its host names, its certificate, its origins and the ordered list of its behaviors.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "tidegate.io",
    version = "v1alpha1",
    kind = "Distribution",
    plural = "distributions",
    shortname = "dist",
    category = "tidegate",
    namespaced,
    doc = "One logical site: its host names, its certificate, its origins and the ordered list of its behaviors.",
    status = "DistributionStatus",
    selectable = ".spec.className",
    derive = "PartialEq"
)]
#[schemars(extend("x-kubernetes-validations" = validations(rules::SPEC)))]
pub struct DistributionSpec {
    /// The controller that serves this Distribution; without it, the one that runs as the default class.
    /// It may change: then another fleet takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::ObjectName>")]
    pub class_name: Option<String>,

    /// Whether the site is served.
    /// When false its hosts answer 404, its aliases stay claimed, and its WebSockets are drained.
    #[serde(default = "defaults::enabled")]
    pub enabled: bool,

    /// A note for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::Comment>")]
    pub comment: Option<String>,

    /// The host names of the site, in lower case and without port, such as `www.example.com` or `*.example.com`.
    /// A wildcard matches names of any depth; the exact name wins over it, and the longer wildcard over the shorter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Text<form::Alias>>", length(max = 100), extend("x-kubernetes-list-type" = "set"))]
    pub aliases: Vec<String>,

    /// Namespaces, or `*` for all, whose Distributions may claim names under the wildcards of this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Text<form::ClaimingNamespace>>", length(max = 50), extend("x-kubernetes-list-type" = "set"))]
    pub delegate_aliases_to: Vec<String>,

    /// What `/` becomes before behaviors are matched, such as `index.html`, without leading slash.
    /// It does not apply to WebSocket handshakes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::RootObject>")]
    pub default_root_object: Option<String>,

    /// What is offered to viewers over TLS: `http2` (HTTP/2, and HTTP/1.1 beside it) or `http1.1` (only that).
    #[serde(default)]
    pub http_version: HttpVersion,

    /// The certificate of the aliases.
    /// Without it the controller's default certificate is used where it covers the alias, else the alias is served over HTTP only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub viewer_certificate: Option<ViewerCertificate>,

    /// Asks viewers for a certificate of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub viewer_mtls: Option<ViewerMtls>,

    /// Where requests can go, by `id`.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub origins: Vec<Origin>,

    /// Lists of origins that stand in for each other, by `id`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub origin_groups: Vec<OriginGroup>,

    /// Behaviors by path; the first one that matches, in the order of this list, is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = validations(rules::PATTERNS)))]
    pub cache_behaviors: Vec<CacheBehavior>,

    /// The behavior of every path that no entry of `cacheBehaviors` matches.
    pub default_cache_behavior: Behavior,

    /// Pages shown instead of error responses, by `errorCode`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["errorCode"]))]
    pub custom_error_responses: Vec<CustomErrorResponse>,
}
