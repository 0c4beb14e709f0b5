//! How connections end: with a GOAWAY, after which what is open is served.

use std::time::Duration;

use tidegate::drain::{Phase, Schedule};
use tidegate::overload::Level;
use tokio::time::Instant;

use super::raw::*;
use super::*;
use crate::dataplane::rig::{EchoOrigin, RawOrigin};

#[tokio::test]
async fn a_drain_ends_a_connection_when_its_streams_have_ended() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let asked = client.send(get("https://web.example/"));
    let (response, mut connection) = tokio::join!(asked, async {
        let mut connection = origin.accept().await;
        connection.until("\r\n\r\n").await;
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").await;
        connection
    });
    let start = Instant::now();
    let deadline = start + Duration::from_secs(60);
    door.plane.drain.advance(Phase::Draining(Schedule { start, spread: Duration::ZERO, deadline }));
    // The GOAWAY is there when no more requests may be sent.
    while client.requests.clone().ready().await.is_ok() {
        tokio::task::yield_now().await;
    }
    connection.send("half").await;
    assert_eq!(read(response.unwrap().into_body()).await.unwrap().0, b"halfhalf");
    soon(client.connection).await.unwrap().unwrap();
    assert_eq!(soon(door.plane.handle.join()).await.unwrap(), 0);
}

#[tokio::test]
async fn when_memory_is_high_a_connection_ends_after_what_it_carries() {
    let origin = EchoOrigin::start("web").await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut kept = door.connect().await;
    assert_eq!(kept.send(get("https://web.example/")).await.unwrap().status(), 200);
    assert_eq!(kept.send(get("https://web.example/")).await.unwrap().status(), 200);
    door.plane.overload.set(Level::High);
    assert_eq!(kept.send(get("https://web.example/")).await.unwrap().status(), 200);
    soon(kept.connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn while_leaving_a_connection_is_left_once_it_was_of_use() {
    let door = Door::open(vec![Site::new("web", &[])]);
    let mut used = Raw::connect(&door, &[]).await;
    used.send(&request(1)).await;
    used.until(DATA).await;
    door.plane.drain.advance(Phase::Leaving);
    assert_eq!(used.until(GOAWAY).await.error(), NO_ERROR);
    used.ends().await;
    // Load balancers still send viewers: a new one gets its answer before it is asked to go.
    let mut new = Raw::connect(&door, &[]).await;
    new.send(&frame(PING, 0, 0, &[7; 8])).await;
    loop {
        match new.next().await.unwrap().kind {
            PING => break,
            kind => assert_ne!(kind, GOAWAY),
        }
    }
    new.send(&request(1)).await;
    let mut kinds = Vec::new();
    while let Some(frame) = new.next().await {
        kinds.push(frame.kind);
    }
    assert!(kinds.contains(&DATA) && kinds.contains(&GOAWAY), "{kinds:?}");
}

#[tokio::test]
async fn a_viewer_that_hears_no_goodbye_opens_no_streams_for_ever() {
    let tenth = Duration::from_millis(100);
    let origin = RawOrigin::start().await;
    let limits = Limits { connection_requests: 1, linger: tenth, ..Limits::default() };
    let door = Door::with(limits, vec![Site::new("web", &[origin.address])]);
    let mut raw = Raw::connect(&door, &[]).await;
    let mut ticks = tokio::time::interval(tenth / 4);
    let mut odd = (1..).step_by(2);
    // It never answers the PING that comes with the GOAWAY.
    let refused = soon(async {
        loop {
            ticks.tick().await;
            raw.send(&[request(odd.next().unwrap()), frame(PING, 0, 0, &[7; 8])].concat()).await;
            loop {
                match raw.next().await.unwrap() {
                    frame if frame.kind == RST_STREAM => return frame,
                    frame if frame.kind == PING && frame.flags == ACK => break,
                    frame => assert!(![HEADERS, DATA].contains(&frame.kind), "{frame:?}"),
                }
            }
        }
    })
    .await;
    // REFUSED_STREAM: it may be sent again, elsewhere.
    assert_eq!(refused.error(), 7);
    // What came before is served to its end.
    for _ in 0..refused.stream / 2 {
        let mut connection = origin.accept().await;
        connection.until("\r\n\r\n").await;
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(raw.until(DATA).await.payload, b"ok");
    }
    raw.ends().await;
}
