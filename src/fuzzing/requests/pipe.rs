//! A viewer's end of a connection in memory: all its bytes are there, and then it says nothing more.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::origin::Log;
use crate::dataplane::inside::Side;

/// The stream as the proxy has it; clones are the same stream.
///
/// Nobody is woken: whoever drives it polls it at each turn.
#[derive(Clone)]
pub(super) struct Pipe(Rc<Inner>);

struct Inner {
    left: RefCell<Vec<u8>>,
    has_left: Cell<bool>,
    log: Rc<Log>,
}

impl Pipe {
    pub(super) fn new(bytes: &[u8], log: Rc<Log>) -> Self {
        Self(Rc::new(Inner { left: RefCell::new(bytes.to_vec()), has_left: Cell::new(false), log }))
    }

    /// From now on the stream ends behind its bytes.
    pub(super) fn leave(&self) {
        self.0.has_left.set(true);
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut left = self.0.left.borrow_mut();
        if left.is_empty() {
            return if self.0.has_left.get() { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let length = left.len().min(buf.remaining());
        let rest = left.split_off(length);
        buf.put_slice(&left);
        *left = rest;
        self.0.log.move_on();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.log.move_on();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Side for Pipe {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<()> {
        let is_over = self.0.has_left.get();
        if is_over || !self.0.left.borrow().is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn reset_when_dropped(&self) {}
}
