//! One HTTP/1.1 connection to an endpoint, with a codec of our own ([decision 19]).
//!
//! It has no task: the exchange's own future writes the request while it waits for the head of the answer, and the
//! answer's body reads on when it is asked for more. Only where the answer comes before the request has ended, a
//! local task goes on with the request, so that a viewer that first sends everything and an origin that streams
//! back never wait for each other.
//!
//! [`request`] writes; [`response`] reads heads; [`decoder`] and [`chunks`] know where a body ends, and [`body`]
//! reads it.
//!
//! [decision 19]: ../../../../docs/decisions/0019-a-codec-for-origins.md

mod body;
pub(crate) mod chunks;
pub(crate) mod decoder;
mod request;
pub(crate) mod response;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use self::request::Sending;
use self::response::{Head, Reader};
use super::failure::{Failure, Reach, is_of_tls, of_viewer};
use super::stream::OriginStream;
use crate::dataplane::alarm::Alarm;
use crate::dataplane::limits::Limits;
use crate::dataplane::viewer::body::ViewerBody;
use crate::dataplane::websocket::side::Upgraded;
use crate::table::reason::Reason;

pub(crate) use body::AnswerBody;

/// Room for the head of an answer and a small body, in bytes.
const FIRST_READ: usize = 8 * 1024;

/// A connection that carries one exchange at a time.
#[derive(Debug)]
pub(crate) struct OriginConnection(Shared);

/// It is shared with the body that is read from it, and with the task that writes the rest of a request.
type Shared = Rc<RefCell<Wire>>;

/// A stream, and what was read from it and belongs to nothing yet.
#[derive(Debug)]
struct Wire {
    stream: OriginStream,
    /// Without memory while nothing is under way.
    read: BytesMut,
    /// Its one timer.
    alarm: Alarm,
    /// Whether the last answer lets another exchange follow.
    persists: bool,
    /// Whether the last request was written to its end.
    request_done: bool,
}

impl OriginConnection {
    /// Speaks HTTP/1.1 on a fresh stream.
    pub(crate) fn new(stream: OriginStream) -> Self {
        let (read, alarm) = (BytesMut::new(), Alarm::default());
        Self(Rc::new(RefCell::new(Wire { stream, read, alarm, persists: true, request_done: true })))
    }

    /// Whether another exchange may follow: both messages have passed, nothing else came, and nobody wants to close.
    pub(crate) fn rests(&self) -> bool {
        let wire = self.0.borrow();
        wire.persists && wire.request_done && wire.read.is_empty()
    }

    /// Lets go of the memory that it does not need between two exchanges.
    pub(crate) fn lay_down(&self) {
        self.0.borrow_mut().read = BytesMut::new();
    }

    /// Whether the other side has neither closed it nor sent what nobody asked for, as far as is known here.
    pub(crate) fn is_alive(&self) -> bool {
        self.0.borrow_mut().stream.is_silent()
    }

    /// Sends a request and waits for the head of its answer, at most `limit` from the request's end.
    pub(crate) async fn exchange(
        &mut self,
        head: &Parts,
        body: &ViewerBody,
        limit: Duration,
        limits: &Limits,
    ) -> Result<Response<AnswerBody>, Failure> {
        let mut sending = Sending::new(head, body.clone());
        let mut receiving = Receiving::new(&head.method, limits);
        self.0.borrow_mut().request_done = false;
        let began = Instant::now();
        let head = poll_fn(|cx| {
            let wire = &mut *self.0.borrow_mut();
            // 1. The request goes on.
            let sent = wire.poll_send(&mut sending, cx);
            // 2. The answer comes, perhaps before the request has ended.
            if let Poll::Ready(answer) = receiving.poll(wire, cx) {
                return Poll::Ready(answer);
            }
            // 3. The rest of the request does not come, and there is no answer without it.
            if let Poll::Ready(Err(reason)) = sent {
                return Poll::Ready(Err(reason));
            }
            // 4. The origin takes too long; while it is the viewer that everybody waits for, the clock stands still.
            let since = body.origin_waited_for_since().map_or_else(Instant::now, |since| since.max(began));
            ready!(wire.alarm.poll(since + limit, cx));
            Poll::Ready(Err(Reason::OriginReadTimeout))
        });
        match head.await {
            // Nobody agrees to what was not read.
            Ok(head) if head.response.status() == StatusCode::SWITCHING_PROTOCOLS && !sending.is_done() => {
                Err(Failure { reason: Reason::OriginProtocol, reach: Reach::Answered })
            }
            Ok(head) => Ok(self.answer(head, sending, limits)),
            Err(reason) => {
                let reach = reach(sending.written(), receiving.read);
                Err(Failure { reason: of_viewer(body).unwrap_or(reason), reach })
            }
        }
    }

