//! The main job: a Distribution applied with kubectl serves HTTPS and WebSocket from the pods, and says so.

use anyhow::ensure;
use http::StatusCode;
use rcgen::{CertifiedKey, KeyPair};

use super::harness::{Backend, Cluster, Tidegate, Viewer, certificate, eventually, secret, service};

const HOST: &str = "shop.example.com";

/// Two behaviors: what matches `pattern` goes to the origin "api", everything else to "web".
fn distribution(pattern: &str) -> String {
    format!(
        "
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {{name: shop}}
spec:
  aliases: [{HOST}]
  viewerCertificate: {{secretName: shop-tls}}
  origins:
    - {{id: web, service: {{name: web}}}}
    - {{id: api, service: {{name: api}}}}
  cacheBehaviors:
    - {{pathPattern: {pattern}, targetOriginId: api}}
  defaultCacheBehavior: {{targetOriginId: web}}
"
    )
}

/// A shop with two backends, served and Ready.
struct Shop {
    cluster: Cluster,
    _tidegate: Tidegate,
    certificate: CertifiedKey<KeyPair>,
    viewer: Viewer,
    _backends: [Backend; 2],
}

impl Shop {
    async fn open() -> anyhow::Result<Self> {
        let cluster = Cluster::join("shop").await?;
        let (web, api) = (cluster.address(10), cluster.address(11));
        let backends = [Backend::start(web, "web").await?, Backend::start(api, "api").await?];
        let certificate = certificate(HOST)?;
        let tidegate = Tidegate::serve(&cluster).await?;

        cluster.apply(&distribution("/api/*")).await?;
        cluster
            .apply(&(service("web", web) + &service("api", api) + &secret("shop-tls", &certificate)))
            .await?;
        cluster.wait_for("shop", "Ready").await?;
        let viewer = Viewer::new(tidegate.https(), HOST, &certificate)?;
        Ok(Self { cluster, _tidegate: tidegate, certificate, viewer, _backends: backends })
    }

    /// Waits until a GET of `path` is answered by `expected`.
    async fn answers(&self, path: &str, expected: &str) -> anyhow::Result<()> {
        eventually(&format!("{path} is answered by {expected}"), async || {
            let (status, body) = self.viewer.get(path).await?;
            ensure!(status == StatusCode::OK && body == format!("{expected} {path}"), "{status} {body}");
            Ok(())
        })
        .await
    }
}

#[tokio::test]
async fn an_applied_distribution_serves_https_and_websocket_from_the_pods() -> anyhow::Result<()> {
    let shop = Shop::open().await?;
    shop.answers("/", "web").await?;
    shop.answers("/api/carts", "api").await?;
    assert_eq!(shop.viewer.websocket("/api/events").await?.echo("hello").await?, "hello");
    for condition in ["Accepted", "ResolvedRefs", "CertificateValid", "OriginsAvailable", "Deployed"] {
        shop.cluster.wait_for("shop", condition).await?;
    }
    Ok(())
}

#[tokio::test]
async fn kubectl_get_shows_the_hosts_and_the_state() -> anyhow::Result<()> {
    let shop = Shop::open().await?;
    let table = shop.cluster.kubectl(&["get", "dist"]).await?;
    let [columns, row] = table.lines().collect::<Vec<_>>()[..] else { panic!("{table}") };
    assert_eq!(
        columns.split_whitespace().collect::<Vec<_>>(),
        ["NAME", "HOSTS", "READY", "REASON", "DEPLOYED", "AGE"]
    );
    let row: Vec<_> = row.split_whitespace().take(5).collect();
    assert_eq!(row, ["shop", HOST, "True", "Ready", "1/1"]);
    Ok(())
}

#[tokio::test]
async fn an_edited_pattern_is_live_while_a_websocket_stays_open() -> anyhow::Result<()> {
    let shop = Shop::open().await?;
    shop.answers("/v2/carts", "web").await?;
    let mut socket = shop.viewer.websocket("/api/events").await?;
    assert_eq!(socket.echo("before").await?, "before");

    shop.cluster.apply(&distribution("/v2/*")).await?;
    shop.answers("/v2/carts", "api").await?;
    shop.answers("/api/carts", "web").await?;
    assert_eq!(socket.echo("after").await?, "after");
    Ok(())
}

#[tokio::test]
async fn a_deleted_secret_and_its_return_show_in_the_conditions() -> anyhow::Result<()> {
    let shop = Shop::open().await?;
    shop.cluster.kubectl(&["delete", "secret", "shop-tls"]).await?;
    shop.cluster.wait_for("shop", "ResolvedRefs=False").await?;
    shop.cluster.wait_for("shop", "Ready=False").await?;
    let path = "--output=jsonpath={.status.conditions[?(@.type=='ResolvedRefs')]['reason','message']}";
    let told = shop.cluster.kubectl(&["get", "dist/shop", path]).await?;
    assert!(told.starts_with("SecretNotFound") && told.contains("shop-tls"), "{told}");

    shop.cluster.apply(&secret("shop-tls", &shop.certificate)).await?;
    shop.cluster.wait_for("shop", "Ready").await?;
    shop.answers("/", "web").await
}

#[tokio::test]
async fn a_deleted_distribution_is_served_no_longer() -> anyhow::Result<()> {
    let shop = Shop::open().await?;
    shop.answers("/", "web").await?;
    shop.cluster.kubectl(&["delete", "dist/shop"]).await?;
    eventually("the handshake is refused", async || {
        ensure!(shop.viewer.get("/").await.is_err(), "it is served still");
        Ok(())
    })
    .await
}
