//! The body of an answer as it is read: only when somebody asks for more, so that whoever does not stops the origin.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt;
use http_body::{Frame, SizeHint};
use tokio_util::task::AbortOnDropHandle;

use super::Shared;
use super::decoder::{Decoded, Decoder};
use crate::dataplane::origin::body::Cut;
use crate::table::reason::Reason;

/// The rest of a request that is answered already, on its way in a task of its own.
pub(super) type Rest = AbortOnDropHandle<Result<(), Reason>>;

/// The body of an answer. Dropped before its end, it ends what is left of the request, too.
#[derive(Debug)]
pub(crate) struct AnswerBody(Option<Open>);

/// What is there until the end was read.
#[derive(Debug)]
struct Open {
    wire: Shared,
    decoder: Decoder,
    /// What is read at once, in bytes.
    most: usize,
    rest: Option<Rest>,
}

impl AnswerBody {
    /// None at all.
    pub(super) fn empty() -> Self {
        Self(None)
    }

    pub(super) fn new(wire: Shared, decoder: Decoder, most: usize, rest: Option<Rest>) -> Self {
        Self(Some(Open { wire, decoder, most, rest }))
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let Some(open) = &mut self.0 else { return Poll::Ready(None) };
        let decoded = ready!(open.poll_next(cx));
        if decoded.is_err() {
            open.decoder = Decoder::Broken;
        }
        if open.decoder.is_over() || matches!(decoded, Ok(Decoded::End)) {
            self.0 = None;
        }
        Poll::Ready(match decoded {
            Ok(Decoded::Piece(piece)) => Some(Ok(Frame::data(piece))),
            Ok(Decoded::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(Decoded::Nothing | Decoded::End) => None,
            Err(cut) => Some(Err(cut)),
        })
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match &self.0 {
            None => SizeHint::with_exact(0),
            Some(open) => open.decoder.left().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl Open {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Decoded, Cut>> {
        let wire = &mut *self.wire.borrow_mut();
        loop {
            match self.decoder.decode(&mut wire.read).map_err(|_| Cut)? {
                Decoded::Nothing => {}
                decoded => return Poll::Ready(Ok(decoded)),
            }
            match wire.poll_read(self.decoder.expects(self.most), cx) {
                Poll::Ready(Ok(0)) if self.decoder.may_end() => return Poll::Ready(Ok(Decoded::End)),
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Cut)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => break,
            }
        }
        ready!(poll_broken_off(&mut self.rest, cx));
        Poll::Ready(Err(Cut))
    }
}

/// Ready when the rest of the request does not come: the origin would wait for it, and nobody else does.
fn poll_broken_off(rest: &mut Option<Rest>, cx: &mut Context<'_>) -> Poll<()> {
    let Some(sending) = rest else { return Poll::Pending };
    match ready!(sending.poll_unpin(cx)) {
        Ok(Ok(())) => {
            *rest = None;
            Poll::Pending
        }
        Ok(Err(_)) | Err(_) => Poll::Ready(()),
    }
}
