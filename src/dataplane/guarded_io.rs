//! A stream that is watched: how much passed in each direction, and since when it takes nothing.
//!
//! It sits above TLS and below HTTP, on both sides of an exchange. It ends nothing itself: deadlines are the
//! connection's business. Below TLS a [`Counted`] socket tells it whether what TLS holds back is on its way.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::websocket::side::Side;

/// What is known of a stream's traffic; shared between the stream and whoever judges it.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    read: Cell<u64>,
    written: Cell<u64>,
    /// What the socket had taken when it was last looked at ([`Side::taken`]).
    taken: Cell<u64>,
    write_blocked_since: Cell<Option<Instant>>,
    unflushed: Cell<bool>,
    /// Bytes of a body that were handed over to be written since everything was last flushed.
    handed_over: Cell<usize>,
    /// Whether more of that body was asked for in vain.
    held_back: Cell<bool>,
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

    /// Whether `most` bytes of a body are on their way, so that more would only pile up above the socket. Whoever
    /// is told so waits without a waker: the one who flushes comes back when everything is gone, and looks at
    /// [`Self::wants_more`].
    pub(crate) fn holds_back(&self, most: usize) -> bool {
        let holds_back = self.handed_over.get() >= most;
        self.held_back.set(holds_back);
        holds_back
    }

    /// Notes that `bytes` of a body go on their way.
    pub(crate) fn note_handed_over(&self, bytes: usize) {
        self.handed_over.set(self.handed_over.get().saturating_add(bytes));
    }

    /// Whether a body was held back by what is gone now; says so once.
    pub(crate) fn wants_more(&self) -> bool {
        self.is_flushed() && self.held_back.replace(false)
    }

    fn note_write(&self, result: &Poll<io::Result<usize>>, taken: u64) {
        self.unflushed.set(true);
        match result {
            Poll::Ready(Ok(written)) => {
                self.written.set(self.written.get() + *written as u64);
                self.taken.set(taken);
                self.write_blocked_since.set(None);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.note_blocked(taken),
        }
    }

    fn note_flush(&self, result: &Poll<io::Result<()>>, taken: u64) {
        match result {
            Poll::Ready(Ok(())) => {
                self.unflushed.set(false);
                self.handed_over.set(0);
                self.write_blocked_since.set(None);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.note_blocked(taken),
        }
    }

    fn note_blocked(&self, taken: u64) {
        if self.taken.replace(taken) != taken || self.write_blocked_since.get().is_none() {
            self.write_blocked_since.set(Some(Instant::now()));
        }
    }
}

/// A stream with its meter.
#[derive(Debug)]
pub(crate) struct Guarded<S> {
    stream: S,
    meter: Rc<Meter>,
    /// What was read, and is to be read again.
    again: Bytes,
    /// What the socket below has taken, where the stream can say it.
    taken: fn(&S) -> u64,
}

impl<S> Guarded<S> {
    /// Watches `stream` from now on.
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, meter: Rc::default(), again: Bytes::new(), taken: |_| 0 }
    }

    /// The same for a stream that can say what the socket below it has taken, in bytes.
    pub(crate) fn counting(stream: S, taken: fn(&S) -> u64) -> Self {
        Self { taken, ..Self::new(stream) }
    }

    /// What is known of it.
    pub(crate) fn meter(&self) -> Rc<Meter> {
        Rc::clone(&self.meter)
    }

    /// Has the next reads give these bytes once more, before anything else; they are not counted again.
    pub(crate) fn read_again(&mut self, bytes: Bytes) {
        self.again = bytes;
    }

    /// The stream itself, no longer watched.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: Side> Guarded<S> {
    /// Ready when reading would not have to wait.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.again.is_empty() { self.stream.poll_readable(cx) } else { Poll::Ready(()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.again.is_empty() {
            let length = this.again.len().min(buf.remaining());
            buf.put_slice(&this.again.split_to(length));
            return Poll::Ready(Ok(()));
        }
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
        this.meter.note_write(&result, (this.taken)(&this.stream));
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.meter.note_write(&result, (this.taken)(&this.stream));
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_flush(cx);
        this.meter.note_flush(&result, (this.taken)(&this.stream));
        result
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// A socket that counts what it takes, for below TLS.
#[derive(Debug)]
pub(crate) struct Counted<S> {
    socket: S,
    taken: u64,
}

impl<S> Counted<S> {
    /// Counts from now on.
    pub(crate) fn new(socket: S) -> Self {
        Self { socket, taken: 0 }
    }

    fn count(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(taken)) = &result {
            self.taken += *taken as u64;
        }
        result
    }
}

impl<S: Side> Side for Counted<S> {
    fn reset_when_dropped(&self) {
        self.socket.reset_when_dropped();
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_readable(cx)
    }

    fn taken(&self) -> u64 {
        self.taken
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.count(result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.socket).poll_write_vectored(cx, slices);
        this.count(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Takes what it is written and gets nothing out, as TLS over a socket that is full.
    #[derive(Default)]
    struct Stuck {
        taken: u64,
    }

    impl AsyncWrite for Stuck {
        fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.taken < 3 { Poll::Pending } else { Poll::Ready(Ok(())) }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_tls_holds_back_is_blocked_until_the_socket_takes_of_it() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut stream = Guarded::counting(Stuck::default(), |stuck| stuck.taken);
        let meter = stream.meter();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut stream).poll_write(&mut cx, b"abc").is_ready());
        assert!(!meter.is_flushed());
        let mut flush = |stream: &mut Guarded<Stuck>| Pin::new(stream).poll_flush(&mut cx).is_ready();
        // Nothing is taken: blocked since the first try.
        for _ in 0..2 {
            assert!(!flush(&mut stream));
            assert_eq!(meter.write_blocked_since(), Some(start));
            tokio::time::advance(second).await;
        }
        // Something is: blocked only since then.
        stream.stream.taken = 1;
        assert!(!flush(&mut stream));
        assert_eq!(meter.write_blocked_since(), Some(start + 2 * second));
        stream.stream.taken = 3;
        assert!(flush(&mut stream));
        assert!(meter.is_flushed() && meter.write_blocked_since().is_none());
    }

    #[test]
    fn a_body_is_held_back_until_what_it_gave_is_flushed() {
        let mut stream = Guarded::counting(Stuck::default(), |stuck| stuck.taken);
        let meter = stream.meter();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        meter.note_handed_over(2);
        assert!(!meter.holds_back(3));
        meter.note_handed_over(1);
        assert!(meter.holds_back(3));
        assert!(Pin::new(&mut stream).poll_write(&mut cx, b"abc").is_ready());
        // Taken by TLS is not taken by the socket.
        assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_pending());
        assert!(meter.holds_back(3) && !meter.wants_more());
        stream.stream.taken = 3;
        assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_ready());
        // Said once: whoever hears it comes back.
        assert!(meter.wants_more() && !meter.wants_more());
        assert!(!meter.holds_back(3));
    }
}
