//! What a viewer does below the streams: frame headers, read from the bytes as they pass to `h2`.
//!
//! `h2` answers control frames without telling and waits for the end of a header block for ever, so both are
//! seen here. It bounds the rest itself: streams, CONTINUATIONs, small DATA frames, resets of its own.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::dataplane::limits::Limits;

/// The connection preface (RFC 9113 section 3.4), which `h2` checks.
const PREFACE: usize = 24;
const FRAME_HEADER: usize = 9;

/// A DATA frame below that size costs more than its bytes, in bytes; `h2` counts those that it holds.
pub(super) const SMALL: usize = 256;

/// After so many of them in one turn of the connection, whoever takes them has a turn.
const SMALL_IN_A_TURN: u32 = 256;

/// What a window that is opened on purpose lets pass at least, in bytes.
const WORTHWHILE: usize = 1024;

// Frame types and flags (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// What ended a piece of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It is all that there was to send.
    Nowhere,
    /// There was more than the viewer's windows let pass.
    ByWindow,
}

/// What was seen of a connection.
#[derive(Debug)]
pub(super) struct Watch {
    control: Allowance,
    resets: Allowance,
    /// Small DATA frames that came in this turn.
    small: Cell<u32>,
    unfinished_since: Cell<Option<Instant>>,
}

impl Watch {
    pub(super) fn new(limits: &Limits) -> Rc<Self> {
        Rc::new(Self {
            control: Allowance::new(limits.control_frames),
            resets: Allowance::new(limits.viewer_resets),
            small: Cell::new(0),
            unfinished_since: Cell::new(None),
        })
    }

    /// Whether there were more control frames or resets than anybody needs.
    pub(super) fn is_flooded(&self) -> bool {
        self.control.exceeded.get() || self.resets.exceeded.get()
    }

    /// The connection has its turn.
    pub(super) fn turn_begins(&self) {
        self.small.set(0);
    }

    /// Since when a header block lacks its end.
    pub(super) fn unfinished_since(&self) -> Option<Instant> {
        self.unfinished_since.get()
    }

    /// A DATA frame is sent, for which viewers return WINDOW_UPDATEs, and some measure the way with a PING.
    ///
    /// A short one that the viewer's window has cut earns nothing: else each WINDOW_UPDATE of a byte would pay for
    /// the next (CVE-2019-9511).
    pub(super) fn data_sent(&self, bytes: usize, cut: Cut) {
        if cut == Cut::Nowhere || bytes >= WORTHWHILE {
            self.control.earn(4);
        }
    }

    /// A stream was served to its end.
    pub(super) fn stream_served(&self) {
        self.control.earn(4);
        self.resets.earn(1);
    }

    /// A stream was refused that a viewer who listens would not have opened.
    pub(super) fn stream_refused(&self) {
        self.resets.spend();
    }

    fn frame_begins(&self, kind: u8, length: usize) {
        match kind {
            DATA => self.small.set(self.small.get() + u32::from(length < SMALL)),
            HEADERS | CONTINUATION => {
                if self.unfinished_since.get().is_none() {
                    self.unfinished_since.set(Some(Instant::now()));
                }
            }
            RST_STREAM => self.resets.spend(),
            _ => self.control.spend(),
        }
    }

    /// The last byte of its payload came, too.
    fn frame_ends(&self, kind: u8, flags: u8) {
        if matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS != 0 {
            self.unfinished_since.set(None);
        }
    }
}

/// How many frames of a kind may come: so many at once, a tenth of it more each second, and what is earned.
#[derive(Debug)]
struct Allowance {
    most: u32,
    left: Cell<u32>,
    refilled: Cell<Instant>,
    exceeded: Cell<bool>,
}

impl Allowance {
    fn new(most: u32) -> Self {
        Self { most, left: Cell::new(most), refilled: Cell::new(Instant::now()), exceeded: Cell::new(false) }
    }

    fn earn(&self, frames: u32) {
        self.left.set(self.left.get().saturating_add(frames).min(self.most));
    }

    fn spend(&self) {
        if self.left.get() == 0 {
            self.refill(Instant::now());
        }
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => self.exceeded.set(true),
        }
    }

    /// The clock is read only when nothing is left.
    fn refill(&self, now: Instant) {
        const WHOLE: Duration = Duration::from_secs(10);
        let passed = (now - self.refilled.get()).min(WHOLE);
        let share = u128::from(self.most) * passed.as_millis() / WHOLE.as_millis();
        if let Ok(frames @ 1..) = u32::try_from(share) {
            self.refilled.set(now);
            self.earn(frames);
        }
    }
}

