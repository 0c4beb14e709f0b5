//! What is read of a file, and of all that is not quite one.

use serde_json::{Value, json};

use super::*;

fn ours() -> Whose {
    Whose {
        class_name: "tidegate".to_owned(),
        default_class: true,
        also_serve_class: None,
        namespaces: BTreeSet::new(),
    }
}

fn object<T: serde::de::DeserializeOwned>(object: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(object).unwrap())
}

/// One of each.
fn everything() -> Snapshot {
    let key = || ObjectKey::new("shop", "web");
    let metadata = json!({"namespace": "shop", "name": "web", "uid": "u", "generation": 7,
                          "creationTimestamp": "2026-06-01T00:00:00Z", "labels": {"a": "b"}});
    let undecodable = Undecodable {
        uid: None,
        generation: Some(8),
        class_name: None,
        message: "field spec: odd".to_owned(),
    };
    Snapshot {
        distributions: [(
            key(),
            object(json!({
                "apiVersion": "tidegate.io/v1alpha1", "kind": "Distribution", "metadata": metadata,
                "spec": {"origins": [{"id": "a", "service": {"name": "web"}}],
                         "defaultCacheBehavior": {"targetOriginId": "a"}},
            })),
        )]
        .into(),
        services: [(
            key(),
            object(json!({
                "apiVersion": "v1", "kind": "Service", "metadata": metadata,
                "spec": {"ports": [{"port": 80, "targetPort": "http"}]},
            })),
        )]
        .into(),
        endpoint_slices: [(
            key(),
            object(json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata,
                "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 8080}],
            })),
        )]
        .into(),
        secrets: [(
            key(),
            object(json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls",
                "data": {"tls.crt": "Y2VydA==", "tls.key": "cHJpdmF0ZQ=="},
            })),
        )]
        .into(),
        config_maps: [(
            key(),
            object(json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": "ca"},
            })),
        )]
        .into(),
        reference_grants: [(
            key(),
            object(json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "ReferenceGrant", "metadata": metadata,
                "spec": {"from": [], "to": []},
            })),
        )]
        .into(),
        challenges: [(
            key(),
            object(json!({
                "apiVersion": "acme.cert-manager.io/v1", "kind": "Challenge", "metadata": metadata,
                "spec": {"dnsName": "shop.example.com", "type": "HTTP-01", "token": "t", "key": "t.k"},
            })),
        )]
        .into(),
        problems: Problems {
            undecodable: [((Kind::Distribution, key()), undecodable)].into(),
            files: Vec::new(),
            degraded: [
                ((Kind::Secret, None), "grant it".to_owned()),
                ((Kind::Service, Some("shop".to_owned())), "grant it".to_owned()),
            ]
            .into(),
            read_by_name: [(Kind::Secret, key())].into(),
            unreadable: [((Kind::ConfigMap, key()), "grant it".to_owned())].into(),
        },
        stored: None,
    }
}

fn at() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn written(snapshot: &Snapshot, keys: Keys) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(snapshot, at(), &ours(), keys, &mut bytes).unwrap();
    bytes
}

/// The same body under a digest that fits.
fn sealed(head: &str, body: &str) -> Vec<u8> {
    let digested = format!("{head}\n{body}\n");
    [digested.as_bytes(), last_line(&digest(&SHA256, digested.as_bytes())).as_bytes()].concat()
}

#[test]
fn what_is_read_is_what_was_written() {
    let before = everything();
    let after = read(&written(&before, Keys::Kept), &ours()).unwrap();
    assert_eq!(after.distributions, before.distributions);
    assert_eq!(after.services, before.services);
    assert_eq!(after.endpoint_slices, before.endpoint_slices);
    assert_eq!(after.secrets, before.secrets);
    assert_eq!(after.config_maps, before.config_maps);
    assert_eq!(after.reference_grants, before.reference_grants);
    assert_eq!(after.challenges, before.challenges);
    assert_eq!(after.problems, before.problems);
    assert_eq!(after.stored, Some(Stored { at: at(), keys: Keys::Kept }));
    assert_eq!(written(&after, Keys::Kept), written(&before, Keys::Kept));
}

#[test]
fn without_keys_nothing_of_a_secret_is_written_but_its_name() {
    let bytes = written(&everything(), Keys::LeftOut);
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(!text.contains("cHJpdmF0ZQ") && !text.contains("tls.key"), "{text}");
    let after = read(&bytes, &ours()).unwrap();
    assert_eq!(after.stored, Some(Stored { at: at(), keys: Keys::LeftOut }));
    assert!(after.secrets.values().all(|secret| secret.data.is_none()));
    assert_eq!(after.distributions, everything().distributions);
}

#[test]
fn every_file_that_is_cut_short_is_ignored() {
    let bytes = written(&everything(), Keys::Kept);
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length], &ours()).is_err(), "{length} bytes of {}", bytes.len());
    }
}

#[test]
fn every_file_with_a_bit_that_is_another_is_ignored() {
    let mut bytes = written(&everything(), Keys::Kept);
    for place in 0..bytes.len() {
        for bit in 0..8 {
            bytes[place] ^= 1 << bit;
            assert!(read(&bytes, &ours()).is_err(), "bit {bit} of byte {place}");
            bytes[place] ^= 1 << bit;
        }
    }
    assert!(read(&bytes, &ours()).is_ok());
    bytes.push(b'\n');
    assert_eq!(read(&bytes, &ours()).unwrap_err(), Unusable::Damaged);
}

#[test]
fn why_a_file_is_ignored_is_told_in_a_sentence_that_quotes_nothing() {
    let refused = |bytes: &[u8]| read(bytes, &ours()).unwrap_err().to_string();
    for other in [
        "",
        "{}",
        "nginx snapshot 1\n",
        "tidegate snapshot \n",
        "tidegate snapshot 1",
        "tidegate snapshot +1\n",
    ] {
        assert_eq!(refused(other.as_bytes()), "is no snapshot of Tidegate", "{other}");
    }
    for version in [0, 2, 4_294_967_295_u32] {
        let told = refused(&sealed(&format!("tidegate snapshot {version}"), "{}"));
        assert_eq!(told, format!("has version {version} of its format, and this release reads version 1"));
    }
    assert!(refused(b"tidegate snapshot 1\n{}\n").starts_with("is damaged or cut short"));
    let told = refused(&sealed("tidegate snapshot 1", "{\"at\":\"hunter2\"}"));
    assert!(told.starts_with("holds what this release cannot read") && !told.contains("hunter2"), "{told}");
}

#[test]
fn what_another_installation_kept_is_ignored() {
    let bytes = written(&everything(), Keys::Kept);
    let others = [
        Whose { class_name: "internal".to_owned(), ..ours() },
        Whose { default_class: false, ..ours() },
        Whose { also_serve_class: Some("old".to_owned()), ..ours() },
        Whose { namespaces: ["shop".to_owned()].into(), ..ours() },
    ];
    for other in others {
        let told = read(&bytes, &other).unwrap_err().to_string();
        assert!(told.starts_with("is of another installation: of class tidegate with "), "{told}");
        assert!(told.ends_with(&format!("this one serves {other}")), "{told}");
    }
}

#[test]
fn a_file_that_the_first_release_wrote_is_read() {
    let recorded = include_bytes!("../../../tests/recorded/snapshot-1");
    let read = read(recorded, &ours()).unwrap();
    assert_eq!(read.distributions, everything().distributions);
    assert_eq!(read.secrets, everything().secrets);
    assert_eq!(read.problems, everything().problems);
}
