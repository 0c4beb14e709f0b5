//! Compiled origins and their endpoints.
//!
//! Origins change when their Distribution does, endpoints with every pod: they stand apart, so that churn
//! rebuilds only [`Endpoints`].

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde::Serialize;

use super::balancing::{Balancing, OutlierDetection};
use super::certificate::{Authorities, Certificate};
use super::decide::Scheme;
use super::host::HostName;
use crate::object::ObjectKey;

/// Names an origin: its Distribution, its `id` there, and how it is spoken to, since one that matches its viewers
/// has a port for each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginKey {
    /// The Distribution.
    pub distribution: ObjectKey,
    /// `origins[].id`.
    pub id: String,
    /// Whether TLS is spoken.
    pub scheme: Scheme,
}

/// What the data plane needs to know of an origin besides its endpoints.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its name.
    pub key: OriginKey,
    /// Put before the request path; empty or `/x` without a trailing slash.
    pub path_prefix: String,
    /// The Host that the origin sees.
    pub host_header: HostHeader,
    /// Added to each request, replacing what the viewer sent. Values may come from Secrets: never printed.
    pub custom_headers: Vec<(HeaderName, HeaderValue)>,
    /// How many endpoints are tried before the viewer gets an error.
    pub connection_attempts: NonZeroU8,
    /// The limit of one connection attempt.
    pub connection_timeout: Duration,
    /// From the request's end to the response head.
    pub read_timeout: Duration,
    /// Between two bytes of the response body.
    pub response_idle_timeout: Duration,
    /// How long an idle connection is kept.
    pub keepalive_timeout: Duration,
    /// Which HTTP is spoken; WebSockets go over HTTP/1.1 all the same.
    pub http_version: HttpVersion,
    /// The whole exchange with its retries; no limit without it, and none for WebSockets.
    pub completion_timeout: Option<Duration>,
    /// How an endpoint is chosen.
    pub balancing: Balancing,
    /// When an endpoint is left out.
    pub outlier_detection: OutlierDetection,
    /// The requests and WebSockets that one endpoint may have at once, over all workers; no limit without it.
    pub max_connections_per_endpoint: Option<NonZeroU32>,
    /// The TLS that is spoken; none in plaintext.
    pub tls: Option<Arc<OriginTls>>,
}

/// The TLS that is spoken to an origin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OriginTls {
    /// The name that is asked for (SNI), and that a verified certificate must have; without one none is asked for.
    pub server_name: Option<HostName>,
    /// Whose certificate is good.
    pub trust: Trust,
    /// What is shown to the origin, where it asks.
    pub client_certificate: Option<Arc<Certificate>>,
}

/// Which certificate of an origin is good.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Any.
    Anything,
    /// One of these, whatever it says of itself.
    Pinned(Vec<Digest>),
    /// One that the public roots vouch for.
    PublicRoots,
    /// One that these authorities vouch for, and where there are pins, one of them.
    Authorities(Arc<Authorities>, Vec<Digest>),
}

/// The SHA-256 of a certificate's DER.
pub type Digest = [u8; 32];

/// The HTTP that is spoken to an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HttpVersion {
    /// HTTP/1.1: an exchange at a time on each connection.
    Http1,
    /// HTTP/2: many exchanges on one connection, and trailers, which gRPC needs.
    Http2,
}

/// Which Host the origin sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// What the viewer sent.
    Viewer,
    /// A fixed name.
    Fixed(HeaderValue),
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.custom_headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Origin")
            .field("key", &self.key)
            .field("custom_headers", &headers)
            .finish_non_exhaustive()
    }
}

/// One `ip:port` of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it is to be asked before others.
    pub zone: Zone,
}

/// Whose viewers an endpoint is hinted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Zone {
    /// Those of this replica's zone: it comes first.
    Own,
    /// Others, or nobody's in particular.
    Any,
}

/// The endpoints that serve, by origin; an origin without any is absent or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints(pub BTreeMap<OriginKey, Arc<[Endpoint]>>);

/// The endpoints that are there to stay, by origin: those that do not terminate, ready or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Staying(pub BTreeMap<OriginKey, Arc<[SocketAddr]>>);

impl Staying {
    /// Those of one origin, in order, each once.
    pub fn of(&self, origin: &OriginKey) -> &[SocketAddr] {
        self.0.get(origin).map_or(&[], |staying| staying)
    }
}

impl Endpoints {
    /// The endpoints of one origin, in address order, each once.
    pub fn of(&self, origin: &OriginKey) -> Option<&Arc<[Endpoint]>> {
        self.0.get(origin)
    }
}
