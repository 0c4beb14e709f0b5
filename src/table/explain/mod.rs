//! What a request would meet, and why: the decision of [`decide()`], told for people and for scripts.
//!
//! Nothing is judged here. The outcome is that of the function which serves; the rest says what it saw on its way.
//! Values of headers may come from Secrets and are never told. Start with [`explain`].

mod pages;
mod question;
mod text;
mod why;

use std::net::IpAddr;

use http::{HeaderMap, StatusCode};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use question::{BadQuestion, Kind, Question};

use super::RoutingTable;
use super::cors::Preflight;
use super::decide::{self, Decision, Match, Request, RequestKind, Scheme, Transport, decide};
use super::group::{self, Failover};
use super::host::{HostName, HostPattern};
use super::origin::{self, HostHeader, HttpVersion, Zone};
use super::reason::Reason;
use super::response_headers::{self, Over, Precedence, ServerTiming};
use super::route::{Compression, Route, Routes};
use super::source_ranges;
use super::target::Target;
use super::viewer_tls::{Client, Source, TlsIdentity};
use super::web_origin::Presented;
use crate::nearest::nearest;
use crate::object::ObjectKey;

/// What one request would meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// What was asked.
    pub request: Asked,
    /// Who answers for the host.
    pub distribution: Option<Owner>,
    /// The most similar alias, where nobody does.
    pub did_you_mean: Option<String>,
    /// What the viewer's TLS handshake meets; none without TLS.
    pub tls: Option<Handshake>,
    /// The behaviors before the one that matched, in their order.
    pub passed_over: Vec<PassedOver>,
    /// The behavior that matched.
    pub behavior: Option<Behavior>,
    /// What the viewer gets.
    pub outcome: Outcome,
    /// The pages that viewers may get in place of an error: of the refusal, or of what an origin may answer.
    pub error_pages: Vec<ErrorPage>,
    /// The origin group that the behavior names.
    pub origin_group: Option<OriginGroup>,
    /// Where the behavior sends requests that pass: of a group, whom it asks first.
    pub origin: Option<Origin>,
    /// Whom the group asks after it, in this order.
    pub fallbacks: Vec<Origin>,
    /// What is wrong with the Distribution, as its conditions say it; the table does not know.
    pub findings: Vec<String>,
}

/// A request as it was understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The URL; of a WebSocket handshake one of `ws` or `wss`.
    pub url: String,
    /// Whether it is a WebSocket handshake.
    pub web_socket: bool,
    /// The viewer's address, where the question names one.
    pub viewer: Option<String>,
}

/// The Distribution that answers for a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The generation of the spec that is served.
    pub generation: i64,
    /// The alias that the host falls under.
    pub alias: String,
    /// Why that one.
    pub why: String,
}

/// What a TLS handshake meets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Handshake {
    /// This certificate is shown.
    #[serde(rename_all = "camelCase")]
    Shown {
        /// SHA-256 over its chain.
        fingerprint: String,
        /// Which one it is.
        which: String,
        /// Whether it names the host, so that viewers believe it.
        covers_host: bool,
        /// `minimumProtocolVersion`.
        minimum_protocol_version: String,
        /// The viewer is asked for a certificate of its own.
        client_certificate: Option<ClientCertificate>,
    },
    /// It is refused, for this reason.
    Refused(String),
}

/// What a viewer is asked for by `viewerMtls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificate {
    /// `required` or `optional`; a certificate is taken for granted here.
    pub mode: String,
    /// SHA-256 over the authorities that may have signed it.
    pub authorities: String,
}

/// A behavior that comes first and does not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PassedOver {
    /// Its position in `cacheBehaviors`.
    pub index: usize,
    /// Its pattern.
    pub path_pattern: String,
    /// Why it does not match.
    pub why: String,
}

