//! The judgement of one request: target, host and policies in, a decision out.
//!
//! This is the only place where a request is judged: the data plane executes decisions and `explain` tells
//! them, so the two cannot disagree. No I/O happens here, and no header is looked at beyond what
//! [`Request`] names.

use std::sync::Arc;

use http::{Method, StatusCode, Version};

use super::Hosts;
use super::certificate::Certificate;
use super::host::HostName;
use super::reason::Reason;
use super::route::{Handshakes, Route, RouteTarget, Routes, ServingState, ViewerProtocolPolicy};
use super::target::Target;
use crate::object::ObjectKey;

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// How the viewer came.
    pub transport: Transport<'r>,
    /// The version of its request line.
    pub version: Version,
    /// Its method; for a WebSocket handshake over HTTP/2 the GET that it stands for.
    pub method: &'r Method,
    /// The canonical Host.
    pub host: &'r HostName,
    /// The target.
    pub target: &'r Target,
    /// Whether it is a WebSocket handshake.
    pub kind: RequestKind,
}

/// How a viewer came.
#[derive(Clone, Copy, Debug)]
pub enum Transport<'r> {
    /// Without TLS.
    Plain,
    /// With TLS, and what its handshake settled.
    Tls(&'r TlsIdentity),
}

/// What a TLS handshake settled; it holds for every request of the connection.
#[derive(Clone, Debug)]
pub struct TlsIdentity {
    /// The Distribution that owned the SNI at the handshake; none where the default certificate answered for a
    /// name that nobody owned.
    pub distribution: Option<ObjectKey>,
    /// The certificate that was shown.
    pub certificate: Arc<Certificate>,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// A response.
    Http,
    /// A tunnel: a handshake that passed the checks of RFC 6455 section 4.2.1.
    WebSocket,
}

/// What happens to a request, and whom it concerns.
#[derive(Clone, Debug)]
pub struct Decision<'t> {
    /// The behavior that judged it, for logs and metrics also of refused requests; none where no Distribution
    /// answers.
    pub matched: Option<Match<'t>>,
    /// What happens.
    pub outcome: Outcome,
}

/// The behavior that a request falls under.
#[derive(Clone, Copy, Debug)]
pub struct Match<'t> {
    /// The position of `routes` in [`Hosts::routes`].
    pub host_position: usize,
    /// The Distribution's routes.
    pub routes: &'t Arc<Routes>,
    /// The position of `route` in [`Routes::iter`].
    pub route_position: usize,
    /// The behavior.
    pub route: &'t Route,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes to the matched route's origin, with this path where a default root object replaced `/`.
    Forward {
        /// The target that the origin sees, before `originPath`, where it is not the viewer's.
        replaced_target: Option<Target>,
    },
    /// It is sent to the same target over HTTPS.
    RedirectToHttps(StatusCode),
    /// It is refused.
    Refuse(Reason),
}

/// Judges one request by the virtual hosts of one table.
pub fn decide<'t>(hosts: &'t Hosts, request: Request<'_>) -> Decision<'t> {
    let refuse = |matched, reason| Decision { matched, outcome: Outcome::Refuse(reason) };
    if matches!(*request.method, Method::CONNECT | Method::TRACE) {
        return refuse(None, Reason::MethodNotSupported);
    }
    let Some((host_position, routes)) = hosts.find(request.host) else {
        return refuse(None, Reason::NoDistribution);
    };
    if !belongs(request.transport, request.host, &routes.distribution) {
        return refuse(None, Reason::Misdirected);
    }
    if routes.state == ServingState::Disabled {
        return refuse(None, Reason::NoDistribution);
    }
    let replaced_target = root_object(routes, request);
    let path = replaced_target.as_ref().unwrap_or(request.target).path();
    let (route_position, route) = routes.find(path);
    let matched = Some(Match { host_position, routes, route_position, route });
    match judge_policies(route, request) {
        Some(outcome) => Decision { matched, outcome },
        None => Decision { matched, outcome: Outcome::Forward { replaced_target } },
    }
}

/// Whether the connection may carry requests for a host of `owner` (the 421 rule): that of its SNI's
/// Distribution, and of others in the same namespace where the certificate shown covers the host, since
/// browsers coalesce connections on shared wildcards.
fn belongs(transport: Transport<'_>, host: &HostName, owner: &ObjectKey) -> bool {
    let Transport::Tls(identity) = transport else {
        return true;
    };
    let Some(shown) = &identity.distribution else {
        return false;
    };
    shown == owner || (shown.namespace == owner.namespace && identity.certificate.covers(host))
}

fn root_object(routes: &Routes, request: Request<'_>) -> Option<Target> {
    let object = routes.default_root_object.as_deref()?;
    let applies = request.kind == RequestKind::Http && request.target.path() == "/";
    applies.then(|| request.target.with_path(object))
}

/// The policies in their order: protocol, method, WebSocket, and whether there is anywhere to go.
fn judge_policies(route: &Route, request: Request<'_>) -> Option<Outcome> {
    if matches!(request.transport, Transport::Plain) {
        match route.viewer_protocol_policy {
            ViewerProtocolPolicy::AllowAll => {}
            ViewerProtocolPolicy::HttpsOnly => return Some(Outcome::Refuse(Reason::HttpsOnly)),
            ViewerProtocolPolicy::RedirectToHttps => return Some(redirect(request)),
        }
    }
    if !route.allowed_methods.allows(request.method) {
        return Some(Outcome::Refuse(Reason::MethodNotAllowedByBehavior));
    }
    if request.kind == RequestKind::WebSocket && route.web_socket.handshakes == Handshakes::Refused {
        return Some(Outcome::Refuse(Reason::WebsocketDisabled));
    }
    (route.target == RouteTarget::Broken).then_some(Outcome::Refuse(Reason::NoEndpoints))
}

/// 301 for GET and HEAD, 307 for the others, which HTTP/1.0 does not know (CloudFront Developer Guide, "Requiring
/// HTTPS between viewers and CloudFront").
fn redirect(request: Request<'_>) -> Outcome {
    match *request.method {
        Method::GET | Method::HEAD => Outcome::RedirectToHttps(StatusCode::MOVED_PERMANENTLY),
        _ if request.version < Version::HTTP_11 => Outcome::Refuse(Reason::HttpsOnly),
        _ => Outcome::RedirectToHttps(StatusCode::TEMPORARY_REDIRECT),
    }
}
