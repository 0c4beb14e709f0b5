//! What Distributions name, and no list shows.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::provider::Provider;
use tidegate::provider::kube::{Limits, Settings};
use tidegate::snapshot::{Kind, Snapshot};
use tokio::time::{sleep, timeout};

use super::stub::Stub;
use super::{distribution, key, settings, snapshot, start, with};

/// `shop/web`, whose origin trusts and shows what `tls` names.
fn naming(tls: Value) -> Value {
    let origin = json!({"id": "app", "service": {"name": "app"}, "originTls": tls});
    with(distribution("web"), "/spec/origins/0", origin)
}

/// `shop/web`, whose origin is sent a value of this Secret.
fn sending(secret: &str) -> Value {
    let header = json!({"name": "X-Key", "valueFrom": {"secretName": secret, "key": "other"}});
    let origin = json!({"id": "app", "service": {"name": "app"}, "customHeaders": [header]});
    with(distribution("web"), "/spec/origins/0", origin)
}

fn secret(name: &str) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "uid": name}, "type": "Opaque",
        "data": {"ca.crt": "YQ==", "other": "Yg=="},
    })
}

fn config_map(namespace: &str, name: &str) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": name, "uid": name},
        "data": {"ca.crt": "a", "other": "b"}, "binaryData": {"other": "Yg=="},
    })
}

fn names(snapshot: &Snapshot) -> (Vec<&str>, Vec<&str>) {
    let secrets = snapshot.secrets.keys().map(|key| key.name.as_str());
    (secrets.collect(), snapshot.config_maps.keys().map(|key| key.name.as_str()).collect())
}

#[tokio::test]
async fn what_is_named_is_in_the_first_snapshot_and_nothing_else_of_its_kind_is_asked_for() {
    let stub = Stub::default();
    stub.put("distributions", naming(json!({"caConfigMapName": "ca", "clientCertificateSecretName": "own"})));
    for name in ["own", "other"] {
        stub.put("secrets", secret(name));
    }
    for (namespace, name) in [("shop", "ca"), ("shop", "other"), ("bank", "ca")] {
        stub.put("configmaps", config_map(namespace, name));
    }
    let (provider, _guard) = start(&stub, &settings());
    let first = snapshot(&provider, |_| true).await;
    assert_eq!(names(&first), (vec!["own"], vec!["ca"]));
    let secret = first.secrets[&key("own")].data.as_ref().unwrap();
    assert_eq!(secret.keys().collect::<Vec<_>>(), ["ca.crt", "other"], "any key may be meant");
    let config_map = &first.config_maps[&key("ca")];
    assert_eq!(config_map.data.as_ref().unwrap().keys().collect::<Vec<_>>(), ["ca.crt"]);
    let asked =
        stub.requests(|seen| seen.target.contains("/secrets?") || seen.target.contains("/configmaps?"));
    let narrow = |target: &str| {
        target.contains("type%3Dkubernetes.io%2Ftls")
            || (target.contains("/namespaces/shop/") && target.contains("fieldSelector=metadata.name%3D"))
    };
    assert!(asked.iter().all(|seen| narrow(&seen.target)), "{asked:?}");
}

#[tokio::test]
async fn the_secret_of_a_header_is_asked_for_by_name_and_followed_as_long_as_it_is_named() {
    let stub = Stub::default();
    stub.put("distributions", sending("own"));
    for name in ["own", "other"] {
        stub.put("secrets", secret(name));
    }
    let (provider, _guard) = start(&stub, &settings());
    let first = snapshot(&provider, |_| true).await;
    assert_eq!(names(&first).0, ["own"]);
    stub.put("distributions", sending("other"));
    let then = snapshot(&provider, |snapshot| snapshot.secrets.contains_key(&key("other"))).await;
    assert!(then.secrets[&key("other")].data.as_ref().unwrap().contains_key("other"));
    snapshot(&provider, |snapshot| !snapshot.secrets.contains_key(&key("own"))).await;
}

#[tokio::test]
async fn a_distribution_is_never_seen_without_what_it_names() {
    let stub = Stub::default();
    let (provider, _guard) = start(&stub, &settings());
    snapshot(&provider, |_| true).await;
    stub.put("configmaps", config_map("shop", "ca"));
    stub.put("distributions", naming(json!({"caConfigMapName": "ca"})));
    let seen = snapshot(&provider, |it| !it.distributions.is_empty()).await;
    assert_eq!(names(&seen).1, ["ca"]);
}

