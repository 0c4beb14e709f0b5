//! A stream that is watched: how much passed in each direction, and since when it takes nothing.
//!
//! It sits above TLS and below HTTP, on both sides of an exchange. It ends nothing itself: deadlines are the
//! connection's business.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What is known of a stream's traffic; shared between the stream and whoever judges it.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    read: Cell<u64>,
    written: Cell<u64>,
    write_blocked_since: Cell<Option<Instant>>,
    unflushed: Cell<bool>,
}

impl Meter {
    /// Bytes read so far.
    pub(crate) fn read(&self) -> u64 {
        self.read.get()
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written.get()
    }

    /// Since when the other side has taken nothing of what we want to write; none while it takes.
    pub(crate) fn write_blocked_since(&self) -> Option<Instant> {
        self.write_blocked_since.get()
    }

    /// Whether nothing that somebody wanted to write is still on its way to the socket.
    pub(crate) fn is_flushed(&self) -> bool {
        !self.unflushed.get()
    }

    fn note_write(&self, result: &Poll<io::Result<usize>>) {
        self.unflushed.set(true);
        match result {
            Poll::Ready(Ok(written)) => {
                self.written.set(self.written.get() + *written as u64);
                self.write_blocked_since.set(None);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending if self.write_blocked_since.get().is_none() => {
                self.write_blocked_since.set(Some(Instant::now()));
            }
            Poll::Pending => {}
        }
    }
}

/// A stream with its meter.
#[derive(Debug)]
pub(crate) struct Guarded<S> {
    stream: S,
    meter: Rc<Meter>,
}

impl<S> Guarded<S> {
    /// Watches `stream` from now on.
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, meter: Rc::default() }
    }

    /// What is known of it.
    pub(crate) fn meter(&self) -> Rc<Meter> {
        Rc::clone(&self.meter)
    }

    /// The stream itself, no longer watched.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        if matches!(result, Poll::Ready(Ok(()))) {
            let read = buf.filled().len() - before;
            this.meter.read.set(this.meter.read.get() + read as u64);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.meter.note_write(&result);
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.meter.note_write(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_flush(cx);
        if matches!(result, Poll::Ready(Ok(()))) {
            this.meter.unflushed.set(false);
        }
        result
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
