//! An HTTP/1.1 viewer connection: hyper's server connection, driven by us.
//!
//! We poll it ourselves and take it apart: at its end, for tunnels, for raw 408 answers and for lingering closes,
//! and while nothing happens, since an idle hyper costs 18 KiB and a stream alone hardly any. hyper's own upgrade
//! wants `Send` and hides the stream.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, Connection};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::turn::{Phase, Turn};
use super::{Viewer, ending};
use crate::dataplane::alarm::Alarm;
use crate::dataplane::exchange::{self, Outcome};
use crate::dataplane::guarded_io::{Guarded, Meter};
use crate::dataplane::limits::Limits;
use crate::dataplane::response::body::AnswerBody;
use crate::dataplane::viewer::body::ViewerBody;
use crate::dataplane::websocket::side::Side;
use crate::drain;

/// The fields that hyper reads of a head where it is told nothing.
const HYPERS_HEADER_COUNT: usize = 100;

type Http<S, H> = Connection<TokioIo<Guarded<S>>, H>;

/// Why the HTTP of a connection is over.
#[derive(Debug)]
pub(super) enum End {
    /// As HTTP says, or by the tunnel that begins now.
    Finished,
    /// hyper gave up: the viewer went away, or sent what is not HTTP, or a body of ours broke off.
    Failed(hyper::Error),
    /// A wait for the viewer was too long in this phase.
    Late(Phase),
    /// The viewer took nothing of an answer for too long.
    Stalled,
    /// This replica is leaving and nobody used the connection.
    Drained,
}

/// Serves a connection to its end.
pub(crate) async fn serve<S: Side>(viewer: Rc<Viewer>, stream: S) {
    let turn = Turn::new(&viewer.worker.limits);
    let mut drain = viewer.worker.drain.clone();
    let mut waits = Waits { alarm: Alarm::default(), draining: pin!(drain.draining()), is_draining: false };
    let mut stream = Guarded::counting(stream, S::taken);
    let meter = stream.meter();
    loop {
        // New connections and idle ones have a stream and no more; HTTP is made for the first byte.
        let (mut end, mut early) = (waits.for_a_byte(&viewer, &turn, &mut stream).await, Bytes::new());
        if end.is_none() {
            (end, stream, early) = Box::pin(speak(&viewer, &turn, stream, &mut waits)).await;
        }
        if let Some(end) = end {
            let stream = stream.into_inner();
            return Box::pin(ending::finish(&viewer, &turn, end, stream, early, &meter)).await;
        }
        if !early.is_empty() {
            turn.head_began();
            stream.read_again(early);
        }
    }
}

/// Speaks HTTP until it ends, or until nothing has happened for a while; gives the stream back, and what was read
/// from it too early.
async fn speak<S: Side>(
    viewer: &Rc<Viewer>,
    turn: &Rc<Turn>,
    stream: Guarded<S>,
    waits: &mut Waits<'_>,
) -> (Option<End>, Guarded<S>, Bytes) {
    let meter = stream.meter();
    let for_service = (Rc::clone(viewer), Rc::clone(turn), Rc::clone(&meter));
    let service = service_fn(move |request: Request<Incoming>| {
        let (viewer, turn, meter) = for_service.clone();
        let most = viewer.worker.limits.unflushed_bytes;
        let (head, incoming) = request.into_parts();
        #[cfg(test)]
        let path = head.uri.path().to_owned();
        let body = ViewerBody::over_http1(incoming, &viewer.worker.limits);
        let exchange = exchange::serve(viewer, Some(Rc::clone(&turn)), head, body);
        // No `async`, which would keep room for the exchange twice.
        Box::pin(exchange.map(move |outcome| {
            let response = answer(&turn, outcome);
            #[cfg(test)]
            if turn.opened.borrow().is_some() {
                crate::dataplane::fault::strike("agreed", Some(&path));
            }
            Ok::<_, Infallible>(response.map(|body| body.keeping_pace(meter, most)))
        }))
    });
    let mut http = builder(&viewer.worker.limits).serve_connection(TokioIo::new(stream), service);
    let end = drive(&mut http, viewer, turn, &meter, waits).await;
    let parts = http.into_parts();
    // Dropped here, so that an exchange that is still under way ends now.
    drop(parts.service);
    (end, parts.io.into_inner(), parts.read_buf)
}

