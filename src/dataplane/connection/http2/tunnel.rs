//! A stream as a tunnel has it (RFC 8441 section 5): DATA is its bytes, END_STREAM its FIN, RST_STREAM its RST.
//!
//! What the viewer sends is paid back to its windows only when the tunnel comes for more, and so has written it on:
//! a stream's window is all that a slow origin makes us hold, and a large DATA frame is written on from where `h2` has
//! put it. The other way nothing is given to `h2` for which the viewer's windows have no room; what is given is a copy,
//! since `h2` keeps it until the socket takes it, and a tunnel's buffer is its worker's. No timer runs here: a tunnel
//! has its own.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::piece::Piece;
use super::watch::Cut;
use super::{Shared, answer};
use crate::dataplane::exchange::Opened;
use crate::dataplane::response::body::AnswerBody;
use crate::dataplane::websocket::side::{Side, Upgraded};

/// Pieces from this size on are handed over as they are, in bytes: half of what a tunnel reads at once. Smaller ones
/// are put together, since each of them would be written alone, and a write costs more than a copy.
const NOT_WORTH_A_COPY: usize = 8 * 1024;

/// Agrees to a handshake and makes its stream the tunnel.
pub(super) fn begin(
    shared: &Rc<Shared>,
    mut respond: SendResponse<Piece>,
    response: Response<AnswerBody>,
    incoming: RecvStream,
    opened: Opened,
) {
    let (mut head, _no_body) = response.into_parts();
    answer::put_date(&mut head.headers);
    // It fails only where the viewer has reset the stream.
    let Ok(outgoing) = respond.send_response(Response::from_parts(head, ()), false) else { return };
    let stream = TunnelStream::new(shared, incoming, outgoing);
    shared.viewer.worker.tunnel(Upgraded { stream, early: Bytes::new() }, opened);
}

/// The open tunnels of a connection, which lives as long as they do.
#[derive(Debug, Default)]
pub(super) struct Tunnels {
    open: Cell<usize>,
    connection: RefCell<Option<Waker>>,
}

impl Tunnels {
    /// Whether there is one. The connection, which asks, is woken when the last one ends.
    pub(super) fn are_open(&self, cx: &mut Context<'_>) -> bool {
        if self.open.get() == 0 {
            return false;
        }
        let mut connection = self.connection.borrow_mut();
        match &mut *connection {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *connection = Some(cx.waker().clone()),
        }
        true
    }

    fn begin(&self) {
        self.open.set(self.open.get() + 1);
    }

    fn end(&self) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0
            && let Some(connection) = self.connection.take()
        {
            connection.wake();
        }
    }
}

/// A stream, from its 200 on.
#[derive(Debug)]
struct TunnelStream {
    shared: Rc<Shared>,
    incoming: RecvStream,
    outgoing: SendStream<Piece>,
    /// What was left of a piece of which a part was read, before what came ahead.
    late: Bytes,
    /// What came before anybody read it, in one piece: a frame that waits in `h2` costs more than its bytes.
    ahead: BytesMut,
    /// What was read last, in bytes; the viewer's windows lack it.
    unpaid: usize,
    outlet: Outlet,
    /// Whether trailers came, which no tunnel has: `h2` gives them once.
    broken: bool,
    end: Cell<End>,
}

/// Whether more may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outlet {
    Open,
    /// END_STREAM was sent.
    Shut,
}

/// What dropping the stream means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// What was sent arrives; then the stream is over, with a reset only where the viewer goes on sending.
    Gentle,
    /// A reset, and what was not sent yet is thrown away.
    Reset,
}

impl TunnelStream {
    fn new(shared: &Rc<Shared>, incoming: RecvStream, outgoing: SendStream<Piece>) -> Self {
        shared.tunnels.begin();
        Self {
            shared: Rc::clone(shared),
            incoming,
            outgoing,
            late: Bytes::new(),
            ahead: BytesMut::new(),
            unpaid: 0,
            outlet: Outlet::Open,
            broken: false,
            end: Cell::new(End::Gentle),
        }
    }