#[tokio::test]
async fn what_comes_changes_and_goes_after_it_was_named_is_seen() {
    let stub = Stub::default();
    stub.put("distributions", naming(json!({"caConfigMapName": "ca"})));
    let (provider, _guard) = start(&stub, &settings());
    let before = snapshot(&provider, |_| true).await;
    assert_eq!(names(&before).1, [""; 0]);
    stub.put("configmaps", config_map("shop", "ca"));
    snapshot(&provider, |it| it.config_maps.contains_key(&key("ca"))).await;
    stub.put("configmaps", with(config_map("shop", "ca"), "/data/ca.crt", json!("new")));
    snapshot(&provider, |it| {
        let data = it.config_maps.get(&key("ca")).and_then(|it| it.data.as_ref());
        data.is_some_and(|data| data["ca.crt"] == "new")
    })
    .await;
    stub.delete("configmaps", "shop/ca");
    snapshot(&provider, |it| it.config_maps.is_empty()).await;
}

#[tokio::test]
async fn what_is_named_no_more_is_forgotten_and_may_be_named_again() {
    let stub = Stub::default();
    stub.put("secrets", secret("ca"));
    stub.put("secrets", secret("next"));
    stub.put("distributions", naming(json!({"caSecretName": "ca"})));
    let (provider, _guard) = start(&stub, &settings());
    snapshot(&provider, |it| names(it).0 == ["ca"]).await;
    stub.put("distributions", naming(json!({"caSecretName": "next"})));
    snapshot(&provider, |it| names(it).0 == ["next"]).await;
    stub.put("distributions", naming(json!({"caSecretName": "ca"})));
    snapshot(&provider, |it| names(it).0 == ["ca"]).await;
    stub.delete("distributions", "shop/web");
    snapshot(&provider, |it| names(it).0.is_empty()).await;
}

