//! The origin's side of an exchange: one endpoint after another until one has answered or nothing may be tried
//! again.
//!
//! [`send`] is the way in. What was sent at most once stays so: another attempt is made only where nothing of
//! the exchange can have happened, or where happening twice does no harm.

mod affinity;
mod attempt;
mod balance;
pub(crate) mod body;
mod connect;
mod cookie;
mod endpoint;
mod failure;
mod hash;
pub(crate) mod head;
pub(crate) mod http1;
mod http2;
mod moves;
mod outlier;
mod pool;
mod retry;
mod stream;
pub(crate) mod tls;

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Either;
use http::{HeaderValue, Method, Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use crate::dataplane::live::LiveOrigin;
use crate::dataplane::viewer::address::Sender;
use crate::dataplane::viewer::body::ViewerBody;
use crate::dataplane::websocket::handshake::{self, Handshake};
use crate::dataplane::worker::Worker;
use crate::table::balancing::{Algorithm, HashOn};
use crate::table::decide::Scheme;
use crate::table::reason::Reason;

pub(crate) use attempt::Returning;
use attempt::{Attempt, on_endpoint};
pub(crate) use balance::Candidates;
use balance::{Choice, Wish};
use body::Body;
#[cfg(test)]
pub(crate) use endpoint::cells_for_test;
pub(crate) use endpoint::{EndpointCell, Load, Loaded, Moving, OriginCell};
pub(crate) use moves::Slot;
use outlier::Trial;
pub(crate) use pool::Pool;
pub(crate) use retry::Budgets;
pub(crate) use stream::OriginStream;

/// What goes to an origin.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The head as the origin will read it.
    pub(crate) head: http::request::Parts,
    pub(crate) body: ViewerBody,
    /// What it will be: it decides how endpoints are compared.
    pub(crate) load: Load,
    /// What a 101 must say; none where none was asked for.
    pub(crate) handshake: Option<Handshake>,
    pub(crate) sender: Sender,
}

/// What an origin answered, and what carries the rest of it.
#[derive(Debug)]
pub(crate) struct Incomings {
    pub(crate) response: Response<Body>,
    pub(crate) returning: Returning,
}

/// What sending came to, told also where it failed.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The last endpoint that was tried.
    pub(crate) endpoint: Option<SocketAddr>,
    /// Endpoints that were tried.
    pub(crate) attempts: u32,
    /// How long the last new connection took; none where a pooled one was used.
    pub(crate) connect: Option<Duration>,
    /// From the end of the request to the head of the answer.
    pub(crate) first_byte: Option<Duration>,
    /// The status of the last answer, also of one that the viewer does not get.
    pub(crate) status: Option<StatusCode>,
    /// Why the last attempt that the origin failed did.
    pub(crate) error: Option<Reason>,
    /// The cookie that keeps the viewer on that endpoint, where it has not got it yet.
    pub(crate) set_cookie: Option<HeaderValue>,
    /// When the answer must have ended; none where it may take as long as it goes on.
    pub(crate) deadline: Option<Instant>,
}

