//! What a viewer says of the connection: what it may take out, and what it may turn it into.

use super::{Bench, Fate, Row, Sent};

use Fate::{Passes, PassesLast, Refused};

const PLAIN: &str = "GET / HTTP/1.1\nhost: web.example";
const GOES: Sent = (b"Connection: a\r\nA: b\r\nC: d\r\n", Passes("GET / HTTP/1.1\nc: d\nhost: web.example"));
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Name, the fields behind the Host of a GET, what becomes of it, and a neighbour.
pub(super) const ROWS: [Row; 30] = [
    // What `Connection` names goes, but what routes, frames, authorises, or is ours.
    ("Connection takes no Host", b"Connection: host\r\n", Passes(PLAIN), GOES),
    ("Connection takes no Authorization", b"Connection: Authorization\r\nAuthorization: a\r\n", Passes("GET / HTTP/1.1\nauthorization: a\nhost: web.example"), GOES),
    ("Connection takes no Cookie", b"Connection: cookie\r\nCookie: a=b\r\n", Passes("GET / HTTP/1.1\ncookie: a=b\nhost: web.example"), GOES),
    ("Connection takes no length", b"Connection: content-length\r\nContent-Length: 0\r\n", Passes("GET / HTTP/1.1\ncontent-length: 0\nhost: web.example"), GOES),
    ("Connection takes nothing that we set", b"Connection: x-forwarded-for, x-forwarded-proto, x-forwarded-host, x-forwarded-port, x-real-ip, x-request-id, via\r\n", Passes(PLAIN), GOES),
    ("Connection takes no Via of others", b"Connection: via\r\nVia: 1.0 a\r\n", Passes("GET / HTTP/1.1\nhost: web.example\nvia: 1.0 a"), GOES),
    ("Connection takes what it names in any case", b"Connection: A, ,b\r\nConnection:\tC\r\na: 1\r\nB: 2\r\nc: 3\r\n", Passes(PLAIN), GOES),
    ("Connection names what is no name", b"Connection: a b, c\r\nC: d\r\n", Passes(PLAIN), GOES),
    ("Connection goes itself", b"Connection: connection\r\nConnection: keep-alive\r\nKeep-Alive: timeout=9\r\n", Passes(PLAIN), GOES),
    ("Proxy-Connection goes", b"Proxy-Connection: keep-alive\r\n", Passes(PLAIN), GOES),
    ("close", b"Connection: close\r\n", PassesLast(PLAIN), (b"Connection: keep-alive\r\n", Passes(PLAIN))),
    ("close among others", b"Connection: keep-alive, CLOSE\r\n", PassesLast(PLAIN), (b"Connection: a, b\r\n", Passes(PLAIN))),
    ("close in another line", b"Connection: close\r\nConnection: keep-alive\r\n", PassesLast(PLAIN), (b"Connection: closed\r\n", Passes(PLAIN))),
    // Upgrades.
    ("an upgrade to h2c", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n", PassesLast(PLAIN), GOES),
    ("an upgrade to h2c without a Connection", b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n", PassesLast(PLAIN), GOES),
    ("the settings alone", b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n", Passes(PLAIN), GOES),
    ("an upgrade to TLS", b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n", PassesLast(PLAIN), GOES),
    ("an upgrade to HTTP/2", b"Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n", PassesLast(PLAIN), GOES),
    ("an upgrade to what nobody knows", b"Connection: Upgrade\r\nUpgrade: a\r\n", PassesLast(PLAIN), GOES),
    ("an upgrade to nothing", b"Connection: Upgrade\r\nUpgrade:\r\n", PassesLast(PLAIN), GOES),
    ("only the word in Connection", b"Connection: Upgrade\r\n", Passes(PLAIN), GOES),
    ("WebSocket without a Connection", b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", Refused(400, "bad_websocket_handshake"), GOES),
    ("WebSocket without a key", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", Refused(400, "bad_websocket_handshake"), GOES),
    ("WebSocket with two keys", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", Refused(400, "bad_websocket_handshake"), GOES),
    ("WebSocket with a short key", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YQ==\r\n", Refused(400, "bad_websocket_handshake"), GOES),
    ("WebSocket with a body", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 2\r\n", Refused(400, "bad_websocket_handshake"), GOES),
    ("WebSocket in chunks", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nTransfer-Encoding: chunked\r\n", Refused(400, "bad_websocket_handshake"), GOES),
    ("WebSocket of another version", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", Refused(426, "websocket_version"), GOES),
    ("WebSocket of two versions", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", Refused(426, "websocket_version"), GOES),
    ("WebSocket or h2c, and no key", b"Connection: Upgrade\r\nUpgrade: h2c, websocket\r\nSec-WebSocket-Version: 13\r\n", Refused(400, "bad_websocket_handshake"), GOES),
];

#[tokio::test]
async fn a_viewer_takes_out_and_turns_into_only_what_it_may() {
    let mut bench = Bench::new().await;
    let get = |fields: &[u8]| [b"GET / HTTP/1.1\r\nHost: web.example\r\n", fields, b"\r\n"].concat();
    for (name, fields, fate, (neighbour, its_fate)) in ROWS {
        bench.check(name, &get(fields), fate).await;
        bench.check(name, &get(neighbour), its_fate).await;
    }
    bench.judge();
}

#[tokio::test]
async fn websocket_is_for_a_get_over_http_1_1() {
    let mut bench = Bench::new().await;
    let ask = |line: &str| {
        let fields =
            "Host: web.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        format!("{line}\r\n{fields}{KEY}\r\n").into_bytes()
    };
    bench.check("POST", &ask("POST / HTTP/1.1"), Refused(400, "bad_websocket_handshake")).await;
    // In HTTP/1.0 there are no upgrades (RFC 9110 section 7.8).
    let seen = "GET / HTTP/1.1\nhost: web.example\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\nsec-websocket-version: 13";
    bench.check("HTTP/1.0", &ask("GET / HTTP/1.0"), PassesLast(seen)).await;
    bench.judge();
}
