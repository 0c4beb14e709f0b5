//! A stream on which an answer is heard although the request could not be written to its end.
//!
//! An origin may answer early and close, which resets what is still being written (RFC 9112 section 9.6). The
//! answer has come by then, or never will: so a write that fails waits, and reading tells how the exchange ends.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose writes do not fail; once one has, they wait.
///
/// Whoever waits for them reads, too: a stream that takes nothing any more always ends reading, after what had
/// come.
#[derive(Debug)]
pub(super) struct AnswerFirst<S>(S);

impl<S> AnswerFirst<S> {
    pub(super) fn new(stream: S) -> Self {
        Self(stream)
    }

    pub(super) fn into_inner(self) -> S {
        self.0
    }
}

fn waiting<T>(result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    match result {
        Poll::Ready(Err(_)) => Poll::Pending,
        other => other,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AnswerFirst<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnswerFirst<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        waiting(Pin::new(&mut self.get_mut().0).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        waiting(Pin::new(&mut self.get_mut().0).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        waiting(Pin::new(&mut self.get_mut().0).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
