//! One request, from the gate to the answer: the file to read first.
//!
//! gate → decide → origin → answer. The viewer's stream belongs to its connection, so an exchange never touches
//! it: it returns an [`Outcome`], and the connection writes the answer or becomes the tunnel.

mod answer;
mod discard;
mod error_page;
mod failover;
mod tunnel;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::UPGRADE;
use http::request::Parts;
use http::{Method, Response, StatusCode};

use answer::close;
use error_page::Kept;
use failover::Original;
pub(crate) use tunnel::Opened;

use super::account::Account;
use super::connection::Viewer;
use super::connection::turn::Turn;
use super::live::{LiveDistribution, LiveOrigin};
use super::origin::head::{self, Facts};
use super::origin::{Load, Outgoing, Report};
use super::response::body::AnswerBody;
use super::response::compression::{self, Negotiated};
use super::response::errors::{self, Format};
use super::viewer::body::ViewerBody;
use super::viewer::gate::{self, Passed};
use super::viewer::headers::{self, Trailers};
use super::viewer::health;
use super::websocket::handshake::{self, Handshake};
use super::websocket::registry::Admission;
use crate::overload::Level;
use crate::table::cors::{Grant, Preflight};
use crate::table::decide::{self, RequestKind, decide};
use crate::table::group::Failover;
use crate::table::host::Authority;
use crate::table::reason::Reason;
use crate::table::target::Target;
use crate::table::web_origin::Presented;
use crate::telemetry::metrics::Lost;

/// Why a handshake failed that the origin answered with another status than 101, which is no error of anybody.
const ORIGIN_STATUS: &str = "origin_status";

/// What the connection does next.
pub(crate) enum Outcome {
    /// It writes this answer.
    Answer(Response<AnswerBody>),
    /// It writes this 101 and becomes the tunnel, or over HTTP/2 this 200, and the stream becomes it.
    Tunnel(Response<AnswerBody>, Box<Opened>),
}

/// Serves one request. It is judged at once; the answer waits for nobody but the origin.
///
/// `turn` is that of its connection, where the connection carries one exchange at a time.
pub(crate) fn serve(
    viewer: Rc<Viewer>,
    turn: Option<Rc<Turn>>,
    head: Parts,
    body: ViewerBody,
) -> impl Future<Output = Outcome> {
    let format = Format::preferred(&head.headers);
    let whose = Rc::clone(&viewer);
    // What the exchange held is dropped on the way out of a panic: its account is settled, its connection to the
    // origin closed, its handshake forgotten. Nobody uses any of it again.
    let judged = catch_unwind(AssertUnwindSafe(|| Exchange::open(viewer, turn, format, head, body)));
    async move {
        let outcome = match judged {
            Ok(Judged::Answered(outcome)) => Ok(outcome),
            Ok(Judged::Forward(exchange, forward)) => {
                AssertUnwindSafe(exchange.forward(forward)).catch_unwind().await
            }
            Ok(Judged::Failed(exchange, reason)) => {
                AssertUnwindSafe(async { exchange.fail(reason).await }).catch_unwind().await
            }
            Err(panic) => Err(panic),
        };
        outcome.unwrap_or_else(|_panic| apologise(&whose, format))
    }
}

/// What is answered instead of an exchange that a fault of ours has ended.
fn apologise(viewer: &Viewer, format: Format) -> Outcome {
    viewer.worker.metrics.panicked(Lost::Exchange);
    tracing::error!(
        event = "exchange.panicked",
        connection_id = viewer.id,
        "a request was lost to a fault of ours; please report it with the line before this one"
    );
    let mut response = errors::error(Reason::Internal, format);
    close(response.headers_mut());
    Outcome::Answer(response.map(AnswerBody::settled))
}

/// What an answer of ours depends on, kept while the head is taken apart.
struct Asked {
    format: Format,
    /// Whether the viewer asked to upgrade, or for a tunnel: it did not get it, so its connection is not used
    /// again.
    upgrade: bool,
    /// Whether it asked for a WebSocket, as RFC 6455 wants it asked.
    handshake: bool,
    /// What the page behind the request gets to know; rare, and so elsewhere.
    grant: Option<Box<Grant>>,
    body: ViewerBody,
    /// Where an error may have a page, what the request for that needs.
    kept: Option<Box<Kept>>,
}

struct Exchange {
    viewer: Rc<Viewer>,
    account: Account,
    asked: Asked,
}

/// A request that was judged.
enum Judged {
    Answered(Outcome),
    Forward(Exchange, Box<Forward>),
    /// It is refused for this reason, with a page that has to be fetched.
    Failed(Exchange, Reason),
}

