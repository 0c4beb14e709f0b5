//! Open tunnels: every byte arrives, in order, whatever else happens on the connection.

use crate::dataplane::http2::Door;
use crate::dataplane::rig::{Site, soon};
use crate::websocket::peers::{EchoSocket, echo};

#[tokio::test]
async fn messages_are_echoed_and_the_tunnel_is_known_by_its_protocol() {
    let origin = EchoSocket::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let mut socket = client.socket().await;
    echo(&mut socket, "hello").await;
    echo(&mut socket, &"long".repeat(100_000)).await;

    let listed = soon(door.plane.handle.tunnels(None).next()).await.expect("one tunnel is open");
    assert_eq!((listed.labels.protocol, listed.labels.endpoint), ("h2", origin.address));
    let open = |protocol: &str| {
        let labels = "namespace=\"test\",distribution=\"web\",origin=\"web\"";
        door.plane.metric(&format!("tidegate_websocket_connections{{{labels},protocol=\"{protocol}\"}}"))
    };
    assert_eq!((open("h1"), open("h2")), (0, 1));
    soon(socket.close(None)).await.unwrap();
}