/// A stream whose frame headers are watched.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    headers: FrameHeaders,
    watch: Rc<Watch>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, watch: Rc<Watch>) -> Self {
        Self { stream, headers: FrameHeaders::default(), watch }
    }
}

/// Finds frame headers in what is read.
#[derive(Debug)]
struct FrameHeaders {
    /// What passes unseen before the next header, in bytes.
    unseen: usize,
    /// The header, as far as it came; until the next one begins, the last.
    header: [u8; FRAME_HEADER],
    filled: usize,
}

impl Default for FrameHeaders {
    fn default() -> Self {
        Self { unseen: PREFACE, header: [0; FRAME_HEADER], filled: 0 }
    }
}

impl FrameHeaders {
    fn see(&mut self, mut bytes: &[u8], watch: &Watch) {
        loop {
            let (unseen, rest) = bytes.split_at(self.unseen.min(bytes.len()));
            self.unseen -= unseen.len();
            if self.unseen == 0 && self.filled == 0 {
                let [_, _, _, kind, flags, ..] = self.header;
                watch.frame_ends(kind, flags);
            }
            let mut space = self.header.get_mut(self.filled..).unwrap_or_default();
            let (header, rest) = rest.split_at(space.len().min(rest.len()));
            bytes::BufMut::put_slice(&mut space, header);
            self.filled += header.len();
            if self.filled < FRAME_HEADER {
                return;
            }
            bytes = rest;
            let [length @ .., kind, _, _, _, _, _] = self.header;
            let [high, middle, low] = length.map(usize::from);
            (self.unseen, self.filled) = ((high << 16) | (middle << 8) | low, 0);
            watch.frame_begins(kind, self.unseen);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.watch.small.get() >= SMALL_IN_A_TURN {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        if let Some(read) = buf.filled().get(before..).filter(|read| !read.is_empty()) {
            this.headers.see(read, &this.watch);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    const HALF_HEADERS: [u8; 10] = [0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82];
    const CONTINUED: [u8; 10] = [0, 0, 1, 9, 4, 0, 0, 0, 1, 0x84];

    fn watch(control_frames: u32) -> Rc<Watch> {
        Watch::new(&Limits { control_frames, ..Limits::default() })
    }

    fn seen(watch: &Watch, step: usize, frames: &[&[u8]]) {
        let bytes = [&[0; PREFACE], frames.concat().as_slice()].concat();
        let mut headers = FrameHeaders::default();
        bytes.chunks(step).for_each(|bytes| headers.see(bytes, watch));
    }

    #[tokio::test(start_paused = true)]
    async fn control_frames_are_counted_however_they_are_cut() {
        for step in 1..60 {
            let (exact, less) = (watch(3), watch(2));
            seen(&exact, step, &[&PING, &PING, &PING]);
            seen(&less, step, &[&PING, &PING, &PING]);
            assert!(!exact.is_flooded() && less.is_flooded(), "in steps of {step}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_block_is_unfinished_until_its_last_frame() {
        let watch = watch(1);
        seen(&watch, 7, &[&HALF_HEADERS, &PING]);
        assert!(watch.unfinished_since().is_some());
        seen(&watch, 7, &[&HALF_HEADERS, &CONTINUED]);
        assert!(watch.unfinished_since().is_none());
        // The end is announced by a frame whose last byte is missing.
        let (_missing, cut) = CONTINUED.split_last().unwrap();
        for frames in [&[cut][..], &[&HALF_HEADERS[..], cut][..]] {
            seen(&watch, 7, frames);
            assert!(watch.unfinished_since().is_some());
            seen(&watch, 7, &[&CONTINUED]);
            assert!(watch.unfinished_since().is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_allowance_comes_back_with_time_and_with_what_is_sent() {
        let watch = watch(10);
        let ping = || watch.frame_begins(6, 8);
        (0..10).for_each(|_| ping());
        watch.data_sent(1, Cut::Nowhere);
        watch.data_sent(WORTHWHILE - 1, Cut::ByWindow);
        (0..4).for_each(|_| ping());
        tokio::time::advance(Duration::from_secs(3)).await;
        (0..3).for_each(|_| ping());
        assert!(!watch.is_flooded());
        ping();
        assert!(watch.is_flooded());
    }
}
