//! An API server that answers.

use std::sync::Arc;

use serde_json::json;
use tidegate::snapshot::Kind;

use super::stub::Stub;
use super::{distribution, key, service, settings, snapshot, start, with};

#[tokio::test]
async fn what_is_listed_and_what_comes_later_are_in_the_snapshot() {
    let stub = Stub::default();
    stub.put("distributions", distribution("web"));
    let (provider, _guard) = start(&stub, &settings());
    snapshot(&provider, |it| it.distributions.contains_key(&key("web"))).await;
    stub.put("services", service("app"));
    snapshot(&provider, |it| it.services.contains_key(&key("app"))).await;
}

#[tokio::test]
async fn an_empty_cluster_is_a_snapshot() {
    let (provider, _guard) = start(&Stub::default(), &settings());
    let empty = snapshot(&provider, |_| true).await;
    assert!(empty.distributions.is_empty());
}

#[tokio::test]
async fn a_deleted_object_is_gone() {
    let stub = Stub::default();
    stub.put("distributions", distribution("web"));
    let (provider, _guard) = start(&stub, &settings());
    snapshot(&provider, |it| it.distributions.len() == 1).await;
    stub.delete("distributions", "shop/web");
    snapshot(&provider, |it| it.distributions.is_empty()).await;
}

#[tokio::test]
async fn an_object_that_did_not_change_stays_the_very_same() {
    let stub = Stub::default();
    stub.put("distributions", distribution("web"));
    let (provider, _guard) = start(&stub, &settings());
    let before = snapshot(&provider, |it| it.distributions.len() == 1).await;
    let mut noted = distribution("web");
    noted["metadata"]["annotations"] = json!({"note": "nobody reads this"});
    noted["status"] = json!({"hosts": "web.example.com"});
    stub.put("distributions", noted);
    stub.put("distributions", distribution("blog"));
    let after = snapshot(&provider, |it| it.distributions.len() == 2).await;
    assert!(Arc::ptr_eq(&before.distributions[&key("web")], &after.distributions[&key("web")]));
    assert_eq!(*provider.statuses()[&key("web")], json!({"hosts": "web.example.com"}));
}

#[tokio::test]
async fn an_object_that_does_not_decode_costs_only_itself() {
    let stub = Stub::default();
    stub.put("distributions", distribution("good"));
    stub.put("distributions", with(distribution("bad"), "/spec/origins/0/id", json!(4)));
    let (provider, _guard) = start(&stub, &settings());
    let seen = snapshot(&provider, |_| true).await;
    assert_eq!(seen.distributions.keys().collect::<Vec<_>>(), [&key("good")]);
    let problem = &seen.problems.undecodable[&(Kind::Distribution, key("bad"))];
    assert!(problem.message.contains("spec.origins[0].id"), "{}", problem.message);
    assert_eq!(problem.uid.as_deref(), Some("uid-of-bad"));
}

#[tokio::test]
async fn what_stops_to_decode_keeps_its_last_good_version_until_it_heals() {
    let stub = Stub::default();
    stub.put("distributions", distribution("web"));
    let (provider, _guard) = start(&stub, &settings());
    let good = snapshot(&provider, |it| it.distributions.len() == 1).await;
    stub.put("distributions", with(distribution("web"), "/spec/aliases", json!("not a list")));
    let bad = snapshot(&provider, |it| !it.problems.undecodable.is_empty()).await;
    assert!(Arc::ptr_eq(&good.distributions[&key("web")], &bad.distributions[&key("web")]));
    stub.put("distributions", distribution("web"));
    snapshot(&provider, |it| it.problems.undecodable.is_empty()).await;
}

#[tokio::test]
async fn what_does_not_decode_and_is_deleted_leaves_nothing() {
    let stub = Stub::default();
    stub.put("distributions", distribution("web"));
    let (provider, _guard) = start(&stub, &settings());
    snapshot(&provider, |it| it.distributions.len() == 1).await;
    stub.put("distributions", with(distribution("web"), "/spec/aliases", json!("not a list")));
    snapshot(&provider, |it| !it.problems.undecodable.is_empty()).await;
    stub.delete("distributions", "shop/web");
    snapshot(&provider, |it| it.distributions.is_empty() && it.problems.undecodable.is_empty()).await;
}

#[tokio::test]
async fn the_last_good_version_of_a_namesake_is_not_kept() {
    let stub = Stub::default();
    stub.put("distributions", distribution("web"));
    let (provider, _guard) = start(&stub, &settings());
    snapshot(&provider, |it| it.distributions.len() == 1).await;
    let anew = with(distribution("web"), "/metadata/uid", json!("another"));
    stub.put("distributions", with(anew, "/spec/aliases", json!("not a list")));
    snapshot(&provider, |it| it.distributions.is_empty() && it.problems.undecodable.len() == 1).await;
}

#[tokio::test]
async fn a_distribution_that_changes_its_class_leaves_and_returns() {
    let stub = Stub::default();
    let mut web = distribution("web");
    stub.put("distributions", web.clone());
    let (provider, _guard) = start(&stub, &settings());
    snapshot(&provider, |it| it.distributions.len() == 1).await;
    web["spec"]["className"] = json!("another");
    stub.put("distributions", web.clone());
    snapshot(&provider, |it| it.distributions.is_empty()).await;
    web["spec"]["className"] = json!("tidegate");
    stub.put("distributions", web);
    snapshot(&provider, |it| it.distributions.len() == 1).await;
}

#[tokio::test]
async fn without_the_default_class_only_the_named_one_is_ours() {
    let stub = Stub::default();
    stub.put("distributions", distribution("unnamed"));
    let mut named = distribution("named");
    named["spec"]["className"] = json!("tidegate");
    stub.put("distributions", named);
    let mut settings = settings();
    settings.class.default = false;
    let (provider, _guard) = start(&stub, &settings);
    let seen = snapshot(&provider, |_| true).await;
    assert_eq!(seen.distributions.keys().collect::<Vec<_>>(), [&key("named")]);
}

#[tokio::test]
async fn only_the_named_namespaces_are_watched() {
    let stub = Stub::default();
    stub.put("distributions", distribution("web"));
    stub.put("distributions", with(distribution("web"), "/metadata/namespace", json!("blog")));
    stub.put("distributions", with(distribution("web"), "/metadata/namespace", json!("else")));
    let mut settings = settings();
    settings.namespaces = vec!["shop".to_owned(), "blog".to_owned()];
    let (provider, _guard) = start(&stub, &settings);
    let seen = snapshot(&provider, |_| true).await;
    let namespaces: Vec<_> = seen.distributions.keys().map(|key| key.namespace.as_str()).collect();
    assert_eq!(namespaces, ["blog", "shop"]);
}

#[tokio::test]
async fn of_secrets_only_certificates_are_asked_for() {
    let stub = Stub::default();
    let (provider, _guard) = start(&stub, &settings());
    snapshot(&provider, |_| true).await;
    let asked = stub.requests(|seen| seen.target.contains("/secrets"));
    assert!(
        asked.iter().all(|seen| seen.target.contains("fieldSelector=type%3Dkubernetes.io%2Ftls")),
        "{asked:?}"
    );
}