/// The behavior that matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// Its position in `cacheBehaviors`; none for the default one.
    pub index: Option<usize>,
    /// Its pattern; `*` for the default one.
    pub path_pattern: String,
    /// The path that was matched, where `defaultRootObject` replaced the viewer's.
    pub root_object: Option<String>,
    /// What plain HTTP gets.
    pub viewer_protocol_policy: String,
    /// Whose requests pass; none where everybody's do.
    pub source_ranges: Option<SourceRanges>,
    /// Which methods pass.
    pub allowed_methods: Vec<String>,
    /// Whether answers that are worth it are compressed for viewers that take them so.
    pub compress: bool,
    /// What becomes of the heads of answers; none where they stay as they are.
    pub response_headers: Option<ResponseHeaders>,
}

/// What becomes of the heads of answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseHeaders {
    /// The names of fields that the origin's answers lose.
    pub removed: Vec<String>,
    /// The names of fields that answers get, whatever the origin says of them.
    pub overridden: Vec<String>,
    /// The names of fields that answers get where the origin does not say them.
    pub added: Vec<String>,
    /// What `corsConfig` says to the page that asks; none without it.
    pub page: Option<String>,
}

/// From where requests pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceRanges {
    /// The ranges that are served; none is all.
    pub allow: Vec<String>,
    /// The ranges that are not, though `allow` may have them.
    pub deny: Vec<String>,
    /// What they say of the viewer, where the question names one.
    pub verdict: Option<String>,
}

/// What a viewer gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Outcome {
    /// The answer of an origin.
    Forward,
    /// To an ACME server: the key that its challenge asks for, without any Distribution.
    Challenge {
        /// The status.
        status: u16,
        /// The key authorization.
        answer: String,
    },
    /// To a preflight: that it may ask, with this status and without the origin.
    Preflight {
        /// The status.
        status: u16,
    },
    /// A redirect.
    Redirect {
        /// Its status.
        status: u16,
        /// Where to.
        location: String,
        /// Why.
        why: String,
    },
    /// An error of the proxy itself.
    Refuse {
        /// Its status.
        status: u16,
        /// Its reason, as `x-tidegate-error` has it.
        reason: String,
        /// Why.
        why: String,
    },
    /// No TLS, so that there is no request.
    TlsRefused,
}

/// A page in place of an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorPage {
    /// The status of the error.
    pub error_code: u16,
    /// The path of the page.
    pub page: String,
    /// The status that viewers get with it.
    pub response_code: u16,
    /// The behavior that it is fetched through.
    pub path_pattern: String,
    /// Why it cannot be had that way, where that is known beforehand; the error stays then as it is.
    pub unavailable: Option<String>,
}

/// An origin group, and what becomes of the request there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OriginGroup {
    /// `originGroups[].id`.
    pub id: String,
    /// In their order.
    pub members: Vec<Member>,
    /// The statuses after which the next one is asked.
    pub status_codes: Vec<u16>,
    /// Whether another member than the first is asked for this method at all.
    pub fails_over: bool,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// `origins[].id`.
    pub id: String,
    /// Whether it can be asked; the findings say why not.
    pub usable: bool,
}

/// How an origin would be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// `origins[].id`.
    pub id: String,
    /// `http` or `https`.
    pub scheme: String,
    /// `http1.1` or `http2`.
    pub http_version: String,
    /// The target that it sees.
    pub target: String,
    /// The Host that it sees.
    pub host: String,
    /// The names of `customHeaders`, which replace what the viewer sends.
    pub headers_added: Vec<String>,
    /// Who may answer.
    pub endpoints: Vec<Endpoint>,
}

/// One of an origin's endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Where it listens.
    pub address: String,
    /// Whether it is asked before those of other zones.
    pub own_zone: bool,
}

impl Explanation {
    /// The same with what is said of the Distribution that answers.
    pub fn with_findings(self, of: impl Fn(&ObjectKey) -> Vec<String>) -> Self {
        let owner = self.distribution.as_ref();
        let findings = owner.map(|owner| of(&ObjectKey::new(&*owner.namespace, &*owner.name)));
        Self { findings: findings.unwrap_or_default(), ..self }
    }
}

