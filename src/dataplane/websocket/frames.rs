//! Follows the frames of one direction as its bytes pass, so that the proxy knows when it stands between two.
//!
//! It reads the 2 to 14 bytes of each header (RFC 6455 section 5.2), and control frames; the payloads of messages are
//! neither copied nor unmasked. It judges only what it needs to stay in step; reserved bits, continuations, UTF-8 and
//! close codes are for the endpoints to judge. Start at [`Follower::step`].

use super::messages::MessageLimits;
use crate::telemetry::metrics::Direction;

const FIN: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const CONTROL: u8 = 0x08;
const CLOSE: u8 = 0x08;
const PONG: u8 = 0x0a;
/// A ping towards the viewer with a [`Mark`] (RFC 6455 section 5.5.2).
const OWN_PING: [u8; 2] = [FIN | 0x09, size_of::<Mark>() as u8];
const LAST_DATA_OPCODE: u8 = 0x02;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
const LONGEST_CONTROL_PAYLOAD: u8 = 125;
const TWO_BYTE_LENGTH: u8 = 126;
const EIGHT_BYTE_LENGTH: u8 = 127;

/// What tells any frame, in bytes: a masked control frame with all its payload.
pub(crate) const UNFINISHED: usize = 2 + 4 + LONGEST_CONTROL_PAYLOAD as usize;

/// The code of a Close frame that carries none (RFC 6455 section 7.1.5).
const NO_STATUS: u16 = 1005;

/// Where one direction stands, and what it has seen.
#[derive(Debug)]
pub(crate) struct Follower {
    direction: Direction,
    place: Place,
    /// The pings of ours whose answers come this way, if there are any.
    pings: Option<Mark>,
    /// What is limited, if anything is.
    limits: Option<Box<MessageLimits>>,
    seen: Seen,
}

/// The payload of a tunnel's own pings: a pong that carries it answers one of them (RFC 6455 section 5.5.3), any other
/// one is somebody else's. The endpoints never see it but there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark([u8; 8]);

impl Mark {
    /// One that is like no other.
    pub(crate) fn new() -> Self {
        Self(fastrand::u64(..).to_be_bytes())
    }

    /// The ping that carries it to the viewer.
    pub(crate) fn ping(self) -> Vec<u8> {
        [&OWN_PING[..], &self.0].concat()
    }
}

/// The next byte's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It begins a frame.
    Between,
    /// It is in the payload of a message's frame.
    Within {
        /// The payload's bytes that are still to come, never 0.
        left: u64,
        end_of: EndOf,
    },
    /// A header made no sense: nothing that follows has a meaning.
    Lost,
}

/// What ends with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndOf {
    Frame,
    Message,
}

/// What has been seen to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Frames.
    pub(crate) frames: u64,
    /// Messages, with their last frame.
    pub(crate) messages: u64,
    /// The code of the first Close; 1005 where it carries none.
    pub(crate) close: Option<u16>,
    /// Pongs, whoever they are for.
    pub(crate) pongs: u64,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes belong to the frame under way, and are not its last.
    Within(usize),
    /// So many are the rest of a frame.
    ToEnd(usize),
    /// So many are a pong that answers the proxy's own ping: it is not to be passed on.
    OwnPong(usize),
    /// The beginning of a frame of which too little is there: its header, or all of a control frame. They are to be
    /// given again with what follows; they are fewer than [`UNFINISHED`].
    Unfinished,
}

/// Why a frame does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It breaks the rules which the follower needs (RFC 6455 section 5.2).
    Frame,
    /// With it a message is longer than allowed.
    MessageSize,
    /// With it there are more messages than allowed.
    MessageRate,
}

impl Follower {
    /// A direction that nothing has passed in.
    pub(crate) fn new(direction: Direction) -> Self {
        Self { direction, place: Place::Between, pings: None, limits: None, seen: Seen::default() }
    }

    /// From now on pongs with this mark are answers to pings of ours.
    pub(crate) fn expect_pongs(&mut self, mark: Mark) {
        self.pings = Some(mark);
    }

    /// From now on messages are held to these limits.
    pub(super) fn limit(&mut self, limits: Option<MessageLimits>) {
        self.limits = limits.map(Box::new);
    }