/// Sends a request to one of the origin's endpoints and waits for the head of the answer.
pub(crate) async fn send(
    worker: &Rc<Worker>,
    origin: &LiveOrigin,
    outgoing: &Outgoing,
    report: &mut Report,
) -> Result<Incomings, Reason> {
    let limit = origin.origin.completion_timeout.filter(|_| outgoing.load == Load::Exchange);
    report.deadline = limit.map(|limit| Instant::now() + limit);
    let attempts = u32::from(origin.origin.connection_attempts.get());
    let candidates = &origin.candidates;
    let wish = wish(origin, outgoing);
    let mut now = Instant::now();
    let retries = Retries { origin, budget: worker.budgets.of_request(candidates.shared(), now) };
    let mut excluded = Vec::new();
    let mut last = None;
    loop {
        let choice = candidates.pick(wish, outgoing.load, &mut excluded, now);
        let Choice { position, loaded, trial } = choice.map_err(|none| last.unwrap_or(none))?;
        if let Some(last) = last.filter(|_| !retries.allow_another(now)) {
            return Err(last);
        }
        report.attempts += 1;
        report.endpoint = Some(loaded.endpoint());
        report.connect = None;
        let deadline = report.deadline;
        let attempt = on_endpoint(worker, origin, loaded, outgoing, &retries, report);
        let answered = by(deadline, attempt).await.and_then(|incomings| {
            report.status = Some(incomings.response.status());
            check_switch(outgoing.handshake.as_ref(), &incomings.response).map_err(Attempt::Failed)?;
            Ok(incomings)
        });
        let failed = match answered {
            Ok(incomings) => {
                let sent = now + report.connect.unwrap_or_default();
                // While the viewer was still sending, it was not the endpoint that took its time.
                let waited_since =
                    outgoing.body.origin_waited_for_since().map_or(sent, |since| since.max(sent));
                report.first_byte = Some(waited_since.elapsed());
                judge_answer(origin, trial, waited_since, &incomings);
                report.set_cookie = set_cookie(origin, wish, position, outgoing.sender.scheme);
                return Ok(incomings);
            }
            Err(failed) => failed,
        };
        let (Attempt::NotConnected(reason) | Attempt::Failed(reason)) = failed;
        now = Instant::now();
        if is_the_origins(reason) {
            report.error = Some(reason);
        }
        judge_failure(origin, trial, reason, &outgoing.body, now);
        let is_last = report.attempts >= attempts || !outgoing.body.is_replayable();
        if matches!(failed, Attempt::Failed(_)) || is_last {
            return Err(reason);
        }
        last = Some(reason);
        excluded.push(position);
    }
}

/// The outcome of an attempt, or that the whole exchange has taken too long.
///
/// No `async fn`, which would keep room for the attempt more than once.
fn by(
    deadline: Option<Instant>,
    attempt: impl Future<Output = Result<Incomings, Attempt>>,
) -> impl Future<Output = Result<Incomings, Attempt>> {
    let overdue = |_| Err(Attempt::Failed(Reason::OriginCompletionTimeout));
    match deadline {
        Some(deadline) => {
            Either::Left(timeout_at(deadline, attempt).map(move |done| done.unwrap_or_else(overdue)))
        }
        None => Either::Right(attempt),
    }
}

/// Whether the connection becomes a tunnel only where that was asked for: what follows another 101 cannot be
/// known (RFC 9110 section 15.2.2).
fn check_switch(handshake: Option<&Handshake>, response: &Response<Body>) -> Result<(), Reason> {
    match handshake {
        Some(handshake) => {
            handshake::check_response(handshake, response.status(), response.headers()).map(drop)
        }
        None if response.status() == StatusCode::SWITCHING_PROTOCOLS => Err(Reason::OriginProtocol),
        None => Ok(()),
    }
}

/// What limits how often one request is sent.
struct Retries<'o> {
    origin: &'o LiveOrigin,
    budget: Rc<retry::Budget>,
}

impl Retries<'_> {
    /// Whether the request may be sent once more; it is counted then.
    fn allow_another(&self, now: Instant) -> bool {
        let allowed = self.budget.allows_another(now);
        match allowed {
            true => self.origin.metrics.retried(),
            false => self.origin.metrics.retry_budget_exhausted(),
        }
        allowed
    }
}

/// What the request says about its endpoint.
fn wish(origin: &LiveOrigin, outgoing: &Outgoing) -> Wish {
    let balancing = &origin.origin.balancing;
    let headers = &outgoing.head.headers;
    let pinned = balancing.affinity.as_ref();
    let pinned = pinned.and_then(|affinity| affinity::pinned(affinity, origin.candidates.tokens(), headers));
    let key = |value: &[u8]| (!value.is_empty()).then(|| hash::of_bytes(value));
    let hash = match &balancing.algorithm {
        Algorithm::LeastRequest | Algorithm::RoundRobin => None,
        Algorithm::Hash(HashOn::Header(name)) => headers.get(name).and_then(|value| key(value.as_bytes())),
        Algorithm::Hash(HashOn::Cookie(name)) => cookie::value(headers, name).and_then(key),
        Algorithm::Hash(HashOn::ViewerAddress) => Some(hash::of_address(outgoing.sender.address.ip)),
    };
    Wish { pinned, hash }
}

