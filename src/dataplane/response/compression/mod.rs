//! `compress`: which answers are compressed, and what their heads say then.
//!
//! The conditions are CloudFront's ("Serving compressed files"), less its rule on the time to live, since nothing is
//! cached here. [`compress`] judges an answer's head; [`CompressedBody`] is what becomes of its body.

mod accept_encoding;
mod body;
mod encoder;
mod types;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    HeaderName, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, response};

pub(crate) use body::CompressedBody;
#[cfg(test)]
pub(crate) use encoder::decoded;

use crate::dataplane::worker::Worker;
use crate::overload::Level;
use crate::table::route::Compression;

/// The lengths of the bodies that are compressed, in bytes. Below, there is nothing to win; above, too much to do.
const LENGTHS: std::ops::RangeInclusive<u64> = 1_000..=10_000_000;

/// Digests of the body or of the file as they were before (RFC 9530, and the two that it replaced).
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// How a body is encoded on its way (RFC 9110 section 8.4.1, RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    /// In the order in which we choose among what a viewer likes equally: zstd is the quickest by far; then, as with
    /// CloudFront, Brotli before gzip.
    const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// As `Content-Encoding` says it.
    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// What a viewer takes under a behavior that compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Negotiated(Option<Coding>);

/// What the viewer of a request with this head takes; none where its behavior does not compress.
///
/// Of HTTP/1.0 nothing is known to take it, as CloudFront has it; and there, only the end of the connection could end
/// a body of a length that nobody knows beforehand.
pub(crate) fn negotiate(
    compression: Compression,
    headers: &HeaderMap,
    version: Version,
) -> Option<Negotiated> {
    match compression {
        Compression::Off => None,
        Compression::On if version < Version::HTTP_11 => Some(Negotiated(None)),
        Compression::On => Some(Negotiated(accept_encoding::preferred(headers.get_all(ACCEPT_ENCODING)))),
    }
}

/// A body that is to be compressed.
#[derive(Debug)]
pub(crate) struct Job {
    coding: Coding,
    /// What the origin announces, in bytes.
    length: u64,
    /// How long what came may be held back.
    hold: Duration,
    _place: Place,
}

/// Judges the answer to a request of `method`, and rewrites its head where its body is to be compressed.
///
/// `length` is the body's as the head announces it. Without one an answer is left as it is: event streams and calls
/// of gRPC, which have none, are so never touched.
pub(crate) fn compress(
    head: &mut response::Parts,
    length: Option<u64>,
    Negotiated(coding): Negotiated,
    method: &Method,
    worker: &Worker,
) -> Option<Job> {
    if head.status == StatusCode::NOT_MODIFIED {
        freshen(&mut head.headers, coding);
        return None;
    }
    let length = length.filter(|length| LENGTHS.contains(length))?;
    if !is_compressible(head) {
        return None;
    }
    // Whatever this viewer takes: another one might get something else under the same name.
    put_vary(&mut head.headers);
    let coding = coding.filter(|_| method != Method::HEAD)?;
    // "In rare cases", says CloudFront, "some files might not be compressed": while memory is short, or where so many
    // slow viewers are being served that their encoders would need too much of it.
    if worker.overload.level() != Level::Normal {
        return None;
    }
    let place = worker.compressions.take(worker.limits.compressions)?;
    rewrite(&mut head.headers, coding);
    Some(Job { coding, length, hold: worker.limits.compression_hold, _place: place })
}