fn answer(turn: &Turn, outcome: Outcome) -> Response<AnswerBody> {
    match outcome {
        Outcome::Answer(mut response) => {
            if turn.retires() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            if response.headers().get(CONNECTION).is_some_and(|value| value == "close") {
                turn.note_close();
            }
            response
        }
        Outcome::Tunnel(response, opened) => {
            turn.opened.replace(Some(opened));
            response
        }
    }
}

/// Times are ours ([`Turn::phase_ends`]), so hyper's header timer, which counts idle time too, stays off.
fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder.header_read_timeout(None).max_buf_size(limits.buffer_bytes).max_header_size(limits.head_bytes);
    // hyper clears memory for as many fields as it is told of, but not for its own number.
    if limits.header_count != HYPERS_HEADER_COUNT {
        builder.max_headers(limits.header_count);
    }
    builder
}

async fn drive<S, H>(
    http: &mut Http<S, H>,
    viewer: &Viewer,
    turn: &Turn,
    meter: &Meter,
    waits: &mut Waits<'_>,
) -> Option<End>
where
    S: Side,
    H: HttpService<Incoming, ResBody = AnswerBody, Error = Infallible> + Unpin,
    H::Future: Unpin,
{
    let limits = &viewer.worker.limits;
    let woke = Instant::now();
    let mut idle_at = meter.read();
    poll_fn(|cx| {
        // 1. HTTP goes on. hyper may be done before its last bytes are: it is polled until they are written.
        match http.poll_without_shutdown(cx) {
            Poll::Ready(Ok(())) if meter.is_flushed() => return Poll::Ready(Some(End::Finished)),
            Poll::Ready(Err(error)) => return Poll::Ready(Some(End::Failed(error))),
            // Once in a while hyper rests after a flush, without a look at what it was refused before.
            Poll::Pending if meter.wants_more() => cx.waker().wake_by_ref(),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        match turn.phase() {
            Phase::Exchange => idle_at = meter.read(),
            Phase::New | Phase::Idle | Phase::Head => turn.notice_head(meter, idle_at),
        }
        // 2. The replica leaves; what is under way is finished to its last byte, and its answer says so.
        let may_leave = turn.phase() == Phase::Idle && meter.is_flushed();
        if may_leave && waits.poll_draining(cx).is_ready() {
            return Poll::Ready(Some(End::Drained));
        }
        // 3. Somebody waits too long, or nobody for anything.
        let stalled =
            meter.write_blocked_since().map(|since| (since + limits.answer_stall, Some(End::Stalled)));
        let late = turn.phase_ends(limits).map(|ends| (ends, Some(End::Late(turn.phase()))));
        let rests = (turn.is_idle() && meter.is_flushed())
            .then(|| (turn.since().max(woke) + limits.hibernation, None));
        match [stalled, late, rests].into_iter().flatten().min_by_key(|(at, _)| *at) {
            Some((at, end)) => waits.alarm.poll(at, cx).map(|()| end),
            None => Poll::Pending,
        }
    })
    .await
}

/// What a connection waits for beside its viewer, awake or not.
struct Waits<'w> {
    /// Its one timer.
    alarm: Alarm,
    draining: Pin<&'w mut dyn Future<Output = drain::Phase>>,
    is_draining: bool,
}

impl Waits<'_> {
    /// Waits for the first byte of a request, or for the end of the stream, which hyper is to see, too; says how
    /// the connection ends where neither comes.
    async fn for_a_byte<S: Side>(
        &mut self,
        viewer: &Viewer,
        turn: &Turn,
        stream: &mut Guarded<S>,
    ) -> Option<End> {
        poll_fn(|cx| {
            // 1. There is something to read.
            if stream.poll_readable(cx).is_ready() {
                return Poll::Ready(None);
            }
            // 2. The replica leaves.
            if self.poll_draining(cx).is_ready() && turn.phase() == Phase::Idle {
                return Poll::Ready(Some(End::Drained));
            }
            // 3. It takes too long.
            let Some(ends) = turn.phase_ends(&viewer.worker.limits) else { return Poll::Pending };
            ready!(self.alarm.poll(ends, cx));
            Poll::Ready(Some(End::Late(turn.phase())))
        })
        .await
    }

    fn poll_draining(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_draining {
            ready!(self.draining.as_mut().poll(cx));
            self.is_draining = true;
        }
        Poll::Ready(())
    }
}
