//! The judgement of one request: target, host and policies in, a decision out.
//!
//! This is the only place where a request is judged: the data plane executes decisions and `explain` tells
//! them, so the two cannot disagree. No I/O happens here, and no header is looked at beyond what
//! [`Request`] names.

use std::net::IpAddr;
use std::sync::Arc;

use http::{Method, StatusCode, Version};

use super::RoutingTable;
use super::challenges::{Challenges, KeyAuthorization};
use super::cors::Preflight;
use super::group::Failover;
use super::host::HostName;
use super::reason::Reason;
use super::route::{Route, Routes, ServingState, ViewerProtocolPolicy};
use super::source_ranges::Verdict;
use super::target::Target;
use super::viewer_tls::TlsIdentity;
use super::web_origin::Presented;
use super::web_socket::{Handshakes, WebSocketPolicy};

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// What the connection is.
    pub transport: Transport<'r>,
    /// How the viewer came: over HTTPS also where a trusted proxy ended its TLS.
    pub scheme: Scheme,
    /// The viewer's own address; none where a question names none, and then no source range judges it.
    pub viewer: Option<IpAddr>,
    /// The version of its request line.
    pub version: Version,
    /// Its method; for a WebSocket handshake over HTTP/2 the GET that it stands for.
    pub method: &'r Method,
    /// The canonical Host.
    pub host: &'r HostName,
    /// The target.
    pub target: &'r Target,
    /// Whether it is a WebSocket handshake, and what judges one.
    pub kind: RequestKind<'r>,
}

/// How a viewer came, or how an origin is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// As URLs and logs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What a viewer's connection to us is. Only TLS of ours has shown a certificate, so only that binds a connection
/// to hosts, whatever a proxy tells of the viewer.
#[derive(Clone, Copy, Debug)]
pub enum Transport<'r> {
    /// Without TLS.
    Plain,
    /// With TLS, and what its handshake settled.
    Tls(&'r TlsIdentity),
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind<'r> {
    /// A response.
    Http,
    /// Whether a page may ask for one.
    Preflight(Preflight<'r>),
    /// A tunnel: a handshake that passed the checks of RFC 6455 section 4.2.1, from this web origin.
    WebSocket(Presented<'r>),
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
    /// The position of `routes` in [`super::Hosts::routes`].
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
        /// Whether another member of the group is asked where one fails.
        failover: Failover,
    },
    /// It is sent to the same target over HTTPS.
    RedirectToHttps(StatusCode),
    /// It is an ACME server's challenge, and answered, whatever a Distribution says.
    AnswerChallenge(KeyAuthorization),
    /// It is a preflight, and answered as the matched route's policy says.
    AnswerPreflight,
    /// It is refused.
    Refuse(Reason),
}

/// Judges one request by one table.
pub fn decide<'t>(table: &'t RoutingTable, request: Request<'_>) -> Decision<'t> {
    let refuse = |matched, reason| Decision { matched, outcome: Outcome::Refuse(reason) };
    if matches!(*request.method, Method::CONNECT | Method::TRACE) {
        return refuse(None, Reason::MethodNotSupported);
    }
    if let Some(answer) = challenge(&table.challenges, request) {
        return Decision { matched: None, outcome: Outcome::AnswerChallenge(answer.clone()) };
    }
    let Some((host_position, routes)) = table.hosts.find(request.host) else {
        return refuse(None, Reason::NoDistribution);
    };
    if matches!(request.transport, Transport::Tls(identity) if !identity.may_ask(routes, request.host)) {
        return refuse(None, Reason::Misdirected);
    }
    if routes.state == ServingState::Disabled {
        return refuse(None, Reason::NoDistribution);
    }
    let (route_position, route, outcome) = judge(routes, request);
    Decision { matched: Some(Match { host_position, routes, route_position, route }), outcome }
}

/// The answer to an ACME server, which asks without TLS: there may be no certificate yet, nor an enabled Distribution.
fn challenge<'t>(challenges: &'t Challenges, request: Request<'_>) -> Option<&'t KeyAuthorization> {
    let answer = challenges.answer(request.host, request.target.path())?;
    let asks = matches!(*request.method, Method::GET | Method::HEAD)
        && matches!(request.transport, Transport::Plain)
        && matches!(request.kind, RequestKind::Http);
    asks.then_some(answer)
}

/// Judges the request for an error page, by the behaviors of the Distribution that it belongs to; says by the one at
/// which position.
pub fn decide_page(routes: &Routes, request: Request<'_>) -> (usize, Outcome) {
    let (route_position, _, outcome) = judge(routes, request);
    (route_position, outcome)
}

fn judge<'r>(routes: &'r Routes, request: Request<'_>) -> (usize, &'r Route, Outcome) {
    let replaced_target = root_object(routes, request);
    let path = replaced_target.as_ref().unwrap_or(request.target).path();
    let (route_position, route) = routes.find(path);
    let outcome =
        judge_policies(routes, route, request).unwrap_or_else(|| forward(route, request, replaced_target));
    (route_position, route, outcome)
}

