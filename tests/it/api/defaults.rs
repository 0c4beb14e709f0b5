//! What a Distribution means that says little.

use serde_json::{Value, json};
use tidegate::api::{
    Algorithm, Behavior, CacheBehavior, Distribution, DistributionSpec, Duration, HostHeader, HttpVersion,
    OnOriginTerminating, OutlierDetection, WebSocket, WebSocketLimits, crd,
};

fn spec(fields: Value) -> DistributionSpec {
    let mut spec = json!({
        "origins": [{"id": "app", "service": {"name": "chat"}}],
        "defaultCacheBehavior": {"targetOriginId": "app"},
    });
    spec.as_object_mut().unwrap().append(&mut fields.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

#[test]
fn ten_lines_are_a_distribution() {
    let example = "
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {name: chat, namespace: prod}
spec:
  aliases: [chat.example.com]
  viewerCertificate: {secretName: chat-tls}
  origins: [{id: app, service: {name: chat}, httpPort: 8080}]
  defaultCacheBehavior: {targetOriginId: app, viewerProtocolPolicy: redirect-to-https}
";
    let distribution: Distribution = serde_saphyr::from_str(example).unwrap();
    assert_eq!(distribution.spec.aliases, ["chat.example.com"]);
    assert!(distribution.spec.default_cache_behavior.web_socket.enabled);
}

#[test]
fn an_origin_has_its_documented_defaults() {
    let spec = spec(json!({}));
    let [origin] = spec.origins.as_slice() else { panic!("one origin") };
    assert_eq!(origin.host_header, HostHeader::Viewer);
    assert_eq!(origin.connection_attempts, 3);
    assert_eq!(origin.connection_timeout, Duration::from_secs(2));
    assert_eq!(origin.origin_read_timeout, Duration::from_secs(30));
    assert_eq!(origin.response_idle_timeout, Duration::from_secs(600));
    assert_eq!(origin.origin_keepalive_timeout, Duration::from_secs(60));
    assert_eq!(origin.load_balancing.algorithm, Algorithm::LeastRequest);
    let expected = OutlierDetection {
        consecutive_failures: 5,
        ejection_time: Duration::from_secs(10),
        max_ejected_percent: 50,
        status_codes: vec![],
    };
    assert_eq!(origin.outlier_detection, expected);
    assert!(
        origin.http_port.is_none()
            && origin.origin_protocol_policy.is_none()
            && origin.http_version.is_none()
    );
}

#[test]
fn a_behavior_has_its_documented_defaults() {
    let spec = spec(json!({}));
    let Behavior { allowed_methods, viewer_protocol_policy, compress, web_socket, .. } =
        spec.default_cache_behavior;
    assert_eq!(allowed_methods, ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]);
    assert_eq!(viewer_protocol_policy, None, "depends on viewerCertificate");
    assert!(!compress);
    let expected = WebSocket {
        enabled: true,
        idle_timeout: Duration::from_secs(600),
        max_duration: None,
        max_duration_jitter_percent: 10,
        ping_interval: None,
        allowed_origins: vec![],
        limits: WebSocketLimits::default(),
        on_origin_terminating: OnOriginTerminating::Keep,
        rebalance: None,
    };
    assert_eq!(web_socket, expected);
}

#[test]
fn a_spec_has_its_documented_defaults() {
    let spec = spec(json!({"viewerCertificate": {"secretName": "chat-tls"}}));
    assert!(spec.enabled);
    assert_eq!(spec.http_version, HttpVersion::Http2);
    assert_eq!(spec.viewer_certificate.unwrap().minimum_protocol_version, "TLSv1.2_2021");
}

#[test]
fn an_empty_block_means_the_same_as_an_absent_one() {
    let blocks = json!({
        "id": "app", "service": {"name": "chat"},
        "originTls": {}, "loadBalancing": {}, "outlierDetection": {},
    });
    assert_eq!(spec(json!({"origins": [blocks]})), spec(json!({})));
    let blocks = json!({
        "targetOriginId": "app", "responseHeadersPolicy": {"securityHeadersConfig": {}, "serverTiming": {}},
        "sourceRanges": {}, "webSocket": {"limits": {}},
    });
    assert_eq!(spec(json!({"defaultCacheBehavior": blocks})), spec(json!({})));
}

#[test]
fn the_fields_of_a_behavior_stand_beside_its_path() {
    let spec =
        spec(json!({"cacheBehaviors": [{"pathPattern": "/a", "targetOriginId": "app", "compress": true}]}));
    let [CacheBehavior { path_pattern, behavior }] = spec.cache_behaviors.as_slice() else {
        panic!("one behavior")
    };
    assert_eq!((path_pattern.as_str(), behavior.compress), ("/a", true));
}

#[test]
fn a_new_object_is_not_ready_before_a_controller_saw_it() {
    let schema = serde_json::to_value(crd()).unwrap();
    let status = &schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
    let pending = &status["default"]["conditions"];
    assert_eq!(pending[0]["type"], "Ready");
    assert_eq!(pending[0]["status"], "Unknown");
    assert_eq!(pending[0]["reason"], "Pending");
    assert_eq!(&status["properties"]["conditions"]["default"], pending);
}
