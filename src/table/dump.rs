//! The table as JSON, for `/debug/table`, `dump` and golden files.
//!
//! Certificates are fingerprints and values of custom headers are left out, since they may come from Secrets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::RoutingTable;
use super::balancing::{Affinity, Algorithm, Balancing, HashOn, OutlierDetection};
use super::certificate::{Certificate, OwnCertificates};
use super::cors::Pages;
use super::decide::Scheme;
use super::error_pages::ErrorPage;
use super::group::OriginGroup;
use super::host::HostName;
use super::origin::{Digest, Endpoint, HostHeader, HttpVersion, Origin, OriginTls, Trust, Zone};
use super::response_headers::{Over, Precedence, ResponseHeaders, ServerTiming};
use super::route::{Compression, Route, RouteTarget, Routes, ServingState, ViewerProtocols};
use super::web_socket::{Handshakes, OnOriginTerminating};

/// What stands in place of a value that may be secret.
const REDACTED: &str = "<redacted>";

impl RoutingTable {
    /// Everything that requests are served from, by Distribution.
    pub fn dump(&self) -> Value {
        let distributions: Map<String, Value> = self
            .hosts
            .routes()
            .iter()
            .map(|routes| (routes.distribution.to_string(), self.distribution(routes)))
            .collect();
        let default = self.certificates.default.as_deref().map(fingerprint);
        let base_domain = self.certificates.base_domain.as_ref().map(HostName::as_str);
        let challenges = self.challenges.iter().map(|(host, tokens)| (host.to_string(), tokens.collect()));
        json!({
            "baseDomain": base_domain,
            "challenges": challenges.collect::<Map<_, _>>(),
            "defaultCertificate": default,
            "distributions": distributions,
        })
    }

    fn distribution(&self, routes: &Routes) -> Value {
        let own = self.certificates.by_distribution.get(&routes.distribution);
        let certificates = own.map(|own| match own {
            OwnCertificates::Unusable => "unusable".into(),
            usable => usable.iter().map(|shown| fingerprint(shown)).collect::<Value>(),
        });
        let behaviors: Vec<Value> = routes.iter().map(behavior).collect();
        json!({
            "generation": routes.generation,
            "enabled": routes.state == ServingState::Enabled,
            "aliases": routes.aliases.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "certificates": certificates,
            "minimumProtocolVersion": routes.tls.minimum.as_str(),
            "viewerMtls": routes.tls.clients.as_ref().map(|asks| json!({
                "mode": asks.mode.as_str(),
                "authorities": asks.authorities.as_ref().map(|of| format!("sha256:{}", of.fingerprint)),
            })),
            "alpn": match routes.viewer_protocols {
                ViewerProtocols::Http2 => json!(["h2", "http/1.1"]),
                ViewerProtocols::Http1 => json!(["http/1.1"]),
            },
            "defaultRootObject": routes.default_root_object,
            "errorPages": routes.error_pages.iter().map(error_page).collect::<Map<_, _>>(),
            "behaviors": behaviors,
            "originGroups": groups(routes),
            "origins": self.origins(routes),
        })
    }

    fn origins(&self, routes: &Routes) -> Map<String, Value> {
        let told = |target: &Origin| {
            let endpoints = self.endpoints.of(&target.key).map(|endpoints| &**endpoints);
            let endpoints = endpoints.unwrap_or_default();
            let mut told = origin(target, endpoints);
            let staying = self.staying.of(&target.key);
            let leaves = |endpoint: &&Endpoint| !staying.contains(&endpoint.address);
            let serves =
                |address: &&SocketAddr| endpoints.iter().any(|endpoint| endpoint.address == **address);
            told["endpointsThatTerminate"] = addresses(endpoints.iter().filter(leaves));
            told["endpointsThatWait"] =
                staying.iter().filter(|address| !serves(address)).map(ToString::to_string).collect();
            told
        };
        // What differs is told apart, under the scheme of the viewers.
        let both = |http: Option<&Arc<Origin>>, https: Option<&Arc<Origin>>| match (http, https) {
            (Some(http), Some(https)) if http.key == https.key => told(http),
            (http, https) => {
                json!({ "http": http.map(|http| told(http)), "https": https.map(|https| told(https)) })
            }
        };
        let mut origins = Map::new();
        for route in routes.iter() {
            if let RouteTarget::Group(group) = &route.target {
                let usable = group.members.iter().filter(|member| member.origins().next().is_some());
                let told = usable
                    .map(|member| (member.id.clone(), both(member.http.as_ref(), member.https.as_ref())));
                origins.extend(told);
            } else if let Some(id) = route.target.id() {
                let told = both(route.target.of(Scheme::Http), route.target.of(Scheme::Https));
                origins.insert(id.to_owned(), told);
            }
        }
        origins
    }
}

