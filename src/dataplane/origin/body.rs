//! The body of an origin's answer as it comes, whichever HTTP carries it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::http1::AnswerBody;
use super::http2::AnswerStream;

/// What an origin sends after the head of its answer.
#[derive(Debug)]
pub(crate) enum Body {
    /// Over HTTP/1.1.
    Http1(AnswerBody),
    /// Over HTTP/2.
    Http2(AnswerStream),
}

/// The body broke off: it was cut, reset or malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response body is malformed or was cut off")]
pub(crate) struct Cut;

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Http1(body) => body.poll_frame(cx),
            Self::Http2(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(stream) => stream.size_hint(),
        }
    }
}
