//! The buffers of one worker's tunnels: borrowed while there is something in them, so that idle tunnels hold none.

use std::cell::RefCell;

/// One TLS record's plaintext (RFC 8446 section 5.1).
const BUFFER_BYTES: usize = 16 * 1024;

/// Free buffers that are kept: as many as tunnels are blocked or read in one turn, not as many as there are.
const KEPT: usize = 64;

/// The free list; it never leaves its worker.
#[derive(Debug, Default)]
pub(super) struct Buffers(RefCell<Vec<Box<[u8]>>>);

impl Buffers {
    /// A buffer with anything in it.
    pub(super) fn take(&self) -> Box<[u8]> {
        let free = self.0.borrow_mut().pop();
        free.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice())
    }

    /// Gives a buffer back.
    pub(super) fn give(&self, buffer: Box<[u8]>) {
        let mut free = self.0.borrow_mut();
        if free.len() < KEPT {
            free.push(buffer);
        }
    }

    /// How many buffers lie free.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.0.borrow().len()
    }
}
