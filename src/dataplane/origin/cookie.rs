//! Cookies as a request carries them (RFC 6265 section 5.4).

use http::HeaderMap;
use http::header::COOKIE;

/// The value of the first cookie of that name, without quotes.
pub(super) fn value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let crumbs = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    crumbs.map(<[u8]>::trim_ascii).find_map(|crumb| {
        let value = crumb.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some(quoted.unwrap_or(value))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("xid=1; id2=2;  id=3; id=4"));
        headers.append(COOKIE, HeaderValue::from_static("q=\"5\"; empty="));
        let rows = [
            ("id", Some("3")),
            ("id2", Some("2")),
            ("q", Some("5")),
            ("empty", Some("")),
            ("i", None),
            ("", None),
        ];
        for (name, expected) in rows {
            assert_eq!(value(&headers, name), expected.map(str::as_bytes), "{name}");
        }
    }
}
