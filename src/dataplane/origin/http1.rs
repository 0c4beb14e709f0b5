//! One HTTP/1.1 connection to an endpoint: hyper's client, driven by a local task of its own.
//!
//! Nothing outside of this module knows hyper's client, so that its codec can be replaced.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::ext::on_informational;
use hyper_util::rt::TokioIo;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::answer_first::AnswerFirst;
use super::failure::{Failure, Reach, is_of_tls, of_viewer, within};
use super::stream::OriginStream;
use crate::dataplane::guarded_io::{Guarded, Meter};
use crate::dataplane::viewer::body::ViewerBody;
use crate::dataplane::websocket::side::Upgraded;
use crate::dataplane::worker::Worker;
use crate::table::reason::Reason;

type Stream = TokioIo<AnswerFirst<Guarded<OriginStream>>>;

/// A connection that carries one exchange at a time.
#[derive(Debug)]
pub(crate) struct OriginConnection {
    requests: SendRequest<ViewerBody>,
    meter: Rc<Meter>,
    interim: Arc<Interim>,
    /// Gets the stream when the connection's task ends.
    stream: oneshot::Receiver<Upgraded<OriginStream>>,
}

/// Speaks HTTP/1.1 on a fresh stream; a task of the worker drives it from now on.
pub(crate) async fn open(
    worker: &Rc<Worker>,
    stream: OriginStream,
) -> Result<OriginConnection, hyper::Error> {
    let guarded = Guarded::new(stream);
    let meter = guarded.meter();
    let limits = &worker.limits;
    let (requests, connection) = Builder::new()
        .max_buf_size(limits.buffer_bytes)
        .max_headers(limits.header_count)
        .max_header_size(limits.head_bytes)
        .handshake(TokioIo::new(AnswerFirst::new(guarded)))
        .await?;
    let (end, stream) = oneshot::channel();
    worker.spawn(drive(connection, end));
    let interim =
        Interim { seen: AtomicU32::new(0), limit: limits.interim_responses, exceeded: Notify::new() };
    Ok(OriginConnection { requests, meter, interim: Arc::new(interim), stream })
}

/// Drives a connection to its end, which is the end of HTTP after a 101, and hands the stream on.
async fn drive(
    mut connection: Connection<Stream, ViewerBody>,
    mut end: oneshot::Sender<Upgraded<OriginStream>>,
) {
    let ended = poll_fn(|cx| match end.poll_closed(cx) {
        // Its exchange let it go. hyper would go on with the request body, and wait for a viewer that has its
        // answer already or for an origin that takes nothing.
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => connection.poll_without_shutdown(cx).map(Result::ok),
    });
    // An error was told to the exchange that it concerns; without one, an idle connection was closed.
    if ended.await.is_none() {
        return;
    }
    let parts = connection.into_parts();
    let stream = parts.io.into_inner().into_inner().into_inner();
    // Nobody waits for it unless there was a 101; then it is dropped here, and so closed.
    let _nobody_waits = end.send(Upgraded { stream, early: parts.read_buf });
}

impl OriginConnection {
    /// Whether the other side has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// Whether it can take a request at once: it is open, and what came before was written out completely.
    pub(crate) fn is_ready(&self) -> bool {
        self.requests.is_ready()
    }

    /// Sends a request and waits for the head of its answer, at most `limit` from the request's end.
    pub(crate) async fn exchange(
        &mut self,
        mut request: Request<ViewerBody>,
        body: &ViewerBody,
        limit: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        let (written, read) = (self.meter.written(), self.meter.read());
        let fail = |reason, meter: &Meter| {
            let reach = match (meter.written() > written, meter.read() > read) {
                (_, true) => Reach::Answered,
                (true, false) => Reach::Sent,
                (false, false) => Reach::Untouched,
            };
            Failure { reason, reach }
        };
        if self.requests.ready().await.is_err() {
            return Err(fail(Reason::OriginReset, &self.meter));
        }
        self.interim.count_for(&mut request);
        let response = self.requests.try_send_request(request);
        let answer = async {
            tokio::select! {
                // 1. The answer came, or the connection ended.
                result = response => result.map_err(|failed| judge(failed.error(), body)),
                // 2. Too many interim responses came instead.
                () = self.interim.exceeded.notified() => Err(Reason::OriginProtocol),
            }
        };
        let result = within(limit, body, answer).await.unwrap_or(Err(Reason::OriginReadTimeout));
        let response = result.map_err(|reason| fail(reason, &self.meter))?;
        if self.interim.is_exceeded() || !is_sound(response.headers()) {
            return Err(fail(Reason::OriginProtocol, &self.meter));
        }
        Ok(response)
    }

    /// The stream and what came behind the 101, unless the connection broke right after it or does not get rid of
    /// the request within `limit`.
    pub(crate) async fn into_upgraded(self, limit: Duration) -> Result<Upgraded<OriginStream>, Reason> {
        let upgraded = timeout(limit, self.stream).await.map_err(|_| Reason::OriginReadTimeout)?;
        upgraded.map_err(|_| Reason::OriginReset)
    }
}

/// The 1xx that came for one request. hyper swallows them, and would do so for ever.
#[derive(Debug)]
struct Interim {
    seen: AtomicU32,
    limit: u32,
    exceeded: Notify,
}

impl Interim {
    fn count_for(self: &Arc<Self>, request: &mut Request<ViewerBody>) {
        self.seen.store(0, Ordering::Relaxed);
        let this = Arc::clone(self);
        on_informational(request, move |_| {
            this.seen.fetch_add(1, Ordering::Relaxed);
            if this.is_exceeded() {
                this.exceeded.notify_one();
            }
        });
    }

    fn is_exceeded(&self) -> bool {
        self.seen.load(Ordering::Relaxed) > self.limit
    }
}

/// What the end of a connection means for the exchange on it.
fn judge(error: &hyper::Error, body: &ViewerBody) -> Reason {
    let of_origin = match error {
        error if error.is_parse() => Reason::OriginProtocol,
        // It may refuse our certificate after the handshake is over for us (RFC 8446 section 4.4.2.4).
        error if is_of_tls(error) => Reason::OriginTls,
        _ => Reason::OriginReset,
    };
    of_viewer(body).unwrap_or(of_origin)
}

/// Whether a response says once where it ends (RFC 9112 section 6.3); hyper lets `chunked` win over a length and
/// reads other codings to the end of the connection.
fn is_sound(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let coding_is_sound = match codings.next() {
        None => true,
        Some(coding) => {
            let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
            chunked && codings.next().is_none() && !headers.contains_key(CONTENT_LENGTH)
        }
    };
    let digits = |value: &[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length_is_sound = match lengths.next() {
        None => true,
        Some(length) => digits(length.as_bytes()) && lengths.all(|other| other == length),
    };
    coding_is_sound && length_is_sound
}
