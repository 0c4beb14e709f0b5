//! One request, from the gate to the answer: the file to read first.
//!
//! gate → decide → origin → answer. The viewer's stream belongs to its connection, so an exchange never touches
//! it: it returns an [`Outcome`], and the connection writes the answer or becomes the tunnel.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use tokio::net::TcpStream;

use super::account::Account;
use super::connection::Viewer;
use super::connection::turn::Turn;
use super::live::{LiveDistribution, LiveOrigin, Load};
use super::origin::head::{self, Composed, Facts};
use super::origin::{self, Incomings, Outgoing, Report};
use super::response::body::{AnswerBody, OriginBody};
use super::response::errors::{self, Format};
use super::viewer::body::ViewerBody;
use super::viewer::gate::{self, Passed};
use super::viewer::headers::{self, Trailers};
use super::websocket::handshake::{self, Handshake};
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

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// What the connection does next.
pub(crate) enum Outcome {
    /// It writes this answer.
    Answer(Response<AnswerBody>),
    /// It writes this 101 and becomes the tunnel.
    Tunnel(Response<AnswerBody>, Box<Opened>),
}

/// A tunnel whose handshake both sides have agreed on.
pub(crate) struct Opened {
    /// The origin's side.
    pub(crate) origin: Upgraded<TcpStream>,
    /// Its place in the worker's registry.
    pub(crate) admission: Admission,
    pub(crate) terms: Terms,
}

/// Serves one request.
///
/// `turn` is that of its connection, where the connection carries one exchange at a time.
pub(crate) async fn serve(
    viewer: Rc<Viewer>,
    turn: Option<Rc<Turn>>,
    head: Parts,
    body: ViewerBody,
) -> Outcome {
    let account = Account::open(Rc::clone(&viewer), turn, &head, body.clone());
    let asked = Asked {
        format: Format::preferred(&head.headers),
        upgrade: head.headers.contains_key(UPGRADE) || head.method == Method::CONNECT,
        handshake: false,
        body: body.clone(),
    };
    let mut exchange = Exchange { viewer, account, asked };
    match exchange.judge(head, body) {
        Ok(Step::Own(response)) => exchange.own(response),
        Ok(Step::Forward(forward)) => exchange.forward(*forward).await,
        Err(reason) => exchange.refuse(reason),
    }
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
    upgrade: Option<Upgrade>,
    trailers: Trailers,
}

/// A handshake on its way to the origin.
struct Upgrade {
    handshake: Handshake,
    /// Its place among the worker's tunnels, so that no drain misses it.
    admission: Admission,
}

/// The behavior that a request falls under, linked.
type Matched = (Arc<LiveDistribution>, usize);

impl Exchange {
    /// Gate, decision and policies: everything before the origin, without waiting for anybody.
    fn judge(&mut self, head: Parts, body: ViewerBody) -> Result<Step, Reason> {
        let (authority, target) = match gate::check(&head, &self.viewer.worker.limits)? {
            Passed::Request { authority, target } => (authority, target),
            Passed::OptionsForServer => return Ok(Step::Own(errors::options())),
        };
        self.account.record.host = Some(authority.host.clone());
        let handshake = handshake::check_request(&head.method, head.version, &head.headers)?;
        self.asked.handshake = handshake.is_some();
        let kind = if handshake.is_some() { RequestKind::WebSocket } else { RequestKind::Http };
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
        let origin = Arc::clone(distribution.origin(route_position).ok_or(Reason::NoEndpoints)?);
        let upgrade = match handshake {
            Some(handshake) => {
                let key = &distribution.routes.distribution;
                Some(Upgrade { handshake, admission: self.viewer.worker.registry.admit(key)? })
            }
            None => None,
        };
        let load = if upgrade.is_some() { Load::Tunnel } else { Load::Exchange };
        let facts = Facts {
            viewer: &self.viewer,
            sender: self.account.record.sender,
            authority: &authority,
            target: &target,
            origin: &origin.origin,
            body: &body,
            load,
        };
        let Composed { head, request_id, trailers } = head::compose(head, facts)?;
        self.account.record.request_id = Some(request_id);
        let outgoing = Outgoing { head, body, load };
        Ok(Step::Forward(Box::new(Forward {
            distribution,
            route_position,
            origin,
            outgoing,
            upgrade,
            trailers,
        })))
    }

