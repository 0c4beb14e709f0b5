//! The account of one exchange: what the access log and the metrics say of it, settled whatever happens.
//!
//! It is opened with the request and settled when it is dropped: after the last byte of the answer, or when the
//! viewer went away in the middle.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use tokio::time::Instant;

use crate::dataplane::connection::Viewer;
use crate::dataplane::connection::turn::Turn;
use crate::dataplane::live::{LiveDistribution, LiveOrigin};
use crate::dataplane::response::body::OriginBodyFailure;
use crate::dataplane::viewer::address::{self, Sender};
use crate::dataplane::viewer::body::ViewerBody;
use crate::table::host::HostName;
use crate::table::reason::Reason;
use crate::telemetry::access_log::{AccessLog, Event, Line};
use crate::telemetry::metrics::{Counted, Lost, Metrics, Present};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What is known of one exchange.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// The connection.
    pub(crate) viewer: Rc<Viewer>,
    /// Who sent the request.
    pub(crate) sender: Sender,
    /// None where the head could not be read, as path and host.
    pub(crate) method: Option<Method>,
    pub(crate) version: Version,
    /// The canonical host, where there is one.
    pub(crate) host: Option<HostName>,
    /// The path as sent, without the query.
    pub(crate) path: Option<String>,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) referer: Option<HeaderValue>,
    pub(crate) x_forwarded_for: Option<HeaderValue>,
    pub(crate) request_id: Option<HeaderValue>,
    /// The only `traceparent`, as it came.
    pub(crate) traceparent: Option<HeaderValue>,
    /// The number of the table that judged it.
    pub(crate) config_generation: Option<u64>,
    /// The Distribution, and the position of the behavior that judged the request.
    pub(crate) matched: Option<(Arc<LiveDistribution>, usize)>,
    /// The member of the origin group that was asked last, which is how many members failed before; 0 without a group.
    pub(crate) member: usize,
    /// When it was asked, counted from the request's head.
    pub(crate) asked_after: Duration,
    /// The status of the answer; none where the viewer was gone before there was one.
    pub(crate) status: Option<StatusCode>,
    /// Whether it opened a WebSocket.
    pub(crate) event: Event,
    /// Why the proxy answered itself.
    pub(crate) reason: Option<&'static str>,
    /// Whether that is why the proxy answered, not why an answer broke off.
    answered_itself: bool,
    pub(crate) endpoint: Option<SocketAddr>,
    /// Endpoints that were tried.
    pub(crate) attempts: u32,
    pub(crate) origin_status: Option<StatusCode>,
    /// Why the last attempt that failed did, or the answer was cut off.
    pub(crate) origin_error: Option<&'static str>,
    /// What became of the page in place of an error: `served`, or why it could not be had.
    pub(crate) error_page: Option<&'static str>,
    pub(crate) connect: Option<Duration>,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) duration: Duration,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl Record {
    /// The record of a request whose head never became complete.
    pub(crate) fn unread(viewer: &Rc<Viewer>, reason: Reason) -> Self {
        let mut record = Self::new(Rc::clone(viewer), &HeaderMap::new());
        (record.status, record.reason) = (Some(reason.status()), Some(reason.as_str()));
        record.answered_itself = true;
        record
    }

    fn new(viewer: Rc<Viewer>, headers: &HeaderMap) -> Self {
        Self {
            sender: viewer.sender(headers),
            x_forwarded_for: address::forwarded_for(headers),
            viewer,
            method: None,
            version: Version::HTTP_11,
            host: None,
            path: None,
            user_agent: None,
            referer: None,
            request_id: None,
            traceparent: only(headers, &TRACEPARENT),
            config_generation: None,
            matched: None,
            member: 0,
            asked_after: Duration::ZERO,
            status: None,
            event: Event::Request,
            reason: None,
            answered_itself: false,
            endpoint: None,
            attempts: 0,
            origin_status: None,
            origin_error: None,
            error_page: None,
            connect: None,
            first_byte: None,
            duration: Duration::ZERO,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// Tells the metrics and the access log.
    pub(crate) fn tell(&self, metrics: &Metrics, access_log: &AccessLog) {
        let (status, protocol) = (self.told_status(), protocol(self.version));
        let duration = Some(self.duration).filter(|_| self.event == Event::Request);
        match &self.matched {
            Some((distribution, at)) => distribution.requests(*at).count(status, protocol, duration),
            None => metrics.unmatched().requests().count(status, protocol, duration),
        }
        if let (true, Some(reason)) = (self.answered_itself, self.reason) {
            match &self.matched {
                Some((distribution, _)) => distribution.metrics.answered_itself(status, reason),
                None => metrics.unmatched().answered_itself(status, reason),
            }
        }
        if let (Some(origin), Some(_), Some(first_byte)) =
            (self.origin(), self.origin_status, self.first_byte)
        {
            origin.metrics.answered(first_byte.saturating_sub(self.asked_after));
        }
        if access_log.wants(Some(self.told_status().as_u16()), self.reason) {
            access_log.write(&self.line());
        }
    }

    /// The origin that was asked last.
    fn origin(&self) -> Option<&Arc<LiveOrigin>> {
        let (distribution, at) = self.matched.as_ref()?;
        distribution.target(*at)?.member(self.member, self.sender.scheme)
    }

    /// The status for log and metric.
    fn told_status(&self) -> StatusCode {
        self.status.unwrap_or_else(viewer_gone)
    }

    /// The record as a line of the access log.
    pub(crate) fn line(&self) -> Line<'_> {
        let matched = self.matched.as_ref();
        let key = matched.map(|(distribution, _)| &distribution.routes.distribution);
        let failovers = u32::try_from(self.member).unwrap_or(u32::MAX);
        let session = self.viewer.session.as_ref();
        Line {
            event: self.event,
            request_id: text(self.request_id.as_ref()),
            trace_id: text(self.traceparent.as_ref()).and_then(trace_id),
            connection_id: Some(self.viewer.id),
            viewer: Some(self.sender.address),
            x_forwarded_for: text(self.x_forwarded_for.as_ref()),
            listener: Some(self.viewer.local),
            scheme: Some(self.sender.scheme.as_str()),
            sni: session.and_then(|session| session.sni.as_ref()).map(HostName::as_str),
            host: self.host.as_ref().map(HostName::as_str),
            method: self.method.as_ref().map(Method::as_str),
            path: self.path.as_deref(),
            protocol: Some(match self.version {
                Version::HTTP_10 => "HTTP/1.0",
                Version::HTTP_2 => "HTTP/2.0",
                _ => "HTTP/1.1",
            }),
            status: Some(self.told_status().as_u16()),
            reason: self.reason,
            namespace: key.map(|key| key.namespace.as_str()),
            distribution: key.map(|key| key.name.as_str()),
            behavior: matched.and_then(|(distribution, at)| distribution.label(*at)),
            origin: self.origin().map(|origin| origin.origin.key.id.as_str()),
            endpoint: self.endpoint,
            attempts: Some(self.attempts).filter(|attempts| *attempts > 0),
            failovers: Some(failovers).filter(|failovers| *failovers > 0),
            origin_status: self.origin_status.map(|status| status.as_u16()),
            origin_error: self.origin_error,
            error_page: self.error_page,
            config_generation: self.config_generation,
            connect: self.connect,
            first_byte: self.first_byte,
            duration: Some(self.duration),
            bytes_in: Some(self.bytes_in),
            bytes_out: Some(self.bytes_out),
            tls_version: session.map(|session| session.version),
            referer: text(self.referer.as_ref()),
            user_agent: text(self.user_agent.as_ref()),
            ..Line::default()
        }
    }
}

/// What metrics call the HTTP that a viewer speaks.
pub(crate) fn protocol(version: Version) -> &'static str {
    if version == Version::HTTP_2 { "h2" } else { "h1" }
}

