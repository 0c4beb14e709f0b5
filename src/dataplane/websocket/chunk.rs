//! What a flow has read, how it is told apart into frames, and what of it is not yet written on.
//!
//! No byte is moved: what passes is a window of what was read, and where something between two frames does not pass,
//! what stands behind that is the next window.

use bytes::{Buf, Bytes};

use super::buffers::Buffers;
use super::frames::{Fault, Follower, Seen, Step, UNFINISHED};
use super::registry::Tally;

/// What was read and not yet told apart: `store[at..end]`.
#[derive(Debug)]
pub(super) struct Batch {
    store: Store,
    at: usize,
    end: usize,
}

#[derive(Debug)]
enum Store {
    /// It was read into one of the worker's buffers.
    Buffer(Box<[u8]>),
    /// It came as it is.
    Piece(Bytes),
}

/// What is to be written: `store[start..end]` of its batch.
#[derive(Debug)]
pub(super) struct Chunk {
    batch: Batch,
    start: usize,
    end: usize,
    /// The last place before the end where a frame ends.
    boundary: Option<usize>,
    /// What ends in the chunk, counted when its last boundary is passed.
    ends: Tally,
}

/// A batch, told apart as far as its first chunk.
#[derive(Debug)]
pub(super) struct Sifted {
    pub(super) chunk: Chunk,
    /// The beginning of a frame that cannot be told yet: it comes again before what is read next.
    pub(super) held: Vec<u8>,
    /// Whether what follows the chunk begins a frame.
    pub(super) aligned: bool,
    /// The code of a Close that is in the chunk or was before it.
    pub(super) close: Option<u16>,
    /// Why the chunk ends before a frame that does not pass.
    pub(super) verdict: Result<(), Fault>,
}

impl Batch {
    /// The first `length` bytes of a buffer.
    pub(super) fn of_buffer(buffer: Box<[u8]>, length: usize) -> Self {
        Self { at: 0, end: length.min(buffer.len()), store: Store::Buffer(buffer) }
    }

    /// All of a piece.
    pub(super) fn of_piece(piece: Bytes) -> Self {
        Self { at: 0, end: piece.len(), store: Store::Piece(piece) }
    }

    /// What is held with as much of a piece behind it as tells the frame that it begins. That alone is copied.
    pub(super) fn of_held(held: &mut Vec<u8>, piece: &mut Bytes, follower: &Follower) -> Self {
        let before = held.len();
        held.extend(piece.iter().take(UNFINISHED));
        let length = follower.tells(held).unwrap_or(held.len());
        held.truncate(length);
        piece.advance(length.saturating_sub(before).min(piece.len()));
        Self::of_piece(std::mem::take(held).into())
    }

    fn get(&self, from: usize, to: usize) -> &[u8] {
        let all = match &self.store {
            Store::Buffer(buffer) => buffer,
            Store::Piece(piece) => &piece[..],
        };
        all.get(from..to).unwrap_or_default()
    }

    /// Itself, where there is something in it; its buffer is given back otherwise.
    fn remaining(self, buffers: &Buffers) -> Option<Self> {
        match self.store {
            _ if self.at < self.end => return Some(self),
            Store::Buffer(buffer) => buffers.give(buffer),
            Store::Piece(_) => {}
        }
        None
    }
}

impl Chunk {
    /// Follows a batch to its end, or to an answer to a ping of ours behind what passes.
    pub(super) fn sift(mut batch: Batch, follower: &mut Follower) -> Sifted {
        let before = follower.seen();
        let (mut start, mut end, mut boundary, mut held) = (batch.at, batch.at, None, Vec::new());
        let mut cut = None;
        while batch.at < batch.end {
            let rest = batch.get(batch.at, batch.end);
            let passes = cut.is_none();
            match follower.step(rest) {
                Ok(Step::Within(passed)) => {
                    batch.at += passed;
                    if passes {
                        end = batch.at;
                    }
                }
                Ok(Step::ToEnd(passed)) => {
                    batch.at += passed;
                    if passes {
                        (end, boundary) = (batch.at, Some(batch.at));
                    }
                }
                Ok(Step::OwnPong(ours)) => {
                    batch.at += ours;
                    if passes && start < end {
                        break;
                    }
                    if passes {
                        (start, end) = (batch.at, batch.at);
                    }
                }
                Ok(Step::Unfinished) => {
                    held = rest.to_vec();
                    batch.at = batch.end;
                }
                // It does not pass, but what follows must be heard, where it still means something.
                Err(fault) => {
                    cut.get_or_insert((fault, follower.seen()));
                    if follower.is_lost() {
                        batch.at = batch.end;
                    }
                }
            }
        }
        let (aligned, seen, verdict) = match cut {
            Some((fault, seen)) => (true, seen, Err(fault)),
            None => (follower.is_between(), follower.seen(), Ok(())),
        };
        let chunk = Self { batch, start, end, boundary, ends: ended(before, seen) };
        Sifted { chunk, held, aligned, close: seen.close, verdict }
    }

