//! Header fields on their way to an origin: what belongs to the viewer's connection goes, all else stays.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::dataplane::inside::headers::{self as product, Trailers};

/// What never passes, whoever names it (RFC 9110 section 7.6.1, and what HTTP/2 upgrades and proxies use).
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// What a `Connection` field cannot take out.
const KEPT: [&str; 5] = ["host", "authorization", "cookie", "content-length", "te"];

/// Lines, each a name and a value behind a colon.
///
/// # Panics
/// Where a field of the connection stays, or another one goes.
pub fn headers(input: &[u8]) {
    let before: HeaderMap = input.split(|byte| *byte == b'\n').filter_map(field).collect();
    let mut after = before.clone();
    product::strip_hop_by_hop(&mut after);
    for name in HOP_BY_HOP {
        assert!(!after.contains_key(name), "{name} stays: {before:?}");
    }
    for name in before.keys() {
        let kept = KEPT.contains(&name.as_str());
        let goes = !kept && (HOP_BY_HOP.contains(&name.as_str()) || is_named(name, &before));
        if !goes || kept {
            let values = |headers: &HeaderMap| headers.get_all(name).iter().cloned().collect::<Vec<_>>();
            assert_eq!(values(&after), values(&before), "{name} is not as it was");
        } else if !is_claim(name) {
            assert!(!after.contains_key(name), "{name} was named and stays: {before:?}");
        }
    }
    let trailers = product::strip_te(&mut after);
    let te: Vec<_> = after.get_all("te").iter().collect();
    match trailers {
        Trailers::Passed => assert_eq!(te, ["trailers"]),
        Trailers::Dropped => assert!(te.is_empty(), "{te:?}"),
    }
    let (fields, dropped) = (after.len(), product::drop_underscores(&mut after));
    assert!(after.keys().all(|name| !name.as_str().contains('_')), "{after:?}");
    assert_eq!(after.len() + dropped, fields, "what was dropped is counted");
}

fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at(colon);
    Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value.get(1..)?).ok()?))
}

fn is_named(name: &HeaderName, headers: &HeaderMap) -> bool {
    let named = |value: &HeaderValue| {
        let lower = value.as_bytes().to_ascii_lowercase();
        lower.split(|byte| *byte == b',').any(|token| token.trim_ascii() == name.as_str().as_bytes())
    };
    headers.get_all("connection").iter().any(named)
}

/// What is said of the viewer, and therefore by us, whether it was taken out before or is replaced behind.
fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str();
    name == "forwarded" || name == "via" || name.starts_with("x-") || name == "set-cookie"
}
