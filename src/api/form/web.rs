//! Paths, web origins, address ranges and digests.

use std::net::IpAddr;

use super::super::rule::Rule;
use super::{Form, is_text};

/// CloudFront's pattern of a path.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistValuesCacheBehavior.html#DownloadDistValuesPathPattern>.
pub(in crate::api) struct PathPattern;

impl Form for PathPattern {
    const LONGEST: u32 = 255;
    const RULES: &'static [Rule] = &[Rule::new(
        r#"self.matches(r"""^[A-Za-z0-9_.*$/~"'@:+&?-]+$""")"#,
        "must be of letters, digits and _ - . * $ / ~ \" ' @ : + & ?, where * is any run of characters and ? is exactly one",
        |value| {
            is_text(value, |text| {
                let in_patterns =
                    |byte: u8| byte.is_ascii_alphanumeric() || b"_.*$/~\"'@:+&?-".contains(&byte);
                !text.is_empty() && text.bytes().all(in_patterns)
            })
        },
    )];
}

/// A prefix of paths at an origin.
pub(in crate::api) struct OriginPath;

impl Form for OriginPath {
    const LONGEST: u32 = 255;
    const RULES: &'static [Rule] = &[Rule::new(
        r#"self.matches(r'^/[!-~]*$') && !self.matches(r'[?#\\]|/$')"#,
        "must start with / and not end with /, without spaces, ? and #; leave it out where there is no prefix",
        |value| is_text(value, |text| text.starts_with('/') && !text.ends_with('/') && is_path(text)),
    )];
}

/// The path of a page.
pub(in crate::api) struct PagePath;

impl Form for PagePath {
    const LONGEST: u32 = 255;
    const RULES: &'static [Rule] = &[Rule::new(
        r#"self.matches(r'^/[!-~]*$') && !self.matches(r'[?#\\]')"#,
        "must be a path that starts with /, without spaces, ? and #",
        |value| is_text(value, |text| text.starts_with('/') && is_path(text)),
    )];
}

/// What `/` becomes.
pub(in crate::api) struct RootObject;

impl Form for RootObject {
    const LONGEST: u32 = 255;
    const RULES: &'static [Rule] = &[Rule::new(
        r#"self.matches(r'^[!-~]+$') && !self.matches(r'^/|[?#\\]')"#,
        "must be a path without its leading /, such as index.html, without spaces, ? and #",
        |value| is_text(value, |text| !text.is_empty() && !text.starts_with('/') && is_path(text)),
    )];
}

/// A value of `Origin`, or all origins below a host.
pub(in crate::api) struct WebOrigin;

impl Form for WebOrigin {
    const LONGEST: u32 = 255;
    const RULES: &'static [Rule] = &[Rule::new(
        r"self.matches(r'^(null|[a-z][a-z0-9+.-]*://(\*\.)?[a-z0-9.:\[\]-]+)$')",
        "must be an origin as browsers send it: scheme and host in lower case, and the port unless it is the scheme's, without path, such as https://app.example.com or https://*.example.com",
        |value| is_text(value, is_web_origin),
    )];
}

/// A value of `Origin`, all origins below a host, or `*` for all.
pub(in crate::api) struct CorsOrigin;

impl Form for CorsOrigin {
    const LONGEST: u32 = 255;
    const RULES: &'static [Rule] = &[Rule::new(
        r"self.matches(r'^(\*|null|[a-z][a-z0-9+.-]*://(\*\.)?[a-z0-9.:\[\]-]+)$')",
        "must be * or an origin as browsers send it: scheme and host in lower case, and the port unless it is the scheme's, without path, such as https://app.example.com or https://*.example.com",
        |value| is_text(value, |text| text == "*" || is_web_origin(text)),
    )];
}

/// A range of addresses.
pub(in crate::api) struct Cidr;

impl Form for Cidr {
    const LONGEST: u32 = 43;
    const RULES: &'static [Rule] = &[Rule::new(
        "isCIDR(self)",
        "must be an address range such as 10.0.0.0/8, 192.0.2.7/32 or 2001:db8::/32",
        |value| is_text(value, is_cidr),
    )];
}

/// The SHA-256 digest of a certificate.
pub(in crate::api) struct Sha256;

impl Form for Sha256 {
    // Room for the digest as openssl prints it, with colons: the rule says what to do, a length would not.
    const LONGEST: u32 = 128;
    const RULES: &'static [Rule] = &[Rule::new(
        "self.matches(r'^[0-9a-f]{64}$')",
        "must be the SHA-256 digest of the certificate as 64 lower-case hexadecimal digits, without colons",
        |value| {
            is_text(value, |text| {
                text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            })
        },
    )];
}

pub(super) fn rules() -> Vec<&'static [Rule]> {
    vec![
        PathPattern::RULES,
        OriginPath::RULES,
        PagePath::RULES,
        RootObject::RULES,
        WebOrigin::RULES,
        CorsOrigin::RULES,
        Cidr::RULES,
        Sha256::RULES,
    ]
}

/// Visible ASCII without what would end a path or be read as another `/`.
fn is_path(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte))
}

fn is_web_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return text == "null";
    };
    is_scheme(scheme) && is_authority(authority)
}

/// Whether a text is a scheme in lower case (RFC 3986 section 3.1).
fn is_scheme(text: &str) -> bool {
    let in_schemes = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+.-".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(in_schemes)
}

/// Whether a text can be a host with or without port; a host may begin with `*.`, and an IPv6 address stands in brackets.
fn is_authority(text: &str) -> bool {
    let rest = text.strip_prefix("*.").unwrap_or(text);
    let in_authorities = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'z') || b".:[]-".contains(&byte);
    !rest.is_empty() && rest.bytes().all(in_authorities)
}

/// Whether Kubernetes' `isCIDR` is true, which refuses leading zeros and IPv4 addresses in IPv6 form: both are read
/// differently by different programs.
fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let longest = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_none() => 128,
        _ => return false,
    };
    let plain =
        length.bytes().all(|byte| byte.is_ascii_digit()) && (length == "0" || !length.starts_with('0'));
    plain && length.parse::<u8>().is_ok_and(|length| length <= longest)
}
