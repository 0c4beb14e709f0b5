//! First lines, and what is no HTTP/1.1 at all.

use super::{BAD_PATH, BAD_REQUEST, Bench, Fate};

use Fate::{Answered, Passes, PassesLast, Refused, Unparsed};

const ROOT: &str = "GET / HTTP/1.1\nhost: web.example";

/// A row with its neighbour's bytes and fate.
type Pair = (&'static str, &'static [u8], Fate<'static>, &'static [u8], Fate<'static>);

/// Name, first line and its end; what becomes of it; the same of the neighbour.
pub(super) const ROWS: [Pair; 39] = [
    ("no version", b"GET /\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("a space for a version", b"GET / \r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("no target", b"GET HTTP/1.1\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("an empty target", b"GET  HTTP/1.1\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("a method alone", b"GET\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("HTTP/0.9 by name", b"GET / HTTP/0.9\r\n", Unparsed(400), b"GET / HTTP/1.0\r\n", PassesLast(ROOT)),
    ("HTTP/1.2", b"GET / HTTP/1.2\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("HTTP/1.10", b"GET / HTTP/1.10\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("HTTP/01.1", b"GET / HTTP/01.1\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("HTTP/2.0", b"GET / HTTP/2.0\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("HTTP/2", b"GET / HTTP/2\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("HTTP/3", b"GET / HTTP/3\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("a version in lower case", b"GET / http/1.1\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("a comma in the version", b"GET / HTTP/1,1\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("another protocol", b"GET / RTSP/1.1\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    (
        "a space behind the version",
        b"GET / HTTP/1.1 \r\n",
        Unparsed(400),
        b"GET / HTTP/1.1\r\n",
        Passes(ROOT),
    ),
    ("two versions", b"GET / HTTP/1.1 HTTP/1.1\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("a target with a space", b"GET /a b HTTP/1.1\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    (
        "two spaces before the target",
        b"GET  / HTTP/1.1\r\n",
        Unparsed(400),
        b"GET / HTTP/1.1\r\n",
        Passes(ROOT),
    ),
    (
        "two spaces behind the target",
        b"GET /  HTTP/1.1\r\n",
        Unparsed(400),
        b"GET / HTTP/1.1\r\n",
        Passes(ROOT),
    ),
    ("a tab before the target", b"GET\t/ HTTP/1.1\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("a tab behind the target", b"GET /\tHTTP/1.1\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    (
        "a form feed before the target",
        b"GET\x0c/ HTTP/1.1\r\n",
        Unparsed(400),
        b"GET / HTTP/1.1\r\n",
        Passes(ROOT),
    ),
    (
        "a space before the method",
        b" GET / HTTP/1.1\r\n",
        Unparsed(400),
        b"\r\nGET / HTTP/1.1\r\n",
        Passes(ROOT),
    ),
    ("a bare CR ends the line", b"GET / HTTP/1.1\r", Unparsed(400), b"GET / HTTP/1.1\n", Passes(ROOT)),
    ("a NUL in the method", b"G\0ET / HTTP/1.1\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("a delimiter in the method", b"G{T / HTTP/1.1\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    ("a colon in the method", b"GET: / HTTP/1.1\r\n", Unparsed(400), b"GET / HTTP/1.1\r\n", Passes(ROOT)),
    (
        "a method in lower case is another one",
        b"get / HTTP/1.1\r\n",
        Answered(403, "method_not_allowed_by_behavior"),
        b"GET / HTTP/1.1\r\n",
        Passes(ROOT),
    ),
    (
        "a method that nobody knows",
        b"BREW / HTTP/1.1\r\n",
        Answered(403, "method_not_allowed_by_behavior"),
        b"PUT / HTTP/1.1\r\n",
        Passes("PUT / HTTP/1.1\nhost: web.example"),
    ),
    (
        "CONNECT",
        b"CONNECT web.example:443 HTTP/1.1\r\n",
        Refused(405, "method_not_supported"),
        b"OPTIONS / HTTP/1.1\r\n",
        Passes("OPTIONS / HTTP/1.1\nhost: web.example"),
    ),
    (
        "CONNECT with a path",
        b"CONNECT / HTTP/1.1\r\n",
        Refused(405, "method_not_supported"),
        b"OPTIONS / HTTP/1.1\r\n",
        Passes("OPTIONS / HTTP/1.1\nhost: web.example"),
    ),
    (
        "TRACE",
        b"TRACE / HTTP/1.1\r\n",
        Answered(405, "method_not_supported"),
        b"GET / HTTP/1.1\r\n",
        Passes(ROOT),
    ),
    (
        "the asterisk for another method",
        b"GET * HTTP/1.1\r\n",
        BAD_PATH,
        b"OPTIONS * HTTP/1.1\r\n",
        Answered(204, ""),
    ),
    (
        "an asterisk with a query",
        b"OPTIONS *?a HTTP/1.1\r\n",
        Unparsed(400),
        b"OPTIONS * HTTP/1.1\r\n",
        Answered(204, ""),
    ),
    (
        "an asterisk and more",
        b"OPTIONS */a HTTP/1.1\r\n",
        Unparsed(400),
        b"OPTIONS * HTTP/1.1\r\n",
        Answered(204, ""),
    ),
    (
        "the preface of HTTP/2",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        BAD_REQUEST,
        b"GET / HTTP/1.1\r\n",
        Passes(ROOT),
    ),
    (
        "a ClientHello",
        b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03",
        Unparsed(400),
        b"GET / HTTP/1.1\r\n",
        Passes(ROOT),
    ),
    (
        "a PROXY header that nobody asked for",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n",
        Unparsed(400),
        b"GET / HTTP/1.1\r\n",
        Passes(ROOT),
    ),
];

#[tokio::test]
async fn a_first_line_has_one_reading_or_none() {
    let mut bench = Bench::new().await;
    for (name, line, fate, neighbour, its_fate) in ROWS {
        bench.check(name, &[line, b"Host: web.example\r\n\r\n"].concat(), fate).await;
        bench.check(name, &[neighbour, b"Host: web.example\r\n\r\n"].concat(), its_fate).await;
    }
    bench.judge();
}
