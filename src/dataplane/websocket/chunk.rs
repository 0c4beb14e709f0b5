//! What a flow has read and not yet written on, and how it is told apart into frames.

use super::frames::{Fault, Follower, Seen, Step};
use super::registry::Tally;

/// What was read and is not yet written: `buffer[start..end]`.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// The last place in the buffer where a frame ends.
    boundary: Option<usize>,
    /// What ends in the chunk, counted when its last boundary is passed.
    ends: Tally,
}

/// A buffer, told apart.
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

impl Chunk {
    /// Follows the first `length` bytes of a buffer.
    pub(super) fn sift(mut buffer: Box<[u8]>, length: usize, follower: &mut Follower) -> Sifted {
        let before = follower.seen();
        // What passes moves up by what does not, each byte once, however many pongs there are.
        let (mut from, mut at, mut boundary, mut held) = (0, 0, None, Vec::new());
        let mut cut = None;
        while let Some(rest) = buffer.get(from..length).filter(|rest| !rest.is_empty()) {
            match follower.step(rest) {
                Ok(Step::Within(passed)) => (from, at) = keep(&mut buffer, from, at, passed),
                Ok(Step::ToEnd(passed)) => {
                    (from, at) = keep(&mut buffer, from, at, passed);
                    boundary = Some(at).filter(|_| cut.is_none()).or(boundary);
                }
                Ok(Step::OwnPong(ours)) => from += ours,
                Ok(Step::Unfinished) => {
                    held = rest.to_vec();
                    break;
                }
                // It does not pass, but what follows must be heard, where it still means something.
                Err(fault) => {
                    cut.get_or_insert((at, fault, follower.seen()));
                    if follower.is_lost() {
                        break;
                    }
                }
            }
        }
        let (end, aligned, seen, verdict) = match cut {
            Some((end, fault, seen)) => (end, true, seen, Err(fault)),
            None => (at, follower.is_between(), follower.seen(), Ok(())),
        };
        let chunk = Self { buffer, start: 0, end, boundary, ends: ended(before, seen) };
        Sifted { chunk, held, aligned, close: seen.close, verdict }
    }

    /// Bytes of a frame that will never be whole.
    pub(super) fn torn(mut buffer: Box<[u8]>, bytes: &[u8]) -> Self {
        let end = bytes.len().min(buffer.len());
        buffer.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Self { buffer, start: 0, end, boundary: None, ends: Tally::default() }
    }

    /// What is still to be written.
    pub(super) fn unwritten(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// What of it stands before the last place where a frame ends; none where that was passed.
    pub(super) fn whole_frames(&self) -> Option<&[u8]> {
        self.buffer.get(self.start..self.boundary?)
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
}

/// Moves what passes up to what passed before; gives where the next bytes come from and go to.
fn keep(buffer: &mut [u8], from: usize, to: usize, passed: usize) -> (usize, usize) {
    if from != to {
        buffer.copy_within(from..from + passed, to);
    }
    (from + passed, to + passed)
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
        let passed = [&text[..], &foreign, &text, &close, halves.0].concat();
        let mut follower = Follower::new(Direction::ToOrigin);
        follower.expect_pongs(mark);
        let length = read.len();
        let Sifted { chunk, aligned, close, .. } = Chunk::sift(read.into(), length, &mut follower);
        assert_eq!(chunk.unwritten(), passed);
        assert_eq!(chunk.whole_frames(), passed.get(..passed.len() - halves.0.len()));
        assert_eq!((aligned, close, follower.seen().pongs), (false, Some(1005), 6));
    }
}
