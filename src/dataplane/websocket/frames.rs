//! Follows the frames of one direction as its bytes pass, so that the proxy knows when it stands between two.
//!
//! It reads the 2 to 14 bytes of each header (RFC 6455 section 5.2) and the code of a Close; payloads are neither
//! copied nor unmasked. It judges only what it needs to stay in step; reserved bits, continuations, UTF-8 and close
//! codes are for the endpoints to judge. Start at [`Follower::follow`].

use crate::telemetry::metrics::Direction;

const FIN: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const CONTROL: u8 = 0x08;
const CLOSE: u8 = 0x08;
const PONG: u8 = 0x0a;
const LAST_DATA_OPCODE: u8 = 0x02;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
const LONGEST_CONTROL_PAYLOAD: u8 = 125;
const TWO_BYTE_LENGTH: u8 = 126;
const EIGHT_BYTE_LENGTH: u8 = 127;
const MASK_BYTES: u8 = 4;

/// The code of a Close frame that carries none (RFC 6455 section 7.1.5).
const NO_STATUS: u16 = 1005;

/// Where one direction stands, and what it has seen.
#[derive(Debug)]
pub(crate) struct Follower {
    direction: Direction,
    place: Place,
    /// The first byte of the current frame: FIN, reserved bits and opcode.
    first: u8,
    /// The payload bytes of the current frame that are still to come; while its header passes, their number as far
    /// as it is known.
    left: u64,
    mask: u32,
    code: CloseCode,
    seen: Seen,
}

/// The next byte's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    First,
    Length,
    LongLength {
        missing: u8,
    },
    Mask {
        missing: u8,
    },
    Payload,
    /// A header made no sense: nothing that follows has a meaning.
    Lost,
}

/// The first two payload bytes of a Close, as they come.
#[derive(Clone, Copy, Debug, Default)]
enum CloseCode {
    #[default]
    Nothing,
    Half(u8),
    Whole(u16),
}

/// What has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Frames that have passed to their end.
    pub(crate) frames: u64,
    /// Messages whose last frame has.
    pub(crate) messages: u64,
    /// The code of the first Close, once it has passed; 1005 where it carries none.
    pub(crate) close: Option<u16>,
}

/// A frame that breaks the rules which the follower needs: the endpoint gets Close 1002 (RFC 6455 section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// How many bytes of the slice stand before the frame; none where the frame began in an earlier slice, so that
    /// a part of it has passed.
    pub(crate) sound: Option<usize>,
}

/// The byte just read cannot stand where it does.
struct Wrong;

impl Follower {
    /// A direction that nothing has passed in.
    pub(crate) fn new(direction: Direction) -> Self {
        Self {
            direction,
            place: Place::First,
            first: 0,
            left: 0,
            mask: 0,
            code: CloseCode::Nothing,
            seen: Seen::default(),
        }
    }

    /// What has passed so far.
    pub(crate) fn seen(&self) -> Seen {
        self.seen
    }

    /// Whether there was a violation: nothing more can be told of the stream.
    pub(crate) fn is_lost(&self) -> bool {
        self.place == Place::Lost
    }

