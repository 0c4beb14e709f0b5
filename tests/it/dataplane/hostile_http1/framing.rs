//! Where a body ends: two parties never disagree.

use super::{BAD_HEADER, BROKEN, Bench, Fate, Row, Sent};

use Fate::{Broken, Passes, PassesLast, Unparsed};

const CHUNKED: &str = "POST / HTTP/1.1\nhost: web.example\ntransfer-encoding: chunked\n\nab";
const LENGTH: &str = "POST / HTTP/1.1\ncontent-length: 2\nhost: web.example\n\nab";
const EMPTY: &str = "POST / HTTP/1.1\nhost: web.example";
const BAD_BODY: Fate<'static> = Broken(400, "bad_request");

const NEIGHBOUR: Sent = (b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", Passes(CHUNKED));
const WITH_LENGTH: Sent = (b"Content-Length: 2\r\n\r\nab", Passes(LENGTH));

/// Name, what follows the Host of a POST, what becomes of it, and a neighbour.
pub(super) const ROWS: [Row; 67] = [
    // Both framings: chunked wins for us and for the origin, and nothing behind it is read.
    ("length, then chunked", b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", PassesLast(CHUNKED), NEIGHBOUR),
    ("chunked, then length", b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n2\r\nab\r\n0\r\n\r\n", PassesLast(CHUNKED), NEIGHBOUR),
    ("chunked beside a length of 0", b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", PassesLast(CHUNKED), NEIGHBOUR),
    ("chunked beside two lengths", b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n2\r\nab\r\n0\r\n\r\n", PassesLast(CHUNKED), NEIGHBOUR),
    ("chunked beside a length that is none", b"Transfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n2\r\nab\r\n0\r\n\r\n", PassesLast(CHUNKED), NEIGHBOUR),
    // Other codings.
    ("no coding that there is", b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("identity", b"Transfer-Encoding: identity\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("identity beside a length", b"Content-Length: 2\r\nTransfer-Encoding: identity\r\n\r\nab", Unparsed(400), WITH_LENGTH),
    ("gzip, chunked", b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", BAD_HEADER, NEIGHBOUR),
    ("identity, chunked", b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", BAD_HEADER, NEIGHBOUR),
    ("chunked, identity", b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("chunked, chunked", b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", BAD_HEADER, NEIGHBOUR),
    ("chunked twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD_HEADER, NEIGHBOUR),
    ("chunked, then identity", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("identity, then chunked", b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD_HEADER, NEIGHBOUR),
    ("gzip, then chunked", b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD_HEADER, NEIGHBOUR),
    ("chunked and an empty one", b"Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("an empty coding", b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("a comma before chunked", b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", BAD_HEADER, NEIGHBOUR),
    ("a comma behind chunked", b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("chunked with a parameter", b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("chunked in quotes", b"Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("chunked behind a vertical tab", b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("chunked before a NUL", b"Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("chunked behind a no-break space", b"Transfer-Encoding: \xc2\xa0chunked\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("chunked, folded", b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("a space before the colon", b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("a tab before the colon", b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("a NUL before the colon", b"Transfer-Encoding\0: chunked\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("a space before the name", b"A: b\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("hidden behind a bare CR", b"A: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Unparsed(400), NEIGHBOUR),
    ("behind a bare LF it is a field like others", b"A: b\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", Passes("POST / HTTP/1.1\na: b\nhost: web.example\ntransfer-encoding: chunked\n\nab"), NEIGHBOUR),
    ("an underscore makes it another field, which goes", b"Transfer_Encoding: chunked\r\n\r\n", Passes(EMPTY), NEIGHBOUR),
    ("in another case it is the same", b"TRANSFER-encoding:Chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", Passes(CHUNKED), NEIGHBOUR),
    // Lengths.
    ("a length with a plus", b"Content-Length: +2\r\n\r\nab", Unparsed(400), WITH_LENGTH),
    ("a length with a minus", b"Content-Length: -2\r\n\r\nab", Unparsed(400), WITH_LENGTH),
    ("a hexadecimal length", b"Content-Length: 0x2\r\n\r\nab", Unparsed(400), WITH_LENGTH),
    ("a length with a fraction", b"Content-Length: 2.0\r\n\r\nab", Unparsed(400), WITH_LENGTH),
    ("a length with a space in it", b"Content-Length: 2 2\r\n\r\nab", Unparsed(400), WITH_LENGTH),
    ("an empty length", b"Content-Length:\r\n\r\nab", Unparsed(400), WITH_LENGTH),
    ("a list of equal lengths", b"Content-Length: 2, 2\r\n\r\nab", Unparsed(400), WITH_LENGTH),
    ("a list of lengths", b"Content-Length: 2, 3\r\n\r\nab", Unparsed(400), WITH_LENGTH),
    ("a length over 64 bits", b"Content-Length: 18446744073709551618\r\n\r\nab", Unparsed(400), WITH_LENGTH),
    ("the longest length", b"Content-Length: 18446744073709551615\r\n\r\nab", Unparsed(431), WITH_LENGTH),
    ("two lengths", b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nab", Unparsed(400), WITH_LENGTH),
    ("two equal lengths are one", b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", Passes(LENGTH), WITH_LENGTH),
    ("a length and a bad one", b"Content-Length: 2\r\nContent-Length: x\r\n\r\nab", Unparsed(400), WITH_LENGTH),
    ("a length with a space before the colon", b"Content-Length: 2\r\nContent-Length : 3\r\n\r\nab", Unparsed(400), WITH_LENGTH),
    ("a length with an underscore goes", b"Content-Length: 2\r\nContent_Length: 3\r\n\r\nab", Passes(LENGTH), WITH_LENGTH),
    // Chunks.
    ("a chunk size that is no number", b"Transfer-Encoding: chunked\r\n\r\ng\r\nab\r\n0\r\n\r\n", BAD_BODY, NEIGHBOUR),
    ("no chunk size", b"Transfer-Encoding: chunked\r\n\r\n\r\nab\r\n0\r\n\r\n", BAD_BODY, NEIGHBOUR),
    ("a chunk size behind a space", b"Transfer-Encoding: chunked\r\n\r\n 2\r\nab\r\n0\r\n\r\n", BAD_BODY, NEIGHBOUR),
    ("a chunk size with a sign", b"Transfer-Encoding: chunked\r\n\r\n+2\r\nab\r\n0\r\n\r\n", BAD_BODY, NEIGHBOUR),
    ("a chunk size with 0x", b"Transfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n", BAD_BODY, NEIGHBOUR),
    ("a chunk size over 64 bits", b"Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\nab\r\n0\r\n\r\n", BAD_BODY, NEIGHBOUR),
    ("a chunk size that ends with a bare LF", b"Transfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n", BAD_BODY, NEIGHBOUR),
    ("a chunk size that ends with a bare CR", b"Transfer-Encoding: chunked\r\n\r\n2\rab\r\n0\r\n\r\n", BAD_BODY, NEIGHBOUR),
    ("an extension with a bare LF", b"Transfer-Encoding: chunked\r\n\r\n2;a\nab\r\n0\r\n\r\n", BAD_BODY, NEIGHBOUR),
    ("an extension with a bare CR", b"Transfer-Encoding: chunked\r\n\r\n2;a\rb\r\nab\r\n0\r\n\r\n", BAD_BODY, NEIGHBOUR),
    ("an extension goes", b"Transfer-Encoding: chunked\r\n\r\n2 ;a=\"b\"\r\nab\r\n000;c\r\n\r\n", Passes(CHUNKED), NEIGHBOUR),
    ("a chunk that is longer than its size", b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", BAD_BODY, NEIGHBOUR),
    ("a chunk that ends with a bare LF", b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\n0\r\n\r\n", BAD_BODY, NEIGHBOUR),
    ("a chunk that does not end", b"Transfer-Encoding: chunked\r\n\r\n2\r\nab0\r\n\r\n", BAD_BODY, NEIGHBOUR),
    ("a last chunk that ends with a bare LF", b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\n\r\n", BAD_BODY, NEIGHBOUR),
    // Trailers.
    ("trailers that frame, route and tell of viewers", b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nContent-Length: 9\r\nHost: other.example\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", Passes(CHUNKED), NEIGHBOUR),
    ("a trailer without a colon", b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\na b\r\n\r\n", BAD_BODY, NEIGHBOUR),
    ("a trailer with a bare CR", b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\na: b\rc\r\n\r\n", BAD_BODY, NEIGHBOUR),
];

#[tokio::test]
async fn a_body_ends_where_the_origin_sees_it_end() {
    let mut bench = Bench::new().await;
    for (name, rest, fate, (neighbour, its_fate)) in ROWS {
        for (rest, fate) in [(rest, fate), (neighbour, its_fate)] {
            let method = if matches!(fate, Broken(..)) { BROKEN } else { "POST / " };
            let request = [method.as_bytes(), b"HTTP/1.1\r\nHost: web.example\r\n", rest].concat();
            bench.check(name, &request, fate).await;
        }
    }
    bench.judge();
}

#[tokio::test]
async fn http_1_0_has_no_transfer_codings() {
    let mut bench = Bench::new().await;
    let post = |rest: &str| format!("POST / HTTP/1.0\r\nHost: web.example\r\n{rest}").into_bytes();
    let chunked = post("Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n");
    bench.check("chunked", &chunked, Unparsed(400)).await;
    bench
        .check(
            "chunked beside a length",
            &post("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nab"),
            Unparsed(400),
        )
        .await;
    bench.check("a length", &post("Content-Length: 2\r\n\r\nab"), PassesLast(LENGTH)).await;
    bench.judge();
}

#[tokio::test]
async fn a_body_of_a_get_is_framed_like_others() {
    let mut bench = Bench::new().await;
    let get = |rest: &str| format!("GET / HTTP/1.1\r\nHost: web.example\r\n{rest}").into_bytes();
    let hidden = "GET /hidden HTTP/1.1\r\n\r\n";
    let length = get(&format!("Content-Length: {}\r\n\r\n{hidden}", hidden.len()));
    let seen = format!("GET / HTTP/1.1\ncontent-length: {}\nhost: web.example\n\n{hidden}", hidden.len());
    bench.check("with a length", &length, Passes(&seen)).await;
    let chunks =
        get(&format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len()));
    let seen = format!("GET / HTTP/1.1\nhost: web.example\ntransfer-encoding: chunked\n\n{hidden}");
    bench.check("in chunks", &chunks, Passes(&seen)).await;
    bench.judge();
}