/// What follows the judgement.
enum Step {
    Own(Response<Bytes>),
    Forward(Box<Forward>),
}

/// Everything that forwarding needs; it holds no table.
struct Forward {
    distribution: Arc<LiveDistribution>,
    route_position: usize,
    origin: Arc<LiveOrigin>,
    outgoing: Outgoing,
    /// The request for the other members of a group, where it may go to them.
    original: Option<Box<Original>>,
    /// A handshake's place among the worker's tunnels, so that no drain misses it.
    admission: Option<Admission>,
    trailers: Trailers,
    /// Where the behavior compresses, what the viewer takes.
    negotiated: Option<Negotiated>,
}

/// The behavior that a request falls under, linked.
type Matched = (Arc<LiveDistribution>, usize);

impl Exchange {
    fn open(
        viewer: Rc<Viewer>,
        turn: Option<Rc<Turn>>,
        format: Format,
        head: Parts,
        body: ViewerBody,
    ) -> Judged {
        let account = Account::open(Rc::clone(&viewer), turn, &head, body.clone());
        let asked = Asked {
            format,
            upgrade: head.headers.contains_key(UPGRADE) || head.method == Method::CONNECT,
            handshake: false,
            grant: None,
            body: body.clone(),
            kept: None,
        };
        let mut exchange = Self { viewer, account, asked };
        match exchange.judge(head, body) {
            Ok(Step::Forward(forward)) => Judged::Forward(exchange, forward),
            Ok(Step::Own(response)) => Judged::Answered(exchange.own(response)),
            Err(reason) if exchange.has_page(reason) => Judged::Failed(exchange, reason),
            Err(reason) => Judged::Answered(exchange.refuse(reason)),
        }
    }

    /// Gate, decision and policies: everything before the origin, without waiting for anybody.
    fn judge(&mut self, head: Parts, body: ViewerBody) -> Result<Step, Reason> {
        let (authority, target) = match gate::check(&head, &self.viewer.worker.limits)? {
            Passed::Request { authority, target } => (authority, target),
            Passed::OptionsForServer => return Ok(Step::Own(errors::options())),
        };
        self.account.record.host = Some(authority.host.clone());
        headers::judge_underscores(&head.headers, self.viewer.worker.entrance.underscore_headers)?;
        if let Some(answer) = health::answer(&self.viewer.worker, &head.method, &authority.host, &target) {
            return answer.map(Step::Own);
        }
        let handshake = handshake::check_request(&head);
        self.asked.handshake = !matches!(handshake, Ok(None));
        let handshake = handshake?;
        let kind = match handshake {
            Some(_) => RequestKind::WebSocket(Presented::in_head(&head.headers)),
            None => {
                Preflight::of(&head.method, &head.headers).map_or(RequestKind::Http, RequestKind::Preflight)
            }
        };
        let (matched, outcome) = self.decide(&head, &authority, &target, kind);
        if !self.asked.handshake {
            let distribution = matched.as_ref().map(|(distribution, _)| &**distribution);
            self.asked.kept = Kept::of(&head, &authority, distribution, self.asked.format);
        }
        let (target, failover) = match outcome {
            // What is answered without an origin holds no memory, so only this is refused.
            decide::Outcome::Forward { .. } if self.viewer.worker.overload.level() == Level::Critical => {
                return Err(Reason::ProxyOverloaded);
            }
            decide::Outcome::Forward { replaced_target, failover } => {
                (replaced_target.unwrap_or(target), failover)
            }
            decide::Outcome::RedirectToHttps(status) => {
                let port = self.viewer.worker.https_redirect_port;
                return Ok(Step::Own(errors::redirect_to_https(status, &authority.host, port, &target)));
            }
            decide::Outcome::AnswerChallenge(answer) => return Ok(Step::Own(errors::challenge(&answer))),
            decide::Outcome::AnswerPreflight => return Ok(Step::Own(errors::preflight())),
            decide::Outcome::Refuse(reason) => return Err(reason),
        };
        let forward = self.prepare(
            matched.ok_or(Reason::Internal)?,
            &authority,
            (&target, failover),
            head,
            body,
            handshake,
        )?;
        #[cfg(test)]
        crate::dataplane::fault::strike("judging", self.account.record.path.as_deref());
        Ok(Step::Forward(Box::new(forward)))
    }