fn groups(routes: &Routes) -> Map<String, Value> {
    let told = |group: &OriginGroup| {
        let members: Vec<&str> = group.members.iter().map(|member| member.id.as_str()).collect();
        let statuses: Vec<u16> = group.statuses.iter().map(StatusCode::as_u16).collect();
        json!({ "members": members, "statusCodes": statuses })
    };
    let groups = routes.iter().filter_map(|route| route.target.group());
    groups.map(|group| (group.id.clone(), told(group))).collect()
}

fn fingerprint(certificate: &Certificate) -> String {
    format!("sha256:{}", certificate.fingerprint)
}

fn error_page((status, page): (StatusCode, &ErrorPage)) -> (String, Value) {
    (status.as_str().to_owned(), format!("{} {}", page.status.as_str(), page.target).into())
}

fn behavior(route: &Route) -> Value {
    json!({
        "pathPattern": route.label(),
        "target": route.target.id(),
        "viewerProtocolPolicy": route.viewer_protocol_policy.as_str(),
        "sourceRanges": {
            "allow": ranges(route.source_ranges.allow()),
            "deny": ranges(route.source_ranges.deny()),
        },
        "allowedMethods": route.allowed_methods.iter().map(|method| method.as_str()).collect::<Vec<_>>(),
        "maxRequestBodyBytes": route.max_request_body_bytes,
        "compress": route.compression == Compression::On,
        "responseHeadersPolicy": route.response_headers.as_deref().map(response_headers),
        "webSocket": {
            "enabled": route.web_socket.handshakes == Handshakes::Accepted,
            "allowedOrigins": route.web_socket.allowed_origins.iter().collect::<Vec<_>>(),
            "idleTimeout": route.web_socket.idle_timeout.map_or_else(|| "never".to_owned(), seconds),
            "maxDuration": route.web_socket.max_duration.map(|max| seconds(max.longest)),
            "maxDurationJitterPercent": route.web_socket.max_duration.map(|max| max.jitter_percent),
            "onOriginTerminating": match route.web_socket.on_origin_terminating {
                OnOriginTerminating::Keep => "keep",
                OnOriginTerminating::Drain => "drain",
            },
            "pingInterval": route.web_socket.ping_interval.map(seconds),
            "rebalance": route.web_socket.rebalance.map(|rebalance| json!({
                "maxImbalancePercent": rebalance.max_imbalance_percent,
                "closesPerSecond": rebalance.closes_per_second,
            })),
            "limits": {
                "maxConnections": route.web_socket.limits.max_connections,
                "maxConnectionsPerClient": route.web_socket.limits.max_connections_per_client,
                "maxMessageBytes": route.web_socket.limits.max_message_bytes,
                "messagesPerSecond": route.web_socket.limits.messages_per_second,
            },
        },
    })
}

fn response_headers(policy: &ResponseHeaders) -> Value {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let fields = |fields: &[(HeaderName, HeaderValue)]| -> Map<String, Value> {
        fields.iter().map(|(name, value)| (name.to_string(), text(value).into())).collect()
    };
    let overrides = |precedence| precedence == Precedence::Policy;
    let added = policy.added.iter().map(|added| {
        json!({
            "name": added.name.as_str(),
            "value": text(&added.value),
            "override": overrides(added.precedence),
            "httpsOnly": added.over == Over::Https,
        })
    });
    let cors = policy.cors.as_ref().map(|cors| {
        json!({
            "origins": match &cors.pages {
                Pages::Any => vec!["*".to_owned()],
                Pages::Of(listed) => listed.iter().collect(),
            },
            "onAnswers": fields(&cors.on_answers),
            "onPreflights": fields(&cors.on_preflights),
            "originOverride": overrides(cors.precedence),
        })
    });
    json!({
        "removeHeaders": policy.removed.iter().map(HeaderName::as_str).collect::<Vec<_>>(),
        "addHeaders": added.collect::<Vec<_>>(),
        "cors": cors,
        "serverTiming": policy.server_timing == ServerTiming::Told,
    })
}

