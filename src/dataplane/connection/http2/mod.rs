//! An HTTP/2 viewer connection: the `h2` crate, driven by us.
//!
//! One task carries the connection and all of its streams: what a stream sends is written together with what the
//! others send, and nothing is handed from task to task. A stream's life is in [`stream`], its answer's in
//! [`answer`]; [`watch`] sees what `h2` does not tell. Tunnels alone have tasks of their own ([`tunnel`]), as they have
//! over HTTP/1.1: the connection lives as long as they do.

mod answer;
mod lent;
mod life;
mod piece;
mod stream;
mod tunnel;
mod watch;

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::server::{Builder, Connection};
use h2::{Reason, SendStream};
use tokio::time::timeout;

use self::lent::Lent;
use self::life::{Life, Next, Streams};
use self::piece::{Piece, Unsent};
use self::tunnel::Tunnels;
use self::watch::{Cut, Watch, Watched};
use super::{Viewer, ending};
use crate::dataplane::alarm::Alarm;
use crate::dataplane::guarded_io::{Guarded, Meter};
use crate::dataplane::limits::Limits;
use crate::dataplane::websocket::side::Side;
use crate::dataplane::worker::caught;
use crate::drain::{Drain, Phase};
use crate::telemetry::metrics::Lost;

type Http<S> = Connection<Watched<Guarded<Lent<S>>>, Piece>;

/// What the streams of a connection share with it.
#[derive(Debug)]
struct Shared {
    viewer: Rc<Viewer>,
    watch: Rc<Watch>,
    unsent: Rc<Unsent>,
    tunnels: Tunnels,
}

impl Shared {
    /// How much of `wanted` bytes may be sent; none after a reset.
    fn poll_room(
        &self,
        stream: &mut SendStream<Piece>,
        wanted: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<usize>> {
        stream.reserve_capacity(wanted);
        if self.unsent.poll_room(cx).is_pending() {
            return stream.poll_reset(cx).map(|_reason| None);
        }
        let mut room = stream.capacity();
        // It is woken also where what was added is nothing.
        while room == 0 {
            let Some(Ok(added)) = ready!(stream.poll_capacity(cx)) else { return Poll::Ready(None) };
            room = added;
        }
        Poll::Ready(Some(room))
    }

    fn send(
        &self,
        stream: &mut SendStream<Piece>,
        data: Bytes,
        cut: Cut,
        end: bool,
    ) -> Result<(), h2::Error> {
        self.watch.data_sent(data.len(), cut);
        stream.send_data(Piece::new(data, &self.unsent), end)
    }
}

/// Why the connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Everything was said; the viewer may still be sending.
    Finished,
    /// The viewer took nothing for too long.
    Stalled,
}

/// Serves a connection to its end.
pub(crate) async fn serve<S: Side>(viewer: Rc<Viewer>, stream: S) {
    // Large, and not to be paid for by connections that speak HTTP/1.1.
    Box::pin(live(viewer, stream)).await;
}

async fn live<S: Side>(viewer: Rc<Viewer>, stream: S) {
    let limits = &viewer.worker.limits;
    let (ours, lent) = Lent::new(stream);
    let guarded = Guarded::counting(lent, Lent::taken);
    let meter = guarded.meter();
    let watch = Watch::new(limits);
    let watched = Watched::new(guarded, Rc::clone(&watch));
    let end = match timeout(limits.request_head, settings(limits).handshake(watched)).await {
        Ok(Ok(http)) => {
            let unsent = Unsent::new(limits.answers_unsent);
            let shared = Shared { viewer: Rc::clone(&viewer), watch, unsent, tunnels: Tunnels::default() };
            drive(http, Rc::new(shared), &meter).await
        }
        Ok(Err(_)) | Err(_) => End::Finished,
    };
    // `h2` is gone, so nobody else has the stream any more.
    let Some(stream) = Rc::into_inner(ours) else { return };
    let stream = stream.into_inner();
    match end {
        End::Finished => ending::linger(stream, limits).await,
        End::Stalled => stream.reset_when_dropped(),
    }
}

fn settings(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.streams)
        .initial_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_send_buffer_size(limits.buffer_bytes)
        .data_frame_budget(limits.small_frames.saturating_mul(watch::SMALL))
        .enable_connect_protocol()
        .max_local_error_reset_streams(usize::try_from(limits.viewer_resets).ok());
    builder
}

async fn drive<S: Side>(mut http: Http<S>, shared: Rc<Shared>, meter: &Meter) -> End {
    let worker = Rc::clone(&shared.viewer.worker);
    let mut life = Life::new(&worker.limits);
    let mut alarm = Alarm::default();
    let phase = Cell::new(Phase::Serving);
    let mut drain = pin!(follow(worker.drain.clone(), &phase));
    let mut streams = FuturesUnordered::new();
    poll_fn(|cx| {
        shared.watch.turn_begins();
        // 1. HTTP/2 goes on: what came is read, what is ready is written, streams begin.
        loop {
            match http.poll_accept(cx) {
                Poll::Ready(Some(Ok((_, mut respond)))) if life.is_closed_to_streams() => {
                    shared.watch.stream_refused();
                    respond.send_reset(Reason::REFUSED_STREAM);
                }
                Poll::Ready(Some(Ok((request, respond)))) => {
                    life.request_came();
                    let stream = stream::serve(Rc::clone(&shared), request, respond);
                    streams.push(caught(worker.metrics.clone(), Lost::Exchange, stream));
                }
                // What was wrong was told to the viewer.
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(End::Finished),
                Poll::Pending => break,
            }
        }
        // 2. Streams go on. What they send wakes HTTP/2, and so this task, once more.
        while let Poll::Ready(Some(())) = streams.poll_next_unpin(cx) {}
        // 3. The replica leaves, the connection is old, or somebody waits too long.
        let _never_ends = drain.as_mut().poll(cx);
        let open = match (shared.tunnels.are_open(cx), streams.is_empty()) {
            (true, _) => Streams::Tunnels,
            (false, false) => Streams::Open,
            (false, true) => Streams::None,
        };
        loop {
            // Where memory is short this connection leaves as if the replica did.
            let phase = match worker.asks_to_leave() {
                true => phase.get().max(Phase::Leaving),
                false => phase.get(),
            };
            match life.next(open, phase, meter, &shared.watch) {
                Next::Wait(deadline) => match alarm.poll(deadline, cx) {
                    Poll::Ready(()) => continue,
                    Poll::Pending => return Poll::Pending,
                },
                Next::Leave => http.graceful_shutdown(),
                Next::Refuse(reason) => http.abrupt_shutdown(reason),
                Next::End(end) => return Poll::Ready(end),
            }
            // The GOAWAY is to be written.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
    })
    .await
}

/// Tells the phase of the drain as it goes on; it never ends.
async fn follow(mut drain: Drain, phase: &Cell<Phase>) {
    phase.set(drain.leaving().await);
    phase.set(drain.draining().await);
    pending().await
}