    /// Everything that forwarding a request needs that passed every policy.
    fn prepare(
        &mut self,
        (distribution, route_position): Matched,
        authority: &Authority,
        (target, failover): (&Target, Failover),
        head: Parts,
        body: ViewerBody,
        handshake: Option<Handshake>,
    ) -> Result<Forward, Reason> {
        let route = distribution.routes.at(route_position).ok_or(Reason::Internal)?;
        route.max_request_body_bytes.map_or(Ok(()), |most| body.limit_to(most))?;
        let negotiated = compression::negotiate(route.compression, &head.headers, head.version);
        let scheme = self.account.record.sender.scheme;
        let live = distribution.target(route_position).ok_or(Reason::Internal)?;
        let group = live.group().filter(|_| failover == Failover::ToTheNext);
        let member = group.map_or(0, |group| failover::first(group, scheme));
        self.account.record.member = member;
        let origin = Arc::clone(live.member(member, scheme).ok_or(Reason::NoEndpoints)?);
        let (admission, load) = match &handshake {
            Some(_) => {
                let place =
                    distribution.web_socket_place(route_position, self.account.record.sender.address.ip)?;
                let key = &distribution.routes.distribution;
                (Some(self.viewer.worker.registry.admit(key)?.keeping(place)), Load::Tunnel)
            }
            None => (None, Load::Exchange),
        };
        let certificate = self.viewer.certificate_told(&distribution.routes);
        let sender = self.account.record.sender;
        let prepared = head::prepare(head, &self.viewer, sender, certificate, authority);
        self.account.record.request_id = Some(prepared.request_id.clone());
        let trailers = prepared.trailers;
        let original = group.map(|_| Box::new(Original { head: prepared.clone(), target: target.clone() }));
        let facts =
            Facts { target, origin: &origin.origin, body: &body, load, handshake: handshake.as_ref() };
        let head = prepared.compose(facts)?;
        let outgoing = Outgoing { head, body, load, handshake, sender };
        Ok(Forward {
            distribution,
            route_position,
            origin,
            outgoing,
            original,
            admission,
            trailers,
            negotiated,
        })
    }

    /// The one read of the table: whatever is published from here on concerns the next request.
    fn decide(
        &mut self,
        head: &Parts,
        authority: &Authority,
        target: &Target,
        kind: RequestKind<'_>,
    ) -> (Option<Matched>, decide::Outcome) {
        let live = self.viewer.worker.tables.current();
        self.account.record.config_generation = Some(live.generation);
        let request = decide::Request {
            transport: self.viewer.transport(),
            scheme: self.account.record.sender.scheme,
            viewer: Some(self.account.record.sender.address.ip),
            version: head.version,
            // A handshake is a GET, also where HTTP/2 calls it a CONNECT.
            method: if matches!(kind, RequestKind::WebSocket(_)) { &Method::GET } else { &head.method },
            host: &authority.host,
            target,
            kind,
        };
        let decision = decide(&live.table, request);
        let policy = decision.matched.and_then(|matched| matched.route.response_headers.as_deref());
        let cors = policy.and_then(|policy| policy.cors.as_ref());
        self.asked.grant = cors.and_then(|cors| cors.grant(&head.method, &head.headers)).map(Box::new);
        let matched = decision.matched.and_then(|matched| {
            Some((Arc::clone(live.distribution(matched.host_position)?), matched.route_position))
        });
        self.account.record.matched = matched.clone();
        (matched, decision.outcome)
    }

    async fn forward(mut self, mut forward: Box<Forward>) -> Outcome {
        let mut report = Report::default();
        let sent = self.send(&mut forward, &mut report).await;
        let record = &mut self.account.record;
        (record.endpoint, record.attempts, record.connect) =
            (report.endpoint, report.attempts, report.connect);
        (record.origin_status, record.origin_error) = (report.status, report.error.map(Reason::as_str));
        let incomings = match sent {
            Ok(incomings) => incomings,
            Err(reason) => return self.fail(reason).await,
        };
        self.account.answered();
        #[cfg(test)]
        crate::dataplane::fault::strike("answered", self.account.record.path.as_deref());
        self.asked.body.stop_clock();
        let switches = incomings.response.status() == StatusCode::SWITCHING_PROTOCOLS;
        match forward.admission.take().filter(|_| switches) {
            Some(admission) => {
                let matched = (forward.distribution, forward.route_position);
                self.open_tunnel(incomings, report, admission, matched, &forward.origin)
            }
            None => {
                if self.asked.handshake {
                    self.handshake_failed(ORIGIN_STATUS);
                }
                self.pass_on_or_replace(incomings, report, forward).await
            }
        }
    }
}
