//! One direction of a tunnel: reads from one side, follows the frames, writes to the other.
//!
//! At most one buffer is under way, and the next read waits until it is written: that is the back-pressure.
//! A flow knows neither why it is told to stop nor what its neighbour does; `closing` and `tunnel` do.
//! Start at [`Flow::poll_pass`].

use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, ReadBuf};

use super::buffers::Buffers;
use super::chunk::{Batch, Chunk, Sifted};
use super::frames::{Fault, Follower, Mark};
use super::messages::MessageLimits;
use super::registry::Entry;
use super::side::Side;
use crate::telemetry::metrics::Direction;

/// One direction.
#[derive(Debug)]
pub(super) struct Flow {
    direction: Direction,
    entry: Rc<Entry>,
    follower: Follower,
    /// What was read and is still to be told apart, behind the chunk: mostly nothing.
    unfollowed: Option<Batch>,
    chunk: Option<Chunk>,
    /// What was read of a frame that cannot be told yet, mostly nothing. It stands before what is read next.
    held: Vec<u8>,
    /// Whether what follows the chunk, or what was written where there is none, begins a frame.
    aligned: bool,
    /// The code of the source's Close, where that is in the chunk or has passed.
    close: Option<u16>,
    interjection: Interjection,
    flush: Flush,
    source: Source,
    destination: Destination,
}

/// A frame of ours between two of the source's.
#[derive(Debug)]
enum Interjection {
    Nothing,
    /// It is written where the next frame ends.
    Waiting(Bytes),
    UnderWay(Bytes),
}

/// Whether the destination may hold back what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flush {
    Done,
    Due,
}

/// How far the source has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Flowing,
    /// It sent FIN, or was reset.
    Ended,
}

/// What is still written to the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Destination {
    /// What the source sends.
    Fed,
    /// The frame under way, and then this one.
    Finishing { last: Bytes },
    /// This frame.
    LastFrame { left: Bytes },
    /// Nothing more.
    Done(Said),
}

/// Whether the destination's last frame was ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It was.
    Ours,
    /// It was the source's Close, or none was possible.
    NotOurs,
}

/// Why a flow does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The source's FIN was passed on.
    Ended,
    /// The source was reset.
    SourceReset,
    /// The destination takes nothing more. What it still says decides what that was.
    DestinationGone,
    /// The source sent a frame that does not pass; what stood before it is still to be written.
    Violation(Fault),
}

impl Flow {
    /// A direction that nothing has passed in but the source's `early` bytes.
    pub(super) fn new(direction: Direction, entry: Rc<Entry>, early: Bytes) -> Self {
        Self {
            direction,
            entry,
            follower: Follower::new(direction),
            // Even a rest of nothing holds the buffer that the head was read into.
            unfollowed: (!early.is_empty()).then(|| Batch::of_piece(early)),
            chunk: None,
            held: Vec::new(),
            aligned: true,
            close: None,
            interjection: Interjection::Nothing,
            flush: Flush::Done,
            source: Source::Flowing,
            destination: Destination::Fed,
        }
    }

    /// The code of the source's Close, once the destination gets it.
    pub(super) fn close(&self) -> Option<u16> {
        self.close
    }

    /// Pongs with this mark are answers to our own pings, and not passed on.
    pub(super) fn expect_pongs(&mut self, mark: Mark) {
        self.follower.expect_pongs(mark);
    }

    /// From now on the source's messages are held to these limits.
    pub(super) fn limit(&mut self, limits: Option<MessageLimits>) {
        self.follower.limit(limits);
    }

    /// How many pongs the source has sent; none while another one could not be heard, because the source is in the
    /// middle of a frame or has to wait, or will send none any more.
    pub(super) fn pongs(&self) -> Option<u64> {
        let hears = self.destination == Destination::Fed && self.aligned && self.chunk.is_none();
        (hears && self.close.is_none()).then_some(self.follower.seen().pongs)
    }

    /// Whether [`Flow::interject`] would find a place.
    pub(super) fn has_place(&self) -> bool {
        let fed = self.destination == Destination::Fed && self.close.is_none();
        let boundary = self.chunk.as_ref().map_or(self.aligned, |chunk| chunk.whole_frames().is_some());
        fed && boundary && matches!(self.interjection, Interjection::Nothing)
    }

    /// Puts a frame of ours behind the last frame that is there whole. What it needs is [`Flow::has_place`].
    pub(super) fn interject(&mut self, frame: Bytes) {
        self.interjection = Interjection::Waiting(frame);
    }

