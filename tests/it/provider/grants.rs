//! ReferenceGrants: a kind that a cluster may do without, in one of two versions.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::provider::Provider;
use tidegate::provider::kube::{Limits, Settings};
use tidegate::snapshot::Kind;
use tokio::time::{sleep, timeout};

use super::stub::Stub;
use super::{LIMIT, key, settings, snapshot, start};

const PLURAL: &str = "referencegrants";

fn grant() -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": "grant", "uid": "g"},
        "spec": {
            "from": [{"group": "tidegate.io", "kind": "Distribution", "namespace": "blog"}],
            "to": [{"group": "", "kind": "Service"}],
        },
    })
}

/// The versions that were asked for, in this order, each once.
fn versions(stub: &Stub) -> Vec<String> {
    let asked = stub.requests(|seen| seen.target.contains(PLURAL));
    let mut versions: Vec<String> =
        asked.iter().filter_map(|seen| seen.target.split('/').nth(3).map(str::to_owned)).collect();
    versions.dedup();
    versions
}

#[tokio::test]
async fn grants_come_with_the_first_snapshot_and_go_at_once() {
    let stub = Stub::default();
    stub.put(PLURAL, grant());
    let (provider, _guard) = start(&stub, &settings());
    let first = snapshot(&provider, |_| true).await;
    assert!(first.reference_grants.contains_key(&key("grant")));
    assert_eq!(versions(&stub), ["v1"]);
    stub.delete(PLURAL, "shop/grant");
    snapshot(&provider, |it| it.reference_grants.is_empty()).await;
}

#[tokio::test]
async fn an_api_server_that_knows_only_the_older_version_is_asked_for_that() {
    let stub = Stub::default();
    stub.put(PLURAL, grant());
    stub.fail("v1/referencegrants", Some(404));
    let (provider, _guard) = start(&stub, &settings());
    let first = snapshot(&provider, |_| true).await;
    assert!(first.reference_grants.contains_key(&key("grant")));
    assert_eq!(versions(&stub), ["v1", "v1beta1"]);
    stub.permit("v1/referencegrants");
    stub.fail("v1beta1/referencegrants", Some(404));
    stub.cut(PLURAL);
    let mut changed = grant();
    changed["metadata"]["uid"] = json!("h");
    stub.put(PLURAL, changed);
    snapshot(&provider, |it| it.reference_grants[&key("grant")].metadata.uid.as_deref() == Some("h")).await;
    assert_eq!(versions(&stub), ["v1", "v1beta1", "v1"], "an upgrade took the older one away");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_the_kind_starts_at_once_and_has_it_when_it_comes() {
    let stub = Stub::default();
    stub.put(PLURAL, grant());
    stub.fail(PLURAL, Some(404));
    let settings = Settings { limits: Limits::default(), ..settings() };
    let (provider, _guard) = start(&stub, &settings);
    let mut changes = provider.changes();
    timeout(Duration::from_secs(1), changes.wait_for(|_| provider.snapshot().is_some()))
        .await
        .expect("nothing is waited for")
        .expect("the provider lives");
    sleep(settings.limits.first_patience * 2).await;
    let without = provider.snapshot().expect("there was one");
    assert!(without.reference_grants.is_empty());
    assert!(without.problems.degraded.is_empty(), "to be without is no fault: {:?}", without.problems);
    stub.permit(PLURAL);
    let comes = changes.wait_for(|_| provider.snapshot().is_some_and(|it| !it.reference_grants.is_empty()));
    timeout(Duration::from_secs(60), comes).await.expect("it is looked for").expect("the provider lives");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_unknown_for_a_moment_keeps_its_objects_and_one_that_stays_so_does_not() {
    let stub = Stub::default();
    stub.put(PLURAL, grant());
    let settings = Settings { limits: Limits::default(), ..settings() };
    let (provider, _guard) = start(&stub, &settings);
    let mut changes = provider.changes();
    let held = |count| move |it: &tidegate::snapshot::Snapshot| it.reference_grants.len() == count;
    changes
        .wait_for(|_| provider.snapshot().is_some_and(|it| held(1)(&it)))
        .await
        .expect("the provider lives");
    stub.fail(PLURAL, Some(404));
    sleep(settings.limits.patience / 2).await;
    assert!(provider.snapshot().is_some_and(|it| held(1)(&it)), "an API server begins without");
    let goes = changes.wait_for(|_| provider.snapshot().is_some_and(|it| held(0)(&it)));
    timeout(LIMIT * 6, goes).await.expect("in time").expect("the provider lives");
}

#[tokio::test]
async fn grants_that_are_forbidden_degrade_their_kind_and_what_is_known_stays() {
    let stub = Stub::default();
    stub.put(PLURAL, grant());
    let (provider, _guard) = start(&stub, &settings());
    snapshot(&provider, |it| it.reference_grants.len() == 1).await;
    stub.forbid(PLURAL);
    let degraded = snapshot(&provider, |it| !it.problems.degraded.is_empty()).await;
    let remedy = &degraded.problems.degraded[&(Kind::ReferenceGrant, None)];
    assert!(
        remedy.contains(r#"apiGroups ["gateway.networking.k8s.io"], resources ["referencegrants"]"#),
        "{remedy}"
    );
    assert_eq!(degraded.reference_grants.len(), 1);
    stub.permit(PLURAL);
    snapshot(&provider, |it| it.problems.degraded.is_empty()).await;
}
