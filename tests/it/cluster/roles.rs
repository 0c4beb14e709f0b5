//! Each rule of the chart's roles taken away in turn, on a real API server: what is lost is what that rule is for.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tidegate::object::ObjectKey;
use tidegate::provider::kube::{KubeProvider, Limits, Settings};
use tidegate::provider::{Class, Provider};
use tidegate::snapshot::{Kind, Snapshot};
use tidegate::telemetry::metrics::{Build, Metrics};
use tokio_util::sync::CancellationToken;

use super::harness::{Cluster, eventually, service};
use crate::chart::rules;

/// What is lost without a rule.
enum Loss {
    /// Nothing that is served: it is for writing, or for what comes and goes.
    Nothing,
    /// All of one kind, which the others do not feel.
    Kind(Kind),
    /// The objects of one kind that Distributions name.
    Named(Kind),
    /// Everything: nothing is published, so that no replica becomes ready with an empty table.
    Everything,
}

/// A rule that is not here has to say what it is for.
fn loss(resource: &str) -> anyhow::Result<Loss> {
    Ok(match resource {
        "distributions" => Loss::Everything,
        "services" => Loss::Kind(Kind::Service),
        "endpointslices" => Loss::Kind(Kind::EndpointSlice),
        "secrets" => Loss::Kind(Kind::Secret),
        "referencegrants" => Loss::Kind(Kind::ReferenceGrant),
        "challenges" => Loss::Kind(Kind::Challenge),
        "configmaps" => Loss::Named(Kind::ConfigMap),
        "distributions/status" | "events" | "leases" => Loss::Nothing,
        other => anyhow::bail!("the chart has a rule for {other}: say here what is lost without it"),
    })
}

/// A Role with these rules for a user of its own, who is then told.
async fn user(cluster: &Cluster, name: &str, rules: &[Value]) -> anyhow::Result<String> {
    let user = format!("{}:{name}", cluster.namespace);
    let api = "rbac.authorization.k8s.io";
    let version = format!("{api}/v1");
    let role = json!({"apiVersion": version, "kind": "Role", "metadata": {"name": name}, "rules": rules});
    let binding = json!({
        "apiVersion": version, "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
        "subjects": [{"apiGroup": api, "kind": "User", "name": user}],
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]});
    cluster.apply(&list.to_string()).await?;
    Ok(user)
}

/// Looks at the namespace as this user until it is as it should be without the right to `resource`.
async fn suffers(cluster: &Cluster, user: &str, resource: &str) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let soon = Duration::from_millis(200);
    let limits = Limits { patience: soon, first_patience: soon, ..Limits::default() };
    let class = Class { name: "tidegate".to_owned(), default: true, also: None };
    let settings =
        Settings { class, namespaces: vec![cluster.namespace.clone()], published_service: None, limits };
    let metrics = Metrics::new(Build { version: "0", commit: "0" });
    let client = cluster.client_of(user).await?;
    let (provider, watchers) = KubeProvider::start(&client, &settings, &metrics, &stop);
    tokio::spawn(watchers.run());
    let loss = loss(resource)?;
    eventually(&format!("what is lost without {resource}"), async || {
        let snapshot = provider.snapshot();
        if matches!(loss, Loss::Everything) {
            let page = metrics.encode()?;
            let refused = r#"tidegate_watch_errors_total{kind="Distribution",reason="forbidden"}"#;
            ensure!(page.contains(refused), "it has not been refused yet: {page}");
            ensure!(snapshot.is_none(), "something was published");
            return Ok(());
        }
        is_without(&snapshot.context("nothing is published")?, &loss, resource, &cluster.namespace)
    })
    .await
}

fn is_without(snapshot: &Snapshot, loss: &Loss, resource: &str, namespace: &str) -> anyhow::Result<()> {
    let problems = &snapshot.problems;
    let remedy = format!("resources [\"{resource}\"], verbs [get, list, watch]");
    let degraded: BTreeSet<Kind> = problems.degraded.keys().map(|(kind, _)| *kind).collect();
    ensure!(snapshot.distributions.len() == 1, "the Distribution is not seen");
    match loss {
        Loss::Everything => {}
        Loss::Nothing => ensure!(degraded.is_empty() && problems.unreadable.is_empty(), "{problems:?}"),
        Loss::Kind(kind) => {
            ensure!(degraded == BTreeSet::from([*kind]), "{problems:?}");
            ensure!(
                problems.degraded_for(*kind, namespace).is_some_and(|told| told.contains(&remedy)),
                "{problems:?}"
            );
        }
        Loss::Named(kind) => {
            ensure!(degraded.is_empty(), "{problems:?}");
            let told = problems.unreadable.get(&(*kind, ObjectKey::new(namespace, "ca")));
            ensure!(told.is_some_and(|told| told.contains(&remedy)), "{problems:?}");
        }
    }
    let seen = |kind| !matches!(loss, Loss::Kind(lost) if *lost == kind);
    ensure!(snapshot.services.is_empty() != seen(Kind::Service), "Services: {:?}", snapshot.services);
    let slices = &snapshot.endpoint_slices;
    ensure!(slices.is_empty() != seen(Kind::EndpointSlice), "EndpointSlices: {slices:?}");
    Ok(())
}

#[tokio::test]
async fn without_a_rule_is_lost_what_that_rule_is_for_and_nothing_else() -> anyhow::Result<()> {
    let cluster = Cluster::join("roles").await?;
    cluster.apply(&service("web", cluster.address(10))).await?;
    let distribution = "
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {name: web}
spec:
  aliases: [roles.example.com]
  origins:
    - id: web
      originProtocolPolicy: https-only
      originTls: {caConfigMapName: ca, serverName: web.internal}
      service: {name: web}
  defaultCacheBehavior: {targetOriginId: web}
";
    cluster.apply(distribution).await?;
    // A rule with several resources is several rules here.
    let of_one = |rule: Value| {
        let resources: Vec<Value> = rule["resources"].as_array().cloned().unwrap_or_default();
        resources.into_iter().map(move |resource| {
            let mut rule = rule.clone();
            rule["resources"] = json!([resource]);
            rule
        })
    };
    let rules: Vec<Value> = rules()?.into_iter().flat_map(of_one).collect();
    for (position, missing) in rules.iter().enumerate() {
        let resource = missing["resources"][0].as_str().context("a resource")?;
        let mut others = rules.clone();
        others.remove(position);
        let user = user(&cluster, &format!("without-{position}"), &others).await?;
        suffers(&cluster, &user, resource).await?;
    }
    Ok(())
}
