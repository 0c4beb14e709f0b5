//! HTTP/2 to an endpoint: many exchanges on one connection, with `h2` itself, since resets must be seen and sent
//! as what they are: an answer that was cut off must not look complete.
//!
//! [`exchange`] is one request and the head of its answer; [`connection`] drives what carries it, [`lanes`] knows
//! which connection has room, [`stream`] moves the bodies.

mod connection;
mod lanes;
mod stream;

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason as Code, RecvStream};
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use tokio_util::task::AbortOnDropHandle;

use super::failure::{Failure, Reach, of_viewer, within};
use crate::dataplane::limits::Limits;
use crate::dataplane::viewer::body::ViewerBody;
use crate::table::reason::Reason;

pub(crate) use connection::open;
pub(crate) use lanes::{Lanes, Seat};
pub(crate) use stream::AnswerStream;

/// One connection, as each exchange on it holds it.
pub(crate) type Connection = SendRequest<Bytes>;

/// Sends a request and waits for the head of its answer, at most `limit` from the request's end. Where the whole
/// connection fails, nobody else gets a place beside `seat`.
pub(crate) async fn exchange(
    mut connection: Connection,
    seat: &Seat,
    head: Parts,
    body: &ViewerBody,
    limit: Duration,
    limits: &Limits,
) -> Result<Response<AnswerStream>, Failure> {
    let fail = |error: &h2::Error| {
        // After a GOAWAY it lives on until its last exchange has ended, and takes no other one.
        if error.is_go_away() || error.is_io() {
            seat.close();
        }
        judge(error, body)
    };
    connection = connection.ready().await.map_err(|error| {
        seat.close();
        fail(&error)
    })?;
    let ends = body.is_end_stream();
    let (mut answer, stream) =
        connection.send_request(Request::from_parts(head, ()), ends).map_err(|error| fail(&error))?;
    let sending =
        (!ends).then(|| AbortOnDropHandle::new(tokio::task::spawn_local(stream::send(body.clone(), stream))));
    let head = async { receive(&mut answer, limits).await.map_err(|why| why.into_failure(fail)) };
    let too_late = Failure { reason: Reason::OriginReadTimeout, reach: Reach::Sent };
    let response = within(limit, body, head).await.unwrap_or(Err(too_late))?;
    Ok(AnswerStream::of(response, sending))
}

/// Why the head of an answer did not come.
enum NoHead {
    /// The stream or its connection ended.
    Failed(h2::Error),
    /// It is none that may be passed on.
    Malformed,
}

impl NoHead {
    fn into_failure(self, of: impl FnOnce(&h2::Error) -> Failure) -> Failure {
        match self {
            Self::Failed(error) => of(&error),
            Self::Malformed => Failure { reason: Reason::OriginProtocol, reach: Reach::Answered },
        }
    }
}

/// The answer behind the interim ones, of which there may be a few.
async fn receive(answer: &mut ResponseFuture, limits: &Limits) -> Result<Response<RecvStream>, NoHead> {
    let mut interim = 0;
    while let Some(one) = poll_fn(|cx| answer.poll_informational(cx)).await {
        let one = one.map_err(NoHead::Failed)?;
        interim += 1;
        // Nothing can be switched to (RFC 9113 section 8.6).
        if interim > limits.interim_responses || one.status() == http::StatusCode::SWITCHING_PROTOCOLS {
            return Err(NoHead::Malformed);
        }
    }
    let response = answer.await.map_err(NoHead::Failed)?;
    if response.headers().len() > limits.header_count {
        return Err(NoHead::Malformed);
    }
    Ok(response)
}

/// What the end of a stream before its answer means.
fn judge(error: &h2::Error, body: &ViewerBody) -> Failure {
    let of_stream = |reason, reach| Failure { reason, reach };
    if let Some(reason) = of_viewer(body) {
        return of_stream(reason, Reach::Sent);
    }
    // GOAWAY concerns the streams that it says were not processed, and REFUSED_STREAM says the same of one (RFC
    // 9113 sections 6.8 and 8.7).
    let unprocessed =
        error.is_remote() && (error.is_go_away() || error.reason() == Some(Code::REFUSED_STREAM));
    if unprocessed {
        return of_stream(Reason::OriginReset, Reach::Untouched);
    }
    // The other side may refuse our certificate after the handshake is over for us; rustls calls what it says
    // then invalid data.
    if error.get_io().is_some_and(|error| error.kind() == io::ErrorKind::InvalidData) {
        return of_stream(Reason::OriginTls, Reach::Sent);
    }
    match (error.is_library(), error.is_reset()) {
        // What we end ourselves broke the rules.
        (true, _) => of_stream(Reason::OriginProtocol, Reach::Answered),
        // The origin ended this exchange, and knows why.
        (false, true) => of_stream(Reason::OriginReset, Reach::Answered),
        // The connection is dead.
        (false, false) => of_stream(Reason::OriginReset, Reach::Sent),
    }
}
