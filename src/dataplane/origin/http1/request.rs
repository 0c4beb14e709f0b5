//! A request on its way to an origin: its head, then its body as the viewer sends it.
//!
//! No field can end before its end: methods, targets, names and values are of types that hold no CR, LF or NUL.
//! What frames the body was decided with the head (`origin::head`), and is kept to here.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;

use crate::dataplane::viewer::body::BodyFailure;
use crate::table::reason::Reason;

/// What a field takes beside its name and value, in bytes.
const FIELD: usize = b": \r\n".len();

/// A request, as far as it is not written yet.
#[derive(Debug)]
pub(super) struct Sending<B> {
    /// The head, or what stands before a piece of the body.
    before: io::Cursor<Vec<u8>>,
    piece: Bytes,
    /// What stands behind the piece.
    behind: &'static [u8],
    body: B,
    framing: Framing,
    stage: Stage,
    /// What the stream has taken, in bytes.
    written: u64,
}

/// How the origin knows where the body ends (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// After so many bytes more.
    Length(u64),
    Chunked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// More of the body is to come.
    Body,
    /// What is there is the last of it.
    Last,
    /// Everything was written and flushed.
    Done,
    /// The origin takes nothing any more.
    Refused,
    /// The body does not come: nothing more is sent, however often somebody asks, so that what the origin has got
    /// never looks complete.
    Broken(Reason),
}

