//! A container that starts anew while the API server is away: a process beside a way to the API server that is cut.

use std::time::Duration;

use anyhow::ensure;
use http::StatusCode;
use rustix::process::Signal;
use tokio::time::Instant;

use super::harness::{Backend, Cluster, Relay, Tidegate, Viewer, certificate, eventually, secret, service};

const HOST: &str = "kept.example.com";

fn distribution(origin: &str) -> String {
    format!(
        "
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {{name: web}}
spec:
  aliases: [{HOST}]
  viewerCertificate: {{secretName: web-tls}}
  origins: [{{id: web, service: {{name: {origin}}}}}]
  defaultCacheBehavior: {{targetOriginId: web}}
"
    )
}

async fn answers(viewer: &Viewer, expected: &str) -> anyhow::Result<()> {
    eventually(&format!("{expected} answers"), async || {
        let (status, body) = viewer.get("/").await?;
        ensure!(status == StatusCode::OK && body == format!("{expected} /"), "{status} {body}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_container_that_starts_without_an_api_server_serves_what_the_one_before_did() -> anyhow::Result<()>
{
    let mut cluster = Cluster::join("stored").await?;
    let mut relay = Relay::open(&cluster).await?;
    cluster.reach_through(&relay);
    let (web, next) = (cluster.address(10), cluster.address(11));
    let _backends = [Backend::start(web, "web").await?, Backend::start(next, "next").await?];
    let certificate = certificate(HOST)?;
    let objects = service("web", web) + &service("next", next) + &secret("web-tls", &certificate);
    cluster.apply(&(objects + &distribution("web"))).await?;
    let volume = tempfile::tempdir()?;
    let path = volume.path().join("snapshot").display().to_string();
    let flags = ["--watch-namespaces", &cluster.namespace, "--snapshot-path", &path];

    let before = Tidegate::serve_with(&cluster, &flags).await?;
    answers(&Viewer::new(before.https(), HOST, &certificate)?, "web").await?;
    eventually("what is served is kept", async || {
        let kept = std::fs::read_to_string(&path)?;
        ensure!(kept.contains("\"web-tls\"") && kept.contains(HOST), "{} bytes are kept", kept.len());
        Ok(())
    })
    .await?;
    before.signal(Signal::KILL)?;
    drop(before);
    relay.cut();

    let began = Instant::now();
    let after = Tidegate::serve_with(&cluster, &flags).await?;
    let viewer = Viewer::new(after.https(), HOST, &certificate)?;
    answers(&viewer, "web").await?;
    let took = began.elapsed();
    println!("a container that starts without an API server serves after {took:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(after.log().contains("snapshot.restored"), "{}", after.log());
    assert!(after.ask("/debug/status").await?.contains("\"stored\""));
    let mut socket = viewer.websocket("/events").await?;
    assert_eq!(socket.echo("before").await?, "before");

    cluster.apply(&distribution("next")).await?;
    relay.mend().await?;
    answers(&viewer, "next").await?;
    println!("and what is new {:?} after its start", began.elapsed());
    assert!(!after.ask("/debug/status").await?.contains("\"stored\""));
    assert_eq!(socket.echo("after").await?, "after", "a WebSocket outlives the change of its source");
    Ok(())
}

#[tokio::test]
async fn a_start_without_an_api_server_and_without_a_file_waits_and_is_not_ready() -> anyhow::Result<()> {
    let mut cluster = Cluster::join("waits").await?;
    let mut relay = Relay::open(&cluster).await?;
    cluster.reach_through(&relay);
    relay.cut();
    let flags = ["--watch-namespaces", &cluster.namespace];
    let starting = Tidegate::start(&cluster, 1, &flags)?;
    eventually("it says that it waits", async || {
        starting.ask("/livez").await?;
        ensure!(starting.ask("/readyz").await.is_err(), "it is ready with nothing to serve");
        ensure!(starting.log().contains("start.waiting"), "{}", starting.log());
        Ok(())
    })
    .await?;
    relay.mend().await?;
    starting.is_ready().await
}