    /// Whether nothing more is written to the destination.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.destination, Destination::Done(_))
    }

    /// Passes on what the source sends, until the flow stops; must not be called after that.
    pub(super) fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Side,
        mut destination: impl AsyncWrite + Unpin,
        buffers: &Buffers,
    ) -> Poll<Stop> {
        loop {
            if ready!(self.poll_write_chunk(cx, &mut destination, buffers)).is_err() {
                return Poll::Ready(self.give_up(buffers, Stop::DestinationGone));
            }
            if self.source == Source::Ended {
                let shut = ready!(Pin::new(&mut destination).poll_shutdown(cx));
                let stop = if shut.is_ok() { Stop::Ended } else { Stop::DestinationGone };
                return Poll::Ready(self.give_up(buffers, stop));
            }
            match self.poll_read(cx, source, buffers) {
                Poll::Ready(Ok(Read::Chunk)) => {}
                Poll::Ready(Ok(Read::Violation(fault))) => return Poll::Ready(Stop::Violation(fault)),
                Poll::Ready(Ok(Read::End)) => self.source = Source::Ended,
                Poll::Ready(Err(_)) => {
                    self.source = Source::Ended;
                    return Poll::Ready(self.give_up(buffers, Stop::SourceReset));
                }
                Poll::Pending => {
                    self.follower.limits().map(MessageLimits::caught_up);
                    return match ready!(self.poll_flush(cx, &mut destination)) {
                        Ok(()) => Poll::Pending,
                        Err(_) => Poll::Ready(self.give_up(buffers, Stop::DestinationGone)),
                    };
                }
            }
        }
    }

    /// From now on the destination gets the rest of the frame under way and then `last`, unless it can get nothing
    /// more or has got the source's own Close.
    pub(super) fn finish_with(&mut self, last: Bytes) {
        if matches!(self.interjection, Interjection::Waiting(_)) {
            self.interjection = Interjection::Nothing;
        }
        if self.destination == Destination::Fed {
            self.truncate();
            self.destination = Destination::Finishing { last };
        }
    }

    /// Goes on with what [`Flow::finish_with`] began; ready when nothing more is written.
    pub(super) fn poll_finish(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Side,
        mut destination: impl AsyncWrite + Unpin,
        buffers: &Buffers,
    ) -> Poll<Said> {
        loop {
            if ready!(self.poll_write_chunk(cx, &mut destination, buffers)).is_err() {
                self.give_up(buffers, Stop::DestinationGone);
            }
            match &mut self.destination {
                Destination::Done(said) => return Poll::Ready(*said),
                Destination::Fed => return Poll::Pending,
                Destination::Finishing { last } => {
                    if self.aligned && self.close.is_none() {
                        self.destination = Destination::LastFrame { left: std::mem::take(last) };
                    } else if self.aligned || self.source == Source::Ended {
                        self.destination = Destination::Done(Said::NotOurs);
                    } else {
                        match ready!(self.poll_read(cx, source, buffers)) {
                            Ok(Read::Chunk | Read::Violation(_)) => self.truncate(),
                            Ok(Read::End) | Err(_) => self.source = Source::Ended,
                        }
                    }
                }
                Destination::LastFrame { left } if left.is_empty() => {
                    let flushed = ready!(self.poll_flush(cx, &mut destination));
                    let said = if flushed.is_ok() { Said::Ours } else { Said::NotOurs };
                    self.destination = Destination::Done(said);
                }
                Destination::LastFrame { left } => {
                    match ready!(poll_some(cx, &mut destination, left)) {
                        Ok(written) => left.advance(written),
                        Err(_) => self.destination = Destination::Done(Said::NotOurs),
                    }
                    self.flush = Flush::Due;
                }
            }
        }
    }

    /// Reads on without passing anything on; ready when the source has sent its Close, or cannot any more.
    pub(super) fn poll_hear_close(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Side,
        buffers: &Buffers,
    ) -> Poll<()> {
        while self.follower.seen().close.is_none()
            && self.source == Source::Flowing
            && !self.follower.is_lost()
        {
            let read = ready!(self.poll_read(cx, source, buffers));
            self.discard(read, buffers);
        }
        Poll::Ready(())
    }

    /// Reads on without passing anything on; ready when the source has ended.
    pub(super) fn poll_hear_end(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Side,
        buffers: &Buffers,
    ) -> Poll<()> {
        while self.source == Source::Flowing {
            let read = ready!(self.poll_read(cx, source, buffers));
            self.discard(read, buffers);
        }
        Poll::Ready(())
    }

    fn discard(&mut self, read: io::Result<Read>, buffers: &Buffers) {
        match read {
            Ok(Read::Chunk | Read::Violation(_)) => self.drop_chunk(buffers),
            Ok(Read::End) | Err(_) => self.source = Source::Ended,
        }
    }

    fn give_up(&mut self, buffers: &Buffers, stop: Stop) -> Stop {
        self.drop_chunk(buffers);
        self.destination = Destination::Done(Said::NotOurs);
        stop
    }

    fn drop_chunk(&mut self, buffers: &Buffers) {
        if let Some(rest) = self.chunk.take().and_then(|chunk| chunk.rest(buffers)) {
            self.unfollowed = Some(rest);
        }
    }

    /// Drops what stands behind the last frame that is whole, where all before it has not passed yet: it will
    /// never be completed.
    fn truncate(&mut self) {
        if self.chunk.as_mut().is_some_and(Chunk::truncate) {
            self.aligned = true;
        }
    }

    fn poll_write_chunk(
        &mut self,
        cx: &mut Context<'_>,
        mut destination: impl AsyncWrite + Unpin,
        buffers: &Buffers,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_interject(cx, &mut destination))?;
            let Some(chunk) = &mut self.chunk else { return Poll::Ready(Ok(())) };
            let waits = matches!(self.interjection, Interjection::Waiting(_));
            let next = chunk.whole_frames().filter(|_| waits).unwrap_or(chunk.unwritten());
            if next.is_empty() {
                self.drop_chunk(buffers);
                continue;
            }
            let Poll::Ready(written) = poll_some(cx, &mut destination, next) else {
                self.follower.limits().map(MessageLimits::wait);
                return Poll::Pending;
            };
            let written = written?;
            self.flush = Flush::Due;
            self.entry.passed(self.direction, chunk.written(written));
        }
    }

    /// Writes the frame of ours, where one is waiting and its place has come.
    fn poll_interject(
        &mut self,
        cx: &mut Context<'_>,
        mut destination: impl AsyncWrite + Unpin,
    ) -> Poll<io::Result<()>> {
        let stands = || self.chunk.as_ref().map_or(self.aligned, |chunk| chunk.whole_frames() == Some(&[]));
        if let Interjection::Waiting(frame) = &self.interjection
            && stands()
        {
            self.interjection = Interjection::UnderWay(frame.clone());
        }
        while let Interjection::UnderWay(left) = &mut self.interjection {
            let written = ready!(poll_some(cx, &mut destination, left))?;
            self.flush = Flush::Due;
            left.advance(written);
            if left.is_empty() {
                self.interjection = Interjection::Nothing;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// TLS holds back what the socket did not take at once.
    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        mut destination: impl AsyncWrite + Unpin,
    ) -> Poll<io::Result<()>> {
        if self.flush == Flush::Due {
            ready!(Pin::new(&mut destination).poll_flush(cx))?;
            self.flush = Flush::Done;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads the next chunk and follows it. A buffer is held from here on only where something came.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Side,
        buffers: &Buffers,
    ) -> Poll<io::Result<Read>> {
        if let Some(batch) = self.unfollowed.take() {
            return Poll::Ready(Ok(self.sift(batch)));
        }
        let mut buffer = buffers.take();
        let (front, free) = buffer.split_at_mut(self.held.len());
        let mut filled = ReadBuf::new(free);
        let came = source.poll_take(cx, &mut filled);
        let length = filled.filled().len();
        if length > 0 {
            front.copy_from_slice(&self.held);
            let length = front.len() + length;
            return Poll::Ready(Ok(self.sift(Batch::of_buffer(buffer, length))));
        }
        buffers.give(buffer);
        match ready!(came) {
            Ok(Some(mut piece)) => {
                let batch = if self.held.is_empty() {
                    Batch::of_piece(piece)
                } else {
                    let batch = Batch::of_held(&mut self.held, &mut piece, &self.follower);
                    self.unfollowed = (!piece.is_empty()).then(|| Batch::of_piece(piece));
                    batch
                };
                Poll::Ready(Ok(self.sift(batch)))
            }
            Ok(None) => Poll::Ready(Ok(self.read_end())),
            // Many TLS clients leave without a close_notify: their FIN means what a FIN means.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(self.read_end())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// The end, before which comes what is held: it will never be whole.
    fn read_end(&mut self) -> Read {
        if self.held.is_empty() {
            return Read::End;
        }
        self.chunk = Some(Chunk::torn(std::mem::take(&mut self.held)));
        self.aligned = false;
        Read::Chunk
    }

    fn sift(&mut self, batch: Batch) -> Read {
        self.follower.limits().map(MessageLimits::go_on);
        let Sifted { chunk, held, aligned, close, verdict } = Chunk::sift(batch, &mut self.follower);
        // Answers to our own pings are no use of the tunnel.
        if !(chunk.unwritten().is_empty() && held.is_empty()) {
            self.entry.touch();
        }
        (self.chunk, self.held, self.aligned) = (Some(chunk), held, aligned);
        self.close = self.close.or(close);
        match verdict {
            Ok(()) => Read::Chunk,
            Err(fault) => Read::Violation(fault),
        }
    }
}

/// Writes something, or fails.
fn poll_some(
    cx: &mut Context<'_>,
    destination: impl AsyncWrite + Unpin,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    match ready!(pin!(destination).poll_write(cx, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(Ok(written)),
    }
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Chunk,
    /// A chunk that ends before a frame that does not pass.
    Violation(Fault),
    End,
}
