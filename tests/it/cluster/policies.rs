//! The chart's admission policies as the API server judges by them.

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::harness::{Cluster, eventually};
use crate::chart;

/// Applies what the chart renders of policies for a class that only this test uses, and waits until they are in force.
async fn enforce(cluster: &Cluster) -> anyhow::Result<()> {
    let allowed = json!({&cluster.namespace: ["shop.example.com", "example.net"], "*": []});
    let settings = [
        format!("className={}", json!(cluster.namespace)),
        "defaultClass=false".to_owned(),
        "admission.domains.enabled=true".to_owned(),
        format!("admission.domains.allowed={allowed}"),
        "admission.refuseDeletionOfEnabled=true".to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let objects = chart::render_in(&cluster.namespace, &settings)?;
    let is_policy = |object: &Value| object["apiVersion"] == "admissionregistration.k8s.io/v1";
    let policies: Vec<Value> = objects.into_iter().filter(is_policy).collect();
    ensure!(policies.len() == 4, "{policies:?}");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": policies});
    cluster.apply(&list.to_string()).await?;
    eventually("the policies are in force", async || {
        let probe = distribution(cluster, "probe", &["nobody.example.org"], &cluster.namespace);
        let refused = create(cluster, &probe, "--dry-run=server").await.is_err();
        ensure!(refused, "an alias of nobody's is admitted");
        Ok(())
    })
    .await
}

fn distribution(cluster: &Cluster, name: &str, aliases: &[&str], class: &str) -> String {
    json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Distribution",
        "metadata": {"name": name, "namespace": cluster.namespace},
        "spec": {
            "className": class, "aliases": aliases,
            "origins": [{"id": "web", "service": {"name": "web"}}],
            "defaultCacheBehavior": {"targetOriginId": "web"},
        },
    })
    .to_string()
}

async fn create(cluster: &Cluster, distribution: &str, how: &str) -> anyhow::Result<String> {
    cluster.kubectl_with(&["apply", "--filename", "-", how], distribution).await
}

/// What the API server says when it refuses.
async fn refused(cluster: &Cluster, arguments: &[&str], input: &str) -> anyhow::Result<String> {
    match cluster.kubectl_with(arguments, input).await {
        Ok(said) => anyhow::bail!("{arguments:?} was admitted: {said}"),
        Err(error) => Ok(error.to_string()),
    }
}

#[tokio::test]
async fn a_namespace_claims_its_own_domains_and_keeps_what_it_had() -> anyhow::Result<()> {
    let cluster = Cluster::join("domains").await?;
    let class = cluster.namespace.clone();
    let old = distribution(&cluster, "old", &["old.example.org"], &class);
    create(&cluster, &old, "--dry-run=none").await?;
    let foreign = distribution(&cluster, "foreign", &["theirs.example.org"], "another");
    create(&cluster, &foreign, "--dry-run=none").await?;
    enforce(&cluster).await?;

    let dry = ["apply", "--filename", "-", "--dry-run=server"];
    for admitted in
        ["shop.example.com", "a.b.shop.example.com", "*.shop.example.com", "example.net", "x.invalid"]
    {
        let object = distribution(&cluster, "new", &[admitted], &class);
        cluster.kubectl_with(&dry, &object).await.context(admitted)?;
    }
    for alias in ["xshop.example.com", "example.com", "*.example.com", "shop.example.com.evil.example"] {
        let object = distribution(&cluster, "new", &["shop.example.com", alias], &class);
        let said = refused(&cluster, &dry, &object).await?;
        let sentence =
            format!("namespace {class} may not claim {alias}; its domains are shop.example.com, example.net");
        ensure!(said.contains(&sentence), "{said}");
    }
    // An edit keeps what was claimed before the policy, and adds nothing to it.
    cluster.kubectl(&["label", "distributions.tidegate.io/old", "edited=yes"]).await?;
    let more = distribution(&cluster, "old", &["old.example.org", "more.example.org"], &class);
    let said = refused(&cluster, &dry, &more).await?;
    ensure!(said.contains("may not claim more.example.org;"), "{said}");
    // What it was named under another class, which this policy does not judge, it had not claimed.
    let moved = distribution(&cluster, "foreign", &["theirs.example.org"], &class);
    let said = refused(&cluster, &dry, &moved).await?;
    ensure!(said.contains("may not claim theirs.example.org"), "{said}");
    Ok(())
}

#[tokio::test]
async fn only_a_disabled_distribution_is_deleted_but_with_its_namespace() -> anyhow::Result<()> {
    let cluster = Cluster::join("deletion").await?;
    let class = cluster.namespace.clone();
    for name in ["web", "api"] {
        let object = distribution(&cluster, name, &[&format!("{name}.example.net")], &class);
        create(&cluster, &object, "--dry-run=none").await?;
    }
    let foreign = distribution(&cluster, "foreign", &["foreign.example.net"], "another");
    create(&cluster, &foreign, "--dry-run=none").await?;
    enforce(&cluster).await?;

    let web = "distributions.tidegate.io/web";
    let said = refused(&cluster, &["delete", web], "").await?;
    ensure!(said.contains("spec.enabled is not false"), "{said}");
    cluster.kubectl(&["delete", "distributions.tidegate.io/foreign"]).await?;
    cluster.kubectl(&["patch", web, "--type=merge", "--patch", r#"{"spec":{"enabled":false}}"#]).await?;
    cluster.kubectl(&["delete", web]).await?;
    // Nothing ends the namespace here, but from now on it is ending.
    cluster.kubectl(&["delete", "namespace", &cluster.namespace, "--wait=false"]).await?;
    eventually("what is in an ending namespace can be deleted", async || {
        cluster.kubectl(&["delete", "distributions.tidegate.io/api", "--ignore-not-found"]).await
    })
    .await?;
    Ok(())
}
