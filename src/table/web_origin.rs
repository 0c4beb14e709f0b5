//! Web origins (RFC 6454): what browsers say a page came from, and whether its WebSockets may come and its scripts read.
//!
//! Two origins are the same where scheme, host and port are, in any case of letters and with or without the port that
//! the scheme has by itself. Nothing is resolved or decoded.

use std::borrow::Cow;

use http::header::ORIGIN;
use http::{HeaderMap, HeaderValue};

/// `allowedOrigins`: from where handshakes pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<Pattern>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// This one, in canonical form.
    Exact(String),
    /// Those whose host ends so, with at least one label more: `https://*.example.com:8443` is the beginning
    /// `https://` and the end `.example.com:8443`.
    Below { beginning: String, end: String },
}

/// What a handshake says it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented<'r> {
    /// Nothing: browsers always say it, so this is another client.
    Nothing,
    /// This value.
    Value(&'r HeaderValue),
    /// More than one value, of which an origin would read one or the other.
    Several,
}

impl<'r> Presented<'r> {
    /// What stands in `Origin`.
    pub fn in_head(headers: &'r HeaderMap) -> Self {
        let mut values = headers.get_all(ORIGIN).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Nothing,
            (Some(value), None) => Self::Value(value),
            (Some(_), Some(_)) => Self::Several,
        }
    }
}

impl AllowedOrigins {
    /// Those that the API lists, `https://app.example.com` or `https://*.example.com`; an empty list allows all.
    pub fn new<'a>(listed: impl IntoIterator<Item = &'a str>) -> Self {
        Self(listed.into_iter().map(Pattern::new).collect())
    }

    /// Whether a handshake passes.
    ///
    /// What names no origin does: the list keeps the pages of others from using a viewer's browser and its cookies,
    /// and everything but a browser could name whatever it likes.
    pub fn allow(&self, presented: Presented<'_>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        match presented {
            Presented::Nothing => true,
            Presented::Value(value) => self.list(value),
            Presented::Several => false,
        }
    }

    /// Whether an origin is one of those that are listed.
    pub(super) fn list(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| {
            let origin = canonical(origin);
            self.0.iter().any(|pattern| pattern.matches(&origin))
        })
    }

    /// In canonical form, as they are compared.
    pub fn iter(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|pattern| match pattern {
            Pattern::Exact(origin) => origin.clone(),
            Pattern::Below { beginning, end } => format!("{beginning}*{end}"),
        })
    }
}

impl Pattern {
    fn new(listed: &str) -> Self {
        let origin = canonical(listed);
        match origin.split_once("://*.") {
            Some((scheme, rest)) => {
                Self::Below { beginning: format!("{scheme}://"), end: format!(".{rest}") }
            }
            None => Self::Exact(origin.into_owned()),
        }
    }

    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Exact(allowed) => origin == allowed,
            Self::Below { beginning, end } => {
                let labels =
                    origin.strip_prefix(beginning.as_str()).and_then(|rest| rest.strip_suffix(end.as_str()));
                labels.is_some_and(are_labels)
            }
        }
    }
}

/// Lower case, and without the port that the scheme has by itself: as browsers send it.
fn canonical(origin: &str) -> Cow<'_, str> {
    let is_lower = !origin.bytes().any(|byte| byte.is_ascii_uppercase());
    let mut origin = if is_lower { Cow::Borrowed(origin) } else { Cow::Owned(origin.to_ascii_lowercase()) };
    let port = match origin.split_once("://") {
        Some(("http" | "ws", _)) => ":80",
        Some(("https" | "wss", _)) => ":443",
        _ => return origin,
    };
    if origin.ends_with(port) {
        let without = origin.len() - port.len();
        origin.to_mut().truncate(without);
    }
    origin
}

/// Whether a text is the beginning of a host name: nothing in it may begin a port, a path or a user's name.
fn are_labels(text: &str) -> bool {
    let in_labels = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.split('.').all(|label| !label.is_empty()) && text.bytes().all(in_labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(listed: &[&str], origin: &str) -> bool {
        let value = HeaderValue::from_bytes(origin.as_bytes()).unwrap();
        AllowedOrigins::new(listed.iter().copied()).allow(Presented::Value(&value))
    }

    #[test]
    fn an_origin_is_compared_by_scheme_host_and_port() {
        let listed =
            ["https://app.example.com", "http://localhost:3000", "https://[2001:db8::1]:443", "null"];
        for same in [
            "https://app.example.com",
            "https://app.example.com:443",
            "HTTPS://App.Example.COM",
            "http://localhost:3000",
            "https://[2001:DB8::1]",
            "null",
        ] {
            assert!(allows(&listed, same), "{same}");
        }
        for other in [
            "http://app.example.com",
            "https://app.example.com:80",
            "https://app.example.com:8443",
            "https://app.example.com.evil.example",
            "https://evil.example/https://app.example.com",
            "https://app.example.com/",
            "https://app.example.com https://evil.example",
            "http://localhost",
            "https://[2001:db8::1]:80",
            "",
            "https://\u{e9}.example",
        ] {
            assert!(!allows(&listed, other), "{other}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_label_or_more() {
        let listed = ["https://*.example.com", "http://*.local.test:8080"];
        for below in [
            "https://a.example.com",
            "https://a.b.example.com:443",
            "http://x.local.test:8080",
            "https://A.EXAMPLE.com",
        ] {
            assert!(allows(&listed, below), "{below}");
        }
        for other in [
            "https://example.com",
            "https://.example.com",
            "https://a..example.com",
            "https://evilexample.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://evil.example:443/.example.com",
            "https://evil.example#.example.com",
            "https://user@a.example.com",
            "http://x.local.test",
            "null",
        ] {
            assert!(!allows(&listed, other), "{other}");
        }
    }

    #[test]
    fn who_names_no_origin_passes_and_who_names_two_does_not() {
        let listed = AllowedOrigins::new(["https://app.example.com"]);
        let mut head = HeaderMap::new();
        assert!(listed.allow(Presented::in_head(&head)));
        head.append(ORIGIN, HeaderValue::from_static("https://app.example.com"));
        assert!(listed.allow(Presented::in_head(&head)));
        head.append(ORIGIN, HeaderValue::from_static("https://app.example.com"));
        assert!(!listed.allow(Presented::in_head(&head)));
        assert!(AllowedOrigins::default().allow(Presented::in_head(&head)), "without a list all do");
    }
}
