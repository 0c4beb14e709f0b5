//! Arbitrary clusters: few names, so that objects meet, and much that is wrong with them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use rcgen::generate_simple_self_signed;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tidegate::object::ObjectKey;
use tidegate::snapshot::Snapshot;

/// The aliases of the arbitrary Distributions.
pub(super) const HOSTS: &[&str] =
    &["a.example.com", "*.example.com", "b.a.example.com", "*.a.example.com", "example.com", "a.test"];

const NAMESPACES: &[&str] = &["a", "b"];
const DISTRIBUTIONS: &[&str] = &["u", "v", "w"];
const SERVICES: &[&str] = &["s1", "s2"];

/// Two origins, a group, which a Distribution may not have, and what none has.
const TARGETS: &[&str] = &["o", "p", "g", "missing"];

/// One object, as it is written.
#[derive(Clone, Debug)]
pub(super) struct Object(Value);

impl Object {
    /// Its namespace and name.
    pub(super) fn key(&self) -> ObjectKey {
        let part = |name: &str| self.0["metadata"][name].as_str().unwrap();
        ObjectKey::new(part("namespace"), part("name"))
    }

    /// Creates or replaces it; one that does not decode is not stored.
    pub(super) fn put(&self, snapshot: &mut Snapshot) {
        match self.kind() {
            "Distribution" => self.store(&mut snapshot.distributions),
            "Service" => self.store(&mut snapshot.services),
            "EndpointSlice" => self.store(&mut snapshot.endpoint_slices),
            "ReferenceGrant" => self.store(&mut snapshot.reference_grants),
            _ => self.store(&mut snapshot.secrets),
        }
    }

    /// Deletes it, where it exists.
    pub(super) fn delete(&self, snapshot: &mut Snapshot) {
        let key = self.key();
        match self.kind() {
            "Distribution" => drop(snapshot.distributions.remove(&key)),
            "Service" => drop(snapshot.services.remove(&key)),
            "EndpointSlice" => drop(snapshot.endpoint_slices.remove(&key)),
            "ReferenceGrant" => drop(snapshot.reference_grants.remove(&key)),
            _ => drop(snapshot.secrets.remove(&key)),
        }
    }

    fn kind(&self) -> &str {
        self.0["kind"].as_str().unwrap()
    }

    fn store<T: DeserializeOwned>(&self, objects: &mut BTreeMap<ObjectKey, Arc<T>>) {
        if let Ok(object) = serde_json::from_value(self.0.clone()) {
            objects.insert(self.key(), Arc::new(object));
        }
    }
}

/// A Distribution whose origin is Service `s1`.
pub(super) fn distribution(namespace: &str, name: &str, aliases: &[&str]) -> Object {
    Object(json!({
        "apiVersion": "tidegate.io/v1alpha1",
        "kind": "Distribution",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "aliases": aliases,
            "origins": [{"id": "o", "service": {"name": "s1"}}],
            "defaultCacheBehavior": {"targetOriginId": "o"},
        },
    }))
}

/// A Service with port 80.
pub(super) fn service(namespace: &str, name: &str) -> Object {
    service_with(namespace, name, json!({"ports": [{"port": 80}]}))
}

fn service_with(namespace: &str, name: &str, spec: Value) -> Object {
    Object(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": spec,
    }))
}

/// A slice with one ready endpoint.
pub(super) fn slice(namespace: &str, service: &str, address: &str) -> Object {
    slice_with(namespace, service, json!([{"addresses": [address]}]))
}

fn slice_with(namespace: &str, service: &str, endpoints: Value) -> Object {
    Object(json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace,
            "name": format!("{service}-1"),
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "ports": [{"port": 8080}],
        "endpoints": endpoints,
    }))
}

fn secret(namespace: &str, name: &str, (chain, key): (&str, &str)) -> Object {
    Object(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": namespace, "name": name},
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": STANDARD.encode(chain), "tls.key": STANDARD.encode(key)},
    }))
}

