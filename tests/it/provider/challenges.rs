//! Challenges of ACME servers: a kind that only clusters with cert-manager have.

use serde_json::{Value, json};
use tidegate::provider::Provider;
use tidegate::snapshot::Kind;
use tokio::time::timeout;

use super::stub::Stub;
use super::{LIMIT, key, settings, snapshot, start};

const PLURAL: &str = "challenges";

fn challenge(token: Value) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": "acme", "uid": "c"},
        "spec": {
            "dnsName": "shop.example.com", "type": "HTTP-01", "token": token, "key": "token.thumbprint",
            "solver": {"http01": {}}, "url": "https://acme.example/1", "wildcard": false,
        },
        "status": {"state": "pending"},
    })
}

#[tokio::test]
async fn a_cluster_without_cert_manager_has_none_until_it_comes() {
    let stub = Stub::default();
    stub.put(PLURAL, challenge(json!("token")));
    stub.fail(PLURAL, Some(404));
    let (provider, _guard) = start(&stub, &settings());
    let without = snapshot(&provider, |_| true).await;
    assert!(without.challenges.is_empty());
    assert_eq!(without.problems.degraded, Default::default());
    let mut changes = provider.changes();
    stub.permit(PLURAL);
    let comes = changes.wait_for(|_| provider.snapshot().is_some_and(|it| !it.challenges.is_empty()));
    timeout(LIMIT, comes).await.expect("it comes in time").expect("the provider lives");
    let seen = snapshot(&provider, |_| true).await;
    assert_eq!(seen.challenges[&key("acme")].spec.token, "token");
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_and_costs_nothing_else() {
    let stub = Stub::default();
    stub.forbid(PLURAL);
    let (provider, _guard) = start(&stub, &settings());
    let degraded = snapshot(&provider, |it| !it.problems.degraded.is_empty()).await;
    let remedy = &degraded.problems.degraded[&(Kind::Challenge, None)];
    assert!(remedy.contains(r#"apiGroups ["acme.cert-manager.io"], resources ["challenges"]"#), "{remedy}");
    assert_eq!(degraded.problems.degraded.len(), 1);
}

#[tokio::test]
async fn one_that_does_not_decode_costs_only_itself() {
    let stub = Stub::default();
    stub.put(PLURAL, challenge(json!(4)));
    let (provider, _guard) = start(&stub, &settings());
    let seen = snapshot(&provider, |_| true).await;
    let problem = &seen.problems.undecodable[&(Kind::Challenge, key("acme"))];
    assert!(problem.message.contains("spec.token"), "{}", problem.message);
}
