//! One request, from the gate to the answer: the file to read first.
//!
//! gate → decide → origin → answer. The viewer's stream belongs to its connection, so an exchange never touches
//! it: it returns an [`Outcome`], and the connection writes the answer or becomes the tunnel.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, SET_COOKIE, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};

use super::account::{Account, protocol};
use super::connection::Viewer;
use super::connection::turn::Turn;
use super::live::{LiveDistribution, LiveOrigin};
use super::origin::head::{self, Composed, Facts};
use super::origin::{self, Incomings, Load, OriginStream, Outgoing, Report};
use super::response::body::{AnswerBody, OriginBody};
use super::response::errors::{self, Format};
use super::viewer::body::ViewerBody;
use super::viewer::gate::{self, Passed};
use super::viewer::headers::{self, Trailers};
use super::viewer::health;
use super::websocket::handshake::{self, agreed};
use super::websocket::life::Life;
use super::websocket::registry::{Admission, Labels};
use super::websocket::side::Upgraded;
use super::websocket::tunnel::Terms;
use super::witness::TunnelWitness;
use crate::overload::Level;
use crate::table::decide::{self, RequestKind, decide};
use crate::table::host::Authority;
use crate::table::origin::Origin;
use crate::table::reason::Reason;
use crate::table::target::Target;
use crate::table::web_origin::Presented;
use crate::telemetry::access_log::Event;
use crate::telemetry::metrics::Lost;

/// Why a handshake failed that the origin answered with another status than 101, which is no error of anybody.
const ORIGIN_STATUS: &str = "origin_status";

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// What the connection does next.
pub(crate) enum Outcome {
    /// It writes this answer.
    Answer(Response<AnswerBody>),
    /// It writes this 101 and becomes the tunnel, or over HTTP/2 this 200, and the stream becomes it.
    Tunnel(Response<AnswerBody>, Box<Opened>),
}

