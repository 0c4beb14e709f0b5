//! The bytes of a connection to an endpoint: in plaintext, or over TLS.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;
use tokio_rustls::client::TlsStream;

use crate::dataplane::websocket::side::Side;

/// A connection to an endpoint.
#[derive(Debug)]
pub(crate) enum OriginStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Calls a method of whichever stream it is.
macro_rules! whichever {
    ($this:expr, $stream:ident => $call:expr) => {
        match $this {
            OriginStream::Plain($stream) => $call,
            OriginStream::Tls($stream) => $call,
        }
    };
}

impl OriginStream {
    /// Whether nothing has come that was not read yet, the end included, as far as is known here. What it finds is
    /// lost.
    pub(crate) fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        match self {
            Self::Plain(stream) => {
                stream.try_read(&mut byte).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            // What belongs to TLS alone, such as tickets, is nothing. Many are asked at once, more than a task may
            // otherwise read.
            Self::Tls(stream) => {
                let read = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut ReadBuf::new(&mut byte)));
                pin!(unconstrained(read)).poll(&mut Context::from_waker(Waker::noop())).is_pending()
            }
        }
    }
}

impl AsyncRead for OriginStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for OriginStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        whichever!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl Side for OriginStream {
    fn reset_when_dropped(&self) {
        whichever!(self, stream => stream.reset_when_dropped());
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        whichever!(self, stream => stream.poll_readable(cx))
    }

    fn taken(&self) -> u64 {
        whichever!(self, stream => stream.taken())
    }
}
