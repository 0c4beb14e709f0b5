//! What a row cannot say: bounds, answers that come early or too late, and what is owed to tunnels.

use super::*;

/// An answer whose fields these are.
fn head(fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn the_head_of_an_answer_has_bounds() {
    let origin = RawOrigin::start().await;
    let mut viewers = [Asking::http1(&origin).await, Asking::http2(&origin).await];
    let field = |length: usize| format!("a: {}\r\n", "x".repeat(length));
    // The length is the hundredth field.
    let rows = [
        ("over 32 KiB in fields", field(1000).repeat(33), false),
        ("less than that", field(1000).repeat(31), true),
        ("over 32 KiB in one field", field(33 * 1024), false),
        ("one of 31 KiB", field(31 * 1024), true),
        ("over 32 KiB without an end", format!("a: {}", "x".repeat(40 * 1024)), false),
        ("over 100 fields", "a: b\r\n".repeat(100), false),
        ("100 fields", "a: b\r\n".repeat(99), true),
    ];
    for viewer in &mut viewers {
        for (name, fields, passes) in &rows {
            let bytes = head(fields);
            let (seen, connection) =
                tokio::join!(viewer.ask("GET", "/"), answer(&origin, &bytes, Then::Stays));
            let mut connection = connection.unwrap();
            if *passes {
                let lines = fields.replace("\r\n", "\n");
                assert_eq!(seen, Ok(format!("200\n{lines}content-length: 0")), "{name}");
            } else {
                assert_eq!(seen.as_deref(), Ok("origin_protocol"), "{name}");
                assert_eq!(connection.try_bytes(1).await, None, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_to_nothing_closes_its_connection_and_is_nobodys() {
    let origin = RawOrigin::start().await;
    let mut viewer = Asking::http1(&origin).await;
    let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (_, connection) = tokio::join!(viewer.ask("GET", "/"), answer(&origin, plain, Then::Stays));
    let mut connection = connection.unwrap();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
    assert_eq!(connection.try_bytes(1).await, None);
    let (seen, _) = tokio::join!(viewer.ask("GET", "/"), answer(&origin, plain, Then::Stays));
    assert_eq!(seen.as_deref(), Ok("200\ncontent-length: 2\n\nok"));
}

#[tokio::test]
async fn an_early_answer_is_delivered_though_the_connection_is_reset_behind_it() {
    let origin = RawOrigin::start().await;
    let Asking::Http1(plane) = Asking::http1(&origin).await else { unreachable!() };
    for body in ["Content-Length: 2\r\n\r\nno", "Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"] {
        let mut viewer = plane.connect().await;
        viewer.send("POST / HTTP/1.1\r\nHost: web.example\r\nContent-Length: 100000000\r\n\r\n").await;
        let mut connection = origin.accept().await;
        connection.until("\r\n\r\n").await;
        let (mut reading, mut writing) = viewer.stream.split();
        let sending = async {
            // Until the answer is there and the connection closed.
            while writing.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
        };
        let answering = async {
            connection.send(format!("HTTP/1.1 413 Content Too Large\r\n{body}")).await;
            connection.stream.set_zero_linger().unwrap();
            drop(connection);
        };
        let mut bytes = Vec::new();
        let (_, (), _) =
            soon(async { tokio::join!(sending, answering, reading.read_to_end(&mut bytes)) }).await;
        let seen = String::from_utf8_lossy(&bytes);
        assert!(seen.starts_with("HTTP/1.1 413 "), "{seen}");
        assert!(seen.contains("no"), "{seen}");
    }
}

#[tokio::test]
async fn a_reset_before_an_answer_is_still_a_502() {
    let origin = RawOrigin::start().await;
    let Asking::Http1(plane) = Asking::http1(&origin).await else { unreachable!() };
    let mut viewer = plane.connect().await;
    viewer.send("POST / HTTP/1.1\r\nHost: web.example\r\nContent-Length: 100000000\r\n\r\n").await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    connection.stream.set_zero_linger().unwrap();
    drop(connection);
    let seen = viewer.until("\r\n\r\n").await;
    assert!(seen.starts_with("HTTP/1.1 502 "), "{seen}");
    assert!(seen.contains("\r\nx-tidegate-error: origin_reset\r\n"), "{seen}");
}

#[tokio::test]
async fn an_error_of_ours_has_our_name_alone() {
    let origin = RawOrigin::start().await;
    let Asking::Http1(plane) = Asking::http1(&origin).await else { unreachable!() };
    let mut viewer = plane.connect().await;
    viewer.send("GET / HTTP/1.1\r\nHost: web.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-Tidegate-Error: internal\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n").await;
    let seen = viewer.until("\r\n\r\n").await;
    assert!(seen.starts_with("HTTP/1.1 101 ") && !seen.contains("x-tidegate-error"), "{seen}");
}
