//! What we tell an origin about the viewer: `X-Forwarded-*`, `X-Real-IP`, `Via`, `X-Request-Id`.
//!
//! What a viewer claims of itself is replaced; what a trusted proxy says of its viewers is kept and added to.

use bytes::Bytes;
use http::header::{FORWARDED, HOST, HeaderName, VIA};
use http::{HeaderMap, HeaderValue, Version};

use super::address::{self, Peer, Sender, Trust, X_FORWARDED_FOR, X_FORWARDED_PROTO};
use crate::table::decide::Scheme;
use crate::table::host::Authority;

pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a viewer could claim that origins take for our word (the certificate that we would have checked).
const CLIENT_CERTIFICATE: &str = "x-client-cert-";

/// What proxies tell of viewers. Origins believe names beyond ours, too, such as `X-Forwarded-Prefix`.
const X_FORWARDED: &str = "x-forwarded-";

/// The longest request id that is kept, in bytes.
const LONGEST_ID: usize = 128;

/// How many fields are set here or with them.
const SET: usize = 9;

/// Says who `sender` is, and which `peer` brought the request; gives the request's id.
pub(crate) fn set(
    headers: &mut HeaderMap,
    peer: &Peer,
    sender: Sender,
    authority: &Authority,
    version: Version,
) -> HeaderValue {
    drop_beginning(headers, CLIENT_CERTIFICATE);
    let (chain, real, id) = match peer.trust {
        Trust::Stranger | Trust::Hidden => {
            headers.remove(FORWARDED);
            drop_beginning(headers, X_FORWARDED);
            (None, peer.value.clone(), None)
        }
        Trust::Proxy => {
            let chain = address::forwarded_for(headers);
            let chain = chain.and_then(|chain| address::appended(&chain, peer.value.as_bytes()));
            (chain, value(sender.address.ip.to_string()), kept_id(headers))
        }
    };
    let port = match (authority.port, sender.scheme) {
        (Some(port), _) => value(port.to_string()),
        (None, Scheme::Http) => HeaderValue::from_static("80"),
        (None, Scheme::Https) => HeaderValue::from_static("443"),
    };
    // What the viewer wrote is shared where it is written as it should be.
    let as_sent =
        headers.get(HOST).filter(|host| authority.port.is_none() && *host == authority.host.as_str());
    let host = as_sent.cloned().unwrap_or_else(|| value(authority.to_string()));
    let id = id.unwrap_or_else(new_id);
    headers.reserve(SET);
    headers.insert(X_FORWARDED_FOR, chain.unwrap_or_else(|| peer.value.clone()));
    headers.insert(X_REAL_IP, real);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(sender.scheme.as_str()));
    headers.insert(X_FORWARDED_HOST, host);
    headers.insert(X_FORWARDED_PORT, port);
    headers.insert(X_REQUEST_ID, id.clone());
    headers.append(VIA, via(version));
    id
}

/// Our entry in `Via`: the protocol that the request came by, and the name that the gate looks for.
fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_10 => "1.0 tidegate",
        Version::HTTP_2 => "2.0 tidegate",
        _ => "1.1 tidegate",
    })
}

/// Takes out every field whose name begins so.
fn drop_beginning(headers: &mut HeaderMap, begin: &str) {
    let claims = headers.keys().filter(|name| name.as_str().starts_with(begin));
    for name in claims.cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
}

/// The one id that a trusted proxy gave.
fn kept_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut ids = headers.get_all(X_REQUEST_ID).iter();
    let (Some(id), None) = (ids.next(), ids.next()) else { return None };
    let plain = !id.is_empty() && id.len() <= LONGEST_ID && id.as_bytes().iter().all(u8::is_ascii_graphic);
    plain.then(|| id.clone())
}

/// 128 random bits in hexadecimal: unique, not secret.
fn new_id() -> HeaderValue {
    let digits = fastrand::u128(..).to_be_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    value(digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect())
}

