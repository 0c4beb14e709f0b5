//! Handshakes to an origin group: until the 101 they go on to the next member as a GET does.

use std::net::{SocketAddr, TcpListener};

use super::peers::{handshake, switching};
use crate::dataplane::rig::{Plane, RawOrigin, Site, field};

/// A group of two, which fails over on 403 and 503.
fn pair(first: SocketAddr, second: SocketAddr) -> Site {
    Site { spares: vec![Site::new("spare", &[second])], failover: &[403, 503], ..Site::new("web", &[first]) }
}

#[tokio::test]
async fn a_handshake_that_a_member_refuses_opens_at_the_next_one() {
    let (first, second) = (RawOrigin::start().await, RawOrigin::start().await);
    let plane = Plane::serving(vec![pair(first.address, second.address)]);
    let wrong = switching("").replace("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: x");
    let refusals = [
        "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno".to_owned(),
        "HTTP/1.1 503 No\r\nConnection: close\r\n\r\nno".to_owned(),
        // A 101 that agrees to something else, and none that is to be understood.
        wrong,
        "nonsense\r\n\r\n".to_owned(),
    ];
    for refusal in refusals {
        let mut viewer = plane.connect().await;
        viewer.send(handshake("Sec-WebSocket-Protocol: chat\r\n")).await;
        let mut far = first.accept().await;
        let asked = far.until("\r\n\r\n").await;
        far.send(&refusal).await;
        drop(far);
        let mut far = second.accept().await;
        let asked_again = far.until("\r\n\r\n").await;
        for name in ["sec-websocket-key", "sec-websocket-protocol", "upgrade", "connection", "x-request-id"] {
            assert_eq!(field(&asked, name), field(&asked_again, name), "{refusal}");
        }
        far.send(switching("")).await;
        let answer = viewer.until("\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{refusal}: {answer}");
        // What passes is what the second one has agreed to.
        viewer.send([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await;
        assert_eq!(far.bytes(8).await, [0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
        far.send([0x81, 0x02, b'y', b'o']).await;
        assert_eq!(viewer.bytes(4).await, [0x81, 0x02, b'y', b'o']);
    }
    let tunnels = |origin: &str| {
        let labels = format!("namespace=\"test\",distribution=\"web\",origin=\"{origin}\",protocol=\"h1\"");
        plane.metric(&format!("tidegate_websocket_connections{{{labels}}}"))
    };
    assert_eq!(tunnels("web"), 0);
}

#[tokio::test]
async fn a_handshake_that_nobody_can_be_asked_of_opens_at_the_next_one() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let second = RawOrigin::start().await;
    let empty = Site { endpoints: Vec::new(), ..pair(nobody, second.address) };
    for site in [pair(nobody, second.address), empty] {
        let plane = Plane::serving(vec![site]);
        let mut viewer = plane.connect().await;
        viewer.send(handshake("")).await;
        let mut far = second.accept().await;
        far.until("\r\n\r\n").await;
        far.send(switching("")).await;
        assert!(viewer.until("\r\n\r\n").await.starts_with("HTTP/1.1 101 "));
    }
}

#[tokio::test]
async fn a_status_that_is_not_listed_is_the_answer() {
    let (first, second) = (RawOrigin::start().await, RawOrigin::start().await);
    let plane = Plane::serving(vec![pair(first.address, second.address)]);
    let mut viewer = plane.connect().await;
    viewer.send(handshake("")).await;
    let mut far = first.accept().await;
    far.until("\r\n\r\n").await;
    far.send("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno").await;
    let answer = second.nobody_comes_while(viewer.response()).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test]
async fn what_the_last_member_says_is_the_answer() {
    let (first, second) = (RawOrigin::start().await, RawOrigin::start().await);
    let plane = Plane::serving(vec![pair(first.address, second.address)]);
    let mut viewer = plane.connect().await;
    viewer.send(handshake("")).await;
    for (origin, status) in [(&first, 503), (&second, 403)] {
        let mut far = origin.accept().await;
        far.until("\r\n\r\n").await;
        far.send(format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno")).await;
    }
    let answer = viewer.response().await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("no"), "{answer}");
}
