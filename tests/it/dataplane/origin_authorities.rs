//! Authorities out of a ConfigMap, from the objects to the connection.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tidegate::dataplane::Limits;
use tidegate::object::ObjectKey;
use tidegate::snapshot::Snapshot;
use tidegate::translate::{EndpointAddresses, Memory, Options, translate};

use super::origin_tls::{Issuer, TlsOrigin, pass, refused};
use super::rig::Plane;

fn object<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).unwrap())
}

/// `web.example`, whose origin is at `address` and trusted for what `issuer` says.
fn snapshot(address: SocketAddr, issuer: &Issuer) -> Snapshot {
    let metadata = |name: &str| json!({"namespace": "shop", "name": name});
    let key = |name: &str| ObjectKey::new("shop", name);
    let distribution = json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Distribution", "metadata": metadata("web"),
        "spec": {
            "aliases": ["web.example"],
            "origins": [{
                "id": "app", "service": {"name": "app"}, "originProtocolPolicy": "https-only",
                "originTls": {"caConfigMapName": "ca"},
            }],
            "defaultCacheBehavior": {"targetOriginId": "app", "viewerProtocolPolicy": "allow-all"},
        },
    });
    let service = json!({"metadata": metadata("app"), "spec": {"ports": [{"name": "https", "port": 443}]}});
    let slice = json!({
        "metadata": {"namespace": "shop", "name": "app-1", "labels": {"kubernetes.io/service-name": "app"}},
        "addressType": "IPv4", "ports": [{"name": "https", "port": address.port()}],
        "endpoints": [{"addresses": [address.ip()]}],
    });
    let config_map = json!({"metadata": metadata("ca"), "data": {"ca.crt": issuer.pem()}});
    let mut snapshot = Snapshot::default();
    snapshot.distributions.insert(key("web"), object(distribution));
    snapshot.services.insert(key("app"), object(service));
    snapshot.endpoint_slices.insert(key("app-1"), object(slice));
    snapshot.config_maps.insert(key("ca"), object(config_map));
    snapshot
}

#[tokio::test]
async fn who_is_trusted_stands_in_a_config_map_and_a_change_reaches_the_next_connection() {
    let (issuer, stranger) = (Issuer::new("one"), Issuer::new("other"));
    let origin = TlsOrigin::showing(&issuer.issue("app.shop.svc")).await;
    let plane = Plane::of_one_worker(Limits::default(), vec![]);
    let options = Options {
        default_certificate: None,
        base_domain: None,
        endpoint_addresses: EndpointAddresses::Standalone,
        zone: None,
        acme_unclaimed_hosts: false,
    };
    let mut memory = Memory::default();
    for (trusted, good) in [(&stranger, false), (&issuer, true), (&stranger, false), (&issuer, true)] {
        let translation = translate(&snapshot(origin.address(), trusted), &options, memory);
        plane.handle.publish(translation.table);
        memory = translation.memory;
        match good {
            true => drop(pass(&plane, &origin).await),
            false => refused(&plane, &origin).await,
        }
    }
}
