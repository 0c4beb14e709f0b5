//! A Distribution that uses up its limits: as many and as long parts as one object of 1 MB can have.
//!
//! The API server bounds what the rules may cost on one object; this one says whether they keep within that.

use serde_json::{Value, json};
use tidegate::api::validate_object;

/// The Distribution; no rule refuses it.
pub(crate) fn maximal() -> Value {
    json!({
        "apiVersion": "tidegate.io/v1alpha1",
        "kind": "Distribution",
        "metadata": {"name": "maximal"},
        "spec": {
            "aliases": numbered(100, |n| format!("{n:03}{0}.{0}.{0}.{0}", "a".repeat(59))),
            "viewerCertificate": {"secretName": "tls"},
            "viewerMtls": {"mode": "required", "caSecretName": "ca"},
            "origins": numbered(64, origin),
            "originGroups": numbered(32, |n| json!({
                "id": id("group", n),
                "members": numbered(8, |m| id("origin", 63 - m)),
                "failoverCriteria": {"statusCodes": [400, 403, 404, 416, 429, 500, 502, 503, 504]},
            })),
            "cacheBehaviors": numbered(100, |n| {
                let mut behavior = behavior();
                behavior["pathPattern"] = format!("/{n:0254}").into();
                behavior
            }),
            "defaultCacheBehavior": behavior(),
        },
    })
}

fn origin(n: usize) -> Value {
    json!({
        "id": id("origin", n),
        "service": {"name": "s".repeat(63), "namespace": "n".repeat(63)},
        "originProtocolPolicy": "https-only",
        "originTls": {"certificateSha256": numbered(16, |n| format!("{n:064x}"))},
        "customHeaders": numbered(16, |n| json!({"name": format!("X-{n:0126}"), "value": "v"})),
        "loadBalancing": {"algorithm": "hash", "hashOn": {"headerName": "h".repeat(128)}},
        "outlierDetection": {"statusCodes": numbered(32, |n| 500 + n)},
    })
}

fn behavior() -> Value {
    json!({
        "targetOriginId": id("group", 31),
        "allowedMethods": numbered(20, |n| format!("M{n:031}")),
        "sourceRanges": {"deny": numbered(32, |n| format!("2001:0db8:ffff:ffff:ffff:ffff:ffff:{n:04x}/128"))},
        "responseHeadersPolicy": {
            "removeHeaders": numbered(8, |n| format!("R-{n:0126}")),
            "customHeaders": numbered(16, |n| json!({"name": format!("X-{n:0126}"), "value": "v"})),
        },
        "webSocket": {"allowedOrigins": numbered(10, |n| format!("https://{n:0247}"))},
    })
}

fn id(kind: &str, n: usize) -> String {
    format!("{kind}{n:0width$}", width = 128 - kind.len())
}

fn numbered<T>(count: usize, one: impl Fn(usize) -> T) -> Value
where
    Value: From<T>,
{
    (0..count).map(|n| Value::from(one(n))).collect()
}

#[test]
fn the_maximal_distribution_is_a_good_one_of_a_megabyte() {
    let maximal = maximal();
    assert_eq!(validate_object(&maximal), []);
    let size = maximal.to_string().len();
    assert!((1_000_000..1_500_000).contains(&size), "{size} bytes, where etcd takes 1.5 MB");
}
