//! Hosts: exactly one, and one spelling.

use super::{BAD_HOST, Bench, Fate};

use Fate::{Answered, Passes, Unparsed};

const WEB: &str = "GET / HTTP/1.1\nhost: web.example";

/// Name, the Host lines of a GET, what becomes of it, and a neighbour's Host that passes in its canonical spelling.
pub(super) const ROWS: [(&str, &[u8], Fate<'static>, &str); 48] = [
    ("none", b"", BAD_HOST, "web.example"),
    ("an empty one", b"Host: \r\n", BAD_HOST, "web.example"),
    ("two equal ones", b"Host: web.example\r\nHost: web.example\r\n", BAD_HOST, "web.example"),
    ("two", b"Host: web.example\r\nHost: other.example\r\n", BAD_HOST, "web.example"),
    ("two in different cases", b"Host: web.example\r\nhOST: other.example\r\n", BAD_HOST, "web.example"),
    (
        "two with others between",
        b"Host: web.example\r\nA: b\r\nHost: web.example\r\n",
        BAD_HOST,
        "web.example",
    ),
    ("a second one that is empty", b"Host: web.example\r\nHost:\r\n", BAD_HOST, "web.example"),
    (
        "a second one that is folded",
        b"Host: web.example\r\n Host: other.example\r\n",
        Unparsed(400),
        "web.example",
    ),
    (
        "a second one with a space",
        b"Host: web.example\r\nHost : other.example\r\n",
        Unparsed(400),
        "web.example",
    ),
    (
        "a second one with an underscore",
        b"Host: web.example\r\n_Host: other.example\r\n",
        Passes(WEB),
        "web.example",
    ),
    ("a list", b"Host: web.example, other.example\r\n", BAD_HOST, "web.example"),
    ("a list without a space", b"Host: web.example,other.example\r\n", BAD_HOST, "web.example"),
    ("two names", b"Host: web.example other.example\r\n", BAD_HOST, "web.example"),
    ("two names and a tab", b"Host: web.example\tother.example\r\n", BAD_HOST, "web.example"),
    ("a user", b"Host: a@web.example\r\n", BAD_HOST, "web.example"),
    ("user and password", b"Host: a:b@web.example\r\n", BAD_HOST, "web.example"),
    ("a user without a name", b"Host: @web.example\r\n", BAD_HOST, "web.example"),
    ("a path", b"Host: web.example/a\r\n", BAD_HOST, "web.example"),
    ("a slash", b"Host: web.example/\r\n", BAD_HOST, "web.example"),
    ("a query", b"Host: web.example?a\r\n", BAD_HOST, "web.example"),
    ("a fragment", b"Host: web.example#a\r\n", BAD_HOST, "web.example"),
    ("a backslash", b"Host: web.example\\a\r\n", BAD_HOST, "web.example"),
    ("a scheme", b"Host: http://web.example\r\n", BAD_HOST, "web.example"),
    ("a semicolon", b"Host: web.example;a\r\n", BAD_HOST, "web.example"),
    ("quotes", b"Host: \"web.example\"\r\n", BAD_HOST, "web.example"),
    ("an escape", b"Host: web%2eexample\r\n", BAD_HOST, "web.example"),
    ("a NUL", b"Host: web.example\0\r\n", Unparsed(400), "web.example"),
    ("a control character", b"Host: web.example\x0b\r\n", Unparsed(400), "web.example"),
    ("an octet over 0x7E", b"Host: w\xc3\xa9b.example\r\n", BAD_HOST, "web.example"),
    ("a bare CR", b"Host: web.example\rA: b\r\n", Unparsed(400), "web.example"),
    ("no port behind a colon", b"Host: web.example:\r\n", BAD_HOST, "web.example:80"),
    ("a port of letters", b"Host: web.example:http\r\n", BAD_HOST, "web.example:8080"),
    ("a port with a sign", b"Host: web.example:+80\r\n", BAD_HOST, "web.example:80"),
    ("a port with a space", b"Host: web.example: 80\r\n", BAD_HOST, "web.example:80"),
    ("a port with a zero before it", b"Host: web.example:080\r\n", BAD_HOST, "web.example:80"),
    ("port 0", b"Host: web.example:0\r\n", BAD_HOST, "web.example:1"),
    ("a port that is too large", b"Host: web.example:65536\r\n", BAD_HOST, "web.example:65535"),
    ("a port over 64 bits", b"Host: web.example:18446744073709551696\r\n", BAD_HOST, "web.example:80"),
    ("two ports", b"Host: web.example:80:80\r\n", BAD_HOST, "web.example:80"),
    ("a port alone", b"Host: :80\r\n", BAD_HOST, "web.example:80"),
    ("two trailing dots", b"Host: web.example..\r\n", BAD_HOST, "web.example"),
    ("a leading dot", b"Host: .web.example\r\n", BAD_HOST, "web.example"),
    ("an empty label", b"Host: web..example\r\n", BAD_HOST, "web.example"),
    ("only a dot", b"Host: .\r\n", BAD_HOST, "web.example"),
    ("a wildcard", b"Host: *.example\r\n", BAD_HOST, "web.example"),
    ("an IPv6 address", b"Host: [::1]\r\n", BAD_HOST, "web.example"),
    ("an IPv6 address without brackets", b"Host: ::1\r\n", BAD_HOST, "web.example"),
    (
        "an address is a name that nobody owns",
        b"Host: 127.0.0.1\r\n",
        Answered(404, "no_distribution"),
        "web.example",
    ),
];

/// Host lines that are spelled otherwise, and the host that the origin reads.
const SPELLINGS: [(&[u8], &str); 7] = [
    (b"Host: WEB.Example\r\n", "web.example"),
    (b"hOST: web.example\r\n", "web.example"),
    (b"Host:web.example\r\n", "web.example"),
    (b"Host: \t web.example \t\r\n", "web.example"),
    (b"Host: web.example.\r\n", "web.example"),
    (b"Host: WEB.example.:8080\r\n", "web.example:8080"),
    (b"Host: web.example\n", "web.example"),
];

#[tokio::test]
async fn a_request_has_exactly_one_host() {
    let mut bench = Bench::new().await;
    let get = |lines: &[u8]| [b"GET / HTTP/1.1\r\n", lines, b"\r\n"].concat();
    for (name, lines, fate, neighbour) in ROWS {
        bench.check(name, &get(lines), fate).await;
        let lines = format!("Host: {neighbour}\r\n");
        bench
            .check(name, &get(lines.as_bytes()), Passes(&format!("GET / HTTP/1.1\nhost: {neighbour}")))
            .await;
    }
    for (lines, host) in SPELLINGS {
        let name = String::from_utf8_lossy(lines);
        bench.check(&name, &get(lines), Passes(&format!("GET / HTTP/1.1\nhost: {host}"))).await;
    }
    bench.judge();
}
