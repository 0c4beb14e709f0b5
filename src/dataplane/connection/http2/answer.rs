//! An answer on its way into a stream.
//!
//! A piece of a body is given to `h2` only when the viewer's windows have room for it, so what is given waits
//! for nothing but the socket, and a viewer that opens no window is noticed here. An answer that does not arrive
//! completely from the origin is reset: it never looks like one that has ended.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::{Body, Frame};
use tokio::time::Instant;

use super::Shared;
use super::piece::Piece;
use super::watch::Cut;
use crate::dataplane::alarm::Alarm;
use crate::dataplane::response::body::{AnswerBody, OriginBodyFailure};

/// Sends an answer to its end, or resets its stream.
pub(super) async fn send(
    shared: &Rc<Shared>,
    mut respond: SendResponse<Piece>,
    method: &Method,
    response: Response<AnswerBody>,
) {
    let (mut head, body) = response.into_parts();
    // What our own answers say to a connection over HTTP/1.1 has no place here (RFC 9113 section 8.2.2).
    head.headers.remove(CONNECTION);
    head.headers.remove(UPGRADE);
    put_date(&mut head.headers);
    put_length(&mut head.headers, head.status, method, &body);
    let empty = has_no_content(head.status) || method == Method::HEAD || body.is_end_stream();
    let head = Response::from_parts(head, ());
    // Each fails only where the viewer has reset the stream.
    if empty {
        if respond.send_response(head, true).is_ok() {
            shared.watch.stream_served();
        }
        return;
    }
    let mut pump = Pump::new(shared, body);
    pump.look_ahead().await;
    let Ok(mut stream) = respond.send_response(head, false) else { return };
    if poll_fn(|cx| pump.poll(&mut stream, cx)).await == Sent::Whole {
        shared.watch.stream_served();
    }
}

thread_local! {
    /// The time as `Date` says it, made once a second.
    static NOW: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
}

/// Dates an answer that is not (RFC 9110 section 6.6.1); over HTTP/1.1 hyper does.
pub(super) fn put_date(headers: &mut HeaderMap) {
    headers.entry(DATE).or_insert_with(now);
}

fn now() -> HeaderValue {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    NOW.with_borrow_mut(|(made, value)| {
        if *made != second {
            let text = Bytes::from(httpdate::fmt_http_date(now));
            *value = HeaderValue::from_maybe_shared(text).expect("a date is visible ASCII");
            *made = second;
        }
        value.clone()
    })
}

fn has_no_content(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Says how long a body of ours is, and of 204 nothing (RFC 9110 section 8.6).
fn put_length(headers: &mut HeaderMap, status: StatusCode, method: &Method, body: &AnswerBody) {
    if status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_LENGTH);
    } else if let Some(length) = body.size_hint().exact()
        && (length > 0 || (method != Method::HEAD && status != StatusCode::NOT_MODIFIED))
        && !headers.contains_key(CONTENT_LENGTH)
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// How sending ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// Everything was handed over, the end included.
    Whole,
    /// The stream was reset, by us or by the viewer.
    Reset,
}

type Next = Option<Result<Frame<Bytes>, OriginBodyFailure>>;

/// Moves a body into its stream.
struct Pump<'s> {
    shared: &'s Rc<Shared>,
    body: AnswerBody,
    /// What the body gave before it was wanted.
    ahead: Option<Next>,
    /// What is being sent.
    data: Bytes,
    /// Since when the viewer takes nothing.
    blocked_since: Option<Instant>,
    alarm: Alarm,
}

impl<'s> Pump<'s> {
    fn new(shared: &'s Rc<Shared>, body: AnswerBody) -> Self {
        let (data, alarm) = (Bytes::new(), Alarm::default());
        Self { shared, body, ahead: None, data, blocked_since: None, alarm }
    }

    /// Takes what came with the head: then head and data are one write.
    async fn look_ahead(&mut self) {
        poll_fn(|cx| {
            if let Poll::Ready(next) = self.poll_body(cx) {
                self.ahead = Some(next);
            }
            Poll::Ready(())
        })
        .await;
    }

    fn poll(&mut self, stream: &mut SendStream<Piece>, cx: &mut Context<'_>) -> Poll<Sent> {
        loop {
            if self.data.is_empty() {
                let Poll::Ready(next) = self.poll_next(cx) else {
                    return stream.poll_reset(cx).map(|_reason| Sent::Reset);
                };
                match next.map(|next| next.map(Frame::into_data)) {
                    Some(Ok(Ok(data))) => self.data = data,
                    Some(Ok(Err(frame))) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        return Poll::Ready(sent(stream.send_trailers(trailers)));
                    }
                    Some(Err(_truncated)) => {
                        stream.send_reset(Reason::INTERNAL_ERROR);
                        return Poll::Ready(Sent::Reset);
                    }
                    None => {
                        return Poll::Ready(sent(self.shared.send(stream, Bytes::new(), Cut::Nowhere, true)));
                    }
                }
                continue;
            }
            let Some(room) = ready!(self.poll_room(stream, cx)) else { return Poll::Ready(Sent::Reset) };
            let cut = if room < self.data.len() { Cut::ByWindow } else { Cut::Nowhere };
            let data = self.data.split_to(room.min(self.data.len()));
            // Where the end is known already it goes with the last data.
            let end = self.data.is_empty() && self.has_ended(cx);
            let result = self.shared.send(stream, data, cut, end);
            if end || result.is_err() {
                return Poll::Ready(sent(result));
            }
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        match self.ahead.take() {
            Some(next) => Poll::Ready(next),
            None => self.poll_body(cx),
        }
    }

    fn has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        if self.ahead.is_none() {
            if self.body.is_end_stream() {
                return true;
            }
            if let Poll::Ready(next) = self.poll_body(cx) {
                self.ahead = Some(next);
            }
        }
        matches!(self.ahead, Some(None))
    }

    /// How much may be sent; none after a reset.
    fn poll_room(&mut self, stream: &mut SendStream<Piece>, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        if let Poll::Ready(room) = self.shared.poll_room(stream, self.data.len(), cx) {
            self.blocked_since = None;
            return Poll::Ready(room);
        }
        let since = *self.blocked_since.get_or_insert_with(Instant::now);
        ready!(self.alarm.poll(since + self.shared.viewer.worker.limits.answer_stall, cx));
        stream.send_reset(Reason::CANCEL);
        Poll::Ready(None)
    }
}

fn sent(result: Result<(), h2::Error>) -> Sent {
    if result.is_ok() { Sent::Whole } else { Sent::Reset }
}
