//! Response headers policies: `responseHeadersPolicy` with its names and values made ready.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CONTENT_SECURITY_POLICY, HeaderName,
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Method};

use crate::api::{
    CorsConfig, FrameOption, ResponseCustomHeader, ResponseHeadersPolicy, SecurityHeadersConfig,
    StrictTransportSecurity,
};
use crate::table::cors::{Cors, Pages};
use crate::table::response_headers::{Added, Over, Precedence, ResponseHeaders, ServerTiming};
use crate::table::web_origin::AllowedOrigins;

/// Stands for all web origins, methods and headers.
const ANY: &str = "*";

/// What `accessControlAllowMethods` may say instead of these (CloudFront Developer Guide, "Understand response headers
/// policies").
const ALL: &str = "ALL";
const ALL_METHODS: [&str; 7] = ["GET", "DELETE", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// The policy of a behavior; none where it changes nothing.
///
/// What is no name or value was refused with the object, of which nothing is served then.
pub(super) fn compile(policy: &ResponseHeadersPolicy) -> Option<Box<ResponseHeaders>> {
    if *policy == ResponseHeadersPolicy::default() {
        return None;
    }
    let ResponseHeadersPolicy {
        remove_headers,
        custom_headers,
        cors_config,
        security_headers_config,
        server_timing,
    } = policy;
    let custom = custom_headers.iter().filter_map(custom);
    Some(Box::new(ResponseHeaders {
        removed: remove_headers.iter().filter_map(|name| name.parse().ok()).collect(),
        cors: cors_config.as_ref().map(cors),
        added: custom.chain(security(security_headers_config)).collect(),
        server_timing: if server_timing.enabled { ServerTiming::Told } else { ServerTiming::Untold },
    }))
}

fn precedence(overrides: bool) -> Precedence {
    if overrides { Precedence::Policy } else { Precedence::Origin }
}

fn custom(header: &ResponseCustomHeader) -> Option<Added> {
    let ResponseCustomHeader { name, value, overrides } = header;
    Some(Added {
        name: name.parse().ok()?,
        value: value.parse().ok()?,
        precedence: precedence(*overrides),
        over: Over::Any,
    })
}

fn security(config: &SecurityHeadersConfig) -> impl Iterator<Item = Added> {
    let SecurityHeadersConfig {
        strict_transport_security,
        content_type_options,
        frame_options,
        referrer_policy,
        content_security_policy,
    } = config;
    let added = |name, value: &str, overrides, over| {
        let value = HeaderValue::from_str(value).ok()?;
        Some(Added { name, value, precedence: precedence(overrides), over })
    };
    // Over plain HTTP nobody may send this one, nor believe it (RFC 6797 sections 7.2 and 8.1).
    let strict = strict_transport_security.as_ref().and_then(|strict| {
        added(STRICT_TRANSPORT_SECURITY, &directives(strict), strict.overrides, Over::Https)
    });
    let sniffing = content_type_options
        .as_ref()
        .and_then(|options| added(X_CONTENT_TYPE_OPTIONS, "nosniff", options.overrides, Over::Any));
    let frames = frame_options.as_ref().and_then(|options| {
        let option = match options.frame_option {
            FrameOption::Deny => "DENY",
            FrameOption::SameOrigin => "SAMEORIGIN",
        };
        added(X_FRAME_OPTIONS, option, options.overrides, Over::Any)
    });
    let referrer = referrer_policy.as_ref().and_then(|policy| {
        added(REFERRER_POLICY, policy.referrer_policy.as_str(), policy.overrides, Over::Any)
    });
    let content = content_security_policy.as_ref().and_then(|policy| {
        added(CONTENT_SECURITY_POLICY, &policy.content_security_policy, policy.overrides, Over::Any)
    });
    [strict, sniffing, frames, referrer, content].into_iter().flatten()
}

/// `max-age=31536000; includeSubDomains; preload` (RFC 6797 section 6.1).
fn directives(strict: &StrictTransportSecurity) -> String {
    let mut directives = format!("max-age={}", strict.access_control_max_age_sec);
    if strict.include_subdomains {
        directives.push_str("; includeSubDomains");
    }
    if strict.preload {
        directives.push_str("; preload");
    }
    directives
}

fn cors(config: &CorsConfig) -> Cors {
    let origins = &config.access_control_allow_origins;
    let pages = match origins.iter().any(|origin| origin == ANY) {
        true => Pages::Any,
        false => Pages::Of(AllowedOrigins::new(origins.iter().map(String::as_str))),
    };
    let methods: Vec<Method> = methods(&config.access_control_allow_methods);
    let headers = names(&config.access_control_allow_headers);
    let exposed = names(&config.access_control_expose_headers);
    let credentials = config.access_control_allow_credentials.then_some(HeaderValue::from_static("true"));
    let credentials = credentials.map(|value| (ACCESS_CONTROL_ALLOW_CREDENTIALS, value));
    let max_age = config.access_control_max_age_sec.map(|seconds| (ACCESS_CONTROL_MAX_AGE, seconds.into()));
    let on_answers = [credentials.clone(), list(ACCESS_CONTROL_EXPOSE_HEADERS, &exposed)];
    let on_preflights = [
        credentials,
        list(ACCESS_CONTROL_ALLOW_METHODS, &methods),
        list(ACCESS_CONTROL_ALLOW_HEADERS, &headers),
        max_age,
    ];
    Cors {
        pages,
        on_answers: on_answers.into_iter().flatten().collect(),
        on_preflights: on_preflights.into_iter().flatten().collect(),
        methods,
        headers,
        precedence: precedence(config.origin_override),
    }
}

fn methods(listed: &[String]) -> Vec<Method> {
    let all = listed.iter().any(|name| name == ALL).then_some(ALL_METHODS);
    let others = listed.iter().map(String::as_str).filter(|name| *name != ALL);
    let mut methods: Vec<Method> = Vec::new();
    for method in all.into_iter().flatten().chain(others).filter_map(|name| name.parse().ok()) {
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    methods
}

fn names(listed: &[String]) -> Vec<HeaderName> {
    listed.iter().filter_map(|name| name.parse().ok()).collect()
}

/// A field that is a list; none of an empty one.
fn list<T: AsRef<str>>(name: HeaderName, items: &[T]) -> Option<(HeaderName, HeaderValue)> {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    let value = HeaderValue::from_str(&items.join(", ")).ok()?;
    (!items.is_empty()).then_some((name, value))
}