/// A tunnel whose handshake both sides have agreed on.
pub(crate) struct Opened {
    /// The origin's side.
    pub(crate) origin: Upgraded<OriginStream>,
    /// Its place in the worker's registry.
    pub(crate) admission: Admission,
    pub(crate) terms: Terms,
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
    body: ViewerBody,
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
    /// A handshake's place among the worker's tunnels, so that no drain misses it.
    admission: Option<Admission>,
    trailers: Trailers,
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
            body: body.clone(),
        };
        let mut exchange = Self { viewer, account, asked };
        match exchange.judge(head, body) {
            Ok(Step::Forward(forward)) => Judged::Forward(exchange, forward),
            Ok(Step::Own(response)) => Judged::Answered(exchange.own(response)),
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
            None => RequestKind::Http,
        };
        let (matched, outcome) = self.decide(&head, &authority, &target, kind);
        let target = match outcome {
            // What is answered without an origin holds no memory, so only this is refused.
            decide::Outcome::Forward { .. } if self.viewer.worker.overload.level() == Level::Critical => {
                return Err(Reason::ProxyOverloaded);
            }
            decide::Outcome::Forward { replaced_target } => replaced_target.unwrap_or(target),
            decide::Outcome::RedirectToHttps(status) => {
                let port = self.viewer.worker.https_redirect_port;
                return Ok(Step::Own(errors::redirect_to_https(status, &authority.host, port, &target)));
            }
            decide::Outcome::Refuse(reason) => return Err(reason),
        };
        let (distribution, route_position) = matched.ok_or(Reason::Internal)?;
        let most = distribution.routes.at(route_position).and_then(|route| route.max_request_body_bytes);
        most.map_or(Ok(()), |most| body.limit_to(most))?;
        let scheme = self.account.record.sender.scheme;
        let origin = Arc::clone(distribution.origin(route_position, scheme).ok_or(Reason::NoEndpoints)?);
        let (admission, load) = match &handshake {
            Some(_) => {
                let place =
                    distribution.web_socket_place(route_position, self.account.record.sender.address.ip)?;
                let key = &distribution.routes.distribution;
                (Some(self.viewer.worker.registry.admit(key)?.keeping(place)), Load::Tunnel)
            }
            None => (None, Load::Exchange),
        };
        let facts = Facts {
            viewer: &self.viewer,
            sender: self.account.record.sender,
            authority: &authority,
            target: &target,
            origin: &origin.origin,
            body: &body,
            load,
            handshake: handshake.as_ref(),
        };
        let Composed { head, request_id, trailers } = head::compose(head, facts)?;
        self.account.record.request_id = Some(request_id);
        #[cfg(test)]
        super::fault::strike("judging", self.account.record.path.as_deref());
        let outgoing = Outgoing { head, body, load, handshake, sender: self.account.record.sender };
        Ok(Step::Forward(Box::new(Forward {
            distribution,
            route_position,
            origin,
            outgoing,
            admission,
            trailers,
        })))
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
            version: head.version,
            // A handshake is a GET, also where HTTP/2 calls it a CONNECT.
            method: if matches!(kind, RequestKind::WebSocket(_)) { &Method::GET } else { &head.method },
            host: &authority.host,
            target,
            kind,
        };
        let decision = decide(&live.table.hosts, request);
        let matched = decision.matched.and_then(|matched| {
            Some((Arc::clone(live.distribution(matched.host_position)?), matched.route_position))
        });
        self.account.record.matched = matched.clone();
        (matched, decision.outcome)
    }

    async fn forward(mut self, forward: Box<Forward>) -> Outcome {
        let mut report = Report::default();
        let sent = origin::send(&self.viewer.worker, &forward.origin, &forward.outgoing, &mut report).await;
        let record = &mut self.account.record;
        (record.endpoint, record.attempts, record.connect) =
            (report.endpoint, report.attempts, report.connect);
        (record.origin_status, record.origin_error) = (report.status, report.error.map(Reason::as_str));
        let incomings = match sent {
            Ok(incomings) => incomings,
            Err(reason) => return self.refuse(reason),
        };
        self.account.answered();
        #[cfg(test)]
        super::fault::strike("answered", self.account.record.path.as_deref());
        self.asked.body.stop_clock();
        let switches = incomings.response.status() == StatusCode::SWITCHING_PROTOCOLS;
        match forward.admission.filter(|_| switches) {
            Some(admission) => {
                let matched = (forward.distribution, forward.route_position);
                self.open_tunnel(incomings, report, admission, matched, &forward.origin)
            }
            None => {
                if self.asked.handshake {
                    self.handshake_failed(ORIGIN_STATUS);
                }
                self.pass_on(incomings, report, &forward.origin.origin, forward.trailers)
            }
        }
    }

    /// An origin's answer, as the viewer gets it.
    fn pass_on(
        mut self,
        incomings: Incomings,
        report: Report,
        origin: &Origin,
        trailers: Trailers,
    ) -> Outcome {
        let Incomings { response, mut returning } = incomings;
        let (mut head, incoming) = response.into_parts();
        if let Some(timeout) = announced_timeout(&head.headers) {
            returning.announced_timeout(timeout);
        }
        strip_of_origin(&mut head.headers);
        headers::strip_trailer(&mut head.headers, trailers);
        headers::single_length(&mut head.headers);
        set_cookie(&mut head.headers, report.set_cookie);
        self.leave_where_needed(&mut head.headers);
        head.version = Version::HTTP_11;
        self.account.record.status = Some(head.status);
        let body = OriginBody::new(incoming, origin.response_idle_timeout, trailers, returning)
            .ending_by(report.deadline);
        Outcome::Answer(Response::from_parts(head, AnswerBody::origin(body, self.account)))
    }

    fn open_tunnel(
        mut self,
        incomings: Incomings,
        report: Report,
        admission: Admission,
        (distribution, route_position): Matched,
        live: &LiveOrigin,
    ) -> Outcome {
        let Incomings { response, returning } = incomings;
        let (origin, loaded) = match returning.into_tunnel() {
            Ok(tunnel) => tunnel,
            Err(reason) => {
                live.metrics.failed(reason.as_str());
                self.account.record.origin_error = Some(reason.as_str());
                return self.refuse(reason);
            }
        };
        let (mut head, _no_body) = response.into_parts();
        strip_of_origin(&mut head.headers);
        let version = self.account.record.version;
        handshake::put_agreement(&mut head, version);
        set_cookie(&mut head.headers, report.set_cookie);
        head.version = Version::HTTP_11;
        let record = &mut self.account.record;
        (record.status, record.event) = (Some(head.status), Event::WebsocketOpen);
        let labels = Labels {
            behavior: distribution.label(route_position).unwrap_or_default().to_owned(),
            origin: live.origin.key.id.clone(),
            endpoint: loaded.endpoint(),
            viewer: self.account.record.sender.address,
            protocol: protocol(version),
            connection: self.viewer.id,
            subprotocol: agreed(&head.headers, &SEC_WEBSOCKET_PROTOCOL),
            extensions: agreed(&head.headers, &SEC_WEBSOCKET_EXTENSIONS),
        };
        #[cfg(test)]
        super::fault::strike("opening", self.account.record.path.as_deref());
        let metrics = live.metrics.web_socket_opened(labels.protocol);
        let witness = Box::new(TunnelWitness::new((*self.account.record).clone(), metrics));
        let route = distribution.routes.at(route_position);
        let life = route.map(|route| Life::of(&route.web_socket)).unwrap_or_default();
        let terms = Terms { labels, life, loaded, witness };
        let answer = Response::from_parts(head, AnswerBody::own(Bytes::new(), self.account));
        Outcome::Tunnel(answer, Box::new(Opened { origin, admission, terms }))
    }

    /// An error of ours.
    fn refuse(mut self, reason: Reason) -> Outcome {
        self.account.refused(reason);
        if self.asked.handshake {
            self.handshake_failed(reason.as_str());
        }
        let mut response = errors::error(reason, self.asked.format);
        if matches!(
            response.status(),
            StatusCode::BAD_REQUEST | StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        ) {
            // What we do not understand may be read differently by others: nothing that follows it is served.
            close(response.headers_mut());
        }
        self.own(response)
    }

    fn handshake_failed(&self, reason: &'static str) {
        match &self.account.record.matched {
            Some((distribution, _)) => distribution.metrics.web_socket_handshake_failed(reason),
            None => self.viewer.worker.metrics.unmatched().web_socket_handshake_failed(reason),
        }
    }

    /// An answer of ours.
    fn own(mut self, response: Response<Bytes>) -> Outcome {
        let (mut head, text) = response.into_parts();
        self.leave_where_needed(&mut head.headers);
        if !self.asked.body.has_ended() {
            close(&mut head.headers);
        }
        self.account.record.status = Some(head.status);
        Outcome::Answer(Response::from_parts(head, AnswerBody::own(text, self.account)))
    }

    /// Closes the viewer's connection where it asked to upgrade and did not get it, since it may have sent
    /// frames already, and where this replica is leaving or short of memory.
    fn leave_where_needed(&self, headers: &mut HeaderMap) {
        if self.asked.upgrade || self.viewer.worker.asks_to_leave() {
            close(headers);
        }
    }
}

/// Takes out what an origin may not say to a viewer: what belongs to its connection, and the name of an error of
/// ours.
fn strip_of_origin(headers: &mut HeaderMap) {
    headers::strip_hop_by_hop(headers);
    headers.remove(errors::X_TIDEGATE_ERROR);
}

/// Adds the cookie that keeps the viewer on its endpoint to those of the origin.
fn set_cookie(headers: &mut HeaderMap, cookie: Option<HeaderValue>) {
    if let Some(cookie) = cookie {
        headers.append(SET_COOKIE, cookie);
    }
}

fn close(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

/// `Keep-Alive: timeout=N`, in seconds.
fn announced_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(KEEP_ALIVE)?.to_str().ok()?;
    let seconds = text.split(',').find_map(|parameter| parameter.trim().strip_prefix("timeout="))?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}