/// What log and metric say of a viewer that went away before there was an answer: no status of HTTP says that.
fn viewer_gone() -> StatusCode {
    StatusCode::from_u16(499).expect("it has three digits")
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value.and_then(|value| value.to_str().ok())
}

/// The value of a field that may come once.
fn only(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none()).cloned()
}

/// The trace that a `traceparent` names; none where it is malformed (W3C Trace Context, section 3.2).
fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.splitn(5, '-');
    let mut hexadecimal = |digits| {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        parts.next().filter(|part| part.len() == digits && part.bytes().all(is_digit))
    };
    let (version, trace, parent, _flags) =
        (hexadecimal(2)?, hexadecimal(32)?, hexadecimal(16)?, hexadecimal(2)?);
    // A later version may say more than this one does.
    let known = version != "ff" && (version != "00" || parts.next().is_none());
    let is_some = |id: &str| id.bytes().any(|byte| byte != b'0');
    Some(trace).filter(|_| known && is_some(trace) && is_some(parent))
}

/// A record that is still being written.
#[derive(Debug)]
pub(crate) struct Account {
    /// What will be told. Boxed: it is large, and travels with the exchange through many hands.
    pub(crate) record: Box<Record>,
    opened: Instant,
    request_body: ViewerBody,
    /// That of the connection, where it carries one exchange at a time.
    turn: Option<Rc<Turn>>,
    /// Counts it among the exchanges that are under way: with the tunnels, what a deadline cuts.
    _present: Counted,
}

