//! One direction of a tunnel: reads from one side, follows the frames, writes to the other.
//!
//! At most one buffer is under way, and the next read waits until it is written: that is the back-pressure.
//! A flow knows neither why it is told to stop nor what its neighbour does; `closing` and `tunnel` do.
//! Start at [`Flow::poll_pass`].

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffers::Buffers;
use super::frames::Follower;
use super::registry::{Entry, Tally};
use crate::telemetry::metrics::Direction;

/// One direction.
#[derive(Debug)]
pub(super) struct Flow {
    direction: Direction,
    entry: Rc<Entry>,
    follower: Follower,
    /// What the source sent before the tunnel began, to be read before the stream.
    early: Bytes,
    chunk: Option<Chunk>,
    /// Whether what follows the chunk, or what was written where there is none, begins a frame.
    aligned: bool,
    flush: Flush,
    source: Source,
    destination: Destination,
}

/// What was read and is not yet written: `buffer[start..end]`.
#[derive(Debug)]
struct Chunk {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// The last place in the buffer where a frame ends.
    boundary: Option<usize>,
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
    /// The source sent a frame that breaks the rules; what stood before it is still to be written.
    Violation,
}

impl Flow {
    /// A direction that nothing has passed in but the source's `early` bytes.
    pub(super) fn new(direction: Direction, entry: Rc<Entry>, early: Bytes) -> Self {
        Self {
            direction,
            entry,
            follower: Follower::new(direction),
            early,
            chunk: None,
            aligned: true,
            flush: Flush::Done,
            source: Source::Flowing,
            destination: Destination::Fed,
        }
    }

    /// The code of the Close that the source sent, once it has come whole.
    pub(super) fn close_heard(&self) -> Option<u16> {
        self.follower.seen().close
    }

