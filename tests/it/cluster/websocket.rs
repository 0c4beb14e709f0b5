//! What the cluster does to objects touches no open WebSocket, until its own Distribution goes.

use std::net::IpAddr;

use anyhow::ensure;
use http::StatusCode;

use super::harness::{Backend, Cluster, Tidegate, Viewer, certificate, eventually, secret, service};

const HOST: &str = "chat.example.com";
const OTHER: &str = "other.example.com";

/// A Distribution whose certificate is `NAME-tls`, with everything under `/PREFIX/` going to `blue` and the rest to
/// `green`.
fn distribution(name: &str, host: &str, prefix: &str) -> String {
    format!(
        "
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {{name: {name}}}
spec:
  aliases: [{host}]
  viewerCertificate: {{secretName: {name}-tls}}
  origins:
    - {{id: green, service: {{name: green}}}}
    - {{id: blue, service: {{name: blue}}}}
  cacheBehaviors:
    - {{pathPattern: /{prefix}/*, targetOriginId: blue}}
  defaultCacheBehavior: {{targetOriginId: green}}
---
"
    )
}

/// Waits until a GET of `/page/` is answered by `name`.
async fn answered_by(viewer: &Viewer, name: &str) -> anyhow::Result<()> {
    eventually(&format!("{name} answers"), async || {
        let (status, body) = viewer.get("/page/").await?;
        ensure!(status == StatusCode::OK && body == format!("{name} /page/"), "{status} {body}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_websocket_outlives_edits_a_new_certificate_and_its_pod_and_hears_of_the_end() -> anyhow::Result<()>
{
    let cluster = Cluster::join("chat").await?;
    let [old, blue, new]: [IpAddr; 3] = [10, 11, 12].map(|host| cluster.address(host));
    let _backends = [
        Backend::start(old, "old").await?,
        Backend::start(blue, "blue").await?,
        Backend::start(new, "new").await?,
    ];
    let (own, others) = (certificate(HOST)?, certificate(OTHER)?);
    let tidegate = Tidegate::serve(&cluster).await?;
    cluster
        .apply(
            &[
                distribution("chat", HOST, "none"),
                distribution("other", OTHER, "none"),
                service("green", old),
                service("blue", blue),
                secret("chat-tls", &own),
                secret("other-tls", &others),
            ]
            .concat(),
        )
        .await?;
    cluster.wait_for("chat", "Ready").await?;
    cluster.wait_for("other", "Ready").await?;
    let viewer = Viewer::new(tidegate.https(), HOST, &own)?;
    let other = Viewer::new(tidegate.https(), OTHER, &others)?;
    answered_by(&viewer, "old").await?;
    let mut socket = viewer.websocket("/room").await?;
    assert_eq!(socket.echo("hello").await?, "hello");

    // 1. A Distribution that it has nothing to do with, and then its own.
    cluster.apply(&distribution("other", OTHER, "page")).await?;
    answered_by(&other, "blue").await?;
    cluster.apply(&distribution("chat", HOST, "page")).await?;
    answered_by(&viewer, "blue").await?;
    assert_eq!(socket.echo("edited").await?, "edited");

    // 2. The certificate that its handshake was made with.
    let rotated = certificate(HOST)?;
    cluster.apply(&secret("chat-tls", &rotated)).await?;
    let viewer = Viewer::new(tidegate.https(), HOST, &rotated)?;
    answered_by(&viewer, "blue").await?;
    assert_eq!(socket.echo("rotated").await?, "rotated");

    // 3. The pod that it is on leaves the Service; the process goes on until it is done.
    cluster.apply(&distribution("chat", HOST, "none")).await?;
    cluster.apply(&service("green", new)).await?;
    answered_by(&viewer, "new").await?;
    assert_eq!(socket.echo("replaced").await?, "replaced");

    // 4. Its own Distribution, and no other one.
    cluster.kubectl(&["delete", "dist/other"]).await?;
    eventually("the other one is served no longer", async || {
        ensure!(other.get("/").await.is_err(), "it is served still");
        Ok(())
    })
    .await?;
    assert_eq!(socket.echo("alone").await?, "alone");
    cluster.kubectl(&["delete", "dist/chat"]).await?;
    assert_eq!(socket.close_code().await?, 1001);
    Ok(())
}