fn is_compressible(head: &response::Parts) -> bool {
    matches!(head.status, StatusCode::OK | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
        && !head.headers.contains_key(CONTENT_ENCODING)
        && head.headers.get(CONTENT_TYPE).is_some_and(|kind| types::is_compressible(kind.as_bytes()))
        && !may_not_be_transformed(&head.headers)
}

/// `Cache-Control: no-transform` (RFC 9111 section 5.2.2.6).
fn may_not_be_transformed(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CACHE_CONTROL).iter();
    let mut directives = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

fn rewrite(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    headers.remove(CONTENT_LENGTH);
    // Ranges are those of what the origin has, not of what the viewer gets.
    headers.remove(ACCEPT_RANGES);
    for digest in DIGESTS {
        headers.remove(digest);
    }
    weaken(headers);
}

/// Makes a strong `ETag` a weak one, since the bytes are others, and drops one that is neither, as CloudFront does.
fn weaken(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(ETAG) else { return };
    match tag.as_bytes() {
        [b'W', b'/', ..] => {}
        strong @ [b'"', ..] => {
            let weak = HeaderValue::from_maybe_shared(Bytes::from([b"W/", strong].concat()));
            headers.insert(ETAG, weak.expect("a value stays one with two letters before it"));
        }
        _ => drop(headers.remove(ETAG)),
    }
}

/// Tells a viewer that has a compressed answer by its own name that it is still good: a strong `ETag` would be that of
/// another (RFC 9111 section 4.3.4).
fn freshen(headers: &mut HeaderMap, coding: Option<Coding>) {
    if coding.is_some() {
        weaken(headers);
        put_vary(headers);
    }
}

fn put_vary(headers: &mut HeaderMap) {
    let values = headers.get_all(VARY).iter();
    let mut names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let says = |name: &[u8]| name == b"*" || name.eq_ignore_ascii_case(ACCEPT_ENCODING.as_str().as_bytes());
    if !names.any(|name| says(name.trim_ascii())) {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// How many answers of a worker are being compressed.
#[derive(Debug, Default)]
pub(crate) struct Compressions(Rc<Cell<usize>>);

impl Compressions {
    /// A place for one more, where there are less than `most`.
    fn take(&self, most: usize) -> Option<Place> {
        let taken = self.0.get();
        (taken < most).then(|| {
            self.0.set(taken + 1);
            Place(Rc::clone(&self.0))
        })
    }
}

/// The place of one answer; dropping it frees it.
#[derive(Debug)]
struct Place(Rc<Cell<usize>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, lines: &[(HeaderName, &'static str)]) -> response::Parts {
        let mut head = http::Response::builder().status(status).body(()).unwrap().into_parts().0;
        for (name, value) in lines {
            head.headers.append(name, HeaderValue::from_static(value));
        }
        head
    }

    #[test]
    fn what_is_compressed_is_what_cloudfront_compresses() {
        let html = || (CONTENT_TYPE, "text/html; charset=utf-8");
        for (status, expected) in
            [(200, true), (403, true), (404, true), (201, false), (206, false), (500, false), (503, false)]
        {
            assert_eq!(is_compressible(&head(status, &[html()])), expected, "{status}");
        }
        for kind in ["image/png", "text/event-stream", "application/grpc"] {
            assert!(!is_compressible(&head(200, &[(CONTENT_TYPE, kind)])), "{kind}");
        }
        assert!(!is_compressible(&head(200, &[])));
        let rows = [
            (CONTENT_ENCODING, "gzip", false),
            (CONTENT_ENCODING, "identity", false),
            (CACHE_CONTROL, "no-store", true),
            (CACHE_CONTROL, "public, No-Transform", false),
            (CACHE_CONTROL, "no-transform", false),
            (CACHE_CONTROL, "max-age=1, no-transformation", true),
        ];
        for (name, value, expected) in rows {
            let head = head(200, &[html(), (CACHE_CONTROL, "private"), (name, value)]);
            assert_eq!(is_compressible(&head), expected, "{value}");
        }
    }

    #[test]
    fn an_etag_becomes_weak_stays_weak_or_goes() {
        let rows = [
            ("\"a\"", Some("W/\"a\"")),
            ("W/\"a\"", Some("W/\"a\"")),
            ("a", None),
            ("w/\"a\"", None),
            ("", None),
        ];
        for (tag, expected) in rows {
            let mut head = head(200, &[(ETAG, tag)]);
            weaken(&mut head.headers);
            assert_eq!(head.headers.get(ETAG).map(|tag| tag.to_str().unwrap()), expected, "{tag}");
        }
    }

    #[test]
    fn vary_names_the_field_once() {
        let rows: &[(&[&'static str], &[&str])] = &[
            (&[], &["Accept-Encoding"]),
            (&["Origin"], &["Origin", "Accept-Encoding"]),
            (&["Origin, accept-encoding"], &["Origin, accept-encoding"]),
            (&["Accept-Encoding-X"], &["Accept-Encoding-X", "Accept-Encoding"]),
            (&["*"], &["*"]),
        ];
        for (before, after) in rows {
            let lines: Vec<_> = before.iter().map(|value| (VARY, *value)).collect();
            let mut head = head(200, &lines);
            put_vary(&mut head.headers);
            let values: Vec<_> =
                head.headers.get_all(VARY).iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(values, *after);
        }
    }

    #[test]
    fn a_head_says_nothing_of_the_body_that_was() {
        let lines = [
            (CONTENT_LENGTH, "2000"),
            (ACCEPT_RANGES, "bytes"),
            (HeaderName::from_static("content-digest"), "sha-256=:x:"),
            (HeaderName::from_static("repr-digest"), "sha-256=:x:"),
            (HeaderName::from_static("content-md5"), "x"),
            (HeaderName::from_static("x-kept"), "y"),
        ];
        let mut head = head(200, &lines);
        rewrite(&mut head.headers, Coding::Brotli);
        let left: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert_eq!(head.headers[CONTENT_ENCODING], "br");
    }

    #[test]
    fn only_so_many_are_compressed_at_once() {
        let compressions = Compressions::default();
        let first = compressions.take(2);
        let second = compressions.take(2);
        assert!(first.is_some() && second.is_some() && compressions.take(2).is_none());
        drop(first);
        assert!(compressions.take(2).is_some());
    }

    #[test]
    fn a_viewer_of_http_1_0_gets_nothing_compressed_and_a_behavior_without_it_asks_nobody() {
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
        let of = |compression, version| negotiate(compression, &headers, version);
        assert_eq!(of(Compression::On, Version::HTTP_11), Some(Negotiated(Some(Coding::Gzip))));
        assert_eq!(of(Compression::On, Version::HTTP_2), Some(Negotiated(Some(Coding::Gzip))));
        assert_eq!(of(Compression::On, Version::HTTP_10), Some(Negotiated(None)));
        assert_eq!(of(Compression::Off, Version::HTTP_11), None);
    }
}