    /// The limits, until one was passed.
    pub(super) fn limits(&mut self) -> Option<&mut MessageLimits> {
        self.limits.as_deref_mut()
    }

    /// What has passed so far.
    pub(crate) fn seen(&self) -> Seen {
        self.seen
    }

    /// Whether the last byte that passed was the last one of a frame.
    pub(crate) fn is_between(&self) -> bool {
        self.place == Place::Between
    }

    /// Whether there was something wrong: nothing more can be told of the stream.
    pub(crate) fn is_lost(&self) -> bool {
        self.place == Place::Lost
    }

    /// Follows the next bytes at most to the end of a frame; there must be one at least.
    ///
    /// # Errors
    /// A frame that begins with the first of them does not pass. After [`Fault::Frame`] none does; past a limit the
    /// frame can be followed all the same, as if there were none.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Result<Step, Fault> {
        match self.place {
            Place::Lost => Err(Fault::Frame),
            Place::Within { left, end_of } => Ok(self.pass(0, left, end_of, bytes)),
            Place::Between => match Header::read(self.direction, bytes) {
                Ok(Some(header)) if header.first & CONTROL == 0 => self.begin(header, bytes),
                Ok(Some(header)) => Ok(self.control(header, bytes)),
                Ok(None) => Ok(Step::Unfinished),
                Err(Wrong) => {
                    self.place = Place::Lost;
                    Err(Fault::Frame)
                }
            },
        }
    }

    /// How many of these bytes tell the frame that begins with them; none where more are needed.
    pub(crate) fn tells(&self, bytes: &[u8]) -> Option<usize> {
        match Header::read(self.direction, bytes) {
            Ok(Some(header)) if header.first & CONTROL == 0 => Some(header.length),
            Ok(Some(header)) => header.control_payload(bytes).map(|payload| header.length + payload.len()),
            Ok(None) => None,
            Err(Wrong) => Some(bytes.len()),
        }
    }

    fn begin(&mut self, header: Header, bytes: &[u8]) -> Result<Step, Fault> {
        let end_of = if header.first & FIN == 0 { EndOf::Frame } else { EndOf::Message };
        if let Some(limits) = &mut self.limits {
            limits.admit(end_of, header.payload).inspect_err(|_| self.limits = None)?;
        }
        Ok(self.pass(header.length, header.payload, end_of, bytes))
    }

    fn control(&mut self, header: Header, bytes: &[u8]) -> Step {
        let Some(payload) = header.control_payload(bytes) else { return Step::Unfinished };
        let length = header.length + payload.len();
        match header.first & OPCODE {
            CLOSE => {
                let code = header.unmasked(payload).map_or(NO_STATUS, u16::from_be_bytes);
                self.seen.close.get_or_insert(code);
            }
            PONG => {
                self.seen.pongs += 1;
                let answered =
                    header.unmasked(payload).filter(|_| payload.len() == size_of::<Mark>()).map(Mark);
                if answered.is_some_and(|answered| self.pings == Some(answered)) {
                    return Step::OwnPong(length);
                }
            }
            _ => {}
        }
        self.seen.frames += 1;
        Step::ToEnd(length)
    }

    /// Passes the header, if there is one, and as much of the payload as is there.
    fn pass(&mut self, header: usize, left: u64, end_of: EndOf, bytes: &[u8]) -> Step {
        let there = bytes.len() - header;
        match usize::try_from(left) {
            Ok(left) if left <= there => {
                self.place = Place::Between;
                self.seen.frames += 1;
                self.seen.messages += u64::from(end_of == EndOf::Message);
                Step::ToEnd(header + left)
            }
            _ => {
                self.place = Place::Within { left: left - there as u64, end_of };
                Step::Within(bytes.len())
            }
        }
    }
}

/// A header makes no sense.
struct Wrong;

/// What stands before a payload.
#[derive(Clone, Copy, Debug)]
struct Header {
    /// FIN, reserved bits and opcode.
    first: u8,
    /// Of the header itself, in bytes.
    length: usize,
    /// The length of the payload, in bytes.
    payload: u64,
    /// What the payload is masked with; zeros towards the viewer.
    key: [u8; 4],
}

