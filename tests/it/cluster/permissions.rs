//! What the chart's ServiceAccount may do, as the API server judges it, and that it is enough.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};

use super::harness::{Backend, Cluster, Tidegate, service};

/// Asks for every verb on `group/resource` in `namespace`, and returns those that are allowed, in this order.
async fn allowed(
    client: &kube::Client,
    group: &str,
    resource: &str,
    namespace: &str,
) -> anyhow::Result<String> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let reviews = Api::<SelfSubjectAccessReview>::all(client.clone());
    let mut verbs = Vec::new();
    for verb in ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"] {
        let attributes = ResourceAttributes {
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: Some(subresource.to_owned()),
            namespace: Some(namespace.to_owned()),
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec =
            SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..Default::default() };
        let answer = reviews.create(&PostParams::default(), &review).await?;
        if answer.status.is_some_and(|status| status.allowed) {
            verbs.push(verb);
        }
    }
    Ok(verbs.join(" "))
}

/// What `kubectl auth can-i --list` says of the chart's ServiceAccount, in any namespace and in its own.
#[tokio::test]
async fn all_that_the_account_may_do_is_what_the_list_says() -> anyhow::Result<()> {
    let cluster = Cluster::join("permissions").await?;
    let mut told = String::new();
    for (title, namespace) in [("any namespace", cluster.namespace.as_str()), ("its own", "tidegate-system")]
    {
        let whose =
            ["--as=system:serviceaccount:tidegate-system:tidegate", "--as-group=system:authenticated"];
        let question = ["auth", "can-i", "--list", "--namespace", namespace];
        let answer = cluster.kubectl(&[&question[..], &whose[..]].concat()).await?;
        // The order of rules is not promised, and the width of columns follows their content.
        let mut lines: Vec<_> = answer
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        lines.sort();
        told += &format!("In {title}:\n{}\n\n", lines.join("\n"));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/cluster/can-i.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &told)?;
    }
    assert_eq!(
        std::fs::read_to_string(path)?,
        told,
        "UPDATE_GOLDEN=1 rewrites it: then read what has changed"
    );
    Ok(())
}

#[tokio::test]
async fn the_account_reads_what_routing_is_made_of_everywhere() -> anyhow::Result<()> {
    let cluster = Cluster::join("permissions").await?;
    let tidegate = cluster.tidegate().await?;
    for (group, resource) in [
        ("tidegate.io", "distributions"),
        ("", "services"),
        ("", "secrets"),
        ("", "configmaps"),
        ("discovery.k8s.io", "endpointslices"),
        ("gateway.networking.k8s.io", "referencegrants"),
        ("acme.cert-manager.io", "challenges"),
    ] {
        let verbs = allowed(&tidegate, group, resource, &cluster.namespace).await?;
        assert_eq!(verbs, "get list watch", "{group}/{resource}");
    }
    Ok(())
}

#[tokio::test]
async fn the_account_writes_only_status_and_events() -> anyhow::Result<()> {
    let cluster = Cluster::join("permissions").await?;
    let tidegate = cluster.tidegate().await?;
    for (group, resource, verbs) in [
        ("tidegate.io", "distributions/status", "patch"),
        ("events.k8s.io", "events", "create patch"),
        ("", "pods", ""),
        ("", "nodes", ""),
        ("", "namespaces", ""),
        ("networking.k8s.io", "ingresses", ""),
        ("coordination.k8s.io", "leases", ""),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations", ""),
    ] {
        assert_eq!(
            allowed(&tidegate, group, resource, &cluster.namespace).await?,
            verbs,
            "{group}/{resource}"
        );
    }
    Ok(())
}

/// Everywhere, not only in one namespace: what the chart installs.
#[tokio::test]
async fn the_charts_account_is_never_forbidden_anything() -> anyhow::Result<()> {
    let cluster = Cluster::join("account").await?;
    let _backend = Backend::start(cluster.address(10), "web").await?;
    let class = cluster.namespace.clone();
    let tidegate =
        Tidegate::serve_with(&cluster, &["--class-name", &class, "--default-class", "false"]).await?;
    cluster.apply(&service("web", cluster.address(10))).await?;
    cluster
        .apply(&format!(
            "
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {{name: account}}
spec:
  className: {class}
  aliases: [account.example.com]
  origins: [{{id: web, service: {{name: web}}}}]
  defaultCacheBehavior: {{targetOriginId: web}}
"
        ))
        .await?;
    cluster.wait_for("account", "Ready").await?;
    // Whoever tells of a refusal uses the word; the number may stand in any time.
    let log = tidegate.log().to_lowercase();
    assert!(!log.contains("forbidden"), "{log}");
    Ok(())
}