impl<B> Sending<B>
where
    B: Body<Data = Bytes, Error = BodyFailure> + Unpin,
{
    pub(super) fn new(head: &Parts, body: B) -> Self {
        let ended = body.is_end_stream();
        // A head that announces what does not come would take it from the next request.
        let stage = match framing(head) {
            Some(Framing::Length(1..)) if ended => Stage::Broken(Reason::Internal),
            _ if ended => Stage::Last,
            _ => Stage::Body,
        };
        Self {
            before: io::Cursor::new(serialise(head)),
            piece: Bytes::new(),
            behind: b"",
            body,
            framing: framing(head).filter(|_| !ended).unwrap_or(Framing::Length(0)),
            stage,
            written: 0,
        }
    }

    /// What the stream has taken, in bytes.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Whether the stream has taken everything.
    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Writes on; ready when everything was written and flushed, or when the body does not come.
    ///
    /// A stream that takes nothing any more is waited for: the origin may have answered early and closed, which
    /// resets what is still being written (RFC 9112 section 9.6). The answer has come by then, or never will, so
    /// whoever reads learns how the exchange ends.
    pub(super) fn poll<S>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<Result<(), Reason>>
    where
        S: AsyncWrite + Unpin,
    {
        loop {
            match self.stage {
                Stage::Done => return Poll::Ready(Ok(())),
                Stage::Refused => return Poll::Pending,
                Stage::Broken(reason) => return Poll::Ready(Err(reason)),
                // The first piece leaves together with the head.
                Stage::Body if self.is_waiting_for_the_body() => {
                    if let Poll::Ready(next) = Pin::new(&mut self.body).poll_frame(cx) {
                        let next = next.transpose().map_err(BodyFailure::reason);
                        if let Err(reason) = next.and_then(|next| self.take(next)) {
                            self.piece = Bytes::new();
                            self.stage = Stage::Broken(reason);
                        }
                        if self.stage != Stage::Last && self.piece.is_empty() && self.behind.is_empty() {
                            continue;
                        }
                    }
                }
                Stage::Body | Stage::Last => {}
            }
            let result = match self.is_empty() {
                true => ready!(Pin::new(&mut *stream).poll_flush(cx)).map(|()| None),
                false => ready!(self.poll_write(stream, cx)).map(Some),
            };
            match result {
                Ok(Some(written @ 1..)) => self.advance(written),
                Ok(None) if self.stage == Stage::Last => self.stage = Stage::Done,
                Ok(None) => return Poll::Pending,
                Ok(Some(0)) | Err(_) => self.stage = Stage::Refused,
            }
        }
    }

    /// The next piece of the body, or its end. What does not keep to what the head says is not sent.
    fn take(&mut self, next: Option<Frame<Bytes>>) -> Result<(), Reason> {
        // Trailers are for origins that get them over HTTP/2.
        let piece = next.map(|frame| frame.into_data().unwrap_or_default());
        let ended = piece.is_none() || self.body.is_end_stream();
        self.piece = piece.unwrap_or_default();
        match &mut self.framing {
            Framing::Length(left) => {
                *left = left.checked_sub(self.piece.len() as u64).ok_or(Reason::Internal)?;
                if ended && *left > 0 {
                    return Err(Reason::Internal);
                }
            }
            Framing::Chunked => {
                if !self.piece.is_empty() {
                    let size = format!("{:x}\r\n", self.piece.len());
                    self.before.get_mut().extend_from_slice(size.as_bytes());
                }
                self.behind = match (self.piece.is_empty(), ended) {
                    (false, false) => b"\r\n",
                    (false, true) => b"\r\n0\r\n\r\n",
                    (true, true) => b"0\r\n\r\n",
                    (true, false) => b"",
                };
            }
        }
        if ended {
            self.stage = Stage::Last;
        }
        Ok(())
    }

    fn is_waiting_for_the_body(&self) -> bool {
        self.stage == Stage::Body && self.piece.is_empty() && self.behind.is_empty()
    }

    fn is_empty(&self) -> bool {
        !self.before.has_remaining() && self.piece.is_empty() && self.behind.is_empty()
    }

    fn poll_write<S>(&self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<usize>>
    where
        S: AsyncWrite + Unpin,
    {
        let stream = Pin::new(stream);
        if self.piece.is_empty() && self.behind.is_empty() {
            return stream.poll_write(cx, self.before.chunk());
        }
        let slices = [self.before.chunk(), &self.piece, self.behind].map(IoSlice::new);
        stream.poll_write_vectored(cx, &slices)
    }

    fn advance(&mut self, written: usize) {
        self.written += written as u64;
        let of_before = written.min(self.before.remaining());
        self.before.advance(of_before);
        if !self.before.has_remaining() {
            // The next one begins anew.
            self.before.get_mut().clear();
            self.before.set_position(0);
        }
        let left = written - of_before;
        let of_piece = left.min(self.piece.len());
        self.piece.advance(of_piece);
        self.behind = self.behind.get(left - of_piece..).unwrap_or_default();
    }
}

/// What the head says of the body; none where there is none.
fn framing(head: &Parts) -> Option<Framing> {
    if head.headers.contains_key(TRANSFER_ENCODING) {
        return Some(Framing::Chunked);
    }
    let length = head.headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    length.parse().ok().map(Framing::Length)
}

/// The head as bytes (RFC 9112 section 2.1).
fn serialise(head: &Parts) -> Vec<u8> {
    let (method, target) =
        (head.method.as_str(), head.uri.path_and_query().map_or("/", |target| target.as_str()));
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD);
    let version: &[u8] = b" HTTP/1.1\r\n";
    let length = method.len() + target.len() + version.len() + fields.sum::<usize>() + 3;
    let mut bytes = Vec::with_capacity(length);
    for part in [method.as_bytes(), b" ", target.as_bytes(), version] {
        bytes.extend_from_slice(part);
    }
    for (name, value) in &head.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http::Request;
    use http_body_util::StreamBody;

    use super::*;

    type Fields = &'static [(&'static str, &'static str)];
    type Pieces = &'static [Result<&'static str, BodyFailure>];

    /// A stream that takes so much at once; nothing any more once it is closed.
    struct Narrow {
        most: usize,
        closes_after: usize,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.taken.len() >= self.closes_after {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let taken = bytes.get(..self.most).unwrap_or(bytes);
            self.taken.extend_from_slice(taken);
            Poll::Ready(Ok(taken.len()))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            self.poll_write(cx, &all)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// What is written of a request with these fields and pieces of a body, and how that ends.
    fn written(
        fields: Fields,
        pieces: Pieces,
        most: usize,
        closes_after: usize,
    ) -> (String, Poll<Result<(), Reason>>) {
        let mut request = Request::put("http://a.example/b?c");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let frames = pieces.iter().map(|piece| piece.map(|text| Frame::data(Bytes::from(text))));
        let body = StreamBody::new(stream::iter(frames.collect::<Vec<_>>()));
        let mut stream = Narrow { most, closes_after, taken: Vec::new() };
        let mut sending = Sending::new(&head, body);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let ended = sending.poll(&mut stream, &mut cx);
        // Asked again, it says the same and sends nothing, though its source says that it has ended.
        let taken = stream.taken.len();
        assert_eq!((sending.poll(&mut stream, &mut cx), stream.taken.len()), (ended, taken));
        assert_eq!(sending.written(), stream.taken.len() as u64);
        assert_eq!(sending.is_done(), ended == Poll::Ready(Ok(())));
        (String::from_utf8(stream.taken).unwrap(), ended)
    }

    const HEAD: &str = "PUT /b?c HTTP/1.1\r\n";

    #[test]
    fn a_request_is_written_as_its_head_frames_it_however_little_is_taken_at_once() {
        const LENGTH: (&str, &str) = ("content-length", "5");
        const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");
        let chunks = "transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
        let rows: [(Fields, Pieces, &str); 5] = [
            (&[("x-a", "b"), LENGTH], &[Ok("he"), Ok("llo")], "x-a: b\r\ncontent-length: 5\r\n\r\nhello"),
            (&[CHUNKED], &[Ok("he"), Ok("llo")], chunks),
            // An empty piece is not the end.
            (&[CHUNKED], &[Ok(""), Ok("he"), Ok(""), Ok("llo")], chunks),
            (&[CHUNKED], &[], "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            (&[("content-length", "0")], &[], "content-length: 0\r\n\r\n"),
        ];
        for (fields, pieces, expected) in rows {
            for most in [1, 2, 7, 1000] {
                let (text, ended) = written(fields, pieces, most, usize::MAX);
                assert_eq!(
                    (text, ended),
                    (format!("{HEAD}{expected}"), Poll::Ready(Ok(()))),
                    "{most} at once"
                );
            }
        }
    }

    #[test]
    fn a_body_that_breaks_off_or_its_promise_never_looks_complete() {
        const LENGTH: (&str, &str) = ("content-length", "5");
        const BROKEN: BodyFailure = BodyFailure::Broken;
        let rows: [(Fields, Pieces, &str, Reason); 5] = [
            (&[LENGTH], &[Ok("he"), Err(BROKEN)], "content-length: 5\r\n\r\nhe", BROKEN.reason()),
            (&[LENGTH], &[Ok("he")], "content-length: 5\r\n\r\nhe", Reason::Internal),
            (&[LENGTH], &[Ok("hello!")], "", Reason::Internal),
            (&[], &[Ok("hello")], "", Reason::Internal),
            (
                &[("transfer-encoding", "chunked")],
                &[Ok("he"), Err(BROKEN)],
                "transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n",
                BROKEN.reason(),
            ),
        ];
        for (fields, pieces, expected, reason) in rows {
            let (text, ended) = written(fields, pieces, 1000, usize::MAX);
            let head = if expected.is_empty() { "" } else { HEAD };
            assert_eq!((text, ended), (format!("{head}{expected}"), Poll::Ready(Err(reason))), "{pieces:?}");
        }
    }

    #[test]
    fn a_stream_that_takes_nothing_any_more_leaves_the_verdict_to_who_reads() {
        let (text, ended) = written(&[], &[], 4, 8);
        assert_eq!((text.as_str(), ended), ("PUT /b?c", Poll::Pending));
    }
}