/// Chain and key in PEM.
static CERTIFICATES: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    [vec!["a.example.com"], vec!["*.example.com", "a.test"]]
        .into_iter()
        .map(|names| {
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            let made = generate_simple_self_signed(names).unwrap();
            (made.cert.pem(), made.signing_key.serialize_pem())
        })
        .collect()
});

/// A cluster in which no object exists twice.
pub(super) fn objects() -> impl Strategy<Value = Vec<Object>> {
    let object = prop_oneof![3 => good_object(), 1 => bad_secret()];
    prop::collection::vec(object, 0..16).prop_map(|objects| {
        let unique: BTreeMap<_, _> =
            objects.into_iter().map(|object| ((object.kind().to_owned(), object.key()), object)).collect();
        unique.into_values().collect()
    })
}

/// An object of any kind, of which no certificate is bad.
pub(super) fn good_object() -> impl Strategy<Value = Object> {
    let distributions = (select(NAMESPACES), select(DISTRIBUTIONS), aliases())
        .prop_flat_map(|(namespace, name, aliases)| distribution_at(namespace, name, &aliases));
    prop_oneof![4 => distributions, 2 => a_service(), 2 => a_slice(), 1 => good_secret(), 1 => a_grant()]
}

fn aliases() -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(HOSTS, 0..=3)
}

/// A Distribution of this name with these aliases, whatever else it says; in namespace `z` without timestamp.
pub(super) fn distribution_at(namespace: &str, name: &str, aliases: &[&str]) -> BoxedStrategy<Object> {
    let base = distribution(namespace, name, aliases);
    let dated = namespace != "z";
    let spec = (
        prop::option::of(2020..2024_i32),
        select(SERVICES),
        prop::option::of(select(vec![json!(80), json!("http"), json!(9)])),
        prop::option::of((select(SERVICES), prop::option::of(select(NAMESPACES)))),
        prop::option::of(select(NAMESPACES)),
        any::<bool>(),
        behavior(),
        select(TARGETS),
        prop::collection::vec(group(), 0..3),
        prop::collection::vec(error_page(), 0..3),
    );
    spec.prop_map(
        move |(year, service, port, certificate, foreign, enabled, ordered, target, groups, pages)| {
            let Object(mut object) = base.clone();
            if let Some(year) = year.filter(|_| dated) {
                object["metadata"]["creationTimestamp"] = format!("{year}-01-01T00:00:00Z").into();
            }
            let spec = &mut object["spec"];
            spec["enabled"] = enabled.into();
            spec["origins"][0]["service"]["name"] = service.into();
            if let Some(port) = port {
                spec["origins"][0]["httpPort"] = port;
            }
            if let Some((secret, namespace)) = certificate {
                spec["viewerCertificate"] = json!({"secretName": secret, "secretNamespace": namespace});
            }
            if let Some(namespace) = foreign {
                spec["origins"][0]["service"]["namespace"] = namespace.into();
            }
            if let Value::Array(origins) = &mut spec["origins"] {
                origins.push(json!({"id": "p", "service": {"name": "s2"}}));
            }
            spec["originGroups"] = groups.into();
            spec["customErrorResponses"] = pages.into();
            spec["defaultCacheBehavior"]["targetOriginId"] = target.into();
            spec["cacheBehaviors"] = json!([ordered]);
            Object(object)
        },
    )
    .boxed()
}

/// A behavior with the fields that say most.
fn behavior() -> impl Strategy<Value = Value> {
    let ranges =
        || prop::option::of(subsequence(vec!["10.0.0.0/8", "10.0.0.0/24", "::/0", "10.0.0.1/8"], 0..3));
    (select(TARGETS), any::<bool>(), ranges(), ranges(), prop::option::of(headers_policy())).prop_map(
        |(target, compress, allow, deny, policy)| {
            let mut behavior = json!({"pathPattern": "/x/*", "targetOriginId": target, "compress": compress});
            if allow.is_some() || deny.is_some() {
                let (allow, deny) = (allow.unwrap_or_default(), deny.unwrap_or_default());
                behavior["sourceRanges"] = json!({"allow": allow, "deny": deny});
            }
            if let Some(policy) = policy {
                behavior["responseHeadersPolicy"] = policy;
            }
            behavior
        },
    )
}