/// Says what a request would meet; redirects to HTTPS name `https_redirect_port`, as those of `serve` do.
pub fn explain(table: &RoutingTable, question: &Question, https_redirect_port: u16) -> Explanation {
    let host = &question.authority.host;
    let owner = table.hosts.find(host).map(|(_, routes)| &**routes);
    let mut explanation = Explanation {
        request: Asked {
            method: question.method.to_string(),
            url: question.url(),
            web_socket: question.kind == Kind::WebSocket,
            viewer: question.viewer.map(|address| address.to_string()),
        },
        distribution: owner.map(|routes| tell_owner(routes, host)),
        did_you_mean: if owner.is_none() { nearest_alias(table, host) } else { None },
        tls: None,
        passed_over: Vec::new(),
        behavior: None,
        outcome: Outcome::TlsRefused,
        error_pages: Vec::new(),
        origin_group: None,
        origin: None,
        fallbacks: Vec::new(),
        findings: Vec::new(),
    };
    let identity = match question.scheme {
        Scheme::Http => None,
        Scheme::Https => {
            let (told, identity) = shake_hands(table, host);
            explanation.tls = Some(told);
            let Some(identity) = identity else { return explanation };
            Some(identity)
        }
    };
    let transport = identity.as_ref().map_or(Transport::Plain, Transport::Tls);
    let head = question.head();
    let request = request(question, &head, transport);
    let Decision { matched, outcome } = decide(table, request);
    if let Some(matched) = matched {
        let replaced = decide::root_object(matched.routes, request);
        let target = replaced.as_ref().unwrap_or(&question.target);
        explanation.passed_over = passed_over(&matched, target.path());
        explanation.behavior = Some(behavior(&matched, question, replaced.as_ref()));
        explanation.origin_group = origin_group(question, matched.route);
        let mut asked = asked(question, matched.route).map(|asked| origin(table, question, asked, target));
        explanation.origin = asked.next();
        explanation.fallbacks = asked.collect();
    }
    let mut asked = explanation.origin.iter().chain(&explanation.fallbacks);
    let serving = asked.any(|origin| !origin.endpoints.is_empty());
    explanation.error_pages = pages::may_stand_in(matched, request, &outcome);
    explanation.outcome = match outcome {
        decide::Outcome::RedirectToHttps(status) => Outcome::Redirect {
            status: status.as_u16(),
            location: decide::https_location(host, https_redirect_port, &question.target),
            why: "viewerProtocolPolicy is redirect-to-https, and the request is plain HTTP".to_owned(),
        },
        decide::Outcome::Forward { .. } if serving => Outcome::Forward,
        // Nobody judges that beforehand: endpoints come and go.
        decide::Outcome::Forward { .. } => {
            refuse(Reason::NoEndpoints, "no endpoint of the origin serves".to_owned())
        }
        decide::Outcome::AnswerChallenge(answer) => {
            Outcome::Challenge { status: StatusCode::OK.as_u16(), answer: answer.as_str().to_owned() }
        }
        decide::Outcome::AnswerPreflight => Outcome::Preflight { status: StatusCode::NO_CONTENT.as_u16() },
        decide::Outcome::Refuse(reason) => {
            let why = why::refused(reason, owner, matched.map(|matched| matched.route), question);
            refuse(reason, why)
        }
    };
    explanation
}

fn request<'q>(question: &'q Question, head: &'q HeaderMap, transport: Transport<'q>) -> Request<'q> {
    Request {
        transport,
        scheme: question.scheme,
        viewer: question.viewer,
        version: http::Version::HTTP_11,
        method: &question.method,
        host: &question.authority.host,
        target: &question.target,
        kind: match question.kind {
            Kind::AsTheUrlSays => {
                Preflight::of(&question.method, head).map_or(RequestKind::Http, RequestKind::Preflight)
            }
            Kind::WebSocket => RequestKind::WebSocket(Presented::in_head(head)),
        },
    }
}