impl Header {
    /// The header at the beginning of `bytes`, once it is there; what is wrong is seen with the byte that is.
    fn read(direction: Direction, bytes: &[u8]) -> Result<Option<Self>, Wrong> {
        let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
        check_opcode(*first)?;
        let Some((second, rest)) = rest.split_first() else { return Ok(None) };
        let (masked, short) = (second & MASKED != 0, second & LENGTH);
        // Only what a client sends is masked (RFC 6455 section 5.1).
        if masked != (direction == Direction::ToOrigin) {
            return Err(Wrong);
        }
        if first & CONTROL != 0 && short > LONGEST_CONTROL_PAYLOAD {
            return Err(Wrong);
        }
        let wide = match short {
            TWO_BYTE_LENGTH => 2,
            EIGHT_BYTE_LENGTH => 8,
            _ => 0,
        };
        if wide == 8 && rest.first().is_some_and(|byte| byte & 0x80 != 0) {
            return Err(Wrong);
        }
        let Some((long, rest)) = rest.split_at_checked(wide) else { return Ok(None) };
        let payload = match wide {
            0 => u64::from(short),
            _ => long.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let (key, behind) = match (masked, rest.split_first_chunk()) {
            (true, Some((key, behind))) => (*key, behind),
            (true, None) => return Ok(None),
            (false, _) => ([0; 4], rest),
        };
        Ok(Some(Self { first: *first, length: bytes.len() - behind.len(), payload, key }))
    }

    /// The payload as it was sent, once it is there whole; that of control frames is short.
    fn control_payload<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        bytes.get(self.length..)?.get(..usize::try_from(self.payload).ok()?)
    }

