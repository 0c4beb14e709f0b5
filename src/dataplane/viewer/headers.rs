//! Which header fields pass from one side to the other.
//!
//! First everything that belongs to one connection is taken out, then what we say ourselves is put in: so a
//! `Connection` field cannot take out what we set.

use std::collections::HashSet;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

use crate::settings::UnderscoreHeaders;
use crate::table::reason::Reason;

/// Fields of one connection (RFC 9110 section 7.6.1), beside what `Connection` names.
static HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// What `Connection` may name without being obeyed: it routes, frames or authorises the message, or tells of the
/// way that it took.
const KEPT: [&str; 10] = [
    "host",
    "authorization",
    "cookie",
    "set-cookie",
    "content-length",
    "te",
    "forwarded",
    "via",
    "x-real-ip",
    "x-request-id",
];

fn is_kept(name: &HeaderName) -> bool {
    KEPT.contains(&name.as_str()) || name.as_str().starts_with("x-forwarded-")
}

/// Takes the fields of one connection out of a head.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most heads have none, and one walk over what is there costs less than a search for each.
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .filter(|name| !is_kept(name))
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Lets of `TE` only `trailers` pass; says whether it does.
pub(crate) fn strip_te(headers: &mut HeaderMap) -> Trailers {
    if !headers.contains_key(TE) {
        return Trailers::Dropped;
    }
    let wanted = headers
        .get_all(TE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"trailers"));
    headers.remove(TE);
    if wanted {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        Trailers::Passed
    } else {
        Trailers::Dropped
    }
}

/// Takes out what announces trailers (RFC 9110 section 6.6.2) where they are dropped.
pub(crate) fn strip_trailer(headers: &mut HeaderMap, trailers: Trailers) {
    if trailers == Trailers::Dropped {
        headers.remove(TRAILER);
    }
}

/// What happens to trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trailers {
    /// They pass, since the viewer said that it reads them.
    Passed,
    /// They are dropped.
    Dropped,
}

/// Refuses names with `_`, where the operator wants that.
pub(crate) fn judge_underscores(headers: &HeaderMap, choice: UnderscoreHeaders) -> Result<(), Reason> {
    let refused = choice == UnderscoreHeaders::Refuse && headers.keys().any(has_underscore);
    if refused { Err(Reason::BadHeader) } else { Ok(()) }
}

/// Takes out names with `_`, which origins take for `-`; says how many fields that were.
pub(crate) fn drop_underscores(headers: &mut HeaderMap) -> usize {
    if !headers.keys().any(has_underscore) {
        return 0;
    }
    let before = headers.len();
    let names: HashSet<HeaderName> = headers.keys().filter(|name| has_underscore(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
    before - headers.len()
}

pub(super) fn has_underscore(name: &HeaderName) -> bool {
    name.as_str().as_bytes().contains(&b'_')
}

/// Keeps one of equal lengths, which parsers let pass; gives it, in bytes, where there is one.
pub(crate) fn single_length(headers: &mut HeaderMap) -> Option<u64> {
    let length = headers.get(CONTENT_LENGTH)?.clone();
    let bytes = length.to_str().ok().and_then(|length| length.parse().ok());
    headers.insert(CONTENT_LENGTH, length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn connection_takes_out_what_it_names_but_not_what_routes_or_authorises() {
        let mut headers = head(&[
            ("connection", "close, X-Mine,authorization, host, via, X-Forwarded-For"),
            ("connection", "x-more"),
            ("x-mine", "1"),
            ("x-more", "1"),
            ("host", "a"),
            ("authorization", "b"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("via", "1.1 other"),
            ("x-forwarded-for", "192.0.2.7"),
            ("accept", "*/*"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(names(&headers), ["accept", "authorization", "host", "via", "x-forwarded-for"]);
    }

    #[test]
    fn of_te_only_trailers_passes() {
        let mut headers = head(&[("te", "gzip;q=0.5, Trailers")]);
        assert_eq!(strip_te(&mut headers), Trailers::Passed);
        assert_eq!(headers.get(TE).unwrap(), "trailers");
        let mut headers = head(&[("te", "gzip")]);
        assert_eq!(strip_te(&mut headers), Trailers::Dropped);
        assert!(headers.is_empty());
    }

    #[test]
    fn trailers_that_are_dropped_are_not_announced() {
        for (trailers, announced) in [(Trailers::Dropped, false), (Trailers::Passed, true)] {
            let mut headers = head(&[("trailer", "x-sum"), ("trailer", "x-end"), ("x-trailer", "1")]);
            strip_trailer(&mut headers, trailers);
            assert_eq!(headers.contains_key(TRAILER), announced);
            assert!(headers.contains_key("x-trailer"));
        }
    }

    #[test]
    fn names_with_an_underscore_are_dropped_and_counted() {
        let mut headers = head(&[("x_real_ip", "1"), ("x_real_ip", "2"), ("x-real-ip", "3")]);
        assert_eq!(drop_underscores(&mut headers), 2);
        assert_eq!(names(&headers), ["x-real-ip"]);
    }
}
