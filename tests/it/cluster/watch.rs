//! Watches on a real API server, with the chart's rights: what a stub would only pretend.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tidegate::object::ObjectKey;
use tidegate::provider::kube::{KubeProvider, Limits, Settings};
use tidegate::provider::{Class, Provider};
use tidegate::snapshot::Snapshot;
use tidegate::telemetry::metrics::{Build, Metrics};
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::harness::Cluster;

const LIMIT: Duration = Duration::from_secs(30);

/// A provider of the test's namespace.
async fn start(cluster: &Cluster, limits: Limits) -> anyhow::Result<(KubeProvider, DropGuard)> {
    let stop = CancellationToken::new();
    let settings = Settings {
        class: Class { name: "tidegate".to_owned(), default: true, also: None },
        namespaces: vec![cluster.namespace.clone()],
        published_service: None,
        limits,
    };
    let metrics = Metrics::new(Build { version: "0", commit: "0" });
    let (provider, watchers) = KubeProvider::start(&cluster.tidegate().await?, &settings, &metrics, &stop);
    tokio::spawn(async move { watchers.run().await.expect("no watcher ends by itself") });
    Ok((provider, stop.drop_guard()))
}

async fn snapshot(provider: &KubeProvider, holds: impl Fn(&Snapshot) -> bool) -> anyhow::Result<Snapshot> {
    let mut changes = provider.changes();
    let found = async {
        loop {
            changes.borrow_and_update();
            if let Some(snapshot) = provider.snapshot().filter(&holds) {
                return anyhow::Ok(snapshot);
            }
            changes.changed().await?;
        }
    };
    timeout(LIMIT, found).await?
}

fn secret(name: &str, kind: &str) -> anyhow::Result<Secret> {
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name}, "type": kind,
        "data": {"tls.crt": "YQ==", "tls.key": "Yg==", "other": "Yw=="},
    }))?)
}

#[tokio::test]
async fn of_secrets_only_certificates_are_seen_and_only_their_two_keys() -> anyhow::Result<()> {
    let cluster = Cluster::join("watch").await?;
    let secrets: Api<Secret> = Api::namespaced(cluster.admin.clone(), &cluster.namespace);
    secrets.create(&PostParams::default(), &secret("token", "Opaque")?).await?;
    let (provider, _stop) = start(&cluster, Limits::default()).await?;
    secrets.create(&PostParams::default(), &secret("web-tls", "kubernetes.io/tls")?).await?;
    let seen = snapshot(&provider, |it| !it.secrets.is_empty()).await?;
    let key = ObjectKey::new(&cluster.namespace, "web-tls");
    assert_eq!(seen.secrets.keys().collect::<Vec<_>>(), [&key]);
    let keys = seen.secrets[&key].data.iter().flatten().map(|(key, _)| key.as_str());
    assert_eq!(keys.collect::<Vec<_>>(), ["tls.crt", "tls.key"]);
    assert!(seen.problems.degraded.is_empty(), "the chart's rights suffice: {:?}", seen.problems.degraded);
    Ok(())
}

#[tokio::test]
async fn changes_and_deletions_are_seen_across_watches_that_end() -> anyhow::Result<()> {
    let cluster = Cluster::join("watch").await?;
    let secrets: Api<Secret> = Api::namespaced(cluster.admin.clone(), &cluster.namespace);
    let limits = Limits { watch_seconds: 1, ..Limits::default() };
    let (provider, _stop) = start(&cluster, limits).await?;
    let key = ObjectKey::new(&cluster.namespace, "web-tls");
    secrets.create(&PostParams::default(), &secret("web-tls", "kubernetes.io/tls")?).await?;
    // For much longer than a watch lives, so that changes come in several, and between two of them.
    let begun = Instant::now();
    for round in 0.. {
        let value = format!("round {round}");
        let patch = Patch::Merge(json!({"stringData": {"tls.key": value}}));
        secrets.patch("web-tls", &PatchParams::default(), &patch).await?;
        snapshot(&provider, |it| {
            let data = it.secrets.get(&key).and_then(|secret| secret.data.as_ref());
            data.and_then(|data| data.get("tls.key")).is_some_and(|key| key.0 == value.as_bytes())
        })
        .await?;
        if begun.elapsed() > Duration::from_millis(3500) {
            break;
        }
    }
    secrets.delete("web-tls", &DeleteParams::default()).await?;
    snapshot(&provider, |it| it.secrets.is_empty()).await?;
    Ok(())
}