    /// The answer, whose body reads on; the rest of the request follows by itself.
    fn answer(&self, head: Head, sending: Sending<ViewerBody>, limits: &Limits) -> Response<AnswerBody> {
        let Head { response, decoder, persists } = head;
        self.0.borrow_mut().persists = persists;
        let body = decoder.map_or_else(AnswerBody::empty, |decoder| {
            let rest = (!sending.is_done()).then(|| {
                let rest = send_rest(Rc::clone(&self.0), sending);
                AbortOnDropHandle::new(tokio::task::spawn_local(rest))
            });
            AnswerBody::new(Rc::clone(&self.0), decoder, limits.buffer_bytes, rest)
        });
        response.map(|()| body)
    }

    /// The stream and what came behind the 101.
    pub(crate) fn into_upgraded(self) -> Result<Upgraded<OriginStream>, Reason> {
        // Neither a body nor the rest of a request holds it.
        let wire = Rc::into_inner(self.0).ok_or(Reason::Internal)?.into_inner();
        Ok(Upgraded { stream: wire.stream, early: wire.read.freeze() })
    }
}

/// How far an exchange has got, in bytes of the request and of an answer.
fn reach(written: u64, read: u64) -> Reach {
    match (written, read) {
        (_, 1..) => Reach::Answered,
        (1.., 0) => Reach::Sent,
        (0, 0) => Reach::Untouched,
    }
}

async fn send_rest(wire: Shared, mut sending: Sending<ViewerBody>) -> Result<(), Reason> {
    poll_fn(|cx| wire.borrow_mut().poll_send(&mut sending, cx)).await
}

impl Wire {
    fn poll_send(
        &mut self,
        sending: &mut Sending<ViewerBody>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Reason>> {
        let sent = sending.poll(&mut self.stream, cx);
        self.request_done = sending.is_done();
        sent
    }

    /// Reads what has come, with room for about `expected` bytes; nothing at the end of the stream.
    fn poll_read(&mut self, expected: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.capacity() == 0 && expected <= FIRST_READ {
            // Who waits holds no memory for what may come, and what comes little by little takes no more than it is.
            let mut space = [const { MaybeUninit::uninit() }; FIRST_READ];
            let mut read = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            self.read = BytesMut::from(read.filled());
            return Poll::Ready(Ok(self.read.len()));
        }
        let room = self.read.capacity() - self.read.len();
        if room <= expected / 4 {
            self.read.reserve(expected);
        }
        pin!(self.stream.read_buf(&mut self.read)).poll(cx)
    }
}

/// The head of an answer on its way.
#[derive(Debug)]
struct Receiving<'r> {
    reader: Reader,
    method: &'r Method,
    limits: &'r Limits,
    /// The interim responses (1xx) that came instead of it.
    interim: u32,
    /// What came, in bytes.
    read: u64,
}

impl<'r> Receiving<'r> {
    fn new(method: &'r Method, limits: &'r Limits) -> Self {
        Self { reader: Reader::default(), method, limits, interim: 0, read: 0 }
    }

    fn poll(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<Result<Head, Reason>> {
        loop {
            let head = self.reader.read(&mut wire.read, self.method, self.limits);
            match head.map_err(|_| Reason::OriginProtocol)? {
                Some(head) if head.is_interim() => {
                    self.interim += 1;
                    if self.interim > self.limits.interim_responses {
                        return Poll::Ready(Err(Reason::OriginProtocol));
                    }
                    continue;
                }
                Some(head) => return Poll::Ready(Ok(head)),
                None => {}
            }
            match ready!(wire.poll_read(FIRST_READ, cx)) {
                Ok(0) => return Poll::Ready(Err(Reason::OriginReset)),
                Ok(read) => self.read += read as u64,
                // It may refuse our certificate after the handshake is over for us (RFC 8446 section 4.4.2.4).
                Err(error) if is_of_tls(&error) => return Poll::Ready(Err(Reason::OriginTls)),
                Err(_) => return Poll::Ready(Err(Reason::OriginReset)),
            }
        }
    }
}
