//! WebSockets end to end: the handshake on both sides, the tunnel, what ends it and what does not.

use tidegate::table::route::Handshakes;

use super::rig::{EchoOrigin, Plane, RawOrigin, Site, Viewer, field, soon};

const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: web.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\n";
const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
/// A masked text frame of the viewer, and one of the origin.
const PING: [u8; 9] = [0x81, 0x83, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2, b'c' ^ 3];
const PONG: [u8; 5] = [0x81, 3, b'x', b'y', b'z'];

async fn open(plane: &Plane, origin: &RawOrigin) -> (Viewer, Viewer) {
    let mut viewer = plane.connect().await;
    viewer.send(format!("{HANDSHAKE}\r\n")).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    connection.send(ACCEPTED).await;
    viewer.until("\r\n\r\n").await;
    (viewer, connection)
}

#[tokio::test]
async fn a_handshake_becomes_a_tunnel_and_nothing_early_is_lost() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer.send([format!("{HANDSHAKE}\r\n").as_bytes(), &PING].concat()).await;

    let mut connection = origin.accept().await;
    let request = connection.until("\r\n\r\n").await;
    assert_eq!(field(&request, "upgrade"), Some("websocket"));
    assert_eq!(field(&request, "connection"), Some("upgrade"));
    assert_eq!(field(&request, "sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    connection.send([ACCEPTED.as_bytes(), &PONG].concat()).await;

    let response = viewer.until("\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    assert_eq!(field(&response, "sec-websocket-protocol"), Some("chat"));
    assert_eq!(field(&response, "content-length"), None);
    assert_eq!(viewer.bytes(PONG.len()).await, PONG);
    assert_eq!(connection.bytes(PING.len()).await, PING);
    viewer.send(PING).await;
    assert_eq!(connection.bytes(PING.len()).await, PING);

    let tunnels = soon(plane.handle.tunnels()).await;
    assert_eq!(tunnels.len(), 1);
    assert_eq!(tunnels[0].labels.endpoint, origin.address);
}

#[tokio::test]
async fn a_tunnel_survives_every_publish_but_its_distributions_removal() {
    let (origin, other) = (RawOrigin::start().await, EchoOrigin::start("other").await);
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let (mut viewer, mut connection) = open(&plane, &origin).await;

    plane.publish(vec![Site::new("web", &[other.address])]);
    plane.publish(vec![Site::new("web", &[]), Site::new("more", &[other.address])]);
    viewer.send(PING).await;
    assert_eq!(connection.bytes(PING.len()).await, PING);

    plane.publish(vec![Site::new("more", &[other.address])]);
    let close = viewer.bytes(4).await;
    assert_eq!((close[0], u16::from_be_bytes([close[2], close[3]])), (0x88, 1001));
    assert_eq!(connection.bytes(1).await, [0x88]);
}

#[tokio::test]
async fn a_101_that_does_not_answer_the_key_is_502() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer.send(format!("{HANDSHAKE}\r\n")).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    connection.send(ACCEPTED.replace("s3pP", "xxxx")).await;
    let response = viewer.rest().await;
    assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
    assert_eq!(field(&response, "x-tidegate-error"), Some("origin_websocket_handshake"));
    assert_eq!(connection.rest().await, "");
}

#[tokio::test]
async fn any_other_answer_to_a_handshake_passes_and_closes_the_connection() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer.send(format!("{HANDSHAKE}\r\n")).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    connection.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno").await;
    let response = viewer.rest().await;
    assert!(response.starts_with("HTTP/1.1 401 "), "{response}");
    assert_eq!(field(&response, "connection"), Some("close"));
    assert!(response.ends_with("\r\n\r\nno"), "{response}");
}

#[tokio::test]
async fn an_unasked_101_is_502_and_no_tunnel() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer.send("GET / HTTP/1.1\r\nHost: web.example\r\n\r\n").await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    connection.send(ACCEPTED).await;
    let response = viewer.response().await;
    assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
    assert_eq!(field(&response, "x-tidegate-error"), Some("origin_protocol"));
    assert_eq!(connection.rest().await, "");
}

#[tokio::test]
async fn a_wrong_handshake_is_refused_before_the_origin() {
    let origin = RawOrigin::start().await;
    let mut shut = Site::new("shut", &[origin.address]);
    shut.default.handshakes = Handshakes::Refused;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address]), shut]);
    let rows = [
        (HANDSHAKE.replace("13", "12"), "426", "websocket_version"),
        (HANDSHAKE.replace("dGhl", "dGh"), "400", "bad_websocket_handshake"),
        (HANDSHAKE.replace("GET", "POST"), "400", "bad_websocket_handshake"),
        (HANDSHAKE.replace("web.", "shut."), "403", "websocket_disabled"),
    ];
    for (request, status, reason) in rows {
        let response = origin.nobody_comes_while(plane.ask(&format!("{request}\r\n"))).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        assert_eq!(field(&response, "x-tidegate-error"), Some(reason));
    }
}
