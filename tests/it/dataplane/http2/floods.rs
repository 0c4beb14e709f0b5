//! What nobody may do: the connection ends with ENHANCE_YOUR_CALM, and others are served meanwhile.

use super::raw::*;
use super::*;
use crate::dataplane::rig::{EchoOrigin, RawOrigin};

/// More than any limit.
const MANY: u32 = 20_000;

/// Has one viewer flood, and another one served.
async fn is_told_to_calm_down(settings: &[u8], first: &[u8], bytes: impl FnMut(u32) -> Vec<u8>) {
    let origin = EchoOrigin::start("web").await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut other = door.connect().await;
    let mut raw = Raw::connect(&door, settings).await;
    raw.send(first).await;
    let flood = async {
        raw.flood(MANY, bytes).await;
        raw.ends().await
    };
    let (error, ()) = tokio::join!(flood, async {
        for _ in 0..10 {
            assert_eq!(other.ask(get("https://web.example/")).await.status(), 200);
        }
    });
    assert_eq!(error, Some(ENHANCE_YOUR_CALM));
    assert_eq!(other.ask(get("https://web.example/")).await.status(), 200);
}

fn odd(time: u32) -> u32 {
    2 * time + 1
}

/// A window that no stream may have, which is an error of that stream (RFC 9113 section 6.9.1).
fn too_wide(stream: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff])
}

#[tokio::test]
async fn streams_that_are_reset_at_once() {
    is_told_to_calm_down(&[], &[], |time| {
        [request(odd(time)), frame(RST_STREAM, 0, odd(time), &CANCEL.to_be_bytes())].concat()
    })
    .await;
}

#[tokio::test]
async fn streams_that_we_are_made_to_reset() {
    is_told_to_calm_down(&[], &[], |time| [request(odd(time)), too_wide(odd(time))].concat()).await;
}

#[tokio::test]
async fn header_blocks_that_never_end() {
    let first = frame(HEADERS, END_STREAM, 1, &block("GET"));
    // A literal without indexing, `x: ` and 100 bytes.
    let field = [&[0x00, 1, b'x', 100][..], &[b'y'; 100]].concat();
    is_told_to_calm_down(&[], &first, |_| frame(CONTINUATION, 0, 1, &field)).await;
}

#[tokio::test]
async fn header_blocks_that_never_end_and_say_nothing() {
    let first = frame(HEADERS, END_STREAM, 1, &block("GET"));
    is_told_to_calm_down(&[], &first, |_| frame(CONTINUATION, 0, 1, &[])).await;
}

#[tokio::test]
async fn pings() {
    is_told_to_calm_down(&[], &[], |_| frame(PING, 0, 0, &[0; 8])).await;
}

#[tokio::test]
async fn settings() {
    is_told_to_calm_down(&[], &[], |_| frame(SETTINGS, 0, 0, &[])).await;
}

#[tokio::test]
async fn priorities() {
    is_told_to_calm_down(&[], &[], |_| frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1])).await;
}

#[tokio::test]
async fn window_updates() {
    is_told_to_calm_down(&[], &[], |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).await;
}

#[tokio::test]
async fn frames_that_nobody_knows() {
    is_told_to_calm_down(&[], &[], |_| frame(0xbe, 0, 0, &[1; 64])).await;
}

#[tokio::test]
async fn data_that_is_empty() {
    let first = frame(HEADERS, END_HEADERS, 1, &block("POST"));
    is_told_to_calm_down(&[], &first, |_| frame(DATA, 0, 1, &[])).await;
}

#[tokio::test]
async fn a_reset_takes_its_exchange_along() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut raw = Raw::connect(&door, &[]).await;
    // By the viewer, and by a mistake of the viewer's.
    for (stream, end) in [(1, frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes())), (3, too_wide(3))] {
        raw.send(&request(stream)).await;
        let mut connection = origin.accept().await;
        connection.until("\r\n\r\n").await;
        raw.send(&end).await;
        assert_eq!(connection.rest().await, "");
    }
    // The others of the connection are served.
    raw.send(&request(5)).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(raw.until(DATA).await.payload, b"ok");
}

#[tokio::test]
async fn slow_resets_end_a_connection_too() {
    let limits = Limits { viewer_resets: 10, ..Limits::default() };
    let origin = RawOrigin::start().await;
    let door = Door::with(limits, vec![Site::new("web", &[origin.address])]);
    let mut raw = Raw::connect(&door, &[]).await;
    let mut unanswered = Vec::new();
    for stream in (1..).step_by(2).take(11) {
        raw.send(&request(stream)).await;
        unanswered.push(origin.accept().await);
        // As many as are allowed.
        if stream < 21 {
            raw.send(&frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())).await;
            raw.send(&frame(PING, 0, 0, &[7; 8])).await;
            raw.until(PING).await;
        }
    }
    raw.send(&frame(RST_STREAM, 0, 21, &CANCEL.to_be_bytes())).await;
    assert_eq!(raw.ends().await, Some(ENHANCE_YOUR_CALM));
}

/// Has a viewer open the window of its stream by so many bytes after each DATA frame; gives the error of the
/// GOAWAY, and none where it got everything.
async fn dribbled(step: u16) -> Option<u32> {
    let origin = RawOrigin::start().await;
    let limits = Limits { control_frames: 20, ..Limits::default() };
    let door = Door::with(limits, vec![Site::new("web", &[origin.address])]);
    let mut raw = Raw::connect(&door, &[0, 4, 0, 0, 0, 0]).await;
    raw.send(&request(1)).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    let body = "y".repeat(60 * 1024);
    connection.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
    raw.until(HEADERS).await;
    loop {
        raw.send(&frame(WINDOW_UPDATE, 0, 1, &u32::from(step).to_be_bytes())).await;
        match raw.next().await.unwrap() {
            frame if frame.kind == GOAWAY => return Some(frame.error()),
            frame if frame.flags & END_STREAM != 0 => return None,
            frame => assert_eq!(frame.kind, DATA),
        }
    }
}

#[tokio::test]
async fn windows_that_let_a_byte_pass() {
    assert_eq!(dribbled(1).await, Some(ENHANCE_YOUR_CALM));
    assert_eq!(dribbled(1024).await, None);
}