    /// Follows the next slice; it may end anywhere.
    ///
    /// Returns how many of its bytes stand before the last frame boundary in it, that of a frame which ends in the
    /// slice; none where no frame ends. After a violation every slice is one.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<Option<usize>, Violation> {
        let mut boundary = None;
        let mut began = None;
        let mut rest = bytes;
        while let Some((byte, tail)) = rest.split_first() {
            if self.place == Place::Payload {
                rest = self.pass_payload(rest);
            } else {
                if self.place == Place::First {
                    began = Some(bytes.len() - rest.len());
                }
                self.read_header(*byte).map_err(|Wrong| self.lost(began))?;
                rest = tail;
            }
            if self.place == Place::Payload && self.left == 0 {
                self.end_frame();
                boundary = Some(bytes.len() - rest.len());
            }
        }
        Ok(boundary)
    }

    fn lost(&mut self, sound: Option<usize>) -> Violation {
        self.place = Place::Lost;
        Violation { sound }
    }

    fn read_header(&mut self, byte: u8) -> Result<(), Wrong> {
        self.place = match self.place {
            Place::First => {
                check_opcode(byte)?;
                self.first = byte;
                self.code = CloseCode::Nothing;
                Place::Length
            }
            Place::Length => self.read_length(byte)?,
            Place::LongLength { missing } => {
                let first_of_eight = missing == 8;
                if first_of_eight && byte & 0x80 != 0 {
                    return Err(Wrong);
                }
                self.left = self.left << 8 | u64::from(byte);
                if missing > 1 { Place::LongLength { missing: missing - 1 } } else { self.after_length() }
            }
            Place::Mask { missing } => {
                self.mask = self.mask << 8 | u32::from(byte);
                if missing > 1 { Place::Mask { missing: missing - 1 } } else { Place::Payload }
            }
            Place::Payload | Place::Lost => return Err(Wrong),
        };
        Ok(())
    }

    /// The second byte: whether the payload is masked, and its length or how long its length is.
    fn read_length(&mut self, byte: u8) -> Result<Place, Wrong> {
        let length = byte & LENGTH;
        // Only what a client sends is masked (RFC 6455 section 5.1).
        if (byte & MASKED != 0) != (self.direction == Direction::ToOrigin) {
            return Err(Wrong);
        }
        if self.first & CONTROL != 0 && length > LONGEST_CONTROL_PAYLOAD {
            return Err(Wrong);
        }
        self.left = 0;
        Ok(match length {
            TWO_BYTE_LENGTH => Place::LongLength { missing: 2 },
            EIGHT_BYTE_LENGTH => Place::LongLength { missing: 8 },
            short => {
                self.left = u64::from(short);
                self.after_length()
            }
        })
    }

    fn after_length(&self) -> Place {
        match self.direction {
            Direction::ToOrigin => Place::Mask { missing: MASK_BYTES },
            Direction::ToViewer => Place::Payload,
        }
    }

    /// Steps over as much of the payload as there is, and returns the rest.
    fn pass_payload<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let length = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (payload, rest) = bytes.split_at(length);
        if self.first & OPCODE == CLOSE {
            payload.iter().for_each(|byte| self.read_close(*byte));
        }
        self.left -= length as u64;
        rest
    }

    fn read_close(&mut self, byte: u8) {
        let mask = match self.direction {
            Direction::ToOrigin => self.mask.to_be_bytes(),
            Direction::ToViewer => [0; 4],
        };
        self.code = match self.code {
            CloseCode::Nothing => CloseCode::Half(byte ^ mask[0]),
            CloseCode::Half(high) => CloseCode::Whole(u16::from_be_bytes([high, byte ^ mask[1]])),
            whole @ CloseCode::Whole(_) => whole,
        };
    }

    fn end_frame(&mut self) {
        self.place = Place::First;
        self.seen.frames += 1;
        if self.first & FIN != 0 && self.first & CONTROL == 0 {
            self.seen.messages += 1;
        }
        if self.first & OPCODE == CLOSE {
            let code = if let CloseCode::Whole(code) = self.code { code } else { NO_STATUS };
            self.seen.close.get_or_insert(code);
        }
    }
}

