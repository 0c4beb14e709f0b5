//! The table: each form with its harmless neighbour near by.

use h2::Reason;

use super::super::frames::{Last, data, frame, headers};
use super::{Fate, Row};

type Field<'f> = (&'f str, &'f [u8]);

const METHOD: Field<'static> = (":method", b"GET");
const SCHEME: Field<'static> = (":scheme", b"https");
const AUTHORITY: Field<'static> = (":authority", b"web.example");
const PATH: Field<'static> = (":path", b"/");
const CONNECT: Field<'static> = (":method", b"CONNECT");
const WEBSOCKET: Field<'static> = (":protocol", b"websocket");
const VERSION_13: Field<'static> = ("sec-websocket-version", b"13");

/// A row whose stream is one HEADERS frame.
fn head(name: &'static str, fields: &[Field<'_>], fate: Fate) -> Row {
    Row { name, frames: headers(1, fields, Last::Yes), fate }
}

/// A GET of `/` with these fields behind the pseudo-header fields.
fn with(name: &'static str, fields: &[Field<'_>], fate: Fate) -> Row {
    head(name, &[&[METHOD, SCHEME, AUTHORITY, PATH], fields].concat(), fate)
}

/// A GET with one pseudo-header field in another form.
fn but(name: &'static str, field: Field<'_>, fate: Fate) -> Row {
    let form = |usual: Field<'static>| if usual.0 == field.0 { field } else { usual };
    let fields = [METHOD, SCHEME, AUTHORITY, PATH].map(form);
    Row { name, frames: headers(1, &fields, Last::Yes), fate }
}

/// A POST with these fields, and then these frames.
fn post(name: &'static str, fields: &[Field<'_>], then: &[Vec<u8>], fate: Fate) -> Row {
    let fields = [&[(":method", &b"POST"[..]), SCHEME, AUTHORITY, PATH], fields].concat();
    Row { name, frames: [headers(1, &fields, Last::No), then.concat()].concat(), fate }
}

fn malformed() -> Fate {
    Fate::Reset(Reason::PROTOCOL_ERROR)
}

/// What `h2` cannot even hold as a field ends the connection, and all its streams with it.
fn unreadable() -> Fate {
    Fate::GoAway(Reason::PROTOCOL_ERROR)
}

fn refused(status: u16, reason: &str) -> Fate {
    Fate::Refused(status, reason.to_owned())
}

fn passes(message: &str) -> Fate {
    Fate::Passes(message.to_owned())
}

fn plain() -> Fate {
    passes("GET / HTTP/1.1\nhost: web.example")
}

