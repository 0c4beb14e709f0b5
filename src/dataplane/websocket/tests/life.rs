//! What a tunnel is held to by its behavior.

use super::*;

/// A viewer's pong with that payload.
fn pong(payload: &[u8]) -> Vec<u8> {
    [&[0x8a, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

fn pinged() -> Scene {
    Scene::with(living(Life { ping_interval: Some(10 * SECOND), ..Life::default() }))
}

impl Peer {
    /// Reads a ping of the proxy's and returns its payload.
    async fn ping(&mut self) -> Vec<u8> {
        let (first, payload) = self.frame().await;
        assert_eq!((first, payload.len()), (0x89, 8));
        payload
    }

    async fn says_nothing_for(&mut self, time: Duration) {
        assert!(timeout(time, self.stream.read_u8()).await.is_err());
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn the_longest_life_ends_with_1012_whatever_passes() {
    let mut scene = Scene::with(living(Life { max_duration: Some(3 * SECOND), ..Life::default() }));
    let before = Instant::now();
    for _ in 0..2 {
        sleep(SECOND).await;
        scene.viewer.send(MASKED_HI).await;
        assert_eq!(scene.origin.frame().await, (0x81, b"hi".to_vec()));
    }
    // In the middle of a message, between two of its frames.
    scene.origin.send(b"\x01\x02he").await;
    assert_eq!(scene.viewer.frame().await, (0x01, b"he".to_vec()));
    assert_eq!(scene.viewer.close().await, 1012);
    assert_eq!(before.elapsed().as_secs(), 3);
    assert_eq!(scene.origin.close().await, 1001);
    drop((scene.viewer, scene.origin));
    assert_eq!(scene.report.verdict().await, (ClosedBy::MaxDuration, 1012));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_viewer_that_answers_its_pings_lives_and_its_origin_hears_nothing_of_them() {
    let mut scene = pinged();
    let before = Instant::now();
    for round in 1..=10 {
        let payload = scene.viewer.ping().await;
        assert_eq!(before.elapsed().as_secs(), round * 10);
        // The answer comes in pieces, and between two messages.
        let answer = pong(&payload);
        scene.viewer.send(&[MASKED_HI, &answer[..5]].concat()).await;
        assert_eq!(scene.origin.frame().await, (0x81, b"hi".to_vec()));
        scene.viewer.send(&[&answer[5..], MASKED_HI].concat()).await;
        assert_eq!(scene.origin.frame().await, (0x81, b"hi".to_vec()));
    }
    // Somebody else's pong is passed on.
    scene.viewer.send(&pong(b"of mine?")).await;
    assert_eq!(scene.origin.frame().await, (0x8a, b"of mine?".to_vec()));
    let listed = all(&scene.registry);
    assert_eq!(listed[0].to_origin, Tally { bytes: 20 * 8 + 14, frames: 21, messages: 20 });
    assert_eq!(listed[0].to_viewer, Tally::default());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn two_missed_pongs_close_with_1001() {
    let mut scene = pinged();
    let payload = scene.viewer.ping().await;
    scene.viewer.ping().await;
    // The first one was only late.
    scene.viewer.send(&pong(&payload)).await;
    scene.viewer.ping().await;
    let before = Instant::now();
    scene.viewer.ping().await;
    scene.origin.says_nothing_for(9 * SECOND).await;
    assert_eq!(scene.viewer.close().await, 1001);
    assert_eq!(before.elapsed().as_secs(), 20);
    assert_eq!(scene.origin.close().await, 1001);
    // Who does not answer pings does not answer a Close.
    assert_eq!(scene.report.verdict().await, (ClosedBy::PingTimeout, 1001));
    assert!(scene.viewer.was_reset());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_pong_for_the_origin_is_a_sign_of_life_too() {
    let mut scene = pinged();
    for _ in 0..5 {
        scene.viewer.ping().await;
        scene.viewer.send(&pong(b"")).await;
        assert_eq!(scene.origin.frame().await, (0x8a, vec![]));
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn inside_a_frame_to_the_viewer_no_ping_is_sent_and_none_is_missed() {
    let mut scene = pinged();
    scene.viewer.ping().await;
    scene.origin.send(b"\x82\x05he").await;
    let mut head = [0; 4];
    scene.viewer.stream.read_exact(&mut head).await.unwrap();
    scene.viewer.says_nothing_for(100 * SECOND).await;
    // With the frame's end there is a place again, also before the rest of what came with it.
    scene.origin.send(b"llo\x01\x01h").await;
    let mut rest = [0; 6];
    soon(scene.viewer.stream.read_exact(&mut rest)).await.unwrap();
    assert_eq!(&rest, b"llo\x01\x01h");
    scene.viewer.ping().await;
    assert_eq!(scene.viewer.close().await, 1001);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn inside_a_frame_of_the_viewers_no_pong_is_missed() {
    let mut scene = pinged();
    let payload = scene.viewer.ping().await;
    let (head, tail) = MASKED_HI.split_at(7);
    scene.viewer.send(head).await;
    scene.viewer.says_nothing_for(100 * SECOND).await;
    scene.viewer.send(&[tail, &pong(&payload)].concat()).await;
    assert_eq!(scene.origin.frame().await, (0x81, b"hi".to_vec()));
    scene.viewer.ping().await;
    scene.origin.says_nothing_for(SECOND).await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_ping_finds_its_place_among_frames_that_wait() {
    let setting = Setting {
        capacity: 16,
        life: Life { ping_interval: Some(10 * SECOND), ..Life::default() },
        ..Setting::default()
    };
    let mut scene = Scene::with(setting);
    // Ten whole frames and the beginning of another one, which the viewer does not take.
    scene.origin.send(HI).await;
    let many = [HI.repeat(10), HI[..3].to_vec()].concat();
    let sent = async { scene.origin.stream.write_all(&many).await.unwrap() };
    let taken = async {
        sleep(15 * SECOND).await;
        let mut frames = Vec::new();
        while frames.last() != Some(&0x89) {
            frames.push(scene.viewer.frame().await.0);
        }
        frames
    };
    let ((), frames) = tokio::join!(sent, taken);
    assert!(frames.iter().rev().skip(1).all(|first| *first == 0x81), "{frames:x?}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn pings_and_their_answers_do_not_count_as_use() {
    let life = Life { idle_timeout: Some(35 * SECOND), ping_interval: Some(10 * SECOND), ..Life::default() };
    let mut scene = Scene::with(living(life));
    let before = Instant::now();
    for _ in 0..3 {
        let payload = scene.viewer.ping().await;
        scene.viewer.send(&pong(&payload)).await;
    }
    assert_eq!(scene.viewer.close().await, 1001);
    assert_eq!(before.elapsed().as_secs(), 35);
    drop((scene.viewer, scene.origin));
    assert_eq!(scene.report.verdict().await, (ClosedBy::Idle, 1001));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn nobody_is_pinged_after_a_close() {
    let mut scene = pinged();
    scene.origin.send(CLOSE).await;
    assert_eq!(scene.viewer.close().await, 1000);
    scene.viewer.says_nothing_for(100 * SECOND).await;
}
