//! Names: of hosts, of Kubernetes objects, and of parts of a Distribution.

use super::super::rule::Rule;
use super::{Form, is_text};

/// A note for people.
pub(in crate::api) struct Comment;

impl Form for Comment {
    const LONGEST: u32 = 128;
}

/// The id of an origin or an origin group.
pub(in crate::api) struct Id;

impl Form for Id {
    const SHORTEST: u32 = 1;
    const LONGEST: u32 = 128;
}

/// A host name, or all names below one.
pub(in crate::api) struct Alias;

impl Form for Alias {
    const LONGEST: u32 = 253;
    const RULES: &'static [Rule] = &[Rule::new(
        r"self.matches(r'^(\*\.)?([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$') && !self.matches(r'(^|\.)[0-9]+$')",
        "must be a host name in lower case without scheme, port, path or trailing dot, other scripts as xn--, no IP address; a wildcard is one leading *. as in *.example.com",
        |value| is_text(value, |text| is_host_name(text.strip_prefix("*.").unwrap_or(text))),
    )];
}

/// A host name.
pub(in crate::api) struct HostName;

impl Form for HostName {
    const LONGEST: u32 = 253;
    const RULES: &'static [Rule] = &[Rule::new(
        r"self.matches(r'^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$') && !self.matches(r'(^|\.)[0-9]+$')",
        "must be a host name in lower case without port or trailing dot, other scripts as xn--, no IP address",
        |value| is_text(value, is_host_name),
    )];
}

/// The name of a Secret, a ConfigMap or a class (RFC 1123 subdomain).
pub(in crate::api) struct ObjectName;

impl Form for ObjectName {
    const LONGEST: u32 = 253;
    const RULES: &'static [Rule] = &[Rule::new(
        r"self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "must be a name of lower-case letters, digits, - and ., with a letter or digit at both ends",
        |value| is_text(value, |text| text.split('.').all(is_label)),
    )];
}

/// The name of a Service (RFC 1123 label).
pub(in crate::api) struct ServiceName;

impl Form for ServiceName {
    const LONGEST: u32 = 63;
    const RULES: &'static [Rule] = &[Rule::new(
        "self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "must be the name of a Service alone: lower-case letters, digits and -, with a letter or digit at both ends",
        |value| is_text(value, is_label),
    )];
}

/// The name of a namespace (RFC 1123 label).
pub(in crate::api) struct Namespace;

impl Form for Namespace {
    const LONGEST: u32 = 63;
    const RULES: &'static [Rule] = &[Rule::new(
        "self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "must be the name of a namespace: lower-case letters, digits and -, with a letter or digit at both ends",
        |value| is_text(value, is_label),
    )];
}

/// The name of a namespace, or `*` for all.
pub(in crate::api) struct ClaimingNamespace;

impl Form for ClaimingNamespace {
    const LONGEST: u32 = 63;
    const RULES: &'static [Rule] = &[Rule::new(
        r"self.matches(r'^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$')",
        "must be the name of a namespace, or * for all",
        |value| is_text(value, |text| text == "*" || is_label(text)),
    )];
}

/// A key in a Secret.
pub(in crate::api) struct SecretKey;

impl Form for SecretKey {
    const LONGEST: u32 = 253;
    const RULES: &'static [Rule] = &[Rule::new(
        "self.matches(r'^[-._a-zA-Z0-9]+$')",
        "must be a key of a Secret: letters, digits, -, _ and .",
        |value| {
            is_text(value, |text| {
                let in_keys = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                !text.is_empty() && text.bytes().all(in_keys)
            })
        },
    )];
}

/// CloudFront's name for a set of TLS versions and ciphers.
///
/// A rule and not an `enum`, so that the sentence can say why the older names are refused.
/// Source: <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/secure-connections-supported-viewer-protocols-ciphers.html>.
pub(in crate::api) struct TlsPolicy;

impl Form for TlsPolicy {
    const LONGEST: u32 = 32;
    const RULES: &'static [Rule] = &[Rule::new(
        "self in ['TLSv1.2_2021', 'TLSv1.2_2025', 'TLSv1.3_2025']",
        "must be TLSv1.2_2021, TLSv1.2_2025 or TLSv1.3_2025; CloudFront's older policies stand for TLS 1.0, TLS 1.1 or CBC ciphers, which are not served",
        |value| is_text(value, |text| ["TLSv1.2_2021", "TLSv1.2_2025", "TLSv1.3_2025"].contains(&text)),
    )];
}

pub(super) fn rules() -> Vec<&'static [Rule]> {
    vec![
        Alias::RULES,
        HostName::RULES,
        ObjectName::RULES,
        ServiceName::RULES,
        Namespace::RULES,
        ClaimingNamespace::RULES,
        SecretKey::RULES,
        TlsPolicy::RULES,
    ]
}

/// Labels of up to 63 characters; the last is no number, or the whole would be an IPv4 address
/// (WHATWG URL standard, "ends in a number").
fn is_host_name(text: &str) -> bool {
    let labels = text.split('.').all(|label| label.len() <= 63 && is_label(label));
    let ends_in_a_number =
        text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    labels && !ends_in_a_number
}

/// Lower-case letters, digits and `-`, with a letter or digit at both ends.
fn is_label(text: &str) -> bool {
    let in_labels = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(in_labels) && !text.starts_with('-') && !text.ends_with('-')
}