/// The cookie for a viewer that is not where its own says.
fn set_cookie(origin: &LiveOrigin, wish: Wish, position: usize, scheme: Scheme) -> Option<HeaderValue> {
    let affinity = origin.origin.balancing.affinity.as_ref().filter(|_| wish.pinned != Some(position))?;
    let token = origin.candidates.tokens().get(position)?;
    affinity::set_cookie(affinity, *token, scheme)
}

fn judge_answer(origin: &LiveOrigin, trial: Trial, waited_since: Instant, incomings: &Incomings) {
    let now = Instant::now();
    trial.endpoint().answered_after(now.saturating_duration_since(waited_since), now);
    let rules = &origin.origin.outlier_detection;
    if rules.statuses.contains(&incomings.response.status()) {
        return eject_if_due(origin, trial, now);
    }
    if let Some(readmitted) = trial.succeeded(now) {
        let key = &origin.origin.key;
        tracing::info!(
            event = "endpoint.readmitted",
            namespace = key.distribution.namespace,
            distribution = key.distribution.name,
            origin = key.id,
            endpoint = %readmitted,
            "it does well again"
        );
    }
}

/// A viewer that broke off is not the origin's failure.
fn is_the_origins(reason: Reason) -> bool {
    !matches!(reason, Reason::ViewerTimeout | Reason::BadRequest | Reason::BodyTooLarge)
}

/// Connections that fail, resets and timeouts are the endpoint's failures; a limit on the whole exchange only
/// where it was the endpoint that was waited for.
fn judge_failure(origin: &LiveOrigin, trial: Trial, reason: Reason, body: &ViewerBody, now: Instant) {
    if is_the_origins(reason) {
        origin.metrics.failed(reason.as_str());
    }
    let counts = matches!(
        reason,
        Reason::OriginRefused
            | Reason::OriginReset
            | Reason::OriginTls
            | Reason::OriginConnectTimeout
            | Reason::OriginReadTimeout
    );
    let hangs = reason == Reason::OriginCompletionTimeout && body.origin_waited_for_since().is_some();
    if counts || hangs {
        eject_if_due(origin, trial, now);
    }
}

fn eject_if_due(origin: &LiveOrigin, trial: Trial, now: Instant) {
    let rules = &origin.origin.outlier_detection;
    if let Some((ejected, time)) = trial.failed(rules, origin.candidates.cells(), now) {
        let key = &origin.origin.key;
        tracing::info!(
            event = "endpoint.ejected",
            namespace = key.distribution.namespace,
            distribution = key.distribution.name,
            origin = key.id,
            endpoint = %ejected,
            seconds = time.as_secs_f64(),
            "it failed too often"
        );
    }
}

/// Methods that do no harm when they happen twice (RFC 9110 section 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

/// An origin with nothing but a name and the defaults, for the tests of who serves from one.
#[cfg(test)]
pub(crate) fn origin_for_test(name: &str) -> crate::table::origin::Origin {
    use crate::object::ObjectKey;
    use crate::table::origin::{HostHeader, Origin, OriginKey};

    Origin {
        key: OriginKey {
            distribution: ObjectKey::new("test", name),
            id: "web".to_owned(),
            scheme: Scheme::Http,
        },
        path_prefix: String::new(),
        host_header: HostHeader::Viewer,
        custom_headers: Vec::new(),
        connection_attempts: std::num::NonZeroU8::MIN,
        connection_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(1),
        response_idle_timeout: Duration::from_secs(1),
        keepalive_timeout: Duration::from_secs(1),
        completion_timeout: None,
        balancing: Default::default(),
        outlier_detection: Default::default(),
        max_connections_per_endpoint: None,
        tls: None,
        http_version: crate::table::origin::HttpVersion::Http1,
    }
}
