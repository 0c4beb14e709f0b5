//! What stands in HTTP messages: header names and values, methods, cookie names.

use super::super::rule::Rule;
use super::{Form, is_text};

/// A header value: visible ASCII with spaces and tabs inside.
///
/// A schema pattern, since a rule over 4,096 characters is too dear for the API server.
pub(in crate::api) const HEADER_VALUE: &str = r"^([!-~]([\t -~]*[!-~])?)?$";

/// The value of a header.
pub(in crate::api) struct HeaderValue;

impl Form for HeaderValue {
    const LONGEST: u32 = 4096;
    const PATTERN: Option<&'static str> = Some(HEADER_VALUE);
}

/// Whether a text that stands elsewhere can be the value of a header as the API takes one.
pub(crate) fn fits_in_header(text: &str) -> bool {
    let longest = usize::try_from(HeaderValue::LONGEST).unwrap_or(usize::MAX);
    text.len() <= longest && is_header_value(text)
}

/// Whether a text keeps the pattern [`HEADER_VALUE`].
pub(in crate::api) fn is_header_value(text: &str) -> bool {
    let inside = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
    text.bytes().all(inside) && text.trim_matches([' ', '\t']).len() == text.len()
}

const TOKEN: Rule = Rule::new(
    r#"self.matches(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")"#,
    "must be a name of letters, digits and -, without spaces or colon",
    |value| is_text(value, is_token),
);

const END_TO_END: Rule = Rule::new(
    "!(self.lowerAscii() in ['connection', 'content-length', 'expect', 'http2-settings', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'])",
    "belongs to the connection or frames the message, which is the proxy's task; leave it out",
    |value| !is_text(value, belongs_to_the_connection),
);

/// A header that is only looked at.
pub(in crate::api) struct AnyHeaderName;

impl Form for AnyHeaderName {
    const LONGEST: u32 = 128;
    const RULES: &'static [Rule] = &[TOKEN];
}

/// A header that is set on requests to an origin.
pub(in crate::api) struct OriginHeaderName;

impl Form for OriginHeaderName {
    const LONGEST: u32 = 128;
    const RULES: &'static [Rule] = &[
        TOKEN,
        END_TO_END,
        Rule::new(
            "self.lowerAscii() != 'host' && !self.lowerAscii().startsWith('x-forwarded-')",
            "is set by the proxy; leave it out, and use hostHeader for Host",
            |value| {
                !is_text(value, |text| {
                    let name = text.to_ascii_lowercase();
                    name == "host" || name.starts_with("x-forwarded-")
                })
            },
        ),
    ];
}

/// A header that is set on or removed from responses to viewers.
pub(in crate::api) struct ViewerHeaderName;

impl Form for ViewerHeaderName {
    const LONGEST: u32 = 128;
    const RULES: &'static [Rule] = &[
        TOKEN,
        END_TO_END,
        Rule::new(
            "!(self.lowerAscii() in ['content-encoding', 'x-tidegate-error'])",
            "says how the body is to be read, or that the proxy answered; leave it out",
            |value| {
                !is_text(value, |text| {
                    ["content-encoding", "x-tidegate-error"]
                        .iter()
                        .any(|known| text.eq_ignore_ascii_case(known))
                })
            },
        ),
    ];
}

/// A request method.
pub(in crate::api) struct Method;

impl Form for Method {
    const LONGEST: u32 = 32;
    const RULES: &'static [Rule] = &[
        TOKEN,
        Rule::new("!(self in ['CONNECT', 'TRACE'])", "is always answered with 405; leave it out", |value| {
            !is_text(value, |text| ["CONNECT", "TRACE"].contains(&text))
        }),
        Rule::new(
            "self == self.upperAscii() || !(self.upperAscii() in ['GET', 'HEAD', 'OPTIONS', 'PUT', 'POST', 'PATCH', 'DELETE'])",
            "must be written in upper case: methods differ by case (RFC 9110 section 9.1)",
            |value| {
                !is_text(value, |text| {
                    let upper = text.to_ascii_uppercase();
                    text != upper && super::super::defaults::allowed_methods().contains(&upper)
                })
            },
        ),
    ];
}

/// A request method that a preflight allows, or `*`, which is a token, too.
pub(in crate::api) struct CorsMethod;

impl Form for CorsMethod {
    const LONGEST: u32 = 32;
    const RULES: &'static [Rule] = &[TOKEN];
}

/// The name of a cookie.
pub(in crate::api) struct CookieName;

impl Form for CookieName {
    const LONGEST: u32 = 128;
    const RULES: &'static [Rule] = &[TOKEN];
}

pub(super) fn rules() -> Vec<&'static [Rule]> {
    vec![OriginHeaderName::RULES, ViewerHeaderName::RULES, Method::RULES]
}

/// Whether a text is a token (RFC 9110 section 5.6.2).
fn is_token(text: &str) -> bool {
    let in_tokens = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+.^_`|~-".contains(&byte);
    !text.is_empty() && text.bytes().all(in_tokens)
}

/// The hop-by-hop headers (RFC 9110 section 7.6.1) and those that frame a message.
fn belongs_to_the_connection(name: &str) -> bool {
    [
        "connection",
        "content-length",
        "expect",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
    .iter()
    .any(|known| name.eq_ignore_ascii_case(known))
}