    /// Opens the viewer's windows by what was read before.
    fn pay_back(&mut self) {
        let unpaid = std::mem::take(&mut self.unpaid);
        if unpaid > 0 {
            // It fails only for a stream that is over, which needs no more window.
            let _over = self.incoming.flow_control().release_capacity(unpaid);
        }
    }

    /// The next DATA frame; none after END_STREAM. `h2` tells both ends, this one and a reset, as often as it is
    /// asked.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let reset = || Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
        if self.broken {
            return reset();
        }
        match ready!(self.incoming.poll_data(cx)) {
            Some(Ok(data)) => Poll::Ready(Some(Ok(data))),
            Some(Err(_)) => reset(),
            // RFC 9113 section 8.5: nothing but DATA may come, so trailers are no end.
            None => match ready!(self.incoming.poll_trailers(cx)) {
                Ok(None) => Poll::Ready(None),
                Ok(Some(_)) | Err(_) => {
                    self.broken = true;
                    reset()
                }
            },
        }
    }

    /// The next bytes, in the order in which they came.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if !self.late.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.late))));
        }
        if !self.ahead.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.ahead).freeze())));
        }
        self.poll_data(cx)
    }
}

impl Side for TunnelStream {
    fn reset_when_dropped(&self) {
        self.end.set(End::Reset);
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.late.is_empty()
            && self.ahead.is_empty()
            && let Some(Ok(data)) = ready!(self.poll_data(cx))
        {
            self.ahead.extend_from_slice(&data);
        }
        Poll::Ready(())
    }

    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Bytes>>> {
        self.pay_back();
        let before = buffer.filled().len();
        let next = loop {
            if buffer.remaining() == 0 {
                break Poll::Ready(Ok(None));
            }
            match self.poll_piece(cx) {
                Poll::Ready(Some(Ok(mut piece))) if piece.len() >= NOT_WORTH_A_COPY => {
                    if buffer.filled().len() > before {
                        self.late = piece;
                        break Poll::Ready(Ok(None));
                    }
                    // No more than is read at once: by that much the windows are opened again when it is written.
                    self.late = piece.split_off(piece.len().min(buffer.remaining()));
                    self.unpaid = piece.len();
                    return Poll::Ready(Ok(Some(piece)));
                }
                Poll::Ready(Some(Ok(mut piece))) => {
                    buffer.put_slice(&piece.split_to(piece.len().min(buffer.remaining())));
                    self.late = piece;
                }
                Poll::Ready(Some(Err(reset))) => break Poll::Ready(Err(reset)),
                Poll::Ready(None) => break Poll::Ready(Ok(None)),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.unpaid = buffer.filled().len() - before;
        if self.unpaid > 0 { Poll::Ready(Ok(None)) } else { next }
    }

    fn take_in(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(Ok(data))) = self.poll_data(cx) {
            self.ahead.extend_from_slice(&data);
        }
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(mut piece) = ready!(this.poll_take(cx, buf))? {
            let now = piece.split_to(piece.len().min(buf.remaining()));
            buf.put_slice(&now);
            (this.unpaid, this.late) = (now.len(), piece);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let room = ready!(this.shared.poll_room(&mut this.outgoing, bytes.len(), cx));
        let room = room.ok_or(io::ErrorKind::ConnectionReset)?;
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        let cut = if later.is_empty() { Cut::Nowhere } else { Cut::ByWindow };
        let sent = this.shared.send(&mut this.outgoing, Bytes::copy_from_slice(now), cut, false);
        Poll::Ready(sent.map(|()| now.len()).map_err(|_| io::ErrorKind::ConnectionReset.into()))
    }

    /// What `h2` has got is written by the connection.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.outlet == Outlet::Open {
            this.outlet = Outlet::Shut;
            let sent = this.shared.send(&mut this.outgoing, Bytes::new(), Cut::Nowhere, true);
            sent.map_err(|_| io::ErrorKind::ConnectionReset)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for TunnelStream {
    fn drop(&mut self) {
        if self.end.get() == End::Reset {
            self.outgoing.send_reset(Reason::CANCEL);
        } else if self.outlet == Outlet::Shut && self.incoming.is_end_stream() {
            self.shared.watch.stream_served();
        }
        self.shared.tunnels.end();
    }
}