impl Account {
    /// Opens the account of a request.
    pub(crate) fn open(
        viewer: Rc<Viewer>,
        turn: Option<Rc<Turn>>,
        head: &http::request::Parts,
        request_body: ViewerBody,
    ) -> Self {
        let opened = Instant::now();
        if let Some(turn) = &turn {
            turn.exchange_began(opened);
        }
        let present = viewer.worker.own_metrics.enter(Present::Request);
        let record = Record {
            method: Some(head.method.clone()),
            version: head.version,
            path: Some(head.uri.path().to_owned()),
            user_agent: head.headers.get(USER_AGENT).cloned(),
            referer: head.headers.get(REFERER).cloned(),
            ..Record::new(viewer, &head.headers)
        };
        Self { record: Box::new(record), opened, request_body, turn, _present: present }
    }

    /// For how long it has been open.
    pub(crate) fn elapsed(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Notes that the member of a group at this position is asked.
    pub(crate) fn ask(&mut self, member: usize) {
        (self.record.member, self.record.asked_after) = (member, self.opened.elapsed());
    }

    /// Notes that the head of the origin's answer is there.
    pub(crate) fn answered(&mut self) {
        self.record.first_byte = Some(self.opened.elapsed());
    }

    /// Notes that the proxy answers itself.
    pub(crate) fn refused(&mut self, reason: Reason) {
        self.record.reason = Some(reason.as_str());
        self.record.answered_itself = true;
    }

    /// Counts bytes of the answer's body.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.record.bytes_out += bytes as u64;
    }

    /// Notes that the answer will not be complete.
    pub(crate) fn truncated(&mut self, failure: OriginBodyFailure) {
        self.record.reason = Some(failure.as_str());
        match failure {
            OriginBodyFailure::Fault => self.record.viewer.worker.metrics.panicked(Lost::Exchange),
            OriginBodyFailure::Stalled | OriginBodyFailure::Overdue | OriginBodyFailure::Broken => {
                self.record.origin_error = self.record.reason;
            }
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Whatever was to be said, what is said is this.
            self.record.status = Some(Reason::Internal.status());
            self.refused(Reason::Internal);
        }
        let now = Instant::now();
        self.record.duration = now - self.opened;
        self.record.bytes_in = self.request_body.bytes();
        if let Some(turn) = &self.turn {
            let body = if self.request_body.has_ended() { RequestBody::Read } else { RequestBody::Unread };
            turn.exchange_ended(body, now);
        }
        self.record.viewer.worker.tell(&self.record);
    }
}

/// Whether anything of a request is left on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestBody {
    /// It was read to its end.
    Read,
    /// It was not: what the viewer still sends has to be read away before the connection is closed.
    Unread,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_traceparent_names_a_trace() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let valid =
            [format!("00-{trace}-00f067aa0ba902b7-01"), format!("01-{trace}-00f067aa0ba902b7-01-more")];
        for traceparent in &valid {
            assert_eq!(trace_id(traceparent), Some(trace), "{traceparent}");
        }
        let zeros = "0".repeat(32);
        let malformed = [
            String::new(),
            format!("ff-{trace}-00f067aa0ba902b7-01"),
            format!("00-{trace}-00f067aa0ba902b7-01-more"),
            format!("00-{trace}-00f067aa0ba902b7"),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{zeros}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            format!("00-{trace}x-00f067aa0ba902b7-01"),
        ];
        for traceparent in &malformed {
            assert_eq!(trace_id(traceparent), None, "{traceparent}");
        }
    }
}
