//! The fields of the API that this version does not serve yet.
//!
//! Every struct is taken apart field by field, so a new field of the API does not compile before it is decided
//! about here: nothing is silently ignored. A field at its default is always served.
//!
//! What becomes of traffic depends on what a field is for (`docs/decisions/0003-unserved-fields.md`): what keeps
//! something out or protects an origin is withheld, since serving it without would be serving it open; what only
//! makes things better is served without.

use crate::api::{Behavior, DistributionSpec, Origin, ViewerCertificate, WebSocket};

/// A field that is set, not at its default, and not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unserved {
    /// Its path below what was looked at.
    pub field: String,
    /// What becomes of what carries it.
    pub effect: Effect,
}

/// What becomes of what carries an unserved field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It is not served at all.
    Withheld,
    /// It is served, and this clause says how.
    Served(&'static str),
}

/// Served as if the field were absent.
const SERVED_WITHOUT: Effect = Effect::Served("requests are served without it");

/// Of the fields that concern a whole Distribution.
pub(super) fn of_distribution(spec: &DistributionSpec) -> Vec<Unserved> {
    let DistributionSpec {
        class_name: _,
        enabled: _,
        comment: _,
        aliases: _,
        delegate_aliases_to: _,
        default_root_object: _,
        http_version: _,
        viewer_certificate,
        viewer_mtls,
        origins: _,
        origin_groups: _,
        cache_behaviors: _,
        default_cache_behavior: _,
        custom_error_responses: _,
    } = spec;
    let mut found = Found::default();
    found.withheld("viewerMtls", viewer_mtls.is_some());
    if let Some(certificate) = viewer_certificate {
        of_certificate(certificate, &mut found);
    }
    found.0
}

fn of_certificate(certificate: &ViewerCertificate, found: &mut Found) {
    let ViewerCertificate {
        secret_name: _,
        secret_namespace: _,
        additional_secret_names,
        minimum_protocol_version,
    } = certificate;
    found.served_without("viewerCertificate.additionalSecretNames", !additional_secret_names.is_empty());
    found.withheld("viewerCertificate.minimumProtocolVersion", minimum_protocol_version != "TLSv1.2_2021");
}

/// Of an origin's fields.
pub(super) fn of_origin(origin: &Origin) -> Vec<Unserved> {
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
    Vec::new()
}

