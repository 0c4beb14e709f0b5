//! Open tunnels: every byte arrives, in order, whatever else happens.

use futures_util::SinkExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::peers::{EchoSocket, close_code, echo, handshake, next, open, open_on, raw_tunnel, switching};
use crate::dataplane::rig::{Plane, RawOrigin, Site, soon, table};
use crate::dataplane::tls;

#[tokio::test]
async fn what_is_glued_to_the_handshake_is_not_lost() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer.send([handshake("").as_bytes(), b"\x81\x82\0\0\0\0hi"].concat()).await;
    let mut far = origin.accept().await;
    let head = far.until("\r\n\r\n").await;
    assert!(head.ends_with("\r\n\r\n"), "nothing is sent before the 101: {head}");
    far.send([switching("").as_bytes(), b"\x81\x02ho"].concat()).await;
    viewer.until("\r\n\r\n").await;
    assert_eq!(viewer.bytes(4).await, b"\x81\x02ho");
    assert_eq!(far.bytes(8).await, b"\x81\x82\0\0\0\0hi");

    let listed = soon(plane.handle.tunnels(None).next()).await.expect("one tunnel is open");
    assert_eq!(listed.labels.endpoint, origin.address);
    assert_eq!((listed.to_origin.bytes, listed.to_viewer.bytes), (8, 4));
}

#[tokio::test]
async fn a_websocket_over_tls_is_one_too() {
    let origin = EchoSocket::start().await;
    let made = tls::make(&["web.example"]);
    let plane = Plane::start();
    let certificates = tls::certificates(&[("web", tls::usable(&made))], None);
    plane.handle.publish(table(vec![Site::new("web", &[origin.address])], certificates));
    let viewer = tls::handshake(&plane, &tls::client(&[&made], &[]), "web.example").await.unwrap();
    let mut socket = open_on("web.example", viewer.stream).await;
    echo(&mut socket, "hello").await;
    echo(&mut socket, &"long".repeat(100_000)).await;
    plane.publish(vec![]);
    assert_eq!(close_code(&mut socket).await, 1001);
}

#[tokio::test]
async fn messages_pass_whatever_their_size_and_fragments() {
    let origin = EchoSocket::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut socket = open(&plane).await;
    echo(&mut socket, "hello").await;
    let big = vec![0xa5_u8; 3 * 1024 * 1024 + 1];
    let (first, rest) = big.split_at(1_000_000);
    let (second, third) = rest.split_at(70_000);
    for (part, opcode, fin) in
        [(first, Data::Binary, false), (second, Data::Continue, false), (third, Data::Continue, true)]
    {
        let frame = Frame::message(part.to_vec(), OpCode::Data(opcode), fin);
        soon(socket.send(Message::Frame(frame))).await.unwrap();
        soon(socket.send(Message::Ping("between".into()))).await.unwrap();
    }
    let mut pongs = 0;
    loop {
        match next(&mut socket).await {
            Message::Pong(_) => pongs += 1,
            message => {
                assert_eq!(message.into_data(), big);
                break;
            }
        }
    }
    assert!(pongs > 0);
}

#[tokio::test]
async fn a_half_close_passes_and_the_other_half_goes_on() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let (mut viewer, mut far) = raw_tunnel(&plane, &origin).await;
    viewer.stream.shutdown().await.unwrap();
    assert_eq!(far.rest().await, "");
    far.send(b"\x81\x02hi").await;
    far.stream.shutdown().await.unwrap();
    assert!(viewer.rest().await.ends_with("hi"));
}

#[tokio::test]
async fn a_reset_is_passed_on() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let (viewer, mut far) = raw_tunnel(&plane, &origin).await;
    viewer.stream.set_zero_linger().unwrap();
    drop(viewer);
    let end = soon(far.stream.read_u8()).await.unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn publishing_closes_no_tunnel() {
    let (origin, other) = (EchoSocket::start().await, EchoSocket::start().await);
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut socket = open(&plane).await;
    echo(&mut socket, "before").await;

    plane.publish(vec![Site::new("web", &[origin.address, other.address])]);
    echo(&mut socket, "an endpoint came").await;
    plane.publish(vec![Site::new("web", &[other.address])]);
    echo(&mut socket, "its own endpoint went").await;
    plane.publish(vec![Site::new("web", &[])]);
    echo(&mut socket, "the last endpoint went").await;
    let mut changed = Site::new("web", &[other.address]);
    changed.ordered = vec![("/chat", changed.default)];
    plane.publish(vec![changed, Site::new("blog", &[])]);
    echo(&mut socket, "its behavior changed").await;
    plane.publish(vec![Site::new("web", &[other.address])]);
    echo(&mut socket, "another Distribution went").await;
}
