//! Targets: what is matched is what is forwarded.

use super::{BAD_HOST, BAD_PATH, Bench, Fate};

use Fate::{Passes, Unparsed};

/// Name, target, what becomes of a GET for it, and a neighbour that passes as it was sent.
pub(super) const ROWS: [(&str, &[u8], Fate<'static>, &str); 68] = [
    ("a dot segment", b"/a/./b", BAD_PATH, "/a/.b"),
    ("two dots", b"/a/../b", BAD_PATH, "/a/...b"),
    ("two dots at the end", b"/a/..", BAD_PATH, "/a.."),
    ("only a dot", b"/.", BAD_PATH, "/..."),
    ("an escaped dot", b"/a/%2e/b", BAD_PATH, "/a/%2eb"),
    ("escaped dots", b"/a/%2e%2e/b", BAD_PATH, "/a/%2e%2e%2e/b"),
    ("escaped dots in both cases", b"/a/%2E%2e/b", BAD_PATH, "/a/a%2E/b"),
    ("half escaped dots", b"/a/.%2e/b", BAD_PATH, "/a/a.%2e/b"),
    ("dots with a parameter", b"/a/..;x/b", BAD_PATH, "/a/b;x=../c"),
    ("dots with an empty parameter", b"/a/..;/b", BAD_PATH, "/a/;../b"),
    ("dots before an escaped slash", b"/a/..%2fb", BAD_PATH, "/a%2fb"),
    ("dots behind an escaped slash", b"/a%2f../b", BAD_PATH, "/@scope%2fname"),
    ("dots between escaped slashes", b"/a%2F%2e%2E%2fb", BAD_PATH, "/a%2f..b%2fc"),
    ("dots before an escaped backslash", b"/a/..%5cb", BAD_PATH, "/a%5cb"),
    ("dots behind an escaped backslash", b"/a%5C..", BAD_PATH, "/a%5C..b"),
    (
        "dots escaped twice are none",
        b"/%252e%252e/a",
        Passes("GET /%252e%252e/a HTTP/1.1\nhost: web.example"),
        "/%25",
    ),
    ("empty segments stay", b"//a///b", Passes("GET //a///b HTTP/1.1\nhost: web.example"), "/a/b"),
    (
        "what looks like an authority stays a path",
        b"//other.example/a",
        Passes("GET //other.example/a HTTP/1.1\nhost: web.example"),
        "/a",
    ),
    ("parameters stay", b"/a;b=c/d;e", Passes("GET /a;b=c/d;e HTTP/1.1\nhost: web.example"), "/a/d"),
    (
        "escaped line ends stay escaped",
        b"/a%0d%0ab",
        Passes("GET /a%0d%0ab HTTP/1.1\nhost: web.example"),
        "/a%20b",
    ),
    ("a backslash", b"/a\\b", BAD_PATH, "/a/b"),
    ("a backslash before dots", b"/a\\..\\b", BAD_PATH, "/a/b"),
    ("an escaped NUL", b"/a%00b", BAD_PATH, "/a%01b"),
    ("an escaped NUL at the end", b"/%00", BAD_PATH, "/%30"),
    ("half an escape", b"/a%4", BAD_PATH, "/a%41"),
    ("a bare percent", b"/a%", BAD_PATH, "/a%25"),
    ("a percent before a slash", b"/%/a", BAD_PATH, "/%25/a"),
    ("an escape that is not hexadecimal", b"/%zz", BAD_PATH, "/%fa"),
    ("an escape with a sign", b"/%+1", BAD_PATH, "/%2B1"),
    ("an escape of another kind", b"/%u002e%u002e/a", BAD_PATH, "/u002e"),
    ("an octet of Latin-1", b"/\xe9", Unparsed(400), "/%e9"),
    ("octets of UTF-8", "/é".as_bytes(), BAD_PATH, "/%C3%A9"),
    ("an overlong slash", b"/a\xc0\xafb", Unparsed(400), "/a%c0%afb"),
    ("octets of UTF-8 in the query", "/?é".as_bytes(), BAD_PATH, "/?%C3%A9"),
    ("a NUL", b"/a\0b", Unparsed(400), "/ab"),
    ("a control character", b"/a\x01b", Unparsed(400), "/ab"),
    ("DEL", b"/a\x7fb", Unparsed(400), "/ab"),
    ("a control character in the query", b"/?a\x1bb", Unparsed(400), "/?a%1bb"),
    ("a bare LF", b"/a\nb", Unparsed(400), "/ab"),
    ("a bare CR", b"/a\rb", Unparsed(400), "/ab"),
    (
        "what is malformed in a query is the origin's",
        b"/?a=%zz&b=/../",
        Passes("GET /?a=%zz&b=/../ HTTP/1.1\nhost: web.example"),
        "/?a",
    ),
    ("a fragment goes nowhere", b"/a#b", Passes("GET /a HTTP/1.1\nhost: web.example"), "/a"),
    ("a fragment behind a query", b"/a?b#c", Passes("GET /a?b HTTP/1.1\nhost: web.example"), "/a?b"),
    ("a fragment with dots", b"/a#/../b", Passes("GET /a HTTP/1.1\nhost: web.example"), "/a"),
    ("a fragment alone", b"#a", Unparsed(400), "/a"),
    ("a query alone", b"?a", Unparsed(400), "/?a"),
    ("a relative path", b"a/b", Unparsed(400), "/a/b"),
    ("dots before all", b"../a", Unparsed(400), "/a"),
    ("an authority", b"web.example", BAD_PATH, "/web.example"),
    ("an authority with a port", b"web.example:80", BAD_HOST, "/web.example:80"),
    ("an authority with a path", b"web.example/a", Unparsed(400), "/web.example/a"),
    (
        "absolute-form is made origin-form",
        b"http://web.example/a?b",
        Passes("GET /a?b HTTP/1.1\nhost: web.example"),
        "/http://web.example/",
    ),
    ("absolute-form without a path", b"http://web.example", Passes("GET / HTTP/1.1\nhost: web.example"), "/"),
    (
        "absolute-form with only a query",
        b"http://web.example?a",
        Passes("GET /?a HTTP/1.1\nhost: web.example"),
        "/?a",
    ),
    (
        "absolute-form in upper case",
        b"HTTP://WEB.example/a",
        Passes("GET /a HTTP/1.1\nhost: web.example"),
        "/a",
    ),
    (
        "absolute-form with a trailing dot",
        b"http://web.example./a",
        Passes("GET /a HTTP/1.1\nhost: web.example"),
        "/a",
    ),
    ("absolute-form of https", b"https://web.example/a", Passes("GET /a HTTP/1.1\nhost: web.example"), "/a"),
    ("absolute-form with dots", b"http://web.example/a/../b", BAD_PATH, "/a/b"),
    ("absolute-form of another host", b"http://other.example/", BAD_HOST, "/"),
    ("absolute-form with the default port", b"http://web.example:80/", BAD_HOST, "/"),
    ("absolute-form with another port", b"http://web.example:8080/", BAD_HOST, "/:8080/"),
    ("absolute-form with a user", b"http://a@web.example/", BAD_HOST, "/a@web.example/"),
    ("absolute-form with user and password", b"http://a:b@web.example/", BAD_HOST, "/a:b@web.example/"),
    ("absolute-form with a host for a user", b"http://web.example@other.example/", BAD_HOST, "/"),
    ("absolute-form without a host", b"http:///a", Unparsed(400), "/http:///a"),
    ("absolute-form with one slash", b"http:/web.example/", Unparsed(400), "/http:/web.example/"),
    ("another scheme", b"ftp://web.example/", BAD_PATH, "/ftp://web.example/"),
    ("the scheme of WebSocket", b"ws://web.example/", BAD_PATH, "/ws://web.example/"),
];

#[tokio::test]
async fn a_target_is_forwarded_as_sent_or_refused() {
    let mut bench = Bench::new().await;
    let get = |target: &[u8]| [b"GET ", target, b" HTTP/1.1\r\nHost: web.example\r\n\r\n"].concat();
    for (name, target, fate, neighbour) in ROWS {
        bench.check(name, &get(target), fate).await;
        bench
            .check(
                name,
                &get(neighbour.as_bytes()),
                Passes(&format!("GET {neighbour} HTTP/1.1\nhost: web.example")),
            )
            .await;
    }
    bench.judge();
}
