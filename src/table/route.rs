//! Compiled behaviors: what `decide` judges a request by.

use std::sync::Arc;

use http::Method;

use super::decide::Scheme;
use super::error_pages::ErrorPages;
use super::group::{Failover, Member, OriginGroup};
use super::host::HostPattern;
use super::origin::Origin;
use super::path_pattern::PathPattern;
use super::response_headers::ResponseHeaders;
use super::source_ranges::SourceRanges;
use super::viewer_tls::{ClientMode, TlsPolicy};
use super::web_socket::WebSocketPolicy;
use crate::object::ObjectKey;

/// The compiled behaviors of one Distribution; its virtual hosts share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    /// The Distribution.
    pub distribution: ObjectKey,
    /// The generation of the spec that was compiled.
    pub generation: i64,
    /// Whether it is served at all.
    pub state: ServingState,
    /// The aliases that this Distribution holds.
    pub aliases: Vec<HostPattern>,
    /// `httpVersion`.
    pub viewer_protocols: ViewerProtocols,
    /// What is wanted of the TLS of viewers.
    pub tls: Arc<TlsPolicy>,
    /// Replaces the path `/`, with its leading slash.
    pub default_root_object: Option<String>,
    /// `customErrorResponses`.
    pub error_pages: ErrorPages,
    /// `cacheBehaviors` in their order; the first match wins.
    pub ordered: Vec<Route>,
    /// `defaultCacheBehavior`: what none of the others matches.
    pub default: Route,
}

/// Whether a Distribution's hosts are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServingState {
    /// As its behaviors say.
    Enabled,
    /// With 404; its aliases stay claimed.
    Disabled,
}

/// What viewers are offered over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewerProtocols {
    /// HTTP/2, and HTTP/1.1 beside it.
    Http2,
    /// HTTP/1.1 only.
    Http1,
}

impl Routes {
    /// The route for a path, with its position: that of `cacheBehaviors`, or their number for the default.
    pub fn find(&self, path: &str) -> (usize, &Route) {
        let matches = |route: &Route| route.pattern.as_ref().is_some_and(|pattern| pattern.matches(path));
        let found = self.ordered.iter().enumerate().find(|(_, route)| matches(route));
        found.unwrap_or((self.ordered.len(), &self.default))
    }

    /// The route at a position of [`Routes::find`].
    pub fn at(&self, position: usize) -> Option<&Route> {
        match position.checked_sub(self.ordered.len()) {
            None => self.ordered.get(position),
            Some(behind) => (behind == 0).then_some(&self.default),
        }
    }

    /// Whether nobody gets further without a certificate that we verified.
    pub fn requires_client_certificate(&self) -> bool {
        self.tls.clients.as_ref().is_some_and(|asks| asks.mode == ClientMode::Required)
    }

    /// Every route, the default one last: the positions are those of [`Routes::find`].
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.ordered.iter().chain(std::iter::once(&self.default))
    }
}

/// One compiled behavior.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which paths it is for; none on the default behavior.
    pub pattern: Option<PathPattern>,
    /// What plain HTTP gets.
    pub viewer_protocol_policy: ViewerProtocolPolicy,
    /// Whose requests pass.
    pub source_ranges: SourceRanges,
    /// Which methods pass.
    pub allowed_methods: AllowedMethods,
    /// The longest request body that passes, in bytes; none is no limit.
    pub max_request_body_bytes: Option<u64>,
    /// What becomes of answers that viewers would take compressed.
    pub compression: Compression,
    /// What becomes of the heads of answers; none leaves them as they are.
    pub response_headers: Option<Box<ResponseHeaders>>,
    /// What upgrades get.
    pub web_socket: WebSocketPolicy,
    /// Where requests go.
    pub target: RouteTarget,
}

impl Route {
    /// The behavior's pattern as logs and metrics name it: `*` for the default one.
    pub fn label(&self) -> String {
        self.pattern.as_ref().map_or_else(|| "*".to_owned(), ToString::to_string)
    }
}

/// Where a route's requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// To an origin.
    Origin(Arc<Origin>),
    /// To an origin that is spoken to as the viewer speaks to us. One of both ways may be broken.
    MatchViewer {
        /// For viewers without TLS.
        http: Option<Arc<Origin>>,
        /// For those with it.
        https: Option<Arc<Origin>>,
    },
    /// To the members of a group, one after the other.
    Group(Arc<OriginGroup>),
    /// Nowhere, since what the behavior names is broken: 503 `no_endpoints`. The conditions say why.
    Broken,
}

impl RouteTarget {
    /// Where the requests of viewers go that came with `scheme`: of a group, to its first member.
    pub fn of(&self, scheme: Scheme) -> Option<&Arc<Origin>> {
        match (self, scheme) {
            (Self::Origin(origin), _) => Some(origin),
            (Self::MatchViewer { http, .. }, Scheme::Http) => http.as_ref(),
            (Self::MatchViewer { https, .. }, Scheme::Https) => https.as_ref(),
            (Self::Group(group), _) => group.members.first()?.of(scheme),
            (Self::Broken, _) => None,
        }
    }

    /// The group, where it is one.
    pub fn group(&self) -> Option<&Arc<OriginGroup>> {
        match self {
            Self::Group(group) => Some(group),
            Self::Origin(_) | Self::MatchViewer { .. } | Self::Broken => None,
        }
    }

    /// What becomes of a request with `method` that the origin fails; a WebSocket handshake is a GET.
    pub fn failover(&self, method: &Method) -> Failover {
        match (self, method) {
            (Self::Group(_), &Method::GET | &Method::HEAD | &Method::OPTIONS) => Failover::ToTheNext,
            _ => Failover::Never,
        }
    }

    /// The `targetOriginId` that it was compiled from; none where that is broken.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Group(group) => Some(&group.id),
            _ => self.origins().next().map(|origin| origin.key.id.as_str()),
        }
    }

    /// All that requests may go to.
    pub fn origins(&self) -> impl Iterator<Item = &Arc<Origin>> {
        let (first, second) = match self {
            Self::Origin(origin) => (Some(origin), None),
            Self::MatchViewer { http, https } => (http.as_ref(), https.as_ref()),
            Self::Group(_) | Self::Broken => (None, None),
        };
        let members = self.group().into_iter().flat_map(|group| &group.members);
        first.into_iter().chain(second).chain(members.flat_map(Member::origins))
    }
}

/// `compress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// They pass as they come.
    Off,
    /// Those that are worth it are compressed.
    On,
}

/// `viewerProtocolPolicy`; it holds for `ws` as for `http`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewerProtocolPolicy {
    /// Both schemes are served.
    AllowAll,
    /// Plain HTTP gets 403.
    HttpsOnly,
    /// Plain HTTP is sent to HTTPS.
    RedirectToHttps,
}

impl ViewerProtocolPolicy {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllowAll => "allow-all",
            Self::HttpsOnly => "https-only",
            Self::RedirectToHttps => "redirect-to-https",
        }
    }
}

/// `allowedMethods`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedMethods(Vec<Method>);

impl AllowedMethods {
    /// The methods that pass.
    pub fn new(methods: Vec<Method>) -> Self {
        Self(methods)
    }

    /// Whether `method` passes.
    pub fn allows(&self, method: &Method) -> bool {
        self.0.contains(method)
    }

    /// The methods, in the order of the API.
    pub fn iter(&self) -> impl Iterator<Item = &Method> {
        self.0.iter()
    }
}