/// A policy with names that are refused or said twice among others.
fn headers_policy() -> impl Strategy<Value = Value> {
    let names = || subsequence(vec!["x-a", "X-A", "server", "content-encoding", "not a name"], 0..3);
    let cors = json!({"accessControlAllowOrigins": ["https://*.example.com", "null"]});
    let any_with_credentials =
        json!({"accessControlAllowOrigins": ["*"], "accessControlAllowCredentials": true});
    let security =
        json!({"strictTransportSecurity": {"accessControlMaxAgeSec": 60}, "contentTypeOptions": {}});
    (
        names(),
        names(),
        select(vec![Value::Null, cors, any_with_credentials]),
        select(vec![json!({}), security]),
        any::<bool>(),
    )
        .prop_map(|(removed, set, cors, security, overrides)| {
            let set: Vec<Value> = set
                .into_iter()
                .map(|name| json!({"name": name, "value": "v", "override": overrides}))
                .collect();
            json!({
                "removeHeaders": removed,
                "customHeaders": set,
                "corsConfig": cors,
                "securityHeadersConfig": security,
            })
        })
}

/// A group, whose members may be of another group or nowhere.
fn group() -> impl Strategy<Value = Value> {
    let statuses = subsequence(vec![403, 502, 503, 200], 0..3);
    (select(vec!["g", "h", "o"]), subsequence(TARGETS, 0..=3), statuses).prop_map(|(id, members, statuses)| {
        json!({"id": id, "members": members, "failoverCriteria": {"statusCodes": statuses}})
    })
}

/// An error page of the behavior for `/x/*` or of the default one.
fn error_page() -> impl Strategy<Value = Value> {
    let code = || select(vec![404, 503, 200]);
    (code(), select(vec!["/x/page.html", "/page.html", "page"]), prop::option::of(code())).prop_map(
        |(code, path, response)| json!({"errorCode": code, "responsePagePath": path, "responseCode": response}),
    )
}

fn a_service() -> impl Strategy<Value = Object> {
    let specs = vec![
        json!({"ports": [{"port": 80}]}),
        json!({"ports": [{"name": "http", "port": 80}, {"name": "other", "port": 9}]}),
        json!({"type": "ExternalName", "externalName": "example.org"}),
        json!({"ports": [{"port": 80, "appProtocol": "https"}]}),
    ];
    (select(NAMESPACES), select(SERVICES), select(specs))
        .prop_map(|(namespace, name, spec)| service_with(namespace, name, spec))
}

fn a_slice() -> impl Strategy<Value = Object> {
    let endpoint = (1..4_u8, prop::option::of(any::<bool>()), any::<bool>()).prop_map(|(last, ready, going)| {
        let address = format!("10.0.0.{last}");
        json!({"addresses": [address], "conditions": {"ready": ready, "serving": true, "terminating": going}})
    });
    (select(NAMESPACES), select(SERVICES), prop::collection::vec(endpoint, 0..4))
        .prop_map(|(namespace, service, endpoints)| slice_with(namespace, service, endpoints.into()))
}

/// A grant to the Distributions of a namespace, for one object or for all of a kind.
fn a_grant() -> impl Strategy<Value = Object> {
    let to = (select(vec!["Service", "Secret"]), prop::option::of(select(SERVICES)));
    (select(NAMESPACES), select(NAMESPACES), to).prop_map(|(namespace, from, (kind, name))| {
        Object(json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "ReferenceGrant",
            "metadata": {"namespace": namespace, "name": "grant"},
            "spec": {
                "from": [{"group": "tidegate.io", "kind": "Distribution", "namespace": from}],
                "to": [{"group": "", "kind": kind, "name": name}],
            },
        }))
    })
}

fn good_secret() -> impl Strategy<Value = Object> {
    (select(NAMESPACES), select(SERVICES), 0..2_usize).prop_map(|(namespace, name, which)| {
        let (chain, key) = &CERTIFICATES[which];
        secret(namespace, name, (chain, key))
    })
}

