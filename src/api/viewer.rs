//! What a Distribution shows to viewers before there is a request: certificates and protocol versions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    defaults,
    form::{self, Text},
};

/// A version of HTTP, towards viewers or towards an origin.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum HttpVersion {
    /// HTTP/2; towards viewers, HTTP/1.1 is offered beside it.
    #[default]
    #[serde(rename = "http2")]
    Http2,
    /// HTTP/1.1 only.
    #[serde(rename = "http1.1")]
    Http11,
}

/// The certificate that viewers are shown, and the TLS versions they may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ViewerCertificate {
    /// A Secret of type `kubernetes.io/tls`.
    /// While it is missing or bad, TLS is refused for these aliases.
    #[schemars(with = "Text<form::ObjectName>")]
    pub secret_name: String,

    /// The namespace of the Secrets, where it is another than the Distribution's.
    /// A ReferenceGrant in that namespace must allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::Namespace>")]
    pub secret_namespace: Option<String>,

    /// More Secrets of type `kubernetes.io/tls`, for other names or another type of key.
    /// The first certificate that covers the asked name and whose key type the viewer supports is used, ECDSA before RSA.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Text<form::ObjectName>>", length(max = 4), extend("x-kubernetes-list-type" = "set"))]
    pub additional_secret_names: Vec<String>,

    /// CloudFront's name for the TLS versions and ciphers: `TLSv1.2_2021`, `TLSv1.2_2025` or `TLSv1.3_2025`.
    #[serde(default = "defaults::minimum_protocol_version")]
    #[schemars(with = "Text<form::TlsPolicy>")]
    pub minimum_protocol_version: String,
}

/// Mutual TLS: viewers show a certificate, too.
/// What was verified goes to the origin in the `X-Client-Cert-*` headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ViewerMtls {
    /// Whether a viewer must show a certificate: `required` (without one there is no connection) or `optional` (a viewer may come without, but not with a bad one).
    pub mode: MtlsMode,

    /// The Secret whose key `ca.crt` holds the authorities that sign viewers' certificates.
    #[schemars(with = "Text<form::ObjectName>")]
    pub ca_secret_name: String,
}

/// Whether a viewer must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MtlsMode {
    /// Without a valid certificate there is no connection.
    Required,
    /// A viewer may come without certificate, but not with a bad one.
    Optional,
}
