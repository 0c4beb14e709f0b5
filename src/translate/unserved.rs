//! The fields of the API that this version does not serve yet.
//!
//! Every struct is taken apart field by field, so a new field of the API does not compile before it is decided
//! about here: nothing is silently ignored. A field at its default is always served.
//!
//! What becomes of traffic depends on what a field is for (`docs/decisions/0003-unserved-fields.md`): what keeps
//! something out or protects an origin is withheld, since serving it without would be serving it open; what only
//! makes things better is served without. Nothing is left of either kind.

use crate::api::{Behavior, DistributionSpec, Origin, ViewerCertificate, WebSocket};

const _: fn(&DistributionSpec) = all_of_distribution;

/// All of a Distribution's fields are served.
fn all_of_distribution(spec: &DistributionSpec) {
    let DistributionSpec {
        class_name: _,
        enabled: _,
        comment: _,
        aliases: _,
        delegate_aliases_to: _,
        default_root_object: _,
        http_version: _,
        // All of it is served.
        viewer_certificate:
            None
            | Some(ViewerCertificate {
                secret_name: _,
                secret_namespace: _,
                additional_secret_names: _,
                minimum_protocol_version: _,
            }),
        viewer_mtls: _,
        origins,
        origin_groups: _,
        cache_behaviors,
        default_cache_behavior,
        custom_error_responses: _,
    } = spec;
    origins.iter().for_each(all_of_origin);
    cache_behaviors.iter().map(|ordered| &ordered.behavior).for_each(all_of_behavior);
    all_of_behavior(default_cache_behavior);
}

/// All of an origin's fields are served.
fn all_of_origin(origin: &Origin) {
    let Origin {
        id: _,
        service: _,
        http_port: _,
        https_port: _,
        origin_protocol_policy: _,
        origin_path: _,
        host_header: _,
        custom_headers: _,
        connection_attempts: _,
        connection_timeout: _,
        origin_read_timeout: _,
        response_idle_timeout: _,
        origin_keepalive_timeout: _,
        response_completion_timeout: _,
        http_version: _,
        origin_tls: _,
        load_balancing: _,
        outlier_detection: _,
        max_connections_per_endpoint: _,
    } = origin;
}

/// All of a behavior's fields are served.
fn all_of_behavior(behavior: &Behavior) {
    let Behavior {
        target_origin_id: _,
        viewer_protocol_policy: _,
        allowed_methods: _,
        max_request_body_bytes: _,
        compress: _,
        response_headers_policy: _,
        source_ranges: _,
        web_socket:
            WebSocket {
                enabled: _,
                idle_timeout: _,
                max_duration: _,
                max_duration_jitter_percent: _,
                ping_interval: _,
                allowed_origins: _,
                limits: _,
                on_origin_terminating: _,
                rebalance: _,
            },
    } = behavior;
}