    /// The one read of the table: whatever is published from here on concerns the next request.
    fn decide(
        &mut self,
        head: &Parts,
        authority: &Authority,
        target: &Target,
        kind: RequestKind,
    ) -> (Option<Matched>, decide::Outcome) {
        let live = self.viewer.worker.tables.current();
        let request = decide::Request {
            transport: self.viewer.transport(),
            scheme: self.account.record.sender.scheme,
            version: head.version,
            method: &head.method,
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

    async fn forward(mut self, forward: Forward) -> Outcome {
        let mut report = Report::default();
        let sent = origin::send(&self.viewer.worker, &forward.origin, forward.outgoing, &mut report).await;
        let record = &mut self.account.record;
        (record.endpoint, record.attempts, record.connect) =
            (report.endpoint, report.attempts, report.connect);
        let incomings = match sent {
            Ok(incomings) => incomings,
            Err(reason) => return self.refuse(reason),
        };
        record.origin_status = Some(incomings.response.status());
        self.account.answered();
        if incomings.response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return self.pass_on(incomings, &forward.origin.origin, forward.trailers);
        }
        let Some(Upgrade { handshake, admission }) = forward.upgrade else {
            // Nobody asked for it, and what follows it cannot be known (RFC 9110 section 15.2.2).
            return self.refuse(Reason::OriginProtocol);
        };
        match handshake::check_response(&handshake, incomings.response.status(), incomings.response.headers())
        {
            Ok(_) => {
                let matched = (forward.distribution, forward.route_position);
                self.open_tunnel(incomings, admission, matched, &forward.origin).await
            }
            Err(reason) => self.refuse(reason),
        }
    }

    /// An origin's answer, as the viewer gets it.
    fn pass_on(mut self, incomings: Incomings, origin: &Origin, trailers: Trailers) -> Outcome {
        let Incomings { response, mut returning } = incomings;
        let (mut head, incoming) = response.into_parts();
        if let Some(timeout) = announced_timeout(&head.headers) {
            returning.announced_timeout(timeout);
        }
        headers::strip_hop_by_hop(&mut head.headers);
        single_length(&mut head.headers);
        self.leave_where_needed(&mut head.headers);
        head.version = Version::HTTP_11;
        self.account.record.status = Some(head.status);
        let body = OriginBody::new(incoming, origin.response_idle_timeout, trailers, returning);
        Outcome::Answer(Response::from_parts(head, AnswerBody::origin(body, self.account)))
    }

    async fn open_tunnel(
        mut self,
        incomings: Incomings,
        admission: Admission,
        (distribution, route_position): Matched,
        live: &LiveOrigin,
    ) -> Outcome {
        let Incomings { response, returning } = incomings;
        let Some((origin, loaded)) = returning.into_tunnel().await else {
            return self.refuse(Reason::OriginReset);
        };
        let (mut head, _no_body) = response.into_parts();
        headers::strip_hop_by_hop(&mut head.headers);
        head::put_upgrade(&mut head.headers);
        head.version = Version::HTTP_11;
        self.account.record.status = Some(head.status);
        let labels = Labels {
            behavior: distribution.label(route_position).unwrap_or_default().to_owned(),
            origin: live.origin.key.id.clone(),
            endpoint: loaded.endpoint(),
            viewer: self.account.record.sender.address,
        };
        let metrics = live.metrics.web_socket_opened();
        let witness = Box::new(TunnelWitness::new(self.account.record.clone(), metrics, loaded));
        let idle_timeout =
            distribution.routes.at(route_position).and_then(|route| route.web_socket.idle_timeout);
        let terms = Terms { labels, idle_timeout, witness };
        let answer = Response::from_parts(head, AnswerBody::own(Bytes::new(), self.account));
        Outcome::Tunnel(answer, Box::new(Opened { origin, admission, terms }))
    }

    /// An error of ours.
    fn refuse(mut self, reason: Reason) -> Outcome {
        self.account.refused(reason);
        if self.asked.handshake
            && let Some((distribution, _)) = &self.account.record.matched
        {
            distribution.metrics.web_socket_handshake_failed(reason.as_str());
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

fn close(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

/// `Keep-Alive: timeout=N`, in seconds.
fn announced_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(KEEP_ALIVE)?.to_str().ok()?;
    let seconds = text.split(',').find_map(|parameter| parameter.trim().strip_prefix("timeout="))?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// Of equal lengths one is passed on.
fn single_length(headers: &mut HeaderMap) {
    if let Some(length) = headers.get(CONTENT_LENGTH).cloned() {
        headers.insert(CONTENT_LENGTH, length);
    }
}