fn refuse(reason: Reason, why: String) -> Outcome {
    Outcome::Refuse { status: reason.status().as_u16(), reason: reason.as_str().to_owned(), why }
}

fn tell_owner(routes: &Routes, host: &HostName) -> Owner {
    let ObjectKey { namespace, name } = routes.distribution.clone();
    let mut matching: Vec<_> = routes.aliases.iter().filter(|alias| alias.matches(host)).collect();
    // The one that won: the exact name, else the longest wildcard.
    matching.sort_by_key(|alias| match alias {
        HostPattern::Exact(_) => usize::MAX,
        HostPattern::Wildcard(base) => base.as_str().len(),
    });
    let alias = matching.last();
    let why = match alias {
        Some(HostPattern::Wildcard(_)) => "the longest wildcard above the host, which nobody has by itself",
        _ => "the host itself",
    };
    let alias = alias.map(ToString::to_string).unwrap_or_default();
    Owner { namespace, name, generation: routes.generation, alias, why: why.to_owned() }
}

fn nearest_alias(table: &RoutingTable, host: &HostName) -> Option<String> {
    let aliases = table.hosts.routes().iter().flat_map(|routes| &routes.aliases);
    let aliases: Vec<String> = aliases.map(ToString::to_string).collect();
    nearest(host.as_str(), aliases.iter().map(String::as_str)).map(str::to_owned)
}

/// What a viewer that asks for `host` is shown, and what its requests are judged by. It is one that knows every kind
/// of key, and has a certificate where it is asked for one.
fn shake_hands(table: &RoutingTable, host: &HostName) -> (Handshake, Option<TlsIdentity>) {
    let handshake = match table.handshake(Some(host), |_| true) {
        Ok(handshake) => handshake,
        Err(refused) => return (Handshake::Refused(why::no_handshake(refused).to_owned()), None),
    };
    let which = match (handshake.source, handshake.owner) {
        (Source::Own, _) => "viewerCertificate",
        (Source::BaseDomain, _) => "the default certificate, for a name under the base domain",
        (Source::Default, Some(_)) => "the default certificate",
        (Source::Default, None) => "the default certificate, since nobody has the host",
    };
    let identity = handshake.identity(Client::Verified);
    let asks = identity.policy.clients.as_ref();
    let told = Handshake::Shown {
        fingerprint: format!("sha256:{}", identity.certificate.fingerprint),
        which: which.to_owned(),
        covers_host: identity.certificate.covers(host),
        minimum_protocol_version: identity.policy.minimum.as_str().to_owned(),
        client_certificate: asks.and_then(|asks| {
            let authorities = format!("sha256:{}", asks.authorities.as_ref()?.fingerprint);
            Some(ClientCertificate { mode: asks.mode.as_str().to_owned(), authorities })
        }),
    };
    (told, Some(identity))
}

fn passed_over(matched: &Match<'_>, path: &str) -> Vec<PassedOver> {
    let before = matched.routes.ordered.iter().enumerate().take(matched.route_position);
    before
        .filter_map(|(index, route)| {
            let pattern = route.pattern.as_ref()?;
            let why = pattern.mismatch(path)?.to_string();
            Some(PassedOver { index, path_pattern: pattern.to_string(), why })
        })
        .collect()
}

fn behavior(matched: &Match<'_>, question: &Question, root_object: Option<&Target>) -> Behavior {
    let Match { route, route_position, .. } = matched;
    Behavior {
        index: route.pattern.as_ref().map(|_| *route_position),
        path_pattern: route.label(),
        root_object: root_object.map(|target| target.path().to_owned()),
        viewer_protocol_policy: route.viewer_protocol_policy.as_str().to_owned(),
        source_ranges: source_ranges(&route.source_ranges, question.viewer),
        allowed_methods: route.allowed_methods.iter().map(ToString::to_string).collect(),
        compress: route.compression == Compression::On,
        response_headers: route.response_headers.as_deref().map(|policy| response_headers(policy, question)),
    }
}