    /// Bytes of a frame that will never be whole.
    pub(super) fn torn(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        let batch = Batch { at: end, ..Batch::of_piece(bytes.into()) };
        Self { batch, start: 0, end, boundary: None, ends: Tally::default() }
    }

    /// What is still to be written.
    pub(super) fn unwritten(&self) -> &[u8] {
        self.batch.get(self.start, self.end)
    }

    /// What of it stands before the last place where a frame ends; none where that was passed.
    pub(super) fn whole_frames(&self) -> Option<&[u8]> {
        self.boundary
            .filter(|boundary| self.start <= *boundary)
            .map(|boundary| self.batch.get(self.start, boundary))
    }

    /// Notes that so much was written, and says what passed with it.
    pub(super) fn written(&mut self, length: usize) -> Tally {
        self.start += length;
        let passed = self.boundary.is_some_and(|boundary| boundary <= self.start);
        let ends = if passed { std::mem::take(&mut self.ends) } else { Tally::default() };
        Tally { bytes: length as u64, ..ends }
    }

    /// Drops what stands behind the last frame that is whole, where not all before it has passed yet. Whether it did.
    pub(super) fn truncate(&mut self) -> bool {
        match self.boundary.filter(|boundary| *boundary >= self.start) {
            Some(boundary) => {
                self.end = boundary;
                true
            }
            None => false,
        }
    }

    /// What of its batch comes after it.
    pub(super) fn rest(self, buffers: &Buffers) -> Option<Batch> {
        self.batch.remaining(buffers)
    }
}

fn ended(before: Seen, after: Seen) -> Tally {
    Tally { bytes: 0, frames: after.frames - before.frames, messages: after.messages - before.messages }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::websocket::frames::Mark;
    use crate::telemetry::metrics::Direction;

    /// A frame of a viewer, masked with zeros.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let length = 0x80 | u8::try_from(payload.len()).unwrap();
        [&[first, length, 0, 0, 0, 0], payload].concat()
    }

    #[test]
    fn answers_to_our_own_pings_are_left_out_wherever_they_stand() {
        let (text, foreign, close) = (frame(0x81, b"hello"), frame(0x8a, b"87654321"), frame(0x88, b""));
        let mark = Mark::new();
        let own = frame(0x8a, &mark.ping()[2..]);
        let halves = text.split_at(7);
        let read = [&own[..], &text, &own, &own, &foreign, &text, &own, &close, &own, halves.0].concat();
        let mut follower = Follower::new(Direction::ToOrigin);
        follower.expect_pongs(mark);
        let buffers = Buffers::default();
        let mut batch = Some(Batch::of_piece(read.into()));
        let mut passed = Vec::new();
        while let Some(next) = batch {
            let Sifted { chunk, aligned, close, .. } = Chunk::sift(next, &mut follower);
            passed.push((chunk.unwritten().to_vec(), chunk.whole_frames().map(<[u8]>::len), aligned, close));
            batch = chunk.rest(&buffers);
        }
        let expected = [
            (text.clone(), Some(text.len()), true, None),
            ([&foreign[..], &text].concat(), Some(foreign.len() + text.len()), true, None),
            (close.clone(), Some(close.len()), true, Some(1005)),
            (halves.0.to_vec(), None, false, Some(1005)),
        ];
        assert_eq!(passed, expected);
        assert_eq!(follower.seen().pongs, 6);
    }

    #[test]
    fn what_is_held_takes_from_a_piece_what_it_needs() {
        let long = [&[0x82, 0xfe, 0x10, 0, 1, 2, 3, 4][..], &[7; 0x1000]].concat();
        for (whole, told) in [(long, 8), (frame(0x89, b"hello"), 11), (frame(0x81, b""), 6)] {
            for at in 1..told {
                let mut follower = Follower::new(Direction::ToOrigin);
                let (mut held, mut piece) = (whole[..at].to_vec(), Bytes::from(whole[at..].to_vec()));
                let batch = Batch::of_held(&mut held, &mut piece, &follower);
                assert_eq!((batch.end, held.len(), piece.len()), (told, 0, whole.len() - told));
                let sifted = Chunk::sift(batch, &mut follower);
                assert_eq!((sifted.chunk.unwritten(), &sifted.held[..]), (&whole[..told], &[][..]));
            }
        }
        // What is too little stays so.
        let follower = Follower::new(Direction::ToOrigin);
        let (mut held, mut piece) = (vec![0x82], Bytes::from_static(&[0xfe, 0x10]));
        let batch = Batch::of_held(&mut held, &mut piece, &follower);
        assert_eq!((batch.end, piece.len()), (3, 0));
    }
}
