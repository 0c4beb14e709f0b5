//! The end of an exchange that stays one: the origin's answer as its viewer gets it, or an answer of ours.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderName, SET_COOKIE};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};

use super::{Exchange, Forward, Outcome};
use crate::dataplane::account::Account;
use crate::dataplane::origin::{Incomings, Report};
use crate::dataplane::response::body::{AnswerBody, OriginBody};
use crate::dataplane::response::compression::{self, CompressedBody, Job};
use crate::dataplane::response::headers::{Answer, Author};
use crate::dataplane::response::{self, errors};
use crate::dataplane::viewer::headers;
use crate::table::reason::Reason;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

impl Exchange {
    /// An origin's answer, as the viewer gets it.
    pub(super) fn pass_on(mut self, incomings: Incomings, report: Report, forward: &Forward) -> Outcome {
        self.passing(incomings, report, forward).outcome(self.account)
    }

    /// The same before it is on its way.
    pub(super) fn passing(
        &mut self,
        incomings: Incomings,
        report: Report,
        &Forward { ref origin, trailers, negotiated, .. }: &Forward,
    ) -> Passing {
        let Incomings { response, mut returning } = incomings;
        let (mut head, incoming) = response.into_parts();
        if let Some(timeout) = announced_timeout(&head.headers) {
            returning.announced_timeout(timeout);
        }
        strip_of_origin(&mut head.headers);
        headers::strip_trailer(&mut head.headers, trailers);
        let length = headers::single_length(&mut head.headers);
        let Report { connect, first_byte, .. } = report;
        self.apply_policy(&mut head.headers, Author::Origin { connect, first_byte });
        set_cookie(&mut head.headers, report.set_cookie);
        self.leave_where_needed(&mut head.headers);
        head.version = Version::HTTP_11;
        let job = negotiated.and_then(|negotiated| {
            let method = self.account.record.method.as_ref().unwrap_or(&Method::GET);
            compression::compress(&mut head, length, negotiated, method, &self.viewer.worker)
        });
        let body = OriginBody::new(incoming, origin.origin.response_idle_timeout, trailers, returning)
            .ending_by(report.deadline);
        Passing { head, body, job }
    }

    /// An error of ours.
    pub(super) fn refuse(mut self, reason: Reason) -> Outcome {
        self.account.refused(reason);
        if self.asked.handshake {
            self.handshake_failed(reason.as_str());
        }
        let mut response = errors::error(reason, self.asked.format);
        if must_close(response.status()) {
            close(response.headers_mut());
        }
        self.own(response)
    }

    /// An answer of ours.
    pub(super) fn own(mut self, response: Response<Bytes>) -> Outcome {
        let (mut head, text) = response.into_parts();
        self.apply_policy(&mut head.headers, Author::Proxy);
        self.leave_where_needed(&mut head.headers);
        if !self.asked.body.has_ended() {
            close(&mut head.headers);
        }
        self.account.record.status = Some(head.status);
        Outcome::Answer(Response::from_parts(head, AnswerBody::own(text, self.account)))
    }

    /// Applies the response headers policy of the behavior that matched.
    fn apply_policy(&self, headers: &mut HeaderMap, author: Author) {
        let record = &self.account.record;
        let route = record.matched.as_ref().and_then(|(distribution, at)| distribution.routes.at(*at));
        let Some(policy) = route.and_then(|route| route.response_headers.as_deref()) else { return };
        let answer = Answer {
            author,
            scheme: record.sender.scheme,
            grant: self.asked.grant.as_deref(),
            request_id: record.request_id.as_ref(),
            elapsed: self.account.elapsed(),
        };
        response::headers::apply(policy, headers, answer);
    }

    /// Closes the viewer's connection where it asked to upgrade and did not get it, since it may have sent
    /// frames already, and where this replica is leaving or short of memory.
    fn leave_where_needed(&self, headers: &mut HeaderMap) {
        if self.asked.upgrade || self.viewer.worker.asks_to_leave() {
            close(headers);
        }
    }
}

/// An origin's answer, ready to go.
pub(super) struct Passing {
    pub(super) head: Parts,
    body: OriginBody,
    /// Where it is to be compressed.
    job: Option<Job>,
}

impl Passing {
    pub(super) fn outcome(self, mut account: Account) -> Outcome {
        let Self { head, body, job } = self;
        account.record.status = Some(head.status);
        let body = match job {
            Some(job) => AnswerBody::compressed(CompressedBody::new(body, job), account),
            None => AnswerBody::origin(body, account),
        };
        Outcome::Answer(Response::from_parts(head, body))
    }
}

/// Whether an error of ours ends the connection: what we do not understand may be read differently by others, so
/// nothing that follows it is served.
pub(super) fn must_close(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::URI_TOO_LONG
            | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            // Another connection may have what this one lacks.
            | StatusCode::MISDIRECTED_REQUEST
    )
}

/// Takes out what an origin may not say to a viewer: what belongs to its connection, and the name of an error of
/// ours.
pub(super) fn strip_of_origin(headers: &mut HeaderMap) {
    headers::strip_hop_by_hop(headers);
    headers.remove(errors::X_TIDEGATE_ERROR);
}

/// Adds the cookie that keeps the viewer on its endpoint to those of the origin.
pub(super) fn set_cookie(headers: &mut HeaderMap, cookie: Option<HeaderValue>) {
    if let Some(cookie) = cookie {
        headers.append(SET_COOKIE, cookie);
    }
}

pub(super) fn close(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

/// `Keep-Alive: timeout=N`, in seconds.
pub(super) fn announced_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(KEEP_ALIVE)?.to_str().ok()?;
    let seconds = text.split(',').find_map(|parameter| parameter.trim().strip_prefix("timeout="))?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}
