//! The bounds of a head and of a body's frame, each with the last size that passes.

use super::{BROKEN, Bench, Fate};

use Fate::{Broken, Passes, Refused, Unparsed};

const KIB: usize = 1024;

/// A row whose bytes are made.
type Made = (&'static str, Vec<u8>, Fate<'static>, Vec<u8>, String);

/// Name, a request, what becomes of it, and a neighbour with what the origin reads.
pub(super) fn rows() -> Vec<Made> {
    let get = |target: &str, fields: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: web.example\r\n{fields}\r\n").into_bytes()
    };
    let seen = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\n{fields}host: web.example");
    let path = |length: usize| format!("/{}", "a".repeat(length - 1));
    let query = |length: usize| format!("/?{}", "a".repeat(length - 2));
    let field = |size: usize| format!("a: {}\r\n", "b".repeat(size - "a: \r\n".len()));
    let fields = |count: usize| (0..count).map(|place| format!("a{place:03}: b\r\n")).collect::<String>();
    let large = |count: usize| {
        (0..count).map(|place| format!("a{place}: {}\r\n", "b".repeat(4 * KIB))).collect::<String>()
    };
    let plain = seen("/", "");
    vec![
        (
            "a path over 8 KiB",
            get(&path(8 * KIB + 1), ""),
            Refused(414, "uri_too_long"),
            get(&path(8 * KIB), ""),
            seen(&path(8 * KIB), ""),
        ),
        (
            "a query over 8 KiB",
            get(&query(8 * KIB + 1), ""),
            Refused(414, "uri_too_long"),
            get(&query(8 * KIB), ""),
            seen(&query(8 * KIB), ""),
        ),
        ("a target of 60 KiB", get(&path(60 * KIB), ""), Unparsed(431), get("/", ""), plain.clone()),
        (
            "a field over 16 KiB",
            get("/", &field(16 * KIB + 1)),
            Refused(431, "headers_too_large"),
            get("/", &field(16 * KIB)),
            seen("/", &field(16 * KIB).replace("\r\n", "\n")),
        ),
        (
            "a head over 32 KiB",
            get("/", &large(8)),
            Unparsed(431),
            get("/", &large(7)),
            seen("/", &large(7).replace("\r\n", "\n")),
        ),
        (
            "101 fields",
            get("/", &fields(100)),
            Unparsed(431),
            get("/", &fields(99)),
            seen("/", &fields(99).replace("\r\n", "\n")),
        ),
        (
            "33 KiB of empty lines",
            [b"\r\n".repeat(33 * KIB / 2), get("/", "")].concat(),
            Unparsed(431),
            [b"\r\n".repeat(2), get("/", "")].concat(),
            plain,
        ),
    ]
}

#[tokio::test]
async fn a_head_is_bounded_in_every_measure() {
    let mut bench = Bench::new().await;
    for (name, request, fate, neighbour, seen) in rows() {
        bench.check(name, &request, fate).await;
        bench.check(name, &neighbour, Passes(&seen)).await;
    }
    bench.judge();
}

#[tokio::test]
async fn what_frames_a_body_is_bounded() {
    let mut bench = Bench::new().await;
    let post =
        |chunks: &str| format!("HTTP/1.1\r\nHost: web.example\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    let extension = |size: usize| post(&format!("2;{}\r\nab\r\n0\r\n\r\n", "a".repeat(size)));
    let trailer = |size: usize| post(&format!("2\r\nab\r\n0\r\na: {}\r\n\r\n", "b".repeat(size)));
    let trailers = |count: usize| post(&format!("2\r\nab\r\n0\r\n{}\r\n", "a: b\r\n".repeat(count)));
    let seen = "POST / HTTP/1.1\nhost: web.example\ntransfer-encoding: chunked\n\nab";
    for (name, hostile, neighbour) in [
        ("extensions", extension(17 * KIB), extension(15 * KIB)),
        ("a trailer", trailer(33 * KIB), trailer(15 * KIB)),
        ("many trailers", trailers(101), trailers(99)),
    ] {
        let (hostile, neighbour) = (format!("{BROKEN}{hostile}"), format!("POST / {neighbour}"));
        bench.check(name, hostile.as_bytes(), Broken(400, "bad_request")).await;
        bench.check(name, neighbour.as_bytes(), Passes(seen)).await;
    }
    bench.judge();
}