pub(super) fn rows() -> Vec<Row> {
    [
        pseudo_fields(),
        authorities(),
        targets(),
        methods(),
        protocols(),
        names_and_values(),
        connection_fields(),
        framing(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// RFC 9113 section 8.3: all before the others, each once, none unknown.
fn pseudo_fields() -> Vec<Row> {
    let rest = ("x-a", &b"1"[..]);
    vec![
        head("the usual form", &[METHOD, SCHEME, AUTHORITY, PATH], plain()),
        head("another order", &[PATH, AUTHORITY, SCHEME, METHOD], plain()),
        head("behind a field", &[METHOD, SCHEME, rest, AUTHORITY, PATH], malformed()),
        head("two methods", &[METHOD, METHOD, SCHEME, AUTHORITY, PATH], malformed()),
        head("two schemes", &[METHOD, SCHEME, SCHEME, AUTHORITY, PATH], malformed()),
        head("two authorities", &[METHOD, SCHEME, AUTHORITY, AUTHORITY, PATH], malformed()),
        head("two paths", &[METHOD, SCHEME, AUTHORITY, PATH, (":path", b"/b")], malformed()),
        head("no method", &[SCHEME, AUTHORITY, PATH], malformed()),
        head("no scheme", &[METHOD, AUTHORITY, PATH], malformed()),
        head("no path", &[METHOD, SCHEME, AUTHORITY], malformed()),
        head("a status", &[METHOD, SCHEME, AUTHORITY, PATH, (":status", b"200")], malformed()),
        head("an unknown one", &[METHOD, SCHEME, AUTHORITY, PATH, (":host", b"a")], unreadable()),
        head(
            "a protocol without CONNECT",
            &[METHOD, (":protocol", b"websocket"), SCHEME, AUTHORITY, PATH],
            malformed(),
        ),
        but("another scheme", (":scheme", b"ftp"), refused(400, "bad_path")),
        but("the other scheme", (":scheme", b"http"), plain()),
        but("a scheme that is a URL", (":scheme", b"https://web.example/?"), malformed()),
        but("an empty scheme", (":scheme", b""), refused(400, "bad_path")),
    ]
}

/// RFC 9113 section 8.3.1: Host and `:authority` are one.
fn authorities() -> Vec<Row> {
    let without =
        |name, hosts: &[Field<'_>], fate| head(name, &[&[METHOD, SCHEME, PATH], hosts].concat(), fate);
    let host = |value: &'static [u8]| ("host", value);
    vec![
        with("the same Host", &[host(b"web.example")], plain()),
        with("the same in capitals", &[host(b"WEB.example.")], plain()),
        with("another Host", &[host(b"other.example")], refused(400, "bad_host")),
        with("a Host with a port", &[host(b"web.example:443")], refused(400, "bad_host")),
        with("the same Host twice", &[host(b"web.example"), host(b"web.example")], refused(400, "bad_host")),
        with("an empty Host", &[host(b"")], refused(400, "bad_host")),
        without("Host alone", &[host(b"web.example")], plain()),
        without("neither", &[], refused(400, "bad_host")),
        without("two Hosts alone", &[host(b"web.example"), host(b"a.example")], refused(400, "bad_host")),
        but("a port", (":authority", b"web.example:8443"), passes("GET / HTTP/1.1\nhost: web.example:8443")),
        but("userinfo", (":authority", b"user@web.example"), refused(400, "bad_host")),
        but("a path in it", (":authority", b"web.example/a"), malformed()),
        but("a list", (":authority", b"web.example,a"), refused(400, "bad_host")),
        but("a space in it", (":authority", b"web.example a"), malformed()),
        but("a line break in it", (":authority", b"web.example\r\nx: y"), malformed()),
        but("an empty one", (":authority", b""), malformed()),
        but("a port that is none", (":authority", b"web.example:99999"), refused(400, "bad_host")),
        but("nobody's", (":authority", b"nobody.example"), refused(404, "no_distribution")),
    ]
}

fn targets() -> Vec<Row> {
    let path = |name, value: &'static [u8], fate| but(name, (":path", value), fate);
    vec![
        path("a path with a query", b"/a?b=/../c", passes("GET /a?b=/../c HTTP/1.1\nhost: web.example")),
        path("an empty path", b"", malformed()),
        path("a star", b"*", refused(400, "bad_path")),
        path("no slash in front", b"a/b", malformed()),
        path("an absolute form", b"https://web.example/a", malformed()),
        path("another's absolute form", b"https://other.example/a", malformed()),
        path(
            "two slashes",
            b"//other.example/a",
            passes("GET //other.example/a HTTP/1.1\nhost: web.example"),
        ),
        path("a space", b"/a b", malformed()),
        path("a request line", b"/ HTTP/1.1\r\nHost: a\r\n\r\nGET /b", malformed()),
        path("a line feed", b"/a\nb", malformed()),
        path("a NUL", b"/a\0b", malformed()),
        path("DEL", b"/a\x7fb", malformed()),
        path("UTF-8", "/ä".as_bytes(), refused(400, "bad_path")),
        path("no UTF-8", b"/\xff", unreadable()),
        path("a fragment", b"/a#b", passes("GET /a HTTP/1.1\nhost: web.example")),
        path("a dot segment", b"/a/../b", refused(400, "bad_path")),
        path("an escaped one", b"/a/%2e%2E/b", refused(400, "bad_path")),
        path("one behind an escaped slash", b"/a%2f..%2fb", refused(400, "bad_path")),
        path("an escaped NUL", b"/%00", refused(400, "bad_path")),
        path("a backslash", b"/a\\b", refused(400, "bad_path")),
    ]
}

fn methods() -> Vec<Row> {
    let method = |name, value: &'static [u8], fate| but(name, (":method", value), fate);
    vec![
        method("a method of lower case", b"get", refused(403, "method_not_allowed_by_behavior")),
        method("TRACE", b"TRACE", refused(405, "method_not_supported")),
        method("a method with a space", b"GET /a", unreadable()),
        method("a method with a line break", b"GET / HTTP/1.1\r\nx", unreadable()),
        method("an empty method", b"", unreadable()),
        method("a method with a colon", b"GE:T", unreadable()),
        method("CONNECT with a path", b"CONNECT", malformed()),
        head("CONNECT", &[CONNECT, AUTHORITY], refused(405, "method_not_supported")),
        head("CONNECT without an authority", &[CONNECT], refused(405, "method_not_supported")),
        head(
            "OPTIONS of the server",
            &[(":method", b"OPTIONS"), SCHEME, AUTHORITY, (":path", b"*")],
            refused(204, ""),
        ),
    ]
}

/// RFC 8441 section 4: a CONNECT with a protocol has what other requests have, too.
fn protocols() -> Vec<Row> {
    let asks = |row, protocol: &'static [u8], fate| {
        head(row, &[CONNECT, (":protocol", protocol), SCHEME, AUTHORITY, PATH], fate)
    };
    let with =
        |row, field, fate| head(row, &[CONNECT, WEBSOCKET, SCHEME, AUTHORITY, PATH, VERSION_13, field], fate);
    vec![
        asks("another protocol", b"connect-udp", refused(501, "protocol_not_supported")),
        asks("an empty protocol", b"", refused(501, "protocol_not_supported")),
        asks("a WebSocket of no version", b"websocket", refused(426, "websocket_version")),
        head("a protocol twice", &[CONNECT, WEBSOCKET, WEBSOCKET, SCHEME, AUTHORITY, PATH], malformed()),
        head("a WebSocket without a scheme", &[CONNECT, WEBSOCKET, AUTHORITY, PATH, VERSION_13], malformed()),
        head("a WebSocket without a path", &[CONNECT, WEBSOCKET, SCHEME, AUTHORITY, VERSION_13], malformed()),
        head(
            "a WebSocket without an authority",
            &[CONNECT, WEBSOCKET, SCHEME, PATH, VERSION_13],
            refused(400, "bad_host"),
        ),
        with("a WebSocket with a length", ("content-length", b"0"), refused(400, "bad_websocket_handshake")),
        with("a WebSocket that upgrades", ("upgrade", b"websocket"), malformed()),
        with("a WebSocket that names its connection", ("connection", b"upgrade"), malformed()),
        with("a WebSocket with a Host of its own", ("host", b"other.example"), refused(400, "bad_host")),
        head(
            "a GET with the fields of a WebSocket",
            &[METHOD, SCHEME, AUTHORITY, PATH, VERSION_13],
            passes("GET / HTTP/1.1\nhost: web.example\nsec-websocket-version: 13"),
        ),
    ]
}

fn names_and_values() -> Vec<Row> {
    let name = |row, name: &'static str, fate| with(row, &[(name, b"1")], fate);
    let value = |row, value: &'static [u8], fate| with(row, &[("x-a", value)], fate);
    vec![
        name("a usual name", "x-a", passes("GET / HTTP/1.1\nhost: web.example\nx-a: 1")),
        name("a name in capitals", "X-A", unreadable()),
        name("a name with a space", "x a", unreadable()),
        name("a name that ends in a space", "content-length ", unreadable()),
        name("a name with a colon", "x-a:b", unreadable()),
        name("a name with a line break", "x-a\r\nhost", unreadable()),
        name("a name with NUL", "x\0a", unreadable()),
        name("an empty name", "", unreadable()),
        name("a name with an underscore", "x_forwarded_for", plain()),
        value("a value with CR", b"1\rx: y", unreadable()),
        value("a value with LF", b"1\nx: y", unreadable()),
        value("a value with CRLF", b"1\r\nx: y", unreadable()),
        value("a value with NUL", b"1\x002", unreadable()),
        value("a value with a space in front", b" 1", refused(400, "bad_header")),
        value("a value with a tab behind", b"1\t", refused(400, "bad_header")),
        value("an empty value", b"", passes("GET / HTTP/1.1\nhost: web.example\nx-a: ")),
        value("a value with a tab", b"1\t2", passes("GET / HTTP/1.1\nhost: web.example\nx-a: 1\t2")),
        with(
            "crumbs of a cookie",
            &[("cookie", b"a=1"), ("x-a", b"1"), ("cookie", b"b=2")],
            passes("GET / HTTP/1.1\ncookie: a=1; b=2\nhost: web.example\nx-a: 1"),
        ),
        with(
            "claims about the viewer",
            &[
                ("x-forwarded-for", b"6.6.6.6"),
                ("x-forwarded-prefix", b"/b"),
                ("forwarded", b"for=a"),
                ("x-real-ip", b"6.6.6.6"),
                ("x-client-cert-subject", b"root"),
                ("x-request-id", b"mine"),
            ],
            plain(),
        ),
        with("trailers that are dropped are not announced", &[("trailer", b"x-sum")], plain()),
        with("an unknown expectation", &[("expect", b"200-ok")], refused(417, "expectation")),
        with("too many fields", &[("x-a", &b"1"[..]); 101], refused(431, "headers_too_large")),
        with(
            "a field that is too long",
            &[("x-a", &[b'a'; 17 * 1024][..])],
            refused(431, "headers_too_large"),
        ),
        with("a list that is too long", &[("x-a", &[b'a'; 9 * 1024][..]); 4], refused(431, "")),
    ]
}

/// RFC 9113 section 8.2.2: fields of one connection have no place here.
fn connection_fields() -> Vec<Row> {
    vec![
        with("connection", &[("connection", b"close")], malformed()),
        with("connection that names Host", &[("connection", b"host")], malformed()),
        with("keep-alive", &[("keep-alive", b"timeout=5")], malformed()),
        with("proxy-connection", &[("proxy-connection", b"keep-alive")], malformed()),
        with("transfer-encoding", &[("transfer-encoding", b"chunked")], malformed()),
        with("upgrade to h2c", &[("upgrade", b"h2c"), ("http2-settings", b"AAMAAABkAAQAAP__")], malformed()),
        with("upgrade to websocket", &[("upgrade", b"websocket")], malformed()),
        with("http2-settings", &[("http2-settings", b"AAMAAABkAAQAAP__")], plain()),
        with(
            "te: trailers",
            &[("te", b"trailers")],
            passes("GET / HTTP/1.1\nhost: web.example\nte: trailers"),
        ),
        with("te: gzip", &[("te", b"gzip")], malformed()),
        with("te: trailers, gzip", &[("te", b"trailers, gzip")], malformed()),
    ]
}

/// RFC 9113 section 8.1.1: a length and the DATA frames agree, and nothing follows the end.
fn framing() -> Vec<Row> {
    let length = |value: &'static [u8]| [("content-length", value)];
    let end = |bytes| vec![data(1, bytes, Last::Yes)];
    let trailers = |fields: &[Field<'_>]| vec![data(1, b"ab", Last::No), headers(1, fields, Last::Yes)];
    let chunked = || passes("POST / HTTP/1.1\nhost: web.example\ntransfer-encoding: chunked\n\nab");
    let counted = || passes("POST / HTTP/1.1\ncontent-length: 2\nhost: web.example\n\nab");
    vec![
        post("a body without a length", &[], &end(b"ab"), chunked()),
        post("a body of its length", &length(b"2"), &end(b"ab"), counted()),
        post(
            "a body in two pieces",
            &length(b"2"),
            &[data(1, b"a", Last::No), data(1, b"b", Last::Yes)],
            counted(),
        ),
        post("less than its length", &length(b"3"), &end(b"ab"), malformed()),
        post("more than its length", &length(b"1"), &end(b"ab"), malformed()),
        post("a signed length", &length(b"+2"), &end(b"ab"), malformed()),
        post("a negative length", &length(b"-2"), &end(b"ab"), malformed()),
        post("a list of lengths", &length(b"2, 2"), &end(b"ab"), malformed()),
        post("an empty length", &length(b""), &end(b"ab"), malformed()),
        post("a length out of range", &length(b"99999999999999999999"), &end(b"ab"), malformed()),
        post("equal lengths", &[length(b"2"), length(b"2")].concat(), &end(b"ab"), counted()),
        post("two lengths", &[length(b"2"), length(b"3")].concat(), &end(b"ab"), malformed()),
        with("a length without a body", &length(b"2"), malformed()),
        post("trailers", &[], &trailers(&[("x-trailer", b"1")]), chunked()),
        post("trailers that frame", &[], &trailers(&[("content-length", b"2"), ("host", b"a")]), chunked()),
        // `h2` lets it go, and we let go of all trailers.
        post("a pseudo-header field in trailers", &[], &trailers(&[(":path", b"/b")]), chunked()),
        post("chunked in trailers", &[], &trailers(&[("transfer-encoding", b"chunked")]), malformed()),
        post(
            "trailers that do not end",
            &[],
            &[data(1, b"ab", Last::No), headers(1, &[("x-trailer", b"1")], Last::No)],
            malformed(),
        ),
        post(
            "a request in a body",
            &length(b"41"),
            &end(b"GET /b HTTP/1.1\r\nhost: web.example\r\n\r\nabc"),
            passes(
                "POST / HTTP/1.1\ncontent-length: 41\nhost: web.example\n\nGET /b HTTP/1.1\r\nhost: web.example\r\n\r\nabc",
            ),
        ),
        Row {
            name: "DATA on a stream that nobody opened",
            frames: data(1, b"ab", Last::Yes),
            fate: Fate::GoAway(Reason::PROTOCOL_ERROR),
        },
        Row {
            name: "a stream of even number",
            frames: headers(2, &[METHOD, SCHEME, AUTHORITY, PATH], Last::Yes),
            fate: Fate::GoAway(Reason::PROTOCOL_ERROR),
        },
        Row {
            name: "a header block that another frame cuts",
            frames: [frame(0x1, 0x1, 1, b""), data(1, b"", Last::Yes)].concat(),
            fate: Fate::GoAway(Reason::PROTOCOL_ERROR),
        },
    ]
}
