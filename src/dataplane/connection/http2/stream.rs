//! One stream: a request, its exchange, its answer or the tunnel that it becomes.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::{BufMut, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{COOKIE, EXPECT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::piece::Piece;
use super::{Shared, answer, tunnel};
use crate::dataplane::exchange::{self, Outcome};
use crate::dataplane::viewer::body::ViewerBody;
use crate::dataplane::viewer::headers;

/// Serves a stream to its end, which is also the end of its exchange: a viewer that resets it is waited for by
/// nobody.
pub(super) async fn serve(
    shared: Rc<Shared>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Piece>,
) {
    let (mut head, incoming) = request.into_parts();
    join_cookies(&mut head.headers);
    let length = headers::single_length(&mut head.headers);
    let mut continues = head.headers.contains_key(EXPECT);
    let method = head.method.clone();
    let limits = &shared.viewer.worker.limits;
    // What follows a CONNECT is no body (RFC 9113 section 8.5): it waits for the tunnel, in the stream's window.
    let (body, waiting) = match method {
        Method::CONNECT => (ViewerBody::nothing(limits), Some(incoming)),
        _ => (ViewerBody::over_http2(incoming, length, limits), None),
    };
    let answer = {
        let mut exchange = pin!(exchange::serve(Rc::clone(&shared.viewer), None, head, body.clone()));
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = exchange.as_mut().poll(cx) {
                return Poll::Ready(Some(outcome));
            }
            if continues && body.poll_asked_for(cx).is_ready() {
                continues = false;
                go_on(&mut respond);
            }
            respond.poll_reset(cx).map(|_reason| None)
        })
        .await
    };
    drop(body);
    match answer {
        Some(Outcome::Answer(response)) => answer::send(&shared, respond, &method, response).await,
        Some(Outcome::Tunnel(response, opened)) => match waiting {
            Some(incoming) => tunnel::begin(&shared, respond, response, incoming, *opened),
            // Nothing else asks for one.
            None => respond.send_reset(Reason::INTERNAL_ERROR),
        },
        None => {}
    }
}

/// `100 (Continue)`, which a viewer that is gone does not need.
fn go_on(respond: &mut SendResponse<Piece>) {
    let mut interim = Response::new(());
    *interim.status_mut() = StatusCode::CONTINUE;
    let _gone = respond.send_informational(interim);
}

/// RFC 9113 section 8.2.3: crumbs become one cookie before they leave HTTP/2.
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut whole = BytesMut::from(first.as_bytes());
    for crumb in std::iter::once(second).chain(crumbs) {
        whole.put_slice(b"; ");
        whole.put_slice(crumb.as_bytes());
    }
    let whole = HeaderValue::from_maybe_shared(whole.freeze());
    headers.insert(COOKIE, whole.expect("it consists of what was in values"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crumbs_become_one_cookie() {
        let rows: [(&[&str], Option<&str>); 4] = [
            (&[], None),
            (&["a=1"], Some("a=1")),
            (&["a=1", "b=2"], Some("a=1; b=2")),
            (&["a=1; b=2", "c=3", "d=4"], Some("a=1; b=2; c=3; d=4")),
        ];
        for (crumbs, whole) in rows {
            let mut headers = HeaderMap::new();
            for crumb in crumbs {
                headers.append(COOKIE, crumb.parse().unwrap());
            }
            join_cookies(&mut headers);
            assert_eq!(headers.get(COOKIE).map(|cookie| cookie.to_str().unwrap()), whole);
            assert!(headers.get_all(COOKIE).iter().count() <= 1);
        }
    }
}