fn source_ranges(ranges: &source_ranges::SourceRanges, viewer: Option<IpAddr>) -> Option<SourceRanges> {
    let texts = |ranges: &[IpNet]| ranges.iter().map(ToString::to_string).collect();
    (!ranges.is_open()).then(|| SourceRanges {
        allow: texts(ranges.allow()),
        deny: texts(ranges.deny()),
        verdict: viewer.map(|address| why::source(ranges.judge(address), address)),
    })
}

fn response_headers(policy: &response_headers::ResponseHeaders, question: &Question) -> ResponseHeaders {
    let added = |precedence| -> Vec<String> {
        let added = policy.added.iter().filter(|added| added.precedence == precedence);
        added
            .filter(|added| added.over == Over::Any || question.scheme == Scheme::Https)
            .map(|added| added.name.to_string())
            .collect()
    };
    let timing = (policy.server_timing == ServerTiming::Told).then(|| "server-timing".to_owned());
    ResponseHeaders {
        removed: policy.removed.iter().map(ToString::to_string).collect(),
        overridden: added(Precedence::Policy),
        // What the origin says of the time stays, too.
        added: added(Precedence::Origin).into_iter().chain(timing).collect(),
        page: policy.cors.as_ref().map(|cors| why::page(cors, question)),
    }
}

/// Those that would be asked one after the other, also where a policy keeps this request from them.
fn asked<'t>(question: &Question, route: &'t Route) -> impl Iterator<Item = &'t origin::Origin> {
    let scheme = question.scheme;
    let (first, members) = match (route.target.failover(&question.method), route.target.group()) {
        (Failover::ToTheNext, Some(group)) => (None, &group.members[..]),
        _ => (route.target.of(scheme), &[][..]),
    };
    first
        .into_iter()
        .chain(members.iter().filter_map(move |member| member.of(scheme)))
        .map(|origin| &**origin)
}

fn origin_group(question: &Question, route: &Route) -> Option<OriginGroup> {
    let group = route.target.group()?;
    let member = |member: &group::Member| Member {
        id: member.id.clone(),
        usable: member.of(question.scheme).is_some(),
    };
    Some(OriginGroup {
        id: group.id.clone(),
        members: group.members.iter().map(member).collect(),
        status_codes: group.statuses.iter().map(http::StatusCode::as_u16).collect(),
        fails_over: route.target.failover(&question.method) == Failover::ToTheNext,
    })
}

fn origin(table: &RoutingTable, question: &Question, origin: &origin::Origin, target: &Target) -> Origin {
    let host = match &origin.host_header {
        HostHeader::Viewer => question.authority.to_string(),
        HostHeader::Fixed(host) => String::from_utf8_lossy(host.as_bytes()).into_owned(),
    };
    let http_version = match (question.kind, origin.http_version) {
        (Kind::AsTheUrlSays, HttpVersion::Http2) => "http2",
        (Kind::WebSocket, _) | (_, HttpVersion::Http1) => "http1.1",
    };
    let endpoint = |endpoint: &origin::Endpoint| Endpoint {
        address: endpoint.address.to_string(),
        own_zone: endpoint.zone == Zone::Own,
    };
    let endpoints = table.endpoints.of(&origin.key).map(|endpoints| &**endpoints).unwrap_or_default();
    Origin {
        id: origin.key.id.clone(),
        scheme: origin.key.scheme.as_str().to_owned(),
        http_version: http_version.to_owned(),
        target: format!("{}{target}", origin.path_prefix),
        host,
        headers_added: origin.custom_headers.iter().map(|(name, _)| name.to_string()).collect(),
        endpoints: endpoints.iter().map(endpoint).collect(),
    }
}
