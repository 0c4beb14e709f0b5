//! What we tell an origin about the viewer: `X-Forwarded-*`, `X-Real-IP`, `Via`, `X-Request-Id`.
//!
//! No peer is trusted: what a viewer claims of itself is replaced.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{FORWARDED, HeaderName, VIA};
use http::{HeaderMap, HeaderValue, Version};

use super::gate::{VIA_TOKEN, version_name};
use crate::table::host::Authority;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a viewer could claim that origins take for our word (the certificate that we would have checked).
const CLIENT_CERTIFICATE: &str = "x-client-cert-";

/// How the viewer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// As URLs and logs write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> &'static str {
        match self {
            Self::Http => "80",
            Self::Https => "443",
        }
    }
}

/// The viewer's address as header fields carry it; made once a connection.
#[derive(Clone, Debug)]
pub(crate) struct AddressValue(HeaderValue);

impl AddressValue {
    pub(crate) fn new(address: IpAddr) -> Self {
        Self(value(address.to_string()))
    }
}

/// Replaces whatever the head says of the viewer by what we know; gives the request's new id.
pub(crate) fn set(
    headers: &mut HeaderMap,
    viewer: &AddressValue,
    scheme: Scheme,
    authority: &Authority,
    version: Version,
) -> HeaderValue {
    headers.remove(FORWARDED);
    drop_client_certificate(headers);
    let port = match authority.port {
        Some(port) => value(port.to_string()),
        None => HeaderValue::from_static(scheme.default_port()),
    };
    let id = request_id();
    headers.insert(X_FORWARDED_FOR, viewer.0.clone());
    headers.insert(X_REAL_IP, viewer.0.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme.as_str()));
    headers.insert(X_FORWARDED_HOST, value(authority.to_string()));
    headers.insert(X_FORWARDED_PORT, port);
    headers.insert(X_REQUEST_ID, id.clone());
    headers.append(VIA, value(format!("{} {VIA_TOKEN}", version_name(version))));
    id
}

fn drop_client_certificate(headers: &mut HeaderMap) {
    let claims = headers.keys().filter(|name| name.as_str().starts_with(CLIENT_CERTIFICATE));
    for name in claims.cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
}

/// 128 random bits in hexadecimal: unique, not secret.
fn request_id() -> HeaderValue {
    value(format!("{:032x}", fastrand::u128(..)))
}

/// A value that we composed ourselves from digits, host names and the like.
fn value(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("we write only visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_the_viewer_are_replaced() {
        let mut headers = HeaderMap::new();
        let lines = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "7.7.7.7"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
            ("x-client-cert-subject", "CN=root"),
            ("x-request-id", "mine"),
            ("via", "1.0 other"),
        ];
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        let authority = Authority::parse("a.example:8080").unwrap();
        let viewer = AddressValue::new("192.0.2.7".parse().unwrap());
        let id = set(&mut headers, &viewer, Scheme::Http, &authority, Version::HTTP_11);
        let all = |name: &str| -> Vec<&str> {
            headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
        };
        assert_eq!(all("x-forwarded-for"), ["192.0.2.7"]);
        assert_eq!(all("x-real-ip"), ["192.0.2.7"]);
        assert_eq!(all("x-forwarded-proto"), ["http"]);
        assert_eq!(all("x-forwarded-host"), ["a.example:8080"]);
        assert_eq!(all("x-forwarded-port"), ["8080"]);
        assert_eq!(all("x-request-id"), [id.to_str().unwrap()]);
        assert_eq!(all("via"), ["1.0 other", "1.1 tidegate"]);
        assert!(all("forwarded").is_empty() && all("x-client-cert-subject").is_empty());
    }

    #[test]
    fn without_a_port_in_host_the_scheme_gives_it() {
        let mut headers = HeaderMap::new();
        let viewer = AddressValue::new("192.0.2.7".parse().unwrap());
        let authority = Authority::parse("a.example").unwrap();
        set(&mut headers, &viewer, Scheme::Https, &authority, Version::HTTP_11);
        assert_eq!(headers.get("x-forwarded-port").unwrap(), "443");
    }
}