    /// The beginning of a payload as it was meant, where it is as long as that.
    fn unmasked<const N: usize>(&self, payload: &[u8]) -> Option<[u8; N]> {
        let mut unmasked = *payload.first_chunk()?;
        unmasked.iter_mut().zip(self.key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        Some(unmasked)
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

    /// Follows slices as a flow does: what cannot be told yet is given again with the next one.
    struct Passing {
        follower: Follower,
        held: Vec<u8>,
        /// How many bytes have passed, and how many of them up to the last boundary.
        passed: usize,
        boundary: usize,
    }

    impl Passing {
        fn new(direction: Direction) -> Self {
            Self { follower: Follower::new(direction), held: Vec::new(), passed: 0, boundary: 0 }
        }

        fn follow(&mut self, slice: &[u8]) -> Result<(), Fault> {
            let mut rest = std::mem::take(&mut self.held);
            rest.extend(slice);
            while !rest.is_empty() {
                let length = match self.follower.step(&rest)? {
                    Step::Within(length) => length,
                    Step::ToEnd(length) => {
                        self.boundary = self.passed + length;
                        length
                    }
                    Step::Unfinished => break,
                    Step::OwnPong(_) => unreachable!("nobody has pinged"),
                };
                self.passed += length;
                rest.drain(..length);
            }
            assert!(rest.len() <= 130);
            self.held = rest;
            Ok(())
        }

        fn seen(&self) -> Seen {
            self.follower.seen()
        }
    }

    #[test]
    fn a_boundary_is_told_as_often_as_a_frame_ends() {
        for direction in [Direction::ToOrigin, Direction::ToViewer] {
            let (text, ping) = (frame(direction, 0x81, b"hello"), frame(direction, 0x89, b""));
            let header = text.len() - 5;
            let mut follower = Follower::new(direction);
            assert_eq!(follower.step(&[&text[..], &ping[..]].concat()), Ok(Step::ToEnd(text.len())));
            assert_eq!(follower.step(&ping), Ok(Step::ToEnd(ping.len())));
            assert!(follower.is_between());
            assert_eq!(follower.step(&text[..header - 1]), Ok(Step::Unfinished));
            assert_eq!(follower.step(&text[..header]), Ok(Step::Within(header)));
            assert_eq!(follower.step(&text[header..header + 2]), Ok(Step::Within(2)));
            assert!(!follower.is_between());
            assert_eq!(follower.step(&text[header + 2..]), Ok(Step::ToEnd(3)));
            assert_eq!(follower.seen(), Seen { frames: 3, messages: 2, ..Seen::default() });
        }
    }

    #[test]
    fn a_control_frame_is_told_whole() {
        for direction in [Direction::ToOrigin, Direction::ToViewer] {
            let ping = frame(direction, 0x89, &[7; 125]);
            let mut follower = Follower::new(direction);
            assert_eq!(follower.step(&ping[..ping.len() - 1]), Ok(Step::Unfinished));
            assert_eq!(follower.step(&ping), Ok(Step::ToEnd(ping.len())));
        }
    }

    #[test]
    fn a_pong_with_our_mark_is_ours_and_any_other_is_not() {
        let mark = Mark::new();
        let other = [mark.0[0] ^ 1, 0, 0, 0, 0, 0, 0, 0];
        let longer = [&mark.0[..], b"!"].concat();
        let mut follower = Follower::new(Direction::ToOrigin);
        let answer = frame(Direction::ToOrigin, 0x8a, &mark.0);
        assert_eq!(follower.step(&answer), Ok(Step::ToEnd(answer.len())), "before there was a ping");
        follower.expect_pongs(mark);
        assert_eq!(follower.step(&answer), Ok(Step::OwnPong(answer.len())));
        for payload in [&other[..], &longer, &mark.0[..7], b""] {
            let pong = frame(Direction::ToOrigin, 0x8a, payload);
            assert_eq!(follower.step(&pong), Ok(Step::ToEnd(pong.len())), "{payload:x?}");
        }
        let ping = frame(Direction::ToOrigin, 0x89, &mark.0);
        assert_eq!(follower.step(&ping), Ok(Step::ToEnd(ping.len())));
        assert_eq!(follower.seen(), Seen { frames: 6, pongs: 6, ..Seen::default() });
    }

    #[test]
    fn the_code_of_the_first_close_is_read() {
        for direction in [Direction::ToOrigin, Direction::ToViewer] {
            for (payload, code) in
                [(&b""[..], 1005), (&[3], 1005), (&[0x03, 0xe8], 1000), (b"\x0f\xa1gone", 4001)]
            {
                let mut passing = Passing::new(direction);
                passing.follow(&frame(direction, 0x88, payload)).unwrap();
                passing.follow(&frame(direction, 0x88, &[3, 0xf0])).unwrap();
                assert_eq!(passing.seen(), Seen { frames: 2, close: Some(code), ..Seen::default() });
            }
        }
    }

    #[test]
    fn what_would_lose_the_step_is_wrong_at_once() {
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
            let mut passing = Passing::new(Direction::ToViewer);
            assert_eq!(passing.follow(&[&good[..], wrong].concat()), Err(Fault::Frame), "{wrong:x?}");
            assert_eq!((passing.passed, passing.boundary), (good.len(), good.len()), "{wrong:x?}");
            assert!(passing.follower.is_lost());
            assert_eq!(passing.follow(&good), Err(Fault::Frame), "{wrong:x?}");
        }
        let mut follower = Follower::new(Direction::ToOrigin);
        assert_eq!(follower.step(&[0x81]), Ok(Step::Unfinished));
        assert_eq!(follower.step(&[0x81, 0x05]), Err(Fault::Frame));
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
            let mut follower = Follower::new(Direction::ToViewer);
            assert_eq!(follower.step(frame), Ok(Step::ToEnd(frame.len())), "{frame:x?}");
        }
    }

    #[test]
    fn a_huge_frame_is_followed_without_its_bytes() {
        let mut follower = Follower::new(Direction::ToViewer);
        let header = [0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(follower.step(&header), Ok(Step::Within(10)));
        assert_eq!(follower.step(&[0xff; 4096]), Ok(Step::Within(4096)));
        assert_eq!(follower.seen(), Seen::default());
    }

    /// Feeds `stream` in slices that end at the cuts, and tells the last boundary, whether something was wrong, and
    /// what was seen.
    fn verdict(direction: Direction, stream: &[u8], cuts: &[usize]) -> (usize, bool, Seen) {
        let mut passing = Passing::new(direction);
        let mut start = 0;
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
        cuts.push(stream.len());
        cuts.sort_unstable();
        for cut in cuts {
            if passing.follow(&stream[start..cut]).is_err() {
                return (passing.boundary, true, passing.seen());
            }
            start = cut;
        }
        (passing.boundary, false, passing.seen())
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
            prop_assert_eq!(whole.0, stream.len());
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