fn bad_secret() -> impl Strategy<Value = Object> {
    (select(NAMESPACES), select(SERVICES), any::<bool>()).prop_map(|(namespace, name, mismatched)| {
        let (chain, key) = (&CERTIFICATES[0].0, &CERTIFICATES[1].1);
        secret(namespace, name, if mismatched { (chain, key) } else { ("", "") })
    })
}

/// An object whose every word is arbitrary; names are few, so that it is looked at.
pub(super) fn hostile_object() -> impl Strategy<Value = Object> {
    let distributions =
        (select(NAMESPACES), select(DISTRIBUTIONS), hostile_spec()).prop_map(|(namespace, name, spec)| {
            let Object(mut object) = distribution(namespace, name, &[]);
            object["spec"] = spec;
            Object(object)
        });
    let services = (select(NAMESPACES), select(SERVICES), any::<i32>(), word()).prop_map(
        |(namespace, name, port, word)| {
            service_with(
                namespace,
                name,
                json!({"ports": [{"port": port, "name": word, "appProtocol": word}]}),
            )
        },
    );
    let slices = (select(NAMESPACES), select(SERVICES), any::<i32>(), word()).prop_map(
        |(namespace, service, port, word)| {
            let Object(mut slice) =
                slice_with(namespace, service, json!([{"addresses": [word, "10.0.0.1"]}]));
            slice["ports"] = json!([{"port": port}]);
            Object(slice)
        },
    );
    let secrets = (select(NAMESPACES), select(SERVICES), word(), word())
        .prop_map(|(namespace, name, chain, key)| secret(namespace, name, (&chain, &key)));
    prop_oneof![4 => distributions, 1 => services, 1 => slices, 1 => secrets]
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        select(vec!["o", "s1", "*", "*.", ".", "", "a.example.com", "169.254.0.1", "::", "X", "/", "viewer"])
            .prop_map(str::to_owned),
        select(vec!["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
            .prop_map(str::to_owned),
    ]
}

fn hostile_spec() -> impl Strategy<Value = Value> {
    let words = prop::collection::vec(word(), 26);
    let numbers = (any::<i32>(), any::<i32>(), 0..100_000_u32, any::<i32>());
    (words, numbers).prop_map(|(words, (port, attempts, seconds, status))| {
        json!({
            "aliases": [words[0], words[1], "a.example.com"],
            "defaultRootObject": words[2],
            "viewerCertificate": {"secretName": "s1", "minimumProtocolVersion": words[3]},
            "origins": [{
                "id": words[4],
                "service": {"name": "s1", "namespace": null},
                "httpPort": port,
                "originPath": words[5],
                "hostHeader": words[6],
                "customHeaders": [{"name": words[7], "value": words[8]}],
                "connectionAttempts": attempts,
                "connectionTimeout": format!("{seconds}s"),
            }, {"id": words[9], "service": {"name": words[10]}}],
            "originGroups": [{
                "id": words[14],
                "members": [words[4], words[15]],
                "failoverCriteria": {"statusCodes": [status, 503]},
            }],
            "cacheBehaviors": [{
                "pathPattern": words[11],
                "targetOriginId": words[4],
                "allowedMethods": [words[12]],
                "sourceRanges": {"allow": [words[16]], "deny": [words[17], "10.0.0.0/8"]},
                "responseHeadersPolicy": {
                    "removeHeaders": [words[18]],
                    "customHeaders": [{"name": words[19], "value": words[20]}],
                    "corsConfig": {
                        "accessControlAllowOrigins": [words[21]],
                        "accessControlAllowMethods": [words[22]],
                        "accessControlAllowHeaders": [words[23]],
                        "accessControlMaxAgeSec": attempts,
                    },
                    "securityHeadersConfig": {
                        "strictTransportSecurity": {"accessControlMaxAgeSec": status},
                        "contentSecurityPolicy": {"contentSecurityPolicy": words[24]},
                    },
                },
            }],
            "customErrorResponses": [{
                "errorCode": status,
                "responsePagePath": words[25],
                "responseCode": attempts,
            }],
            "defaultCacheBehavior": {"targetOriginId": words[13]},
        })
    })
}
