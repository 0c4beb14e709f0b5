//! The Service whose addresses statuses tell, which may be of a namespace that is not served.

use serde_json::{Value, json};
use tidegate::api::LoadBalancerStatus;
use tidegate::provider::kube::{KubeProvider, Settings};
use tokio::time::timeout;

use super::stub::Stub;
use super::{LIMIT, distribution, key, settings, snapshot, start};

fn gate(load_balancer: Value) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": "gate", "uid": "g"},
        "spec": {"type": "LoadBalancer", "externalIPs": ["192.0.2.7", "192.0.2.8"]},
        "status": {"loadBalancer": load_balancer},
    })
}

fn publishing(name: &str) -> Settings {
    Settings { published_service: Some(key(name)), namespaces: vec!["blog".to_owned()], ..settings() }
}

/// Waits until viewers come to these entries.
async fn told(provider: &KubeProvider, ingress: Value) {
    let expected: LoadBalancerStatus = serde_json::from_value(json!({"ingress": ingress})).unwrap();
    let mut changes = provider.status_changes();
    let comes = async {
        while provider.load_balancer().as_ref() != Some(&expected) {
            changes.changed().await.expect("the provider lives");
        }
    };
    timeout(LIMIT, comes).await.unwrap_or_else(|_| panic!("{:?}", provider.load_balancer()));
}

#[tokio::test]
async fn addresses_are_those_of_the_load_balancer_and_the_external_ones() {
    let stub = Stub::default();
    let entry = json!({"ip": "192.0.2.7", "ipMode": "VIP", "ports": [{"port": 80, "protocol": "TCP"}]});
    stub.put("services", gate(json!({"ingress": [entry, {"hostname": "gate.example.com"}]})));
    let (provider, _guard) = start(&stub, &publishing("gate"));
    let external = json!({"ip": "192.0.2.8"});
    told(&provider, json!([{"ip": "192.0.2.7"}, {"hostname": "gate.example.com"}, external])).await;
    let seen = snapshot(&provider, |_| true).await;
    assert!(seen.services.is_empty(), "its namespace is not served");

    stub.put("services", gate(json!({})));
    told(&provider, json!([{"ip": "192.0.2.7"}, external])).await;
    stub.delete("services", "shop/gate");
    told(&provider, json!([])).await;
}

#[tokio::test]
async fn a_service_that_does_not_exist_has_no_address_and_one_that_may_not_be_read_an_unknown_one() {
    let stub = Stub::default();
    stub.put("distributions", distribution("web"));
    let (provider, _guard) = start(&stub, &publishing("nowhere"));
    told(&provider, json!([])).await;

    let stub = Stub::default();
    stub.put("services", gate(json!({"ingress": [{"ip": "192.0.2.7"}]})));
    stub.fail("services/gate", Some(403));
    let (provider, _guard) = start(&stub, &publishing("gate"));
    let seen = snapshot(&provider, |it| !it.problems.unreadable.is_empty()).await;
    let sentence = seen.problems.unreadable.values().next().expect("one");
    assert!(sentence.contains(r#"resources ["services"]"#), "{sentence}");
    assert_eq!(provider.load_balancer(), None);
    stub.permit("services/gate");
    told(&provider, json!([{"ip": "192.0.2.7"}, {"ip": "192.0.2.8"}])).await;
}