/// Of a behavior's fields.
pub(super) fn of_behavior(behavior: &Behavior) -> Vec<Unserved> {
    let Behavior {
        target_origin_id: _,
        viewer_protocol_policy: _,
        allowed_methods: _,
        max_request_body_bytes: _,
        compress: _,
        response_headers_policy: _,
        source_ranges: _,
        // All of it is served.
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
    Vec::new()
}

#[derive(Default)]
struct Found(Vec<Unserved>);

impl Found {
    fn withheld(&mut self, field: impl Into<String>, set: bool) {
        self.push(field, set, Effect::Withheld);
    }

    fn served_without(&mut self, field: impl Into<String>, set: bool) {
        self.push(field, set, SERVED_WITHOUT);
    }

    fn push(&mut self, field: impl Into<String>, set: bool, effect: Effect) {
        if set {
            self.0.push(Unserved { field: field.into(), effect });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Everything unserved of a spec with one origin and one behavior, over which `patch` is laid.
    fn unserved(patch: &Value) -> Vec<(String, Effect)> {
        let mut spec = json!({
            "origins": [{"id": "app", "service": {"name": "app"}}],
            "defaultCacheBehavior": {"targetOriginId": "app"},
        });
        lay_over(&mut spec, patch);
        let spec: DistributionSpec = serde_json::from_value(spec).expect("a spec");
        let all = [
            of_distribution(&spec),
            spec.origins.iter().flat_map(of_origin).collect(),
            of_behavior(&spec.default_cache_behavior),
        ];
        all.concat().into_iter().map(|found| (found.field, found.effect)).collect()
    }

    fn lay_over(under: &mut Value, over: &Value) {
        match (under, over) {
            (Value::Object(under), Value::Object(over)) => {
                for (name, value) in over {
                    lay_over(under.entry(name).or_insert(Value::Null), value);
                }
            }
            (Value::Array(under), Value::Array(over)) => {
                under.iter_mut().zip(over).for_each(|(under, over)| lay_over(under, over));
            }
            (under, over) => *under = over.clone(),
        }
    }

    #[test]
    fn a_field_that_is_set_and_not_served_is_found() {
        use Effect::Withheld;
        let certificate = |patch: Value| {
            let mut certificate = json!({"secretName": "tls"});
            lay_over(&mut certificate, &patch);
            json!({"viewerCertificate": certificate})
        };
        let rows = [
            (json!({"viewerMtls": {"mode": "optional", "caSecretName": "ca"}}), "viewerMtls", Withheld),
            (
                certificate(json!({"additionalSecretNames": ["b"]})),
                "viewerCertificate.additionalSecretNames",
                SERVED_WITHOUT,
            ),
            (
                certificate(json!({"minimumProtocolVersion": "TLSv1.3_2025"})),
                "viewerCertificate.minimumProtocolVersion",
                Withheld,
            ),
        ];
        for (patch, field, effect) in rows {
            assert_eq!(unserved(&patch), [(field.to_owned(), effect)], "{patch}");
        }
    }

    #[test]
    fn what_is_served_and_what_is_at_its_default_is_not_found() {
        let served = json!({
            "className": "other", "enabled": false, "comment": "x", "aliases": ["a"], "delegateAliasesTo": ["*"],
            "originGroups": [{"id": "g", "members": ["app", "b"], "failoverCriteria": {"statusCodes": [503]}}],
            "defaultRootObject": "index.html", "httpVersion": "http1.1",
            "customErrorResponses": [{"errorCode": 404, "responsePagePath": "/404", "responseCode": 404}],
            "viewerCertificate": {
                "secretName": "tls", "secretNamespace": "bank", "minimumProtocolVersion": "TLSv1.2_2021",
            },
            "origins": [{
                "service": {"namespace": "bank"}, "httpPort": "http", "httpsPort": 443, "originProtocolPolicy": "match-viewer",
                "originTls": {"serverName": "a.example", "caConfigMapName": "ca", "clientCertificateSecretName": "own"},
                "originPath": "/v2", "hostHeader": "origin",
                "customHeaders": [
                    {"name": "x-a", "value": "b"}, {"name": "x-b", "valueFrom": {"secretName": "s", "key": "k"}},
                ],
                "connectionAttempts": 1, "connectionTimeout": "1s", "originReadTimeout": "1s",
                "responseIdleTimeout": "1s", "originKeepaliveTimeout": "1s", "httpVersion": "http2",
                "loadBalancing": {"algorithm": "round-robin"}, "outlierDetection": {"consecutiveFailures": 3},
                "responseCompletionTimeout": "1s", "maxConnectionsPerEndpoint": 1,
            }],
            "defaultCacheBehavior": {
                "viewerProtocolPolicy": "https-only", "allowedMethods": ["GET"], "compress": true,
                "maxRequestBodyBytes": 1, "sourceRanges": {"allow": ["10.0.0.0/8"]},
                "responseHeadersPolicy": {"removeHeaders": ["server"], "serverTiming": {"enabled": true}},
                "webSocket": {
                    "enabled": false, "idleTimeout": "0s", "allowedOrigins": ["https://a"],
                    "maxDuration": "1h", "maxDurationJitterPercent": 5, "pingInterval": "30s",
                    "limits": {"maxConnections": 1}, "onOriginTerminating": "drain",
                    "rebalance": {"maxImbalancePercent": 20, "closesPerSecond": 1},
                },
            },
        });
        assert_eq!(unserved(&served), []);
    }
}