    /// Whether nothing more is written to the destination.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.destination, Destination::Done(_))
    }

    /// Passes on what the source sends, until the flow stops; must not be called after that.
    pub(super) fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        mut source: impl AsyncRead + Unpin,
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
            match self.poll_read(cx, &mut source, buffers) {
                Poll::Ready(Ok(Read::Chunk)) => {}
                Poll::Ready(Ok(Read::Violation)) => return Poll::Ready(Stop::Violation),
                Poll::Ready(Ok(Read::End)) => self.source = Source::Ended,
                Poll::Ready(Err(_)) => {
                    self.source = Source::Ended;
                    return Poll::Ready(self.give_up(buffers, Stop::SourceReset));
                }
                Poll::Pending => {
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
        if self.destination == Destination::Fed {
            self.truncate();
            self.destination = Destination::Finishing { last };
        }
    }

    /// Goes on with what [`Flow::finish_with`] began; ready when nothing more is written.
    pub(super) fn poll_finish(
        &mut self,
        cx: &mut Context<'_>,
        mut source: impl AsyncRead + Unpin,
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
                    if self.aligned && self.follower.seen().close.is_none() {
                        self.destination = Destination::LastFrame { left: std::mem::take(last) };
                    } else if self.aligned || self.source == Source::Ended || self.follower.is_lost() {
                        self.destination = Destination::Done(Said::NotOurs);
                    } else {
                        match ready!(self.poll_read(cx, &mut source, buffers)) {
                            Ok(Read::Chunk | Read::Violation) => self.truncate(),
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
                    match ready!(Pin::new(&mut destination).poll_write(cx, left)) {
                        Ok(written @ 1..) => left.advance(written),
                        Ok(0) | Err(_) => self.destination = Destination::Done(Said::NotOurs),
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
        mut source: impl AsyncRead + Unpin,
        buffers: &Buffers,
    ) -> Poll<()> {
        while self.close_heard().is_none() && self.source == Source::Flowing && !self.follower.is_lost() {
            let read = ready!(self.poll_read(cx, &mut source, buffers));
            self.discard(read, buffers);
        }
        Poll::Ready(())
    }

    /// Reads on without passing anything on; ready when the source has ended.
    pub(super) fn poll_hear_end(
        &mut self,
        cx: &mut Context<'_>,
        mut source: impl AsyncRead + Unpin,
        buffers: &Buffers,
    ) -> Poll<()> {
        while self.source == Source::Flowing {
            let read = ready!(self.poll_read(cx, &mut source, buffers));
            self.discard(read, buffers);
        }
        Poll::Ready(())
    }

    fn discard(&mut self, read: io::Result<Read>, buffers: &Buffers) {
        match read {
            Ok(Read::Chunk | Read::Violation) => self.drop_chunk(buffers),
            Ok(Read::End) | Err(_) => self.source = Source::Ended,
        }
    }

    fn give_up(&mut self, buffers: &Buffers, stop: Stop) -> Stop {
        self.drop_chunk(buffers);
        self.destination = Destination::Done(Said::NotOurs);
        stop
    }

    fn drop_chunk(&mut self, buffers: &Buffers) {
        if let Some(chunk) = self.chunk.take() {
            buffers.give(chunk.buffer);
        }
    }

    /// Drops what stands behind the last frame that is whole, where all before it has not passed yet: it will
    /// never be completed.
    fn truncate(&mut self) {
        if let Some(chunk) = &mut self.chunk
            && let Some(boundary) = chunk.boundary.filter(|boundary| *boundary >= chunk.start)
        {
            chunk.end = boundary;
            self.aligned = true;
        }
    }

    fn poll_write_chunk(
        &mut self,
        cx: &mut Context<'_>,
        mut destination: impl AsyncWrite + Unpin,
        buffers: &Buffers,
    ) -> Poll<io::Result<()>> {
        while let Some(chunk) = &mut self.chunk {
            let unwritten = chunk.buffer.get(chunk.start..chunk.end).unwrap_or_default();
            if unwritten.is_empty() {
                self.drop_chunk(buffers);
                break;
            }
            match ready!(Pin::new(&mut destination).poll_write(cx, unwritten))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => chunk.start += written,
            }
            self.flush = Flush::Due;
            self.entry.touch();
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
        source: impl AsyncRead + Unpin,
        buffers: &Buffers,
    ) -> Poll<io::Result<Read>> {
        let mut buffer = buffers.take();
        let read = self.poll_fill(cx, source, &mut buffer);
        let Poll::Ready(Ok(length @ 1..)) = read else {
            buffers.give(buffer);
            return read.map_ok(|_| Read::End);
        };
        let before = self.follower.seen();
        let (followed, end, boundary) = match self.follower.follow(buffer.get(..length).unwrap_or_default()) {
            Ok(boundary) => (Read::Chunk, length, boundary),
            Err(violation) => (Read::Violation, violation.sound.unwrap_or(0), violation.sound),
        };
        self.aligned = boundary == Some(end);
        self.chunk = Some(Chunk { buffer, start: 0, end, boundary });
        let seen = self.follower.seen();
        self.entry.passed(
            self.direction,
            Tally {
                bytes: length as u64,
                frames: seen.frames - before.frames,
                messages: seen.messages - before.messages,
            },
        );
        Poll::Ready(Ok(followed))
    }

    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        mut source: impl AsyncRead + Unpin,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.early.is_empty() {
            let length = self.early.len().min(buffer.len());
            let (filled, _) = buffer.split_at_mut(length);
            // `split_to` lets go of the HTTP connection's buffer with the last byte.
            filled.copy_from_slice(&self.early.split_to(length));
            return Poll::Ready(Ok(length));
        }
        let mut filled = ReadBuf::new(buffer);
        match ready!(Pin::new(&mut source).poll_read(cx, &mut filled)) {
            Ok(()) => Poll::Ready(Ok(filled.filled().len())),
            // Many TLS clients leave without a close_notify: their FIN means what a FIN means.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Chunk,
    /// A chunk that ends before a frame that breaks the rules.
    Violation,
    End,
}
