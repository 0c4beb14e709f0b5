//! What an upgrade can leave behind: a stored object that this version's types do not decode.

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use tidegate::api::Distribution;
use tokio::net::TcpStream;

use super::harness::{Backend, Cluster, Tidegate, eventually, service};

/// Writes an object past the API server, whose schema would not have it: its own way to keep it, in etcd.
async fn store(cluster: &Cluster, name: &str, object: &Value) -> anyhow::Result<()> {
    let key = format!("/registry/tidegate.io/distributions/{}/{name}", cluster.namespace);
    let put = json!({"key": STANDARD.encode(key), "value": STANDARD.encode(object.to_string())});
    let stream = TcpStream::connect("127.0.0.1:2379").await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = http::Request::post("/v3/kv/put").header("host", "etcd");
    let response = sender.send_request(request.body(Full::new(Bytes::from(put.to_string())))?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    connection.abort();
    ensure!(status.is_success(), "etcd: {status} {}", String::from_utf8_lossy(&body));
    Ok(())
}

fn distribution(name: &str, attempts: Value) -> Value {
    json!({
        "apiVersion": "tidegate.io/v1alpha1",
        "kind": "Distribution",
        "metadata": {"name": name},
        "spec": {
            "aliases": [format!("{name}.example.com")],
            "origins": [{"id": "web", "service": {"name": "web"}, "connectionAttempts": attempts}],
            "defaultCacheBehavior": {"targetOriginId": "web"},
        },
    })
}

/// Status and body of a plain GET of `host`.
async fn get(tidegate: &Tidegate, host: &str) -> anyhow::Result<(u16, String)> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(TcpStream::connect(tidegate.http()).await?)).await?;
    let connection = tokio::spawn(connection);
    let request = http::Request::get("/").header("host", host).body(Full::new(Bytes::new()))?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, String::from_utf8(body.to_vec())?))
}

#[tokio::test]
async fn of_a_thousand_distributions_one_does_not_decode_and_the_others_are_served() -> anyhow::Result<()> {
    let cluster = Cluster::join("undecodable").await?;
    let _backend = Backend::start(cluster.address(10), "web").await?;
    cluster.apply(&service("web", cluster.address(10))).await?;
    let distributions = Api::<Distribution>::namespaced(cluster.admin.clone(), &cluster.namespace);
    let names: Vec<String> = (1..1000).map(|number| format!("site-{number}")).collect();
    stream::iter(&names)
        .map(async |name| {
            let distribution: Distribution = serde_json::from_value(distribution(name, json!(3)))?;
            distributions.create(&PostParams::default(), &distribution).await?;
            anyhow::Ok(())
        })
        .buffer_unordered(20)
        .try_collect::<()>()
        .await?;
    let mut bad = distribution("bad", json!("three"));
    bad["metadata"]["namespace"] = json!(cluster.namespace);
    bad["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    bad["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    bad["metadata"]["generation"] = json!(1);
    store(&cluster, "bad", &bad).await?;

    let tidegate = Tidegate::serve(&cluster).await?;
    for name in &names {
        let answer = get(&tidegate, &format!("{name}.example.com")).await?;
        assert_eq!(answer, (200, "web /".to_owned()), "{name}");
    }
    assert_eq!(get(&tidegate, "bad.example.com").await?.0, 404);

    eventually("the bad one is told of", async || {
        let status: Value = serde_json::from_str(&tidegate.ask("/debug/status").await?)?;
        let all = status["distributions"].as_array().context("no distributions")?;
        ensure!(all.len() == 1000, "{} Distributions", all.len());
        let bad = all.iter().find(|one| one["name"] == "bad").context("no word of it")?;
        let accepted = bad["conditions"].as_array().context("no conditions")?;
        let accepted = accepted.iter().find(|one| one["type"] == "Accepted").context("no Accepted")?;
        ensure!(accepted["status"] == "False" && accepted["reason"] == "Invalid", "{accepted}");
        let message = accepted["message"].as_str().context("no message")?;
        ensure!(message.contains("connectionAttempts"), "{message}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_takes_no_status_says_so_in_an_event_and_is_served_once_it_is_mended() -> anyhow::Result<()> {
    let cluster = Cluster::join("mended").await?;
    let _backend = Backend::start(cluster.address(10), "web").await?;
    cluster.apply(&service("web", cluster.address(10))).await?;
    let mut bad = distribution("bad", json!("three"));
    bad["metadata"]["namespace"] = json!(cluster.namespace);
    bad["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000001");
    bad["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    bad["metadata"]["generation"] = json!(1);
    store(&cluster, "bad", &bad).await?;
    let tidegate = Tidegate::serve(&cluster).await?;
    let events = ["get", "events.v1.", "--field-selector=involvedObject.name=bad", "--output=json"];
    eventually("an event tells of it", async || {
        let told = cluster.kubectl(&events).await?;
        ensure!(told.contains("takes no status of this object"), "{told}");
        ensure!(told.contains("connectionAttempts"), "{told}");
        Ok(())
    })
    .await?;
    assert_eq!(get(&tidegate, "bad.example.com").await?.0, 404);

    let good = distribution("bad", json!(3))["spec"]["origins"].clone();
    let patch = json!({"spec": {"origins": good}}).to_string();
    cluster.kubectl(&["patch", "dist/bad", "--type=merge", "--patch", &patch]).await?;
    cluster.wait_for("bad", "Ready").await?;
    assert_eq!(get(&tidegate, "bad.example.com").await?, (200, "web /".to_owned()));
    Ok(())
}
