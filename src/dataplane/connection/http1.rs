//! An HTTP/1.1 viewer connection: hyper's server connection, driven by us.
//!
//! We poll it ourselves and take it apart at its end, for tunnels, for raw 408 answers and for lingering closes:
//! hyper's own upgrade wants `Send` and hides the stream.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, Connection};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep, sleep_until};

use super::turn::{Phase, Turn};
use super::{Viewer, ending};
use crate::dataplane::exchange::{self, Outcome};
use crate::dataplane::guarded_io::{Guarded, Meter};
use crate::dataplane::limits::Limits;
use crate::dataplane::response::body::AnswerBody;
use crate::dataplane::viewer::body::ViewerBody;
use crate::dataplane::websocket::side::Side;

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
    let guarded = Guarded::new(stream);
    let meter = guarded.meter();
    let turn = Turn::new();
    let for_service = (Rc::clone(&viewer), Rc::clone(&turn));
    let service = service_fn(move |request| {
        let (viewer, turn) = (Rc::clone(&for_service.0), Rc::clone(&for_service.1));
        Box::pin(answer(viewer, turn, request))
    });
    let mut http = builder(&viewer.worker.limits).serve_connection(TokioIo::new(guarded), service);
    let end = drive(&mut http, &viewer, &turn, &meter).await;
    let parts = http.into_parts();
    // Dropped here, so that an exchange that is still under way ends now.
    drop(parts.service);
    let stream = parts.io.into_inner().into_inner();
    ending::finish(&viewer, &turn, end, stream, parts.read_buf, &meter).await;
}

async fn answer(
    viewer: Rc<Viewer>,
    turn: Rc<Turn>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let (head, incoming) = request.into_parts();
    let body = ViewerBody::over_http1(incoming, &viewer.worker.limits);
    Ok(match exchange::serve(viewer, Some(Rc::clone(&turn)), head, body).await {
        Outcome::Answer(response) => response,
        Outcome::Tunnel(response, opened) => {
            turn.opened.replace(Some(opened));
            response
        }
    })
}

/// Times are ours ([`Turn::phase_ends`]), so hyper's header timer, which counts idle time too, stays off.
fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .header_read_timeout(None)
        .max_buf_size(limits.buffer_bytes)
        .max_headers(limits.header_count)
        .max_header_size(limits.head_bytes);
    builder
}

async fn drive<S, H>(http: &mut Http<S, H>, viewer: &Viewer, turn: &Turn, meter: &Meter) -> End
where
    S: Side,
    H: HttpService<Incoming, ResBody = AnswerBody, Error = Infallible> + Unpin,
    H::Future: Unpin,
{
    let mut drain = viewer.worker.drain.clone();
    let mut draining = pin!(drain.draining());
    let mut is_draining = false;
    let mut idle_at = 0;
    let mut alarm = pin!(sleep_until(Instant::now() + viewer.worker.limits.request_head));
    poll_fn(|cx| {
        // 1. HTTP goes on. hyper may be done before its last bytes are: it is polled until they are written.
        match http.poll_without_shutdown(cx) {
            Poll::Ready(Ok(())) if meter.is_flushed() => return Poll::Ready(End::Finished),
            Poll::Ready(Err(error)) => return Poll::Ready(End::Failed(error)),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        match turn.phase() {
            Phase::Exchange => idle_at = meter.read(),
            Phase::New | Phase::Idle | Phase::Head => turn.notice_head(meter, idle_at),
        }
        // 2. The replica leaves; what is under way is finished to its last byte, and its answer says so.
        is_draining = is_draining || draining.as_mut().poll(cx).is_ready();
        if is_draining && turn.phase() == Phase::Idle && meter.is_flushed() {
            return Poll::Ready(End::Drained);
        }
        // 3. Somebody waits too long.
        poll_deadline(alarm.as_mut(), turn, &viewer.worker.limits, meter, cx)
    })
    .await
}

/// Holds the connection's one deadline against the clock. The timer is moved only when it comes too late or
/// has fired, so a busy connection hardly ever touches it.
fn poll_deadline(
    mut alarm: Pin<&mut Sleep>,
    turn: &Turn,
    limits: &Limits,
    meter: &Meter,
    cx: &mut Context<'_>,
) -> Poll<End> {
    let stalled = meter.write_blocked_since().map(|since| since + limits.answer_stall);
    let late = turn.phase_ends(limits);
    let (deadline, end) = match (stalled, late) {
        (Some(stalled), Some(late)) if late < stalled => (late, End::Late(turn.phase())),
        (Some(stalled), _) => (stalled, End::Stalled),
        (None, Some(late)) => (late, End::Late(turn.phase())),
        (None, None) => return Poll::Pending,
    };
    if alarm.is_elapsed() || deadline < alarm.deadline() {
        alarm.as_mut().reset(deadline);
    }
    while alarm.as_mut().poll(cx).is_ready() {
        if deadline <= Instant::now() {
            return Poll::Ready(end);
        }
        alarm.as_mut().reset(deadline);
    }
    Poll::Pending
}