/// A value that we composed ourselves from digits, host names and the like.
pub(super) fn value(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("we write only visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::viewer::address::TrustedProxies;

    const CLAIMS: [(&str, &str); 15] = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-for", "7.7.7.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "b.example"),
        ("x-forwarded-port", "1"),
        ("x-real-ip", "6.6.6.6"),
        ("x-forwarded-prefix", "/admin"),
        ("x-forwarded-prefix", "/more"),
        ("x-forwarded-ssl", "on"),
        ("x-forwarder", "kept"),
        ("forwarded", "for=6.6.6.6"),
        ("x-client-cert-subject", "CN=root"),
        ("x-request-id", "mine"),
        ("traceparent", "00-1-2-00"),
        ("via", "1.0 other"),
    ];

    /// What the origin hears of a request with these lines that `peer` sends over plaintext.
    fn told(peer: &str, lines: &[(&'static str, &'static str)], authority: &str) -> (HeaderMap, HeaderValue) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let peer = Peer::new(peer.parse().unwrap(), &proxies);
        let sender = peer.sender(&headers, Scheme::Http, &proxies);
        let id = set(&mut headers, &peer, sender, &Authority::parse(authority).unwrap(), Version::HTTP_11);
        (headers, id)
    }

    fn all<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn claims_of_a_stranger_are_replaced() {
        let (headers, id) = told("192.0.2.7:5", &CLAIMS, "a.example:8080");
        let rows: [(&str, &[&str]); 14] = [
            ("x-forwarded-for", &["192.0.2.7"]),
            ("x-real-ip", &["192.0.2.7"]),
            ("x-forwarded-proto", &["http"]),
            ("x-forwarded-host", &["a.example:8080"]),
            ("x-forwarded-port", &["8080"]),
            ("x-request-id", &[id.to_str().unwrap()]),
            ("via", &["1.0 other", "1.1 tidegate"]),
            ("traceparent", &["00-1-2-00"]),
            ("forwarded", &[]),
            ("x-forwarded-prefix", &[]),
            ("x-forwarded-ssl", &[]),
            ("x-forwarder", &["kept"]),
            ("x-client-cert-subject", &[]),
            ("x-client-cert", &[]),
        ];
        for (name, expected) in rows {
            assert_eq!(all(&headers, name), expected, "{name}");
        }
        assert_ne!(id, "mine");
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_named() {
        let (headers, id) = told("10.1.1.1:5", &CLAIMS, "a.example");
        let rows: [(&str, &[&str]); 11] = [
            ("x-forwarded-for", &["6.6.6.6, 7.7.7.7, 10.1.1.1"]),
            ("x-real-ip", &["7.7.7.7"]),
            ("x-forwarded-proto", &["https"]),
            ("x-forwarded-host", &["a.example"]),
            ("x-forwarded-port", &["443"]),
            ("x-request-id", &["mine"]),
            ("via", &["1.0 other", "1.1 tidegate"]),
            ("forwarded", &["for=6.6.6.6"]),
            ("x-forwarded-prefix", &["/admin", "/more"]),
            ("x-forwarded-ssl", &["on"]),
            ("x-client-cert-subject", &[]),
        ];
        for (name, expected) in rows {
            assert_eq!(all(&headers, name), expected, "{name}");
        }
        assert_eq!(id, "mine");
        let (headers, _) = told("10.1.1.1:5", &[], "a.example");
        assert_eq!(all(&headers, "x-forwarded-for"), ["10.1.1.1"]);
    }

    #[test]
    fn only_one_plain_request_id_is_kept() {
        let long: &'static str = "y".repeat(129).leak();
        let rows: [(&[&'static str], bool); 5] =
            [(&["a-1"], true), (&["a", "b"], false), (&[""], false), (&["a b"], false), (&[long], false)];
        for (ids, kept) in rows {
            let lines: Vec<_> = ids.iter().map(|id| ("x-request-id", *id)).collect();
            let (headers, id) = told("10.1.1.1:5", &lines, "a.example");
            assert_eq!(all(&headers, "x-request-id"), [id.to_str().unwrap()]);
            assert_eq!(id == ids[0], kept, "{ids:?}");
        }
    }
}
