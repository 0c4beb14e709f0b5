//! The end: gentle first, and at the deadline hard.

use std::time::Duration;

use tidegate::drain::{Phase, Schedule};
use tokio::time::Instant;

use super::rig::{EchoOrigin, Plane, RawOrigin, Site, field, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: web.example\r\n\r\n";

fn draining() -> Phase {
    let start = Instant::now();
    Phase::Draining(Schedule { start, spread: Duration::ZERO, deadline: start + Duration::from_secs(60) })
}

#[tokio::test]
async fn a_leaving_replica_serves_and_asks_its_viewers_to_go() {
    let origin = EchoOrigin::start("web").await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    plane.drain.advance(Phase::Leaving);
    // Workers hear of it in their own time.
    soon(async {
        loop {
            let mut viewer = plane.connect().await;
            viewer.send(GET).await;
            let response = viewer.response().await;
            assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
            if field(&response, "connection") == Some("close") {
                assert_eq!(viewer.rest().await, "");
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_drain_ends_when_the_last_exchange_has() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut idle = plane.connect().await;
    idle.send(GET).await;
    let mut pooled = origin.accept().await;
    pooled.until("\r\n\r\n").await;
    pooled.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    idle.response().await;

    let mut busy = plane.connect().await;
    busy.send(GET).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;

    plane.drain.advance(draining());
    assert_eq!(idle.rest().await, "");
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let response = busy.rest().await;
    assert!(response.ends_with("\r\n\r\nok"), "{response}");
    assert_eq!(soon(plane.handle.join()).await.unwrap(), 0);
    assert!(tokio::net::TcpStream::connect(plane.handle.http_addresses()[0]).await.is_err());
}

#[tokio::test]
async fn the_deadline_cuts_and_counts() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut busy = plane.connect().await;
    busy.send(GET).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    plane.drain.advance(draining());
    assert_eq!(plane.stop().await, 1);
    assert!(busy.ends().await.is_ok_and(|rest| rest.is_empty()));
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_its_address_and_a_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = Plane::try_on(address).map(drop).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {address}: ")), "{error}");
    assert!(error.ends_with("choose another one with `--http-listen`"), "{error}");
}
