//! The two ends of a tunnel as it sees them: a stream that can be reset, and what was read from it too early.
//!
//! A tunnel knows nothing else of a connection: not whether it is encrypted, nor what was spoken on it before, nor
//! whether it has it for itself or is one stream of HTTP/2 (`connection::http2`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// One end's stream.
pub(crate) trait Side: AsyncRead + AsyncWrite + Unpin + 'static {
    /// From now on, dropping the stream resets the connection (RST) instead of ending it (FIN), and what was not
    /// sent yet is thrown away.
    fn reset_when_dropped(&self);

    /// Ready when reading would not have to wait: there are bytes, the end, or an error.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Reads into `buffer`, or hands over what came in a piece of its own that is not worth a copy. Neither is the end.
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Bytes>>> {
        Pin::new(self).poll_read(cx, buffer).map_ok(|()| None)
    }

    /// Takes in what has come, where it costs more as long as it is left. Whoever is not reading calls it, and is
    /// woken when more has come.
    fn take_in(&mut self, _cx: &mut Context<'_>) {}

    /// How much the socket has taken so far, where it is not the same as what was written: between the two TLS may
    /// hold some back. In bytes.
    fn taken(&self) -> u64 {
        0
    }
}

/// One end, taken apart after the 101.
#[derive(Debug)]
pub(crate) struct Upgraded<S> {
    /// The stream.
    pub(crate) stream: S,
    /// What came with or right after the head, and was read together with it.
    pub(crate) early: Bytes,
}

impl Side for TcpStream {
    fn reset_when_dropped(&self) {
        // It fails only where the socket is dead already, and then there is nothing to reset.
        let _already_dead = self.set_zero_linger();
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_read_ready(cx).map(drop)
    }
}

/// Both ends of TLS are the same to a tunnel.
macro_rules! side_over_tls {
    ($stream:ty) => {
        impl<S: Side> Side for $stream {
            fn reset_when_dropped(&self) {
                self.get_ref().0.reset_when_dropped();
            }

            fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
                let (socket, session) = self.get_mut();
                let holds =
                    session.process_new_packets().map_or(true, |state| state.plaintext_bytes_to_read() > 0);
                if holds { Poll::Ready(()) } else { socket.poll_readable(cx) }
            }

            fn taken(&self) -> u64 {
                self.get_ref().0.taken()
            }
        }
    };
}

side_over_tls!(tokio_rustls::server::TlsStream<S>);
side_over_tls!(tokio_rustls::client::TlsStream<S>);

impl<S: Side> Side for Box<S> {
    fn reset_when_dropped(&self) {
        (**self).reset_when_dropped();
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        (**self).poll_readable(cx)
    }

    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Bytes>>> {
        (**self).poll_take(cx, buffer)
    }

    fn take_in(&mut self, cx: &mut Context<'_>) {
        (**self).take_in(cx);
    }

    fn taken(&self) -> u64 {
        (**self).taken()
    }
}
