//! The answers of the proxy itself: errors, redirects and challenges, short and without anybody's names.

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, LOCATION, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::dataplane::websocket::handshake;
use crate::table::challenges::KeyAuthorization;
use crate::table::decide::https_location;
use crate::table::host::HostName;
use crate::table::reason::Reason;
use crate::table::target::Target;

/// Names the reason in each error of ours.
pub(crate) const X_TIDEGATE_ERROR: HeaderName = HeaderName::from_static("x-tidegate-error");

/// What the proxy can pass on.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// How a viewer reads an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// As a sentence.
    Text,
    /// As `{"error": REASON, "status": CODE}`.
    Json,
    /// As the status of a gRPC call, without a body that would be taken for a message.
    Grpc,
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

impl Format {
    /// gRPC for its calls; JSON where `Accept` names it before any text, which is how API clients ask.
    pub(crate) fn preferred(headers: &HeaderMap) -> Self {
        if headers.get(CONTENT_TYPE).is_some_and(|kind| is_grpc(kind.as_bytes())) {
            return Self::Grpc;
        }
        let accepted =
            headers.get_all(ACCEPT).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
        for range in accepted {
            let range = range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            if range.eq_ignore_ascii_case(b"application/json") {
                return Self::Json;
            }
            if range == b"*/*" || range.get(..5).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/")) {
                return Self::Text;
            }
        }
        Self::Text
    }
}

/// `application/grpc`, with or without the name of an encoding; gRPC-Web has its own framing of trailers.
fn is_grpc(content_type: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    kind.split(|byte| *byte == b'+').next().is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/grpc"))
}

/// What gRPC makes of a status of HTTP, where nothing else says how a call ended (gRPC's "HTTP to gRPC Status Code
/// Mapping").
fn grpc_status(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// The answer for a reason.
pub(crate) fn error(reason: Reason, format: Format) -> Response<Bytes> {
    let status = reason.status();
    let (content_type, text) = match format {
        Format::Grpc => ("application/grpc", String::new()),
        Format::Text => ("text/plain; charset=utf-8", format!("{status}: {}\n", reason.as_str())),
        Format::Json => (
            "application/json",
            format!("{{\"error\":\"{}\",\"status\":{}}}\n", reason.as_str(), status.as_u16()),
        ),
    };
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_TIDEGATE_ERROR, HeaderValue::from_static(reason.as_str()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if format == Format::Grpc {
        headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(grpc_status(status))));
        headers.insert(GRPC_MESSAGE, HeaderValue::from_static(reason.as_str()));
    }
    match reason {
        Reason::MethodNotSupported => headers.insert(ALLOW, METHODS),
        Reason::WebsocketVersion => {
            // RFC 9110 section 15.5.22 and RFC 6455 section 4.4.
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_VERSION, handshake::SUPPORTED_VERSION)
        }
        _ => None,
    };
    response
}

/// The redirect to the same target over HTTPS.
pub(crate) fn redirect_to_https(
    status: StatusCode,
    host: &HostName,
    port: u16,
    target: &Target,
) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    let location = HeaderValue::try_from(https_location(host, port, target))
        .expect("host names and targets are visible ASCII");
    response.headers_mut().insert(LOCATION, location);
    response
}

/// What `OPTIONS *` asks for (RFC 9110 section 9.3.7).
pub(crate) fn options() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, METHODS);
    response
}

/// What an ACME server gets for its token; nobody is to keep it, since the next one is another.
pub(crate) fn challenge(answer: &KeyAuthorization) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(answer.as_str().as_bytes()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What a preflight gets before its policy is applied, which says the rest.
pub(crate) fn preflight() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// An answer as bytes, for where there is no HTTP connection any more; it says that the connection closes.
pub(crate) fn to_bytes(response: &Response<Bytes>) -> Vec<u8> {
    let status = response.status();
    let mut bytes = format!("HTTP/1.1 {} ", status.as_u16()).into_bytes();
    bytes.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    bytes.extend_from_slice(b"\r\nconnection: close\r\n");
    for (name, value) in response.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", response.body().len()).as_bytes());
    bytes.extend_from_slice(response.body());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferred(accept: &'static str) -> Format {
        Format::preferred(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]))
    }

    #[test]
    fn json_is_for_who_asks_for_it_first() {
        assert_eq!(preferred("application/json"), Format::Json);
        assert_eq!(preferred("application/json;q=0.9, text/plain"), Format::Json);
        assert_eq!(preferred("text/html, application/json"), Format::Text);
        assert_eq!(preferred("*/*"), Format::Text);
        assert_eq!(Format::preferred(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn a_call_of_grpc_gets_its_status_and_no_body() {
        let format =
            |kind| Format::preferred(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]));
        for kind in ["application/grpc", "application/grpc+proto", "Application/gRPC; charset=x"] {
            assert_eq!(format(kind), Format::Grpc, "{kind}");
        }
        for kind in ["application/grpc-web", "application/grpcx", "application/json", ""] {
            assert_eq!(format(kind), Format::Text, "{kind}");
        }
        let rows = [
            (Reason::OriginReset, "14"),
            (Reason::NoEndpoints, "14"),
            (Reason::NoDistribution, "12"),
            (Reason::HttpsOnly, "7"),
            (Reason::BadHost, "13"),
            (Reason::Internal, "2"),
        ];
        for (reason, status) in rows {
            let response = error(reason, Format::Grpc);
            assert_eq!(response.status(), reason.status());
            assert_eq!(response.headers()[GRPC_STATUS], status, "{reason:?}");
            assert_eq!(response.headers()[GRPC_MESSAGE], reason.as_str());
            assert_eq!(response.headers()[X_TIDEGATE_ERROR], reason.as_str());
            assert!(response.body().is_empty());
        }
        assert!(!error(Reason::OriginReset, Format::Text).headers().contains_key(GRPC_STATUS));
    }

    #[test]
    fn a_wrong_version_is_told_the_right_one() {
        let response = error(Reason::WebsocketVersion, Format::Text);
        assert_eq!(response.headers()[UPGRADE], "websocket");
        assert_eq!(response.headers()[SEC_WEBSOCKET_VERSION], "13");
    }

    #[test]
    fn a_redirect_leaves_the_default_port_out() {
        let (host, target) = (HostName::parse("a.example").unwrap(), Target::parse("/x?y").unwrap());
        let location = |port| {
            let response = redirect_to_https(StatusCode::MOVED_PERMANENTLY, &host, port, &target);
            response.headers()[LOCATION].to_str().unwrap().to_owned()
        };
        assert_eq!(location(443), "https://a.example/x?y");
        assert_eq!(location(8443), "https://a.example:8443/x?y");
    }
}
