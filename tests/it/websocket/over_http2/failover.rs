//! Handshakes to an origin group, as over HTTP/1.1.

use super::{connect, switching};
use crate::dataplane::http2::Door;
use crate::dataplane::rig::{RawOrigin, Site};

#[tokio::test]
async fn a_handshake_that_a_member_refuses_opens_at_the_next_one() {
    let (first, second) = (RawOrigin::start().await, RawOrigin::start().await);
    let spares = vec![Site::new("spare", &[second.address])];
    let door = Door::open(vec![Site { spares, failover: &[403], ..Site::new("web", &[first.address]) }]);
    let mut client = door.connect().await;
    let no = "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno";
    // To a viewer over HTTP/2 any 2xx would be an agreement, so that is no answer either.
    let never_heard_of_it = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    for refusal in [no, never_heard_of_it] {
        let play = async {
            let mut far = first.accept().await;
            far.until("\r\n\r\n").await;
            far.send(refusal).await;
            let mut other = second.accept().await;
            let request = other.until("\r\n\r\n").await;
            other.send(switching(&request, "Sec-WebSocket-Protocol: second\r\n")).await;
            (far, other)
        };
        let ((answer, _wire), _far) = tokio::join!(client.answer(connect(&[])), play);
        assert_eq!(answer.status(), 200, "{refusal}");
        assert_eq!(answer.headers()["sec-websocket-protocol"], "second", "{refusal}");
    }
}