fn ranges(ranges: &[IpNet]) -> Vec<String> {
    ranges.iter().map(ToString::to_string).collect()
}

fn origin(origin: &Origin, endpoints: &[Endpoint]) -> Value {
    let host = match &origin.host_header {
        HostHeader::Viewer => "viewer".into(),
        HostHeader::Fixed(host) => String::from_utf8_lossy(host.as_bytes()).into_owned(),
    };
    let headers: Map<String, Value> =
        origin.custom_headers.iter().map(|(name, _)| (name.to_string(), REDACTED.into())).collect();
    json!({
        "endpoints": addresses(endpoints.iter()),
        "endpointsOfOwnZone": addresses(endpoints.iter().filter(|endpoint| endpoint.zone == Zone::Own)),
        "httpVersion": match origin.http_version {
            HttpVersion::Http1 => "http1.1",
            HttpVersion::Http2 => "http2",
        },
        "tls": origin.tls.as_deref().map(tls),
        "originPath": origin.path_prefix,
        "hostHeader": host,
        "customHeaders": headers,
        "connectionAttempts": origin.connection_attempts,
        "connectionTimeout": seconds(origin.connection_timeout),
        "originReadTimeout": seconds(origin.read_timeout),
        "responseIdleTimeout": seconds(origin.response_idle_timeout),
        "originKeepaliveTimeout": seconds(origin.keepalive_timeout),
        "responseCompletionTimeout": origin.completion_timeout.map(seconds),
        "loadBalancing": balancing(&origin.balancing),
        "outlierDetection": outlier_detection(&origin.outlier_detection),
        "maxConnectionsPerEndpoint": origin.max_connections_per_endpoint,
    })
}

fn addresses<'e>(endpoints: impl Iterator<Item = &'e Endpoint>) -> Value {
    endpoints.map(|endpoint| endpoint.address.to_string()).collect()
}

fn balancing(balancing: &Balancing) -> Value {
    let (algorithm, hash_on) = match &balancing.algorithm {
        Algorithm::LeastRequest => ("least-request", Value::Null),
        Algorithm::RoundRobin => ("round-robin", Value::Null),
        Algorithm::Hash(HashOn::Header(name)) => ("hash", json!({ "headerName": name.as_str() })),
        Algorithm::Hash(HashOn::Cookie(name)) => ("hash", json!({ "cookieName": name })),
        Algorithm::Hash(HashOn::ViewerAddress) => ("hash", json!({ "clientIP": true })),
    };
    let affinity = balancing.affinity.as_ref();
    let affinity = affinity
        .map(|Affinity { cookie, ttl, salt: _ }| json!({ "cookieName": cookie, "ttl": ttl.map(seconds) }));
    json!({ "algorithm": algorithm, "hashOn": hash_on, "sessionAffinity": affinity })
}

fn outlier_detection(rules: &OutlierDetection) -> Value {
    json!({
        "consecutiveFailures": rules.consecutive_failures,
        "ejectionTime": seconds(rules.ejection_time),
        "maxEjectedPercent": rules.max_ejected_percent,
        "statusCodes": rules.statuses.iter().map(|status| status.as_u16()).collect::<Vec<_>>(),
    })
}

fn tls(tls: &OriginTls) -> Value {
    let hexadecimal = |pins: &[Digest]| -> Vec<String> {
        pins.iter().map(|pin| pin.iter().map(|byte| format!("{byte:02x}")).collect()).collect()
    };
    let (trusts, pins) = match &tls.trust {
        Trust::Anything => ("anything".to_owned(), Vec::new()),
        Trust::Pinned(pins) => ("pins".to_owned(), hexadecimal(pins)),
        Trust::PublicRoots => ("public roots".to_owned(), Vec::new()),
        Trust::Authorities(authorities, pins) => {
            (format!("sha256:{}", authorities.fingerprint), hexadecimal(pins))
        }
    };
    json!({
        "serverName": tls.server_name.as_ref().map(HostName::as_str),
        "trusts": trusts,
        "certificateSha256": pins,
        "clientCertificate": tls.client_certificate.as_deref().map(fingerprint),
    })
}

/// `600s`, `0.5s`.
fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}