/// The target in place of `/`, where there is a default root object.
pub(super) fn root_object(routes: &Routes, request: Request<'_>) -> Option<Target> {
    let object = routes.default_root_object.as_deref()?;
    let applies = !matches!(request.kind, RequestKind::WebSocket(_)) && request.target.path() == "/";
    applies.then(|| request.target.with_path(object))
}

/// The policies in their order: protocol, client certificate, source ranges, method, WebSocket.
fn judge_policies(routes: &Routes, route: &Route, request: Request<'_>) -> Option<Outcome> {
    if request.scheme == Scheme::Http {
        match route.viewer_protocol_policy {
            ViewerProtocolPolicy::AllowAll => {}
            ViewerProtocolPolicy::HttpsOnly => return Some(Outcome::Refuse(Reason::HttpsOnly)),
            ViewerProtocolPolicy::RedirectToHttps => return Some(redirect(request)),
        }
    }
    // Where a trusted proxy ended the TLS, the certificate that it may have seen is not one that we verified.
    if matches!(request.transport, Transport::Plain) && routes.requires_client_certificate() {
        return Some(Outcome::Refuse(Reason::Misdirected));
    }
    let verdict = request.viewer.map(|address| route.source_ranges.judge(address));
    if matches!(verdict, Some(Verdict::Denied(_) | Verdict::NotAllowed)) {
        return Some(Outcome::Refuse(Reason::SourceRange));
    }
    if !route.allowed_methods.allows(request.method) {
        return Some(Outcome::Refuse(Reason::MethodNotAllowedByBehavior));
    }
    if let RequestKind::WebSocket(origin) = request.kind {
        let WebSocketPolicy { handshakes, allowed_origins, .. } = &route.web_socket;
        if *handshakes == Handshakes::Refused {
            return Some(Outcome::Refuse(Reason::WebsocketDisabled));
        }
        if !allowed_origins.allow(origin) {
            return Some(Outcome::Refuse(Reason::WebsocketOrigin));
        }
    }
    None
}

/// To the route's target, where any of it can be asked, or on behalf of it to a preflight.
fn forward(route: &Route, request: Request<'_>, replaced_target: Option<Target>) -> Outcome {
    let Route { target, .. } = route;
    let failover = target.failover(request.method);
    let others = target.group().filter(|_| failover == Failover::ToTheNext);
    let others = others.into_iter().flat_map(|group| &group.members);
    let mut asked = others.filter_map(|member| member.of(request.scheme)).chain(target.of(request.scheme));
    if asked.next().is_none() {
        Outcome::Refuse(Reason::NoEndpoints)
    } else if answers(route, request.kind) {
        Outcome::AnswerPreflight
    } else {
        Outcome::Forward { replaced_target, failover }
    }
}

