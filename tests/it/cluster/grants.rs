//! ReferenceGrants, in a cluster that learns of the kind while Tidegate runs.

use anyhow::ensure;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use serde_json::Value;

use super::harness::{Backend, Cluster, Tidegate, Viewer, certificate, eventually, secret, service};

const HOST: &str = "shop.example.com";

/// What of Gateway API's own definition matters here.
const KIND: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: referencegrants.gateway.networking.k8s.io
  annotations: {api-approved.kubernetes.io: unapproved}
spec:
  group: gateway.networking.k8s.io
  scope: Namespaced
  names: {kind: ReferenceGrant, listKind: ReferenceGrantList, plural: referencegrants, singular: referencegrant}
  versions:
    - name: v1beta1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

/// Why the references are not resolved; empty where they are.
async fn refused(cluster: &Cluster) -> anyhow::Result<String> {
    let object = cluster.kubectl(&["get", "dist/shop", "--output=json"]).await?;
    let object: Value = serde_json::from_str(&object)?;
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let resolved = conditions.iter().find(|condition| condition["type"] == "ResolvedRefs");
    let fails = resolved.is_none_or(|condition| condition["status"] != "True");
    let told = |field: &str| resolved.and_then(|it| it[field].as_str()).unwrap_or_default().to_owned();
    Ok(if fails { format!("{}: {}", told("reason"), told("message")) } else { String::new() })
}

#[tokio::test]
async fn what_another_namespace_grants_is_served_and_what_it_takes_back_is_not() -> anyhow::Result<()> {
    let cluster = Cluster::join("granted").await?;
    let (here, there) = (cluster.namespace.clone(), format!("{}-bank", cluster.namespace));
    let namespaces = Api::<Namespace>::all(cluster.admin.clone());
    let metadata = ObjectMeta { name: Some(there.clone()), ..ObjectMeta::default() };
    namespaces.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await?;
    let _backend = Backend::start(cluster.address(10), "ledger").await?;
    let shown = certificate(HOST)?;
    let objects = service("ledger", cluster.address(10)) + &secret("shop-tls", &shown);
    let apply_there = ["apply", "--namespace", &there, "--filename", "-"];
    cluster.kubectl_with(&apply_there, &objects).await?;
    let watched = format!("{here},{there}");
    let tidegate = Tidegate::serve_with(&cluster, &["--watch-namespaces", &watched]).await?;
    cluster
        .apply(&format!(
            "
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {{name: shop}}
spec:
  aliases: [{HOST}]
  viewerCertificate: {{secretName: shop-tls, secretNamespace: {there}}}
  origins: [{{id: ledger, service: {{name: ledger, namespace: {there}}}}}]
  defaultCacheBehavior: {{targetOriginId: ledger}}
"
        ))
        .await?;
    let viewer = Viewer::new(tidegate.https(), HOST, &shown)?;
    eventually("nothing is granted", async || {
        let why = refused(&cluster).await?;
        ensure!(why.starts_with("RefNotPermitted: ") && why.contains("needs a ReferenceGrant"), "{why}");
        ensure!(viewer.get("/").await.is_err());
        Ok(())
    })
    .await?;

    cluster.apply(KIND).await?;
    let grant = format!(
        "
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {{name: shop}}
spec:
  from: [{{group: tidegate.io, kind: Distribution, namespace: {here}}}]
  to: [{{group: '', kind: Service}}, {{group: '', kind: Secret, name: shop-tls}}]
"
    );
    eventually("the kind is known", async || cluster.kubectl_with(&apply_there, &grant).await).await?;
    eventually("what is granted is served", async || {
        let (status, body) = viewer.get("/").await?;
        ensure!(status == 200 && body == "ledger /", "{status} {body}");
        ensure!(refused(&cluster).await?.is_empty());
        Ok(())
    })
    .await?;

    cluster.kubectl(&["delete", "referencegrant/shop", "--namespace", &there]).await?;
    eventually("what is taken back is not served", async || {
        ensure!(viewer.get("/").await.is_err());
        ensure!(refused(&cluster).await?.starts_with("RefNotPermitted: "));
        Ok(())
    })
    .await?;
    namespaces.delete(&there, &DeleteParams::default()).await?;
    Ok(())
}