#[tokio::test]
async fn what_goes_from_one_distribution_to_another_in_one_list_is_still_known() {
    let stub = Stub::default();
    stub.put("configmaps", config_map("shop", "ca"));
    let web = naming(json!({"caConfigMapName": "ca"}));
    stub.put("distributions", web.clone());
    let (provider, _guard) = start(&stub, &settings());
    snapshot(&provider, |it| it.distributions.contains_key(&key("web"))).await;
    // The watch ends, and only the next list tells of both: no other task runs in between.
    stub.expire("distributions");
    stub.forget("distributions", "shop/web");
    stub.put("distributions", with(web, "/metadata/name", json!("www")));
    let after = snapshot(&provider, |it| it.distributions.contains_key(&key("www"))).await;
    assert!(!after.distributions.contains_key(&key("web")) && names(&after).1 == ["ca"]);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_may_not_be_read_holds_up_nobody_else_and_costs_no_other_of_its_kind() {
    let stub = Stub::default();
    let (provider, _guard) = start(&stub, &settings());
    snapshot(&provider, |_| true).await;
    stub.forbid("configmaps");
    stub.put("distributions", naming(json!({"caConfigMapName": "ca"})));
    stub.put("distributions", distribution("blog"));
    let first = snapshot(&provider, |it| it.distributions.contains_key(&key("blog"))).await;
    assert!(!first.distributions.contains_key(&key("web")), "only who names it waits for it");
    let told = snapshot(&provider, |it| it.distributions.contains_key(&key("web"))).await;
    let remedy = &told.problems.unreadable[&(Kind::ConfigMap, key("ca"))];
    assert!(remedy.contains(r#"namespace shop for the name "ca""#), "{remedy}");
    assert!(remedy.contains(r#"resources ["configmaps"], verbs [get, list, watch]"#), "{remedy}");
    assert!(told.problems.degraded.is_empty(), "{:?}", told.problems.degraded);
    stub.delete("distributions", "shop/web");
    snapshot(&provider, |it| it.problems.unreadable.is_empty()).await;
    // Nobody watches it any more.
    sleep(Duration::from_secs(60)).await;
    assert!(provider.snapshot().is_some_and(|it| it.problems.unreadable.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_first_snapshot_waits_for_a_name_that_may_not_be_read_and_not_for_ever() {
    let stub = Stub::default();
    stub.forbid("secrets/own");
    stub.put("distributions", naming(json!({"clientCertificateSecretName": "own"})));
    let (provider, _guard) = start(&stub, &settings());
    let first = snapshot(&provider, |_| true).await;
    assert!(first.problems.unreadable.contains_key(&(Kind::Secret, key("own"))));
}

#[tokio::test(start_paused = true)]
async fn a_first_snapshot_waits_for_a_name_that_fails_and_not_for_ever() {
    for code in [Some(500), Some(429), None] {
        let stub = Stub::default();
        stub.fail("configmaps/ca", code);
        stub.put("configmaps", config_map("shop", "ca"));
        stub.put("distributions", naming(json!({"caConfigMapName": "ca"})));
        let settings = Settings { limits: Limits::default(), ..settings() };
        let (provider, _guard) = start(&stub, &settings);
        sleep(settings.limits.first_patience - Duration::from_secs(1)).await;
        assert!(provider.snapshot().is_none(), "{code:?}: an API server may be short of breath for a while");
        sleep(settings.limits.first_patience * 4).await;
        let first = provider.snapshot().expect("one name keeps no replica unready");
        let told = &first.problems.unreadable[&(Kind::ConfigMap, key("ca"))];
        assert!(told.contains("cannot list or watch configmaps in namespace shop"), "{code:?}: {told}");
        stub.permit("configmaps/ca");
        let mut changes = provider.changes();
        let healed = |it: Snapshot| it.problems.unreadable.is_empty() && names(&it).1 == ["ca"];
        let heals = changes.wait_for(|_| provider.snapshot().is_some_and(healed));
        timeout(settings.limits.first_patience * 4, heals)
            .await
            .expect("in time")
            .expect("the provider lives");
    }
}

#[tokio::test]
async fn names_past_the_limit_of_a_namespace_are_not_watched_until_there_is_room() {
    let stub = Stub::default();
    let named = |namespace: &str, distribution: &str, ca: &str| {
        stub.put("configmaps", config_map(namespace, ca));
        let named = with(naming(json!({"caConfigMapName": ca})), "/metadata/name", json!(distribution));
        stub.put("distributions", with(named, "/metadata/namespace", json!(namespace)));
    };
    named("shop", "web", "first");
    let mut settings = settings();
    settings.limits.names = 1;
    let (provider, _guard) = start(&stub, &settings);
    snapshot(&provider, |it| names(it).1 == ["first"]).await;
    named("shop", "blog", "second");
    let full = snapshot(&provider, |it| it.distributions.contains_key(&key("blog"))).await;
    let told = &full.problems.unreadable[&(Kind::ConfigMap, key("second"))];
    assert!(told.contains("ConfigMap shop/second is past the 1 "), "{told}");
    assert!(told.ends_with("share the ConfigMap between origins"), "{told}");
    named("bank", "web", "other");
    let both = snapshot(&provider, |it| it.distributions.len() == 3).await;
    assert_eq!(names(&both).1, ["other", "first"], "another namespace has room of its own");
    assert!(stub.requests(|seen| seen.target.contains("second")).is_empty());
    stub.delete("distributions", "shop/web");
    let after = snapshot(&provider, |it| names(it).1 == ["other", "second"]).await;
    assert!(after.problems.unreadable.is_empty());
}

#[tokio::test(start_paused = true)]
async fn after_the_first_snapshot_a_name_that_fails_now_this_way_now_that_is_given_up_sooner() {
    let stub = Stub::default();
    let settings = Settings { limits: Limits::default(), ..settings() };
    let (provider, _guard) = start(&stub, &settings);
    snapshot(&provider, |_| true).await;
    stub.fail("configmaps/ca", Some(500));
    stub.put("distributions", naming(json!({"caConfigMapName": "ca"})));
    sleep(settings.limits.patience / 2).await;
    stub.forbid("configmaps/ca");
    assert!(provider.snapshot().is_some_and(|it| it.distributions.is_empty()));
    sleep(settings.limits.patience * 2).await;
    let seen = provider.snapshot().expect("there was one");
    assert!(seen.distributions.contains_key(&key("web")));
    assert!(seen.problems.unreadable.contains_key(&(Kind::ConfigMap, key("ca"))));
}

#[tokio::test]
async fn a_version_that_names_something_new_is_not_seen_before_what_it_names() {
    let stub = Stub::default();
    stub.put("distributions", naming(json!({"caConfigMapName": "old"})));
    for name in ["old", "new"] {
        stub.put("configmaps", config_map("shop", name));
    }
    let (provider, _guard) = start(&stub, &settings());
    snapshot(&provider, |_| true).await;
    let named = |it: &Snapshot| {
        it.distributions[&key("web")].spec.origins[0].origin_tls.ca_config_map_name.clone().unwrap()
    };
    stub.put("distributions", naming(json!({"caConfigMapName": "new"})));
    let mut changes = provider.changes();
    loop {
        let seen = provider.snapshot().expect("there always is one after the first");
        assert!(seen.config_maps.contains_key(&key(&named(&seen))), "{seen:?}");
        if named(&seen) == "new" {
            break;
        }
        timeout(super::LIMIT, changes.changed()).await.expect("it comes").unwrap();
    }
}
