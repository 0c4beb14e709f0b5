//! The follower of WebSocket frames: however its bytes are cut, it sees what a parser of whole frames sees.

use super::cuts;
use crate::dataplane::inside::frames::{Follower, Seen, Step};
use crate::telemetry::metrics::Direction;

/// The first byte says which direction, the second how the rest is cut into slices.
///
/// # Panics
/// Where cutting changes what is seen, or the follower and the parser below disagree.
pub fn frames(input: &[u8]) {
    let [direction, cut, stream @ ..] = input else { return };
    let direction = if direction & 1 == 0 { Direction::ToOrigin } else { Direction::ToViewer };
    let whole = follow(direction, [stream]);
    assert_eq!(follow(direction, cuts(stream, *cut)), whole, "cut by {cut}");
    assert_eq!(follow(direction, stream.chunks(1)), whole, "byte by byte");
    assert_eq!(parse(direction, stream), whole, "{stream:02x?}");
}

/// What a follower tells of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    seen: Seen,
    /// Where the last whole frame ends.
    boundary: usize,
    lost: bool,
}

fn follow<'s>(direction: Direction, slices: impl IntoIterator<Item = &'s [u8]>) -> Told {
    let mut follower = Follower::new(direction);
    let (mut passed, mut boundary) = (0, 0);
    let mut held = Vec::new();
    for slice in slices {
        held.extend_from_slice(slice);
        let mut rest = held.as_slice();
        while !rest.is_empty() {
            let length = match follower.step(rest) {
                Ok(Step::Within(length)) => length,
                Ok(Step::ToEnd(length)) => {
                    boundary = passed + length;
                    length
                }
                Ok(Step::Unfinished) => break,
                Ok(Step::OwnPong(_)) => unreachable!("nobody has pinged"),
                Err(_) => {
                    assert_eq!(passed, boundary, "what is wrong begins a frame");
                    assert!(follower.is_lost() && follower.step(b"\x81\x00").is_err(), "it is the end");
                    return Told { seen: follower.seen(), boundary, lost: true };
                }
            };
            passed += length;
            rest = rest.get(length..).expect("no more is passed than there is");
        }
        assert!(rest.len() < 131, "{} bytes are held back", rest.len());
        held = rest.to_vec();
    }
    Told { seen: follower.seen(), boundary, lost: false }
}

/// The frames of a whole stream (RFC 6455 section 5.2).
fn parse(direction: Direction, stream: &[u8]) -> Told {
    let mut told = Told { seen: Seen::default(), boundary: 0, lost: false };
    let mut rest = stream;
    loop {
        match frame(direction, rest) {
            Frame::Whole { control, last, close, pong, length } => {
                told.seen.frames += 1;
                told.seen.messages += u64::from(last && !control);
                told.seen.close = told.seen.close.or(close);
                told.seen.pongs += u64::from(pong);
                told.boundary += length;
                rest = rest.get(length..).unwrap_or_default();
            }
            Frame::Wrong => {
                told.lost = true;
                return told;
            }
            Frame::Unfinished => return told,
        }
    }
}

enum Frame {
    Whole { control: bool, last: bool, close: Option<u16>, pong: bool, length: usize },
    Wrong,
    Unfinished,
}

/// The frame at the beginning of `bytes`; what is wrong is seen as soon as the byte is there that makes it so.
fn frame(direction: Direction, bytes: &[u8]) -> Frame {
    let Some(first) = bytes.first() else { return Frame::Unfinished };
    let opcode = first & 0x0f;
    let control = opcode >= 8;
    if !matches!(opcode, 0..=2 | 8..=10) || (control && first & 0x80 == 0) {
        return Frame::Wrong;
    }
    let Some(second) = bytes.get(1) else { return Frame::Unfinished };
    let masked = second & 0x80 != 0;
    let short = second & 0x7f;
    if masked != (direction == Direction::ToOrigin) || (control && short > 125) {
        return Frame::Wrong;
    }
    let wide = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if wide == 8 && bytes.get(2).is_some_and(|byte| byte & 0x80 != 0) {
        return Frame::Wrong;
    }
    let Some(extended) = bytes.get(2..2 + wide) else { return Frame::Unfinished };
    let extended = extended.iter().fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
    let payload = if wide == 0 { u64::from(short) } else { extended };
    let key = if masked { bytes.get(2 + wide..6 + wide) } else { Some(&[0; 4][..]) };
    let Some(key) = key else { return Frame::Unfinished };
    let begins = 2 + wide + if masked { 4 } else { 0 };
    let ends = usize::try_from(payload).ok().and_then(|payload| begins.checked_add(payload));
    let Some(payload) = ends.and_then(|ends| bytes.get(begins..ends)) else { return Frame::Unfinished };
    let close = (opcode == 8).then(|| match (payload, key) {
        ([high, low, ..], [one, two, ..]) => u16::from_be_bytes([high ^ one, low ^ two]),
        _ => 1005,
    });
    let (last, pong) = (first & 0x80 != 0, opcode == 10);
    Frame::Whole { control, last, close, pong, length: begins + payload.len() }
}
