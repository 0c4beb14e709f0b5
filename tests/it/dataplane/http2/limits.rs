//! Each wait and each bound, shrunk.

use std::time::Duration;

use super::raw::*;
use super::*;
use crate::dataplane::rig::{EchoOrigin, RawOrigin};

const SHORT: Duration = Duration::from_millis(100);

/// `INITIAL_WINDOW_SIZE` of nothing.
const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];

fn status(frame: &Frame) -> u8 {
    frame.payload[0]
}

#[tokio::test]
async fn a_viewer_that_says_nothing_after_tls_is_closed() {
    let door = Door::with(Limits { request_head: SHORT, ..Limits::default() }, vec![Site::new("web", &[])]);
    let mut silent = crate::dataplane::rig::Viewer::on(door.stream().await);
    // It may say its settings before it goes.
    soon(async { while silent.try_bytes(1).await.is_some() {} }).await;
}

#[tokio::test]
async fn a_header_block_without_an_end_is_given_up() {
    let door = Door::with(Limits { request_head: SHORT, ..Limits::default() }, vec![Site::new("web", &[])]);
    let mut raw = Raw::connect(&door, &[]).await;
    raw.send(&frame(HEADERS, END_STREAM, 1, &block("GET"))).await;
    assert_eq!(raw.ends().await, Some(ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn a_header_block_that_lacks_a_byte_of_its_last_frame_is_given_up() {
    let door = Door::with(Limits { request_head: SHORT, ..Limits::default() }, vec![Site::new("web", &[])]);
    for whole in [
        request(1),
        [frame(HEADERS, END_STREAM, 1, &block("GET")), frame(CONTINUATION, END_HEADERS, 1, &[0x90])].concat(),
    ] {
        let mut raw = Raw::connect(&door, &[]).await;
        raw.send(&whole[..whole.len() - 1]).await;
        assert_eq!(raw.ends().await, Some(ENHANCE_YOUR_CALM));
    }
}

#[tokio::test]
async fn a_stream_whose_body_never_comes_is_408() {
    let limits = Limits { request_body_gap: SHORT, ..Limits::default() };
    let origin = RawOrigin::start().await;
    let door = Door::with(limits, vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let (response, _never_sent) = client.open(post("https://web.example/")).await;
    let _connection = origin.accept().await;
    assert_eq!(error(&soon(response).await.unwrap()), (408, Some("viewer_timeout")));
}

#[tokio::test]
async fn a_body_that_drips_is_408() {
    let limits = Limits {
        request_body_gap: 2 * SHORT,
        // At least a kilobyte in that time.
        request_body_rate: 5 * 1024,
        ..Limits::default()
    };
    let origin = RawOrigin::start().await;
    let door = Door::with(limits, vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let (mut response, mut body) = client.open(post("https://web.example/")).await;
    let _connection = origin.accept().await;
    let mut drip = tokio::time::interval(SHORT / 4);
    let response = soon(async {
        loop {
            tokio::select! {
                response = &mut response => return response,
                _ = drip.tick() => { let _reset = body.send_data(Bytes::from_static(b"x"), false); }
            }
        }
    })
    .await;
    assert_eq!(error(&response.unwrap()), (408, Some("viewer_timeout")));
}

#[tokio::test]
async fn after_the_origins_answer_a_viewer_may_pause() {
    let limits = Limits { request_body_gap: SHORT, ..Limits::default() };
    let origin = RawOrigin::start().await;
    let door = Door::with(limits, vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let (response, mut body) = client.open(post("https://web.example/")).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
    let mut answer = soon(response).await.unwrap().into_body();
    tokio::time::sleep(3 * SHORT).await;
    body.send_data(Bytes::from_static(b"late"), true).unwrap();
    connection.until("late").await;
    connection.send("ok").await;
    assert_eq!(soon(answer.data()).await.unwrap().unwrap(), "ok");
}

#[tokio::test]
async fn a_stream_whose_answer_is_not_taken_is_reset_and_no_other() {
    let limits = Limits { answer_stall: SHORT, ..Limits::default() };
    let origin = EchoOrigin::start("web").await;
    let door = Door::with(limits, vec![Site::new("web", &[origin.address])]);
    let mut raw = Raw::connect(&door, &NO_WINDOW).await;
    let streams: Vec<u32> = (1..).step_by(2).take(20).collect();
    for stream in &streams {
        raw.send(&request(*stream)).await;
    }
    let mut reset = Vec::new();
    while reset.len() < streams.len() {
        let frame = raw.until(RST_STREAM).await;
        assert_eq!(frame.error(), CANCEL);
        reset.push(frame.stream);
    }
    reset.sort_unstable();
    assert_eq!(reset, streams);
    // The connection is as good as before.
    raw.send(&request(101)).await;
    raw.send(&frame(WINDOW_UPDATE, 0, 101, &[0, 0, 64, 0])).await;
    let data = raw.until(DATA).await;
    assert_eq!((data.stream, data.flags & END_STREAM), (101, END_STREAM));
}

#[tokio::test]
async fn an_idle_connection_is_closed_whatever_it_pings() {
    let limits = Limits { viewer_idle: 3 * SHORT, ..Limits::default() };
    let door = Door::with(limits, vec![Site::new("web", &[])]);
    let mut raw = Raw::connect(&door, &[]).await;
    raw.send(&request(1)).await;
    let headers = raw.until(HEADERS).await;
    assert_ne!(status(&headers), 0);
    let mut pings = tokio::time::interval(SHORT / 2);
    let goaway = soon(async {
        loop {
            pings.tick().await;
            raw.send(&frame(PING, 0, 0, &[7; 8])).await;
            match raw.next().await.unwrap() {
                frame if frame.kind == GOAWAY => return frame,
                frame => assert!(frame.kind == PING || frame.kind == DATA),
            }
        }
    })
    .await;
    assert_eq!(goaway.error(), NO_ERROR);
    raw.ends().await;
}

#[tokio::test]
async fn a_connection_is_left_after_its_requests_and_serves_what_is_open() {
    let origin = RawOrigin::start().await;
    let limits = Limits { connection_requests: 2, ..Limits::default() };
    let door = Door::with(limits, vec![Site::new("web", &[origin.address])]);
    let mut raw = Raw::connect(&door, &[]).await;
    raw.send(&[request(1), request(3)].concat()).await;
    assert_eq!(raw.until(GOAWAY).await.error(), NO_ERROR);
    for _ in 0..2 {
        let mut connection = origin.accept().await;
        connection.until("\r\n\r\n").await;
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert_eq!(raw.until(DATA).await.payload, b"ok");
    }
    // A viewer that is not there any more is not waited for.
    raw.ends().await;
}

#[tokio::test]
async fn a_connection_is_left_when_it_is_old() {
    let limits = Limits { connection_age: SHORT, ..Limits::default() };
    let door = Door::with(limits, vec![Site::new("web", &[])]);
    let mut raw = Raw::connect(&door, &[]).await;
    assert_eq!(raw.until(GOAWAY).await.error(), NO_ERROR);
    raw.ends().await;
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused() {
    let origin = RawOrigin::start().await;
    let limits = Limits { streams: 2, ..Limits::default() };
    let door = Door::with(limits, vec![Site::new("web", &[origin.address])]);
    let mut raw = Raw::connect(&door, &[]).await;
    raw.send(&[request(1), request(3), request(5)].concat()).await;
    let reset = raw.until(RST_STREAM).await;
    // REFUSED_STREAM: it may be sent again.
    assert_eq!((reset.stream, reset.error()), (5, 7));
}
