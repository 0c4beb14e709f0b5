//! What `helm test` asks, against a real API server: its Distribution leads to readiness and nowhere else.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use super::harness::{Cluster, Tidegate};
use crate::chart;

#[tokio::test]
async fn the_route_of_the_test_answers_readiness_and_nothing_else() -> anyhow::Result<()> {
    let cluster = Cluster::join("helm-test").await?;
    let tidegate = Tidegate::serve(&cluster).await?;
    let class = format!("className={}", json!(cluster.namespace));
    let mut objects = chart::objects_of_test(&cluster.namespace, &[&class])?;
    let pod = objects.iter().position(|object| object["kind"] == "Pod").context("no pod")?;
    let pod = objects.remove(pod);
    // What a controller makes of the Service; the replica's admin port is what the pods listen on.
    let service = objects.iter().find(|object| object["kind"] == "Service").context("no Service")?;
    let name = service["metadata"]["name"].as_str().context("a name")?.to_owned();
    objects.push(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "ports": [{"name": "admin", "port": 9090, "protocol": "TCP"}],
        "endpoints": [{"addresses": [cluster.address(1)]}],
    }));
    cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()).await?;

    let route = &pod["spec"]["containers"][1]["args"];
    let host = route.as_array().into_iter().flatten().filter_map(Value::as_str);
    let host =
        host.into_iter().find(|argument| argument.starts_with("--host=")).context("no host")?.to_owned();
    let probe = async |path: &str, within: &str| {
        let url = format!("http://{}{path}", tidegate.http());
        let mut probe = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        probe.args(["probe", within, &host, &url]).kill_on_drop(true).output().await
    };
    let ready = probe("/readyz", "--within=60s").await?;
    ensure!(ready.status.success(), "{}", String::from_utf8_lossy(&ready.stderr));
    let metrics = probe("/metrics", "--within=0s").await?;
    let said = String::from_utf8_lossy(&metrics.stderr).into_owned();
    ensure!(!metrics.status.success() && said.contains("no_endpoints"), "{said}");
    Ok(())
}
