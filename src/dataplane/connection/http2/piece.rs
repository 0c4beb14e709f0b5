//! Pieces of answers that `h2` has and the socket has not, counted over all streams of a connection.
//!
//! A viewer's windows may be as large as it likes; what it does not take is bounded by us.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};

/// What a piece costs beside its bytes, in bytes: an origin may send one at a time.
const OVERHEAD: usize = 256;

/// How much is unsent, and who waits until it is less.
#[derive(Debug)]
pub(super) struct Unsent {
    bytes: Cell<usize>,
    most: usize,
    waiting: RefCell<Vec<Waker>>,
}

impl Unsent {
    /// Nothing yet, and never much more than `most` bytes.
    pub(super) fn new(most: usize) -> Rc<Self> {
        Rc::new(Self { bytes: Cell::new(0), most, waiting: RefCell::default() })
    }

    /// Ready when something more may be added.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.bytes.get() < self.most {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn add(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes);
    }

    fn remove(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
        if self.bytes.get() < self.most {
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }
}

/// A piece of an answer's body; counted until it is written or thrown away.
#[derive(Debug)]
pub(super) struct Piece {
    data: Bytes,
    unsent: Rc<Unsent>,
}

impl Piece {
    pub(super) fn new(data: Bytes, unsent: &Rc<Unsent>) -> Self {
        unsent.add(data.len() + OVERHEAD);
        Self { data, unsent: Rc::clone(unsent) }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
        self.unsent.remove(count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.unsent.remove(self.data.len() + OVERHEAD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_or_thrown_away_makes_room() {
        let unsent = Unsent::new(4 + 2 * OVERHEAD);
        let mut cx = Context::from_waker(Waker::noop());
        let mut written = Piece::new(Bytes::from_static(b"abc"), &unsent);
        assert!(unsent.poll_room(&mut cx).is_ready());
        let dropped = Piece::new(Bytes::from_static(b"defg"), &unsent);
        assert!(unsent.poll_room(&mut cx).is_pending());
        written.advance(3);
        assert!(unsent.poll_room(&mut cx).is_pending());
        drop(dropped);
        assert!(unsent.poll_room(&mut cx).is_ready());
        drop(written);
        assert_eq!(unsent.bytes.get(), 0);
    }
}
