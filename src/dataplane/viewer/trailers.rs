//! The trailers of a request, on their way to an origin over HTTP/2.
//!
//! An origin may take them for a part of the head (RFC 9110 section 6.5.1), so what a viewer may not say there it
//! may not say here.

use http::HeaderMap;
use http::header::{EXPECT, FORWARDED, HeaderName, VIA};

use super::headers::{has_underscore, strip_hop_by_hop};
use crate::dataplane::response::body::harmless;

/// Names that begin like this tell who the viewer is: that is for us to say.
const TOLD_BY_US: [&str; 2] = ["x-forwarded-", "x-client-cert-"];

/// What a viewer may say in trailers; `of_owner` are the fields that the origin's owner says.
pub(super) fn of_request(mut trailers: HeaderMap, of_owner: &[HeaderName]) -> HeaderMap {
    strip_hop_by_hop(&mut trailers);
    let names = trailers.keys().filter(|name| is_for_others_to_say(name) || of_owner.contains(name));
    for name in names.cloned().collect::<Vec<_>>() {
        trailers.remove(name);
    }
    harmless(trailers)
}

fn is_for_others_to_say(name: &HeaderName) -> bool {
    let text = name.as_str();
    has_underscore(name)
        || TOLD_BY_US.iter().any(|prefix| text.starts_with(prefix))
        || matches!(text, "x-real-ip" | "x-request-id")
        || [EXPECT, FORWARDED, VIA].contains(name)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn trailers_say_nothing_that_the_head_may_not() {
        let of_owner = [HeaderName::from_static("x-origin-secret")];
        let names = [
            "x-forwarded-for",
            "x-forwarded-prefix",
            "x-client-cert-subject",
            "x-real-ip",
            "x-request-id",
            "forwarded",
            "via",
            "expect",
            "proxy-authorization",
            "connection",
            "content-length",
            "host",
            "cookie",
            "x_forwarded_for",
            "x-origin-secret",
            "grpc-status",
            "x-checksum",
        ];
        let trailers = names.map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1")));
        let passed = of_request(HeaderMap::from_iter(trailers), &of_owner);
        let mut passed: Vec<_> = passed.keys().map(HeaderName::as_str).collect();
        passed.sort_unstable();
        assert_eq!(passed, ["grpc-status", "x-checksum"]);
    }
}
