//! The two bodies of an exchange over HTTP/2: one on its way to the origin, one coming from it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason as Code, RecvStream, SendStream};
use http::Response;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use tokio_util::task::AbortOnDropHandle;

use crate::dataplane::origin::body::Cut;
use crate::dataplane::viewer::body::ViewerBody;

/// Sends a request's body as the origin takes it; nothing is taken from the viewer before there is room for it.
pub(super) async fn send(mut body: ViewerBody, mut stream: SendStream<Bytes>) {
    // Where the origin wants no more, its answer or its reset says why.
    let _not_wanted = pass(&mut body, &mut stream).await;
}

/// The origin has ended the stream, or takes no more of it.
struct NotWanted;

impl From<h2::Error> for NotWanted {
    fn from(_: h2::Error) -> Self {
        Self
    }
}

async fn pass(body: &mut ViewerBody, stream: &mut SendStream<Bytes>) -> Result<(), NotWanted> {
    loop {
        room_for(1, stream).await?;
        let next = poll_fn(|cx| match stream.poll_reset(cx) {
            Poll::Ready(_) => Poll::Ready(Err(NotWanted)),
            Poll::Pending => Pin::new(&mut *body).poll_frame(cx).map(Ok),
        });
        let frame = match next.await? {
            Some(Ok(frame)) => frame,
            Some(Err(_of_viewer)) => {
                stream.send_reset(Code::CANCEL);
                return Ok(());
            }
            None => return Ok(stream.send_data(Bytes::new(), true)?),
        };
        match frame.into_data() {
            Ok(data) => {
                let ends = body.is_end_stream();
                write(data, ends, stream).await?;
                if ends {
                    return Ok(());
                }
            }
            Err(other) => {
                if let Ok(trailers) = other.into_trailers() {
                    return Ok(stream.send_trailers(trailers)?);
                }
            }
        }
    }
}

async fn write(mut data: Bytes, ends: bool, stream: &mut SendStream<Bytes>) -> Result<(), NotWanted> {
    while !data.is_empty() {
        let room = room_for(data.len(), stream).await?;
        let piece = data.split_to(room.min(data.len()));
        stream.send_data(piece, ends && data.is_empty())?;
    }
    Ok(())
}

/// Waits until at least one of `wanted` bytes can be sent; says how many can.
async fn room_for(wanted: usize, stream: &mut SendStream<Bytes>) -> Result<usize, NotWanted> {
    stream.reserve_capacity(wanted);
    while stream.capacity() == 0 {
        poll_fn(|cx| stream.poll_capacity(cx)).await.ok_or(NotWanted)??;
    }
    Ok(stream.capacity())
}

/// The body of an answer. Dropped before its end, it cancels the exchange.
#[derive(Debug)]
pub(crate) struct AnswerStream {
    received: RecvStream,
    /// What the head announces, in bytes; `h2` sees to it that the body keeps the promise.
    length: Option<u64>,
    /// The request's body, which is sent while anybody waits for the answer.
    _sending: Option<AbortOnDropHandle<()>>,
}

impl AnswerStream {
    /// What follows the head of an answer.
    pub(super) fn of(
        response: Response<RecvStream>,
        sending: Option<AbortOnDropHandle<()>>,
    ) -> Response<Self> {
        let length =
            response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        response.map(|received| Self { received, length, _sending: sending })
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        loop {
            match ready!(self.received.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Whoever asks takes it, so the origin may send as much again; a stream that is over needs no
                    // more room.
                    let _over = self.received.flow_control().release_capacity(data.len());
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(Cut))),
                None => {
                    let trailers = ready!(self.received.poll_trailers(cx)).map_err(|_| Cut).transpose();
                    return Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)));
                }
            }
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.received.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.length {
            _ if self.is_end_stream() => SizeHint::with_exact(0),
            Some(length) => SizeHint::with_exact(length),
            None => SizeHint::default(),
        }
    }
}