/// Known opcodes only, and no control frame in fragments (RFC 6455 sections 5.2 and 5.5).
fn check_opcode(first: u8) -> Result<(), Wrong> {
    match first & OPCODE {
        0..=LAST_DATA_OPCODE => Ok(()),
        CLOSE..=PONG if first & FIN != 0 => Ok(()),
        _ => Err(Wrong),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One frame as that direction's sender makes it; the masked payload is the payload XORed with 1, 2, 3, 4.
    fn frame(direction: Direction, first: u8, payload: &[u8]) -> Vec<u8> {
        let masked = if direction == Direction::ToOrigin { 0x80 } else { 0 };
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..=125 => frame.push(masked | short as u8),
            middle @ 126..=0xffff => {
                frame.push(masked | 126);
                frame.extend((middle as u16).to_be_bytes());
            }
            long => {
                frame.push(masked | 127);
                frame.extend((long as u64).to_be_bytes());
            }
        }
        match direction {
            Direction::ToOrigin => {
                frame.extend([1, 2, 3, 4]);
                frame.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, key)| byte ^ key));
            }
            Direction::ToViewer => frame.extend(payload),
        }
        frame
    }

    fn directions() -> impl Strategy<Value = Direction> {
        prop_oneof![Just(Direction::ToOrigin), Just(Direction::ToViewer)]
    }

    #[test]
    fn a_boundary_is_told_as_often_as_a_frame_ends() {
        for direction in [Direction::ToOrigin, Direction::ToViewer] {
            let (text, ping) = (frame(direction, 0x81, b"hello"), frame(direction, 0x89, b""));
            let mut follower = Follower::new(direction);
            assert_eq!(follower.follow(&[&text[..], &ping[..]].concat()), Ok(Some(text.len() + ping.len())));
            assert_eq!(follower.follow(&[&text[..], &text[..3]].concat()), Ok(Some(text.len())));
            assert_eq!(follower.follow(&text[3..4]), Ok(None));
            assert_eq!(follower.follow(&[]), Ok(None));
            assert_eq!(follower.follow(&text[4..]), Ok(Some(text.len() - 4)));
            assert_eq!(follower.seen(), Seen { frames: 4, messages: 3, close: None });
        }
    }

    #[test]
    fn the_code_of_the_first_close_is_read() {
        for direction in [Direction::ToOrigin, Direction::ToViewer] {
            for (payload, code) in
                [(&b""[..], 1005), (&[3], 1005), (&[0x03, 0xe8], 1000), (b"\x0f\xa1gone", 4001)]
            {
                let mut follower = Follower::new(direction);
                let stream = [frame(direction, 0x88, payload), frame(direction, 0x88, &[3, 0xf0])].concat();
                follower.follow(&stream).unwrap();
                assert_eq!(follower.seen(), Seen { frames: 2, messages: 0, close: Some(code) });
            }
        }
    }

    #[test]
    fn what_would_lose_the_step_is_a_violation_at_once() {
        let to_viewer: [&[u8]; 8] = [
            &[0x83], // reserved data opcodes
            &[0x87],
            &[0x8b], // reserved control opcodes
            &[0x8f],
            &[0x09],            // a control frame in fragments
            &[0x89, 126],       // a control frame over 125 bytes
            &[0x81, 0x80],      // masked towards the viewer
            &[0x82, 127, 0x80], // a length with the top bit
        ];
        for wrong in to_viewer {
            let good = frame(Direction::ToViewer, 0x81, b"hello");
            let mut follower = Follower::new(Direction::ToViewer);
            let verdict = follower.follow(&[&good[..], wrong].concat());
            assert_eq!(verdict, Err(Violation { sound: Some(good.len()) }), "{wrong:x?}");
            assert_eq!(follower.follow(&good), Err(Violation { sound: None }), "{wrong:x?}");
        }
        let mut follower = Follower::new(Direction::ToOrigin);
        assert_eq!(follower.follow(&[0x81]), Ok(None));
        assert_eq!(follower.follow(&[0x05]), Err(Violation { sound: None }));
    }

    #[test]
    fn what_the_endpoints_judge_passes() {
        let passes: [&[u8]; 5] = [
            &[0xf1, 0],               // reserved bits
            &[0x80, 0],               // a continuation of nothing
            &[0x81, 126, 0, 1, 0xff], // a length that is too long for its number, and broken UTF-8
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x88, 2, 0, 0], // a close code that nobody may send
        ];
        for frame in passes {
            assert_eq!(Follower::new(Direction::ToViewer).follow(frame), Ok(Some(frame.len())), "{frame:x?}");
        }
    }

    #[test]
    fn a_huge_frame_is_followed_without_its_bytes() {
        let mut follower = Follower::new(Direction::ToViewer);
        let header = [0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(follower.follow(&header), Ok(None));
        assert_eq!(follower.follow(&[0xff; 4096]), Ok(None));
        assert_eq!(follower.seen(), Seen::default());
    }

    /// Feeds `stream` in slices that end at the cuts, and tells the last boundary and the first violation by their
    /// place in the stream; of a violation whose frame began in an earlier slice only that it happened.
    fn verdict(direction: Direction, stream: &[u8], cuts: &[usize]) -> (Option<usize>, bool, Seen) {
        let mut follower = Follower::new(direction);
        let mut last = None;
        let mut start = 0;
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
        cuts.push(stream.len());
        cuts.sort_unstable();
        for cut in cuts {
            match follower.follow(&stream[start..cut]) {
                Ok(boundary) => last = boundary.map(|boundary| start + boundary).or(last),
                Err(violation) => {
                    let sound = violation.sound.map(|sound| start + sound).filter(|sound| *sound > 0);
                    return (sound.or(last), true, follower.seen());
                }
            }
            start = cut;
        }
        (last, false, follower.seen())
    }

    proptest! {
        #[test]
        fn the_split_of_good_frames_does_not_matter(
            direction in directions(),
            frames in prop::collection::vec((0_u8..6, any::<bool>(), 0_usize..300), 1..12),
            cuts in prop::collection::vec(any::<usize>(), 0..24),
        ) {
            let mut stream = Vec::new();
            for (kind, fin, length) in &frames {
                let control = *kind > 2;
                let first = if control { 0x80 | (kind + 5) } else { u8::from(*fin) << 7 | kind };
                let length = if control { length % 126 } else { *length };
                stream.extend(frame(direction, first, &vec![0xa5; length]));
            }
            let whole = verdict(direction, &stream, &[]);
            prop_assert_eq!(whole.0, Some(stream.len()));
            prop_assert_eq!(whole.2.frames, frames.len() as u64);
            prop_assert_eq!(verdict(direction, &stream, &cuts), whole);
        }

        #[test]
        fn the_split_of_any_bytes_does_not_matter(
            direction in directions(),
            stream in prop::collection::vec(any::<u8>(), 0..64),
            cuts in prop::collection::vec(any::<usize>(), 0..24),
        ) {
            prop_assert_eq!(verdict(direction, &stream, &cuts), verdict(direction, &stream, &[]));
        }
    }
}
