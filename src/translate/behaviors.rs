//! Behaviors: the routes of a Distribution, in their order.
//!
//! A behavior that cannot be served as it says costs only itself: it becomes a route that answers 503.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};

use http::Method;
use ipnet::IpNet;

use super::response_headers;
use crate::api::{self, Behavior, DistributionSpec};
use crate::table::path_pattern::PathPattern;
use crate::table::route::{AllowedMethods, Compression, Route, RouteTarget, ViewerProtocolPolicy};
use crate::table::source_ranges::SourceRanges;
use crate::table::web_origin::AllowedOrigins;
use crate::table::web_socket::{
    Handshakes, MaxDuration, OnOriginTerminating, Rebalance, WebSocketLimits, WebSocketPolicy,
};

/// The routes of `cacheBehaviors` and that of the default behavior. `targets` says by id where the requests for an
/// origin or a group go.
pub(super) fn compile(spec: &DistributionSpec, targets: &BTreeMap<&str, RouteTarget>) -> (Vec<Route>, Route) {
    let route = |pattern, behavior| Pass { spec, behavior }.route(pattern, targets);
    let ordered = spec.cache_behaviors.iter();
    let ordered = ordered.map(|one| route(Some(PathPattern::new(&one.path_pattern)), &one.behavior));
    (ordered.collect(), route(None, &spec.default_cache_behavior))
}

/// One behavior, as its own pass over it sees it.
#[derive(Clone, Copy)]
struct Pass<'u> {
    spec: &'u DistributionSpec,
    behavior: &'u Behavior,
}

impl Pass<'_> {
    fn route(self, pattern: Option<PathPattern>, targets: &BTreeMap<&str, RouteTarget>) -> Route {
        let methods = self.allowed_methods();
        let source_ranges = self.source_ranges();
        let target = self.target(targets);
        Route {
            pattern,
            viewer_protocol_policy: self.viewer_protocol_policy(),
            target: if source_ranges.is_some() { target } else { RouteTarget::Broken },
            source_ranges: source_ranges.unwrap_or_default(),
            allowed_methods: AllowedMethods::new(methods),
            // A negative one was refused with the object.
            max_request_body_bytes: self
                .behavior
                .max_request_body_bytes
                .and_then(|most| most.try_into().ok()),
            compression: if self.behavior.compress { Compression::On } else { Compression::Off },
            response_headers: response_headers::compile(&self.behavior.response_headers_policy),
            web_socket: web_socket(&self.behavior.web_socket),
        }
    }

    fn viewer_protocol_policy(self) -> ViewerProtocolPolicy {
        match self.behavior.viewer_protocol_policy {
            Some(api::ViewerProtocolPolicy::AllowAll) => ViewerProtocolPolicy::AllowAll,
            Some(api::ViewerProtocolPolicy::HttpsOnly) => ViewerProtocolPolicy::HttpsOnly,
            Some(api::ViewerProtocolPolicy::RedirectToHttps) => ViewerProtocolPolicy::RedirectToHttps,
            None if self.spec.viewer_certificate.is_some() => ViewerProtocolPolicy::RedirectToHttps,
            None => ViewerProtocolPolicy::AllowAll,
        }
    }

    /// None where one is no range, which was refused with the object: without it others would be served.
    fn source_ranges(self) -> Option<SourceRanges> {
        let api::SourceRanges { allow, deny } = &self.behavior.source_ranges;
        let parse =
            |texts: &[String]| -> Option<Vec<IpNet>> { texts.iter().map(|text| text.parse().ok()).collect() };
        Some(SourceRanges::new(parse(allow)?, parse(deny)?))
    }

    /// A name that is no token was refused with the object.
    fn allowed_methods(self) -> Vec<Method> {
        let names = self.behavior.allowed_methods.iter();
        names.filter_map(|name| Method::from_bytes(name.as_bytes()).ok()).collect()
    }

    /// An id that is neither an origin's nor a group's was refused with the object.
    fn target(self, targets: &BTreeMap<&str, RouteTarget>) -> RouteTarget {
        targets.get(self.behavior.target_origin_id.as_str()).cloned().unwrap_or(RouteTarget::Broken)
    }
}

fn web_socket(spec: &api::WebSocket) -> WebSocketPolicy {
    WebSocketPolicy {
        handshakes: if spec.enabled { Handshakes::Accepted } else { Handshakes::Refused },
        allowed_origins: AllowedOrigins::new(spec.allowed_origins.iter().map(String::as_str)),
        idle_timeout: Some(spec.idle_timeout.as_std()).filter(|timeout| !timeout.is_zero()),
        max_duration: spec.max_duration.map(|longest| MaxDuration {
            longest: longest.as_std(),
            // Another share was refused with the object.
            jitter_percent: spec.max_duration_jitter_percent.try_into().unwrap_or_default(),
        }),
        ping_interval: spec.ping_interval.map(|interval| interval.as_std()),
        on_origin_terminating: match spec.on_origin_terminating {
            api::OnOriginTerminating::Keep => OnOriginTerminating::Keep,
            api::OnOriginTerminating::Drain => OnOriginTerminating::Drain,
        },
        rebalance: spec.rebalance.as_ref().and_then(rebalance),
        limits: web_socket_limits(&spec.limits),
    }
}

fn rebalance(spec: &api::Rebalance) -> Option<Rebalance> {
    Some(Rebalance {
        max_imbalance_percent: count(spec.max_imbalance_percent)?,
        closes_per_second: count(spec.closes_per_second)?,
    })
}

/// What is below 1 was refused with the object.
fn count(count: i32) -> Option<NonZeroU32> {
    u32::try_from(count).ok().and_then(NonZeroU32::new)
}

fn web_socket_limits(spec: &api::WebSocketLimits) -> WebSocketLimits {
    let count = |most: Option<i32>| most.and_then(count);
    WebSocketLimits {
        max_connections: count(spec.max_connections),
        max_connections_per_client: count(spec.max_connections_per_client),
        max_message_bytes: spec
            .max_message_bytes
            .and_then(|most| u64::try_from(most).ok())
            .and_then(NonZeroU64::new),
        messages_per_second: count(spec.messages_per_second),
    }
}