/// Whether a preflight is answered without the origin.
fn answers(route: &Route, kind: RequestKind<'_>) -> bool {
    let RequestKind::Preflight(preflight) = kind else { return false };
    let cors = route.response_headers.as_deref().and_then(|policy| policy.cors.as_ref());
    cors.is_some_and(|cors| cors.answers(preflight))
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

/// Where a redirect to HTTPS leads: to the same target, on a port that is left out where it is HTTPS's own.
pub fn https_location(host: &HostName, port: u16, target: &Target) -> String {
    match port {
        443 => format!("https://{host}{target}"),
        port => format!("https://{host}:{port}{target}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::HeaderValue;

    use super::*;
    use crate::object::ObjectKey;
    use crate::table::Hosts;
    use crate::table::error_pages::ErrorPages;
    use crate::table::host::HostPattern;
    use crate::table::path_pattern::PathPattern;
    use crate::table::route::{AllowedMethods, Compression, RouteTarget, ViewerProtocols};
    use crate::table::source_ranges::SourceRanges;
    use crate::table::web_origin::AllowedOrigins;

    fn route(pattern: Option<&str>, policy: ViewerProtocolPolicy) -> Route {
        Route {
            pattern: pattern.map(PathPattern::new),
            viewer_protocol_policy: policy,
            source_ranges: SourceRanges::default(),
            allowed_methods: AllowedMethods::new(vec![Method::GET, Method::HEAD, Method::POST]),
            max_request_body_bytes: None,
            compression: Compression::Off,
            response_headers: None,
            web_socket: WebSocketPolicy::default(),
            // What a request that passes every policy meets, so that no origin has to be made up.
            target: RouteTarget::Broken,
        }
    }

    fn routes(key: &ObjectKey, aliases: &[&str], ordered: Vec<Route>) -> Routes {
        Routes {
            distribution: key.clone(),
            generation: 1,
            state: ServingState::Enabled,
            aliases: aliases.iter().map(|alias| HostPattern::parse(alias).unwrap()).collect(),
            viewer_protocols: ViewerProtocols::Http2,
            tls: Arc::default(),
            default_root_object: None,
            error_pages: ErrorPages::default(),
            ordered,
            default: route(None, ViewerProtocolPolicy::AllowAll),
        }
    }

    fn hosts(all: Vec<Routes>) -> Hosts {
        Hosts::new(all.into_iter().map(|r| (r.distribution.clone(), Arc::new(r))).collect::<BTreeMap<_, _>>())
    }

    fn outcome(hosts: &Hosts, method: Method, version: Version, url: (&str, &str)) -> Outcome {
        judged(hosts, method, version, url, RequestKind::Http)
    }

    fn judged(
        hosts: &Hosts,
        method: Method,
        version: Version,
        url: (&str, &str),
        kind: RequestKind<'_>,
    ) -> Outcome {
        let (host, target) = (HostName::parse(url.0).unwrap(), Target::parse(url.1).unwrap());
        let request = Request {
            transport: Transport::Plain,
            scheme: Scheme::Http,
            viewer: Some([192, 0, 2, 7].into()),
            version,
            method: &method,
            host: &host,
            target: &target,
            kind,
        };
        let table = RoutingTable { hosts: Arc::new(hosts.clone()), ..RoutingTable::default() };
        decide(&table, request).outcome
    }

    #[test]
    fn the_exact_alias_beats_the_longer_wildcard_beats_the_shorter() {
        let (a, b, c) = (ObjectKey::new("n", "a"), ObjectKey::new("n", "b"), ObjectKey::new("n", "c"));
        let hosts = hosts(vec![
            routes(&a, &["*.example.com"], vec![]),
            routes(&b, &["*.eu.example.com"], vec![]),
            routes(&c, &["www.eu.example.com"], vec![]),
        ]);
        let owner =
            |name: &str| hosts.find(&HostName::parse(name).unwrap()).map(|(_, r)| r.distribution.clone());
        assert_eq!(owner("www.eu.example.com"), Some(c));
        assert_eq!(owner("api.eu.example.com"), Some(b));
        assert_eq!(owner("eu.example.com"), Some(a));
        assert_eq!(owner("example.com"), None);
    }

    #[test]
    fn the_first_behavior_that_matches_wins_and_the_default_takes_the_rest() {
        let key = ObjectKey::new("n", "a");
        let ordered = vec![
            route(Some("/a/*"), ViewerProtocolPolicy::HttpsOnly),
            route(Some("/a/b/*"), ViewerProtocolPolicy::RedirectToHttps),
        ];
        let hosts = hosts(vec![routes(&key, &["h"], ordered)]);
        let get = |path| outcome(&hosts, Method::GET, Version::HTTP_11, ("h", path));
        assert_eq!(get("/a/b/c"), Outcome::Refuse(Reason::HttpsOnly));
        assert_eq!(get("/a"), Outcome::Refuse(Reason::NoEndpoints));
    }

    #[test]
    fn plain_http_is_redirected_by_method_and_version() {
        let key = ObjectKey::new("n", "a");
        let ordered = vec![route(Some("/*"), ViewerProtocolPolicy::RedirectToHttps)];
        let hosts = hosts(vec![routes(&key, &["h"], ordered)]);
        let moved = Outcome::RedirectToHttps(StatusCode::MOVED_PERMANENTLY);
        let temporary = Outcome::RedirectToHttps(StatusCode::TEMPORARY_REDIRECT);
        let rows = [
            (Method::GET, Version::HTTP_11, moved.clone()),
            (Method::HEAD, Version::HTTP_11, moved.clone()),
            (Method::POST, Version::HTTP_11, temporary.clone()),
            (Method::DELETE, Version::HTTP_11, temporary),
            (Method::GET, Version::HTTP_10, moved),
            (Method::POST, Version::HTTP_10, Outcome::Refuse(Reason::HttpsOnly)),
        ];
        for (method, version, expected) in rows {
            assert_eq!(
                outcome(&hosts, method.clone(), version, ("h", "/x")),
                expected,
                "{method} {version:?}"
            );
        }
    }

    #[test]
    fn source_ranges_come_behind_the_protocol_and_before_the_methods_and_hold_for_handshakes_too() {
        let denied = || SourceRanges::new([], ["192.0.2.0/24".parse().unwrap()]);
        let redirected = Route {
            source_ranges: denied(),
            ..route(Some("/secure"), ViewerProtocolPolicy::RedirectToHttps)
        };
        let closed = Route { source_ranges: denied(), ..route(Some("/*"), ViewerProtocolPolicy::AllowAll) };
        let key = ObjectKey::new("n", "a");
        let hosts = hosts(vec![routes(&key, &["h"], vec![redirected, closed])]);
        let ask = |method, path, kind| judged(&hosts, method, Version::HTTP_11, ("h", path), kind);
        let refused = Outcome::Refuse(Reason::SourceRange);
        let moved = Outcome::RedirectToHttps(StatusCode::MOVED_PERMANENTLY);
        assert_eq!(ask(Method::GET, "/secure", RequestKind::Http), moved);
        assert_eq!(ask(Method::DELETE, "/", RequestKind::Http), refused);
        assert_eq!(ask(Method::GET, "/", RequestKind::WebSocket(Presented::Nothing)), refused);
    }

    #[test]
    fn methods_that_a_behavior_does_not_list_are_refused() {
        let key = ObjectKey::new("n", "a");
        let hosts = hosts(vec![routes(&key, &["h"], vec![])]);
        let ask = |method| outcome(&hosts, method, Version::HTTP_11, ("h", "/"));
        assert_eq!(ask(Method::DELETE), Outcome::Refuse(Reason::MethodNotAllowedByBehavior));
        assert_eq!(ask(Method::TRACE), Outcome::Refuse(Reason::MethodNotSupported));
        assert_eq!(ask(Method::CONNECT), Outcome::Refuse(Reason::MethodNotSupported));
    }

    #[test]
    fn a_handshake_passes_from_the_origins_that_its_behavior_lists() {
        let key = ObjectKey::new("n", "a");
        let listed = WebSocketPolicy {
            allowed_origins: AllowedOrigins::new(["https://app.h"]),
            ..WebSocketPolicy::default()
        };
        let chat = Route { web_socket: listed, ..route(Some("/chat"), ViewerProtocolPolicy::AllowAll) };
        let hosts = hosts(vec![routes(&key, &["h"], vec![chat])]);
        let ask = |path, kind| judged(&hosts, Method::GET, Version::HTTP_11, ("h", path), kind);
        let (own, other) =
            (HeaderValue::from_static("https://app.h"), HeaderValue::from_static("https://app.other"));
        let from = |origin| RequestKind::WebSocket(Presented::Value(origin));
        assert_eq!(ask("/chat", from(&own)), Outcome::Refuse(Reason::NoEndpoints));
        assert_eq!(ask("/chat", from(&other)), Outcome::Refuse(Reason::WebsocketOrigin));
        assert_eq!(ask("/chat", RequestKind::Http), Outcome::Refuse(Reason::NoEndpoints));
        assert_eq!(ask("/", from(&other)), Outcome::Refuse(Reason::NoEndpoints));
    }

    #[test]
    fn a_disabled_distribution_keeps_its_hosts_and_answers_404() {
        let key = ObjectKey::new("n", "a");
        let disabled = Routes { state: ServingState::Disabled, ..routes(&key, &["a.h"], vec![]) };
        let other = routes(&ObjectKey::new("n", "b"), &["*.h"], vec![]);
        let hosts = hosts(vec![disabled, other]);
        let get = |host| outcome(&hosts, Method::GET, Version::HTTP_11, (host, "/"));
        assert_eq!(get("a.h"), Outcome::Refuse(Reason::NoDistribution));
        assert_eq!(get("b.h"), Outcome::Refuse(Reason::NoEndpoints));
    }
}
