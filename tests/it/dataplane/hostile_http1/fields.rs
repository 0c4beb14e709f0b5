//! Field names and values, and what a viewer says of itself.

use super::{Bench, Fate, Row, Sent};

use Fate::{Answered, Passes, Unparsed};

const PLAIN: &str = "GET / HTTP/1.1\nhost: web.example";
const WITH_A: &str = "GET / HTTP/1.1\na: b\nhost: web.example";
const A: Sent = (b"A: b\r\n", Passes(WITH_A));

/// Name, the fields behind the Host of a GET, what becomes of it, and a neighbour.
pub(super) const ROWS: [Row; 47] = [
    // Names.
    ("a space in a name", b"A B: c\r\n", Unparsed(400), A),
    ("a space behind a name", b"A : b\r\n", Unparsed(400), A),
    ("a tab behind a name", b"A\t: b\r\n", Unparsed(400), A),
    ("a NUL in a name", b"A\0B: c\r\n", Unparsed(400), A),
    ("a control character in a name", b"A\x08: b\r\n", Unparsed(400), A),
    ("DEL in a name", b"A\x7f: b\r\n", Unparsed(400), A),
    ("an octet over 0x7E in a name", b"A\xe9: b\r\n", Unparsed(400), A),
    ("a parenthesis in a name", b"A(: b\r\n", Unparsed(400), A),
    ("a slash in a name", b"A/B: c\r\n", Unparsed(400), A),
    ("quotes in a name", b"\"A\": b\r\n", Unparsed(400), A),
    ("no name", b": b\r\n", Unparsed(400), A),
    ("no colon", b"A\r\n", Unparsed(400), A),
    ("a pseudo-header", b":authority: other.example\r\n", Unparsed(400), A),
    ("a bare CR in a name", b"A\rB: c\r\n", Unparsed(400), A),
    ("another first line", b"GET /b HTTP/1.1\r\n", Unparsed(400), A),
    // Values.
    ("a NUL in a value", b"A: b\0c\r\n", Unparsed(400), A),
    ("a control character in a value", b"A: b\x01c\r\n", Unparsed(400), A),
    ("an escape in a value", b"A: b\x1b[1mc\r\n", Unparsed(400), A),
    ("DEL in a value", b"A: b\x7f\r\n", Unparsed(400), A),
    ("a bare CR in a value", b"A: b\rc\r\n", Unparsed(400), A),
    ("a bare CR before the end", b"A: b\r\r\n", Unparsed(400), A),
    ("a folded value", b"A: b\r\n c\r\n", Unparsed(400), A),
    ("a value folded with a tab", b"A: b\r\n\tc\r\n", Unparsed(400), A),
    ("a value folded on an empty line", b"A: b\r\n \r\n", Unparsed(400), A),
    ("a value folded after a bare LF", b"A: b\n c\r\n", Unparsed(400), A),
    ("a head that ends with a bare CR", b"A: b\r\n\r", Unparsed(400), A),
    ("an octet over 0x7E in a value passes", b"A: \xc3\xa9\r\n", Passes("GET / HTTP/1.1\na: é\nhost: web.example"), A),
    ("white space around a value goes", b"A:\t b \t\r\n", Passes(WITH_A), A),
    // What an origin could take for our word.
    ("X-Forwarded-For", b"X-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2\r\n", Passes(PLAIN), A),
    ("X-Forwarded-Proto", b"X-Forwarded-Proto: https\r\n", Passes(PLAIN), A),
    ("X-Forwarded-Host", b"X-Forwarded-Host: other.example\r\n", Passes(PLAIN), A),
    ("X-Forwarded-Port", b"X-Forwarded-Port: 443\r\n", Passes(PLAIN), A),
    ("X-Forwarded names that nobody sets", b"X-Forwarded-Prefix: /b\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Scheme: https\r\nX-Forwarded-Server: other\r\n", Passes(PLAIN), A),
    ("X-Real-IP", b"X-Real-IP: 192.0.2.1\r\n", Passes(PLAIN), A),
    ("Forwarded", b"Forwarded: for=192.0.2.1;host=other.example\r\n", Passes(PLAIN), A),
    ("X-Request-Id", b"X-Request-Id: mine\r\n", Passes(PLAIN), A),
    ("a client certificate", b"X-Client-Cert-Subject: CN=a\r\nX-Client-Cert-Verified: true\r\n", Passes(PLAIN), A),
    ("the same with underscores", b"X_Forwarded_For: 192.0.2.1\r\nX_Real-IP: 192.0.2.1\r\nx-client_cert-subject: CN=a\r\n", Passes(PLAIN), A),
    // What asks something of the proxy.
    ("an expectation that nobody meets", b"Expect: 200-ok\r\n", Answered(417, "expectation"), (b"Expect: 100-Continue\r\n", Passes(PLAIN))),
    ("an expectation and another", b"Expect: 100-continue, tea\r\n", Answered(417, "expectation"), (b"Expect: 100-continue\r\nExpect: 100-continue\r\n", Passes(PLAIN))),
    ("an expectation and another one's line", b"Expect: 100-continue\r\nExpect: tea\r\n", Answered(417, "expectation"), (b"Expect: 100-continue\r\n", Passes(PLAIN))),
    ("an empty expectation", b"Expect:\r\n", Answered(417, "expectation"), A),
    ("the tenth pass", b"Via: 1.1 tidegate, 1.1 tidegate, 1.1 tidegate, 1.1 tidegate, 1.1 tidegate\r\nVia: 1.1 tidegate, 1.1 tidegate, 1.1 tidegate, 1.1 tidegate,1.1 tidegate\r\n", Answered(508, "loop_detected"), (b"Via: 1.1 a\r\n", Passes("GET / HTTP/1.1\nhost: web.example\nvia: 1.1 a"))),
    ("the tenth pass in other spellings", b"Via: HTTP/1.1 TideGate (a), 1.0 tidegate,1.1\ttidegate, 1.1 tidegate, 1.1 tidegate, 1.1 tidegate, 1.1 tidegate, 1.1 tidegate, 1.1 tidegate, 1.1 tidegate\r\nConnection: via\r\n", Answered(508, "loop_detected"), (b"Via: 1.1 tidegate\r\n", Passes("GET / HTTP/1.1\nhost: web.example\nvia: 1.1 tidegate"))),
    ("trailers that are dropped are not announced", b"Trailer: x-sum\r\n", Passes(PLAIN), (b"TE: trailers\r\nTrailer: x-sum\r\n", Passes("GET / HTTP/1.1\nhost: web.example\nte: trailers"))),
    ("transfer codings of one connection", b"TE: gzip\r\nConnection: te\r\n", Passes(PLAIN), (b"TE: trailers\r\nConnection: te\r\n", Passes("GET / HTTP/1.1\nhost: web.example\nte: trailers"))),
    ("credentials for a proxy", b"Proxy-Authorization: Basic YTpi\r\n", Passes(PLAIN), (b"Authorization: Basic YTpi\r\n", Passes("GET / HTTP/1.1\nauthorization: Basic YTpi\nhost: web.example"))),
];

#[tokio::test]
async fn a_field_has_one_reading_or_none() {
    let mut bench = Bench::new().await;
    let get = |fields: &[u8]| [b"GET / HTTP/1.1\r\nHost: web.example\r\n", fields, b"\r\n"].concat();
    for (name, fields, fate, (neighbour, its_fate)) in ROWS {
        bench.check(name, &get(fields), fate).await;
        bench.check(name, &get(neighbour), its_fate).await;
    }
    bench.judge();
}
