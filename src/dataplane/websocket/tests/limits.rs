//! What viewers may send.

use std::num::{NonZeroU32, NonZeroU64};

use super::*;

/// A viewer's frame, masked with zeros.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

fn of_bytes(most: u64) -> Setting {
    living(Life { max_message_bytes: NonZeroU64::new(most), ..Life::default() })
}

fn of_messages(most: u32) -> Setting {
    living(Life { messages_per_second: NonZeroU32::new(most), ..Life::default() })
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_message_that_is_too_long_ends_with_1009_and_nothing_of_its_last_frame_passes() {
    let mut scene = Scene::with(of_bytes(10));
    // Ten bytes in fragments with a ping between them are as many as in one frame.
    scene.viewer.send(&masked(0x81, b"0123456789")).await;
    scene.viewer.send(&masked(0x01, b"01234")).await;
    scene.viewer.send(&masked(0x89, b"a long ping")).await;
    scene.viewer.send(&masked(0x80, b"56789")).await;
    for first in [0x81, 0x01, 0x89, 0x80] {
        assert_eq!(scene.origin.frame().await.0, first);
    }
    scene.viewer.send(&masked(0x02, b"0123456789")).await;
    scene.viewer.send(&[&masked(0x00, b"!")[..], &masked(0x88, &[3, 0xe8])].concat()).await;
    assert_eq!(scene.origin.frame().await, (0x02, b"0123456789".to_vec()));
    assert_eq!(scene.origin.close().await, 1001);
    assert_eq!(scene.viewer.close().await, 1009);
    // Its answer stood behind the frame, and was heard.
    assert_eq!(scene.viewer.end().await, b"");
    drop((scene.viewer, scene.origin));
    assert_eq!(scene.report.verdict().await, (ClosedBy::LimitMessageSize, 1009));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_length_is_enough_to_be_too_long() {
    let mut scene = Scene::with(of_bytes(10));
    scene.viewer.send(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00").await;
    assert_eq!(scene.viewer.close().await, 1009);
    assert_eq!(scene.origin.close().await, 1001);
    let before = Instant::now();
    // The frame goes on and leaves no place for an answer.
    assert_eq!(scene.report.verdict().await, (ClosedBy::LimitMessageSize, 1009));
    assert_eq!(before.elapsed().as_secs(), 5);
    assert!(scene.viewer.was_reset());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_the_origin_sends_is_not_limited() {
    let life = Life {
        max_message_bytes: NonZeroU64::new(1),
        messages_per_second: NonZeroU32::new(1),
        ..Life::default()
    };
    let mut scene = Scene::with(living(life));
    scene.origin.send(&HI.repeat(5)).await;
    for _ in 0..5 {
        assert_eq!(scene.viewer.frame().await, (0x81, b"hi".to_vec()));
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn too_many_messages_end_with_1008() {
    let mut scene = Scene::with(of_messages(5));
    for _ in 0..5 {
        // Fragments are one message, and control frames none.
        scene.viewer.send(&[masked(0x01, b"h"), masked(0x89, b""), masked(0x80, b"i")].concat()).await;
        sleep(SECOND / 5).await;
    }
    scene.viewer.send(&masked(0x81, b"hi").repeat(6)).await;
    for first in [0x01, 0x89, 0x80].repeat(5) {
        assert_eq!(scene.origin.frame().await.0, first);
    }
    for _ in 0..5 {
        assert_eq!(scene.origin.frame().await.0, 0x81);
    }
    assert_eq!(scene.origin.close().await, 1001);
    assert_eq!(scene.viewer.close().await, 1008);
    drop((scene.viewer, scene.origin));
    assert_eq!(scene.report.verdict().await, (ClosedBy::LimitMessageRate, 1008));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_piled_up_before_a_slow_origin_is_not_held_against_the_viewer() {
    let mut scene = Scene::with(Setting { capacity: 64, ..of_messages(5) });
    let viewer = async {
        for _ in 0..50 {
            scene.viewer.stream.write_all(MASKED_HI).await.unwrap();
            sleep(SECOND / 5).await;
        }
    };
    let origin = async {
        sleep(20 * SECOND).await;
        for _ in 0..50 {
            assert_eq!(scene.origin.frame().await, (0x81, b"hi".to_vec()));
        }
    };
    tokio::join!(viewer, origin);
    assert_eq!(all(&scene.registry)[0].to_origin.messages, 50);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_close_past_a_limit_waits_for_the_frame_that_the_viewer_is_getting() {
    let mut scene = Scene::with(of_bytes(1));
    scene.origin.send(b"\x82\x05he").await;
    let mut head = [0; 4];
    scene.viewer.stream.read_exact(&mut head).await.unwrap();
    scene.viewer.send(MASKED_HI).await;
    assert_eq!(scene.origin.close().await, 1001);
    assert!(timeout(SECOND, scene.viewer.stream.read_u8()).await.is_err());
    scene.origin.send(b"llo").await;
    let mut rest = [0; 3];
    scene.viewer.stream.read_exact(&mut rest).await.unwrap();
    assert_eq!(scene.viewer.close().await, 1009);
}
