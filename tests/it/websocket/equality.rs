//! Whatever frames are sent, the bytes that arrive are the bytes that were sent, in both directions at once.
//!
//! Sequences of frames come from a seed: messages of one fragment or many, control frames between them, lengths up to
//! 200 kB and around each change of the length's form. Neither side writes or reads at the frames' bounds.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

use super::over_http2;
use super::peers::raw_tunnel;
use crate::dataplane::http2::Door;
use crate::dataplane::rig::{Plane, RawOrigin, Site, soon};

/// Whose frames they are: a client's are masked (RFC 6455 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Viewer,
    Origin,
}

/// So many bytes of frames, or somewhat more.
fn frames(random: &mut fastrand::Rng, from: From, total: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < total {
        let fragments = if random.bool() { 1 } else { random.u8(2..6) };
        let opcode = random.u8(1..=2);
        for fragment in 1..=fragments {
            let fin = if fragment == fragments { 0x80 } else { 0 };
            let opcode = if fragment == 1 { opcode } else { 0 };
            // Nobody here knows an extension that would use it, and so nobody minds the bit.
            let reserved = if random.u8(..8) == 0 { 0x40 } else { 0 };
            let length = length(random);
            put(&mut bytes, random, from, fin | reserved | opcode, length);
            for _ in 0..random.u8(..8) / 6 {
                let (opcode, length) = (0x89 + random.u8(..2), random.usize(..126));
                put(&mut bytes, random, from, opcode, length);
            }
        }
    }
    bytes
}

fn length(random: &mut fastrand::Rng) -> usize {
    match random.u8(..8) {
        0 => random.choice([0, 1, 125, 126, 127, 0xffff, 0x1_0000]).unwrap(),
        1..=3 => random.usize(..126),
        4..=6 => random.usize(..5000),
        _ => random.usize(..200_000),
    }
}

fn put(bytes: &mut Vec<u8>, random: &mut fastrand::Rng, from: From, first: u8, length: usize) {
    let mask = if from == From::Viewer { 0x80 } else { 0 };
    bytes.push(first);
    match length {
        0..=125 => bytes.push(mask | length as u8),
        126..=0xffff => {
            bytes.push(mask | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    if from == From::Viewer {
        bytes.extend(random.u32(..).to_be_bytes());
    }
    let start = bytes.len();
    bytes.resize(start + length, 0);
    random.fill(&mut bytes[start..]);
}

/// A side that writes in pieces of any size, and meanwhile reads in such pieces as much as it expects.
async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    send: &[u8],
    seed: u64,
    expect: usize,
) -> Vec<u8> {
    let (mut reader, mut writer) = split(stream);
    let piece = |random: &mut fastrand::Rng, most: usize| {
        let most = most.min(random.choice([1, 20, 2000, 40_000]).unwrap());
        random.usize(1..=most)
    };
    let write = async {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rest = send;
        while !rest.is_empty() {
            let (piece, left) = rest.split_at(piece(&mut random, rest.len()));
            writer.write_all(piece).await.unwrap();
            writer.flush().await.unwrap();
            rest = left;
        }
    };
    let read = async {
        let mut random = fastrand::Rng::with_seed(!seed);
        let mut got = vec![0; expect];
        let mut at = 0;
        while at < expect {
            let most = piece(&mut random, expect - at);
            let read = reader.read(&mut got[at..at + most]).await.unwrap();
            assert!(read > 0, "the end came after {at} of {expect} bytes");
            at += read;
        }
        got
    };
    soon(async { tokio::join!(write, read).1 }).await
}

/// Has both sides send at once what the seed says.
async fn are_equal(
    viewer: &mut (impl AsyncRead + AsyncWrite + Unpin),
    origin: &mut (impl AsyncRead + AsyncWrite + Unpin),
    seed: u64,
) {
    const TOTAL: usize = 600_000;
    let mut random = fastrand::Rng::with_seed(seed);
    let up = frames(&mut random, From::Viewer, TOTAL);
    let down = frames(&mut random, From::Origin, TOTAL);
    let (at_viewer, at_origin) = tokio::join!(
        exchange(viewer, &up, seed, down.len()),
        exchange(origin, &down, seed + 1000, up.len()),
    );
    assert!(at_viewer == down && at_origin == up, "seed {seed}");
}

#[tokio::test]
async fn the_bytes_that_arrive_are_the_bytes_that_were_sent() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    for seed in 0..4 {
        let (mut viewer, mut far) = raw_tunnel(&plane, &origin).await;
        are_equal(&mut viewer.stream, &mut far.stream, seed).await;
    }
}

#[tokio::test]
async fn over_http2_the_bytes_in_data_frames_are_the_bytes_that_were_sent() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    for seed in 0..4 {
        let (mut viewer, mut far) = over_http2::raw_tunnel(&mut client, &origin).await;
        are_equal(&mut viewer, &mut far.stream, seed).await;
    }
}

#[tokio::test]
async fn tunnels_of_one_connection_do_not_mix() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let mut tunnels = Vec::new();
    for seed in 10..14 {
        tunnels.push((over_http2::raw_tunnel(&mut client, &origin).await, seed));
    }
    let all = tunnels
        .iter_mut()
        .map(|((viewer, far), seed)| async move { are_equal(viewer, &mut far.stream, *seed).await });
    futures_util::future::join_all(all).await;
}
