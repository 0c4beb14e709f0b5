//! What a lack of memory changes, and what it must not.

use tidegate::overload::Level;
use tidegate::table::route::ViewerProtocolPolicy;

use super::rig::{EchoOrigin, Plane, Site, field};

const GET: &str = "GET / HTTP/1.1\r\nHost: web.example\r\n\r\n";

async fn plane() -> (EchoOrigin, Plane) {
    let origin = EchoOrigin::start("web").await;
    let mut redirecting = Site::new("plain", &[origin.address]);
    redirecting.default.viewers = ViewerProtocolPolicy::RedirectToHttps;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address]), redirecting]);
    (origin, plane)
}

#[tokio::test]
async fn when_memory_is_high_requests_are_served_but_connections_are_not_kept() {
    let (_origin, plane) = plane().await;
    let mut viewer = plane.connect().await;
    viewer.send(GET).await;
    assert_eq!(field(&viewer.response().await, "connection"), None);
    plane.overload.set(Level::High);
    viewer.send(GET).await;
    let response = viewer.response().await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert_eq!(field(&response, "connection"), Some("close"));
    assert_eq!(viewer.rest().await, "");
    plane.overload.set(Level::Normal);
    let mut next = plane.connect().await;
    next.send(GET).await;
    assert_eq!(field(&next.response().await, "connection"), None);
}

#[tokio::test]
async fn when_memory_is_critical_new_requests_are_refused_and_others_end_well() {
    let origin = super::rig::RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut under_way = plane.connect().await;
    under_way.send(GET).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    plane.overload.set(Level::Critical);
    let refused = origin.nobody_comes_while(plane.ask(GET)).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert_eq!(field(&refused, "x-tidegate-error"), Some("proxy_overloaded"));
    assert_eq!(field(&refused, "connection"), Some("close"));
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(under_way.rest().await.ends_with("\r\n\r\nok"));
}

#[tokio::test]
async fn when_memory_is_critical_a_handshake_is_refused_and_a_redirect_is_not() {
    let (origin, plane) = plane().await;
    plane.overload.set(Level::Critical);
    let handshake = "GET / HTTP/1.1\r\nHost: web.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let refused = plane.ask(handshake).await;
    assert_eq!(field(&refused, "x-tidegate-error"), Some("proxy_overloaded"), "{refused}");
    let redirect = plane.ask("GET / HTTP/1.1\r\nHost: plain.example\r\n\r\n").await;
    assert!(redirect.starts_with("HTTP/1.1 301 "), "{redirect}");
    drop(origin);
}
