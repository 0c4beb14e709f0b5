//! A host that changes hands between namespaces.

use anyhow::ensure;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use tokio::net::TcpStream;

use super::harness::{Backend, Cluster, Tidegate, eventually, service};

const HOST: &str = "takeover.example.com";

async fn body(tidegate: &Tidegate) -> anyhow::Result<String> {
    let stream = TokioIo::new(TcpStream::connect(tidegate.http()).await?);
    let (mut sender, connection) = http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let request = http::Request::get("/").header("host", HOST).body(Empty::<Bytes>::new())?;
    let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok(String::from_utf8(body.to_vec())?)
}

fn distribution(name: &str) -> String {
    format!(
        "
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {{name: {name}}}
spec:
  aliases: [{HOST}]
  origins: [{{id: {name}, service: {{name: {name}}}}}]
  defaultCacheBehavior: {{targetOriginId: {name}}}
---
"
    )
}

#[tokio::test]
async fn who_comes_second_gets_the_host_once_the_first_lets_go_and_learns_no_name_of_another_namespace()
-> anyhow::Result<()> {
    let cluster = Cluster::join("takeover").await?;
    // Objects of one second are ordered by their namespaces: the first comes first there, too.
    let (here, there) = (cluster.namespace.clone(), format!("a-{}", cluster.namespace));
    let namespaces = Api::<Namespace>::all(cluster.admin.clone());
    let metadata = ObjectMeta { name: Some(there.clone()), ..ObjectMeta::default() };
    namespaces.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await?;
    let _backends = (
        Backend::start(cluster.address(10), "first").await?,
        Backend::start(cluster.address(11), "second").await?,
    );
    let watched = format!("{here},{there}");
    let tidegate = Tidegate::serve_with(&cluster, &["--watch-namespaces", &watched]).await?;
    let apply_there = ["apply", "--namespace", &there, "--filename", "-"];
    let first = service("first", cluster.address(10)) + &distribution("first");
    cluster.kubectl_with(&apply_there, &first).await?;
    eventually("the first is served", async || {
        let body = body(&tidegate).await?;
        ensure!(body == "first /", "{body}");
        Ok(())
    })
    .await?;

    cluster.apply(&(service("second", cluster.address(11)) + &distribution("second"))).await?;
    let reason =
        ["get", "dist/second", "--output=jsonpath={.status.conditions[?(@.type=='Accepted')].message}"];
    eventually("the second waits", async || {
        let told = cluster.kubectl(&reason).await?;
        ensure!(told.contains("is held by a Distribution of another namespace"), "{told}");
        ensure!(!told.contains(&there), "{told}");
        let aliases =
            cluster.kubectl(&["get", "dist/second", "--output=jsonpath={.status.aliases[0].state}"]).await?;
        ensure!(aliases == "Conflict", "{aliases}");
        Ok(())
    })
    .await?;
    assert_eq!(body(&tidegate).await?, "first /");

    cluster.kubectl(&["delete", "dist/first", "--namespace", &there, "--wait=false"]).await?;
    eventually("the second takes over", async || {
        let body = body(&tidegate).await?;
        ensure!(body == "second /", "{body}");
        Ok(())
    })
    .await?;
    cluster.wait_for("second", "Ready").await?;
    namespaces.delete(&there, &DeleteParams::default()).await?;
    Ok(())
}
