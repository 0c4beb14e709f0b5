//! Who writes statuses when replicas end, stop and go on: processes beside a real API server, with the chart's rights.

use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::harness::{Cluster, Tidegate, eventually};

/// One Distribution and replicas that serve it, the first of which leads.
pub(super) struct Fleet {
    pub(super) cluster: Cluster,
    pub(super) first: Tidegate,
    pub(super) second: Tidegate,
}

impl Fleet {
    pub(super) async fn start(name: &str) -> anyhow::Result<Self> {
        let cluster = Cluster::join(name).await?;
        let flags = ["--watch-namespaces", &cluster.namespace];
        let first = Tidegate::replica(&cluster, 1, &flags).await?;
        leads(&first).await?;
        let second = Tidegate::replica(&cluster, 2, &flags).await?;
        let fleet = Self { cluster, first, second };
        fleet.edit("first").await?;
        fleet.is_observed().await?;
        Ok(fleet)
    }

    /// Applies the Distribution with this comment, which makes a new generation.
    pub(super) async fn edit(&self, comment: &str) -> anyhow::Result<()> {
        let host = format!("{}.example.com", self.cluster.namespace);
        self.cluster
            .apply(&format!(
                "
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {{name: web}}
spec:
  comment: {comment}
  aliases: [{host}]
  origins: [{{id: web, service: {{name: web}}}}]
  defaultCacheBehavior: {{targetOriginId: web}}
"
            ))
            .await
    }

    pub(super) async fn read(&self, path: &str) -> anyhow::Result<String> {
        self.cluster.kubectl(&["get", "dist/web", &format!("--output=jsonpath={path}")]).await
    }

    /// Waits until the status is about the present generation.
    async fn is_observed(&self) -> anyhow::Result<()> {
        eventually("the status is about the present generation", async || {
            let both = self.read("{.metadata.generation} {.status.observedGeneration}").await?;
            ensure!(both.split_once(' ').is_some_and(|(wanted, observed)| wanted == observed), "{both}");
            Ok(())
        })
        .await
    }
}

async fn is_leading(replica: &Tidegate) -> anyhow::Result<bool> {
    Ok(replica.ask("/metrics").await?.lines().any(|line| line == "tidegate_leader 1"))
}

async fn leads(replica: &Tidegate) -> anyhow::Result<()> {
    eventually("it leads", async || {
        ensure!(is_leading(replica).await?, "it does not lead: {}", replica.log());
        Ok(())
    })
    .await
}

/// How often it has tried to write a status.
async fn writes(replica: &Tidegate) -> anyhow::Result<u64> {
    let page = replica.ask("/metrics").await?;
    let counts =
        page.lines().filter_map(|line| line.strip_prefix("tidegate_status_writes_total{")?.split_once("} "));
    counts.map(|(_, count)| count.parse::<u64>().context("a count")).sum()
}

#[tokio::test]
async fn statuses_are_written_again_soon_after_the_leader_was_killed() -> anyhow::Result<()> {
    let fleet = Fleet::start("killed").await?;
    assert_eq!(writes(&fleet.second).await?, 0, "only the leader writes");
    fleet.first.signal(Signal::KILL)?;
    let killed = Instant::now();
    fleet.edit("after").await?;
    fleet.is_observed().await?;
    let after = killed.elapsed();
    println!("statuses are written again {after:?} after the leader was killed");
    assert!(after > Duration::from_secs(10), "the lease is respected");
    assert!(fleet.second.log().contains("leader.acquired"));
    Ok(())
}

#[tokio::test]
async fn a_leader_that_leaves_is_followed_at_once() -> anyhow::Result<()> {
    let fleet = Fleet::start("leaves").await?;
    let leases: Api<Lease> = Api::namespaced(fleet.cluster.admin.clone(), "tidegate-system");
    let before = leases.get(&fleet.cluster.namespace).await?.spec.context("a spec")?;
    fleet.first.signal(Signal::TERM)?;
    fleet.edit("after").await?;
    fleet.is_observed().await?;
    assert!(fleet.first.log().contains("leader.lost"), "{}", fleet.first.log());
    let after = leases.get(&fleet.cluster.namespace).await?.spec.context("a spec")?;
    assert_ne!(before.holder_identity, after.holder_identity);
    assert_eq!(after.lease_transitions, Some(2));
    Ok(())
}

#[tokio::test]
async fn a_leader_that_stood_still_writes_nothing_stale_when_it_goes_on() -> anyhow::Result<()> {
    let fleet = Fleet::start("stopped").await?;
    let before = writes(&fleet.first).await?;
    // It is stopped with something to write: it has seen the edit, or finds it in its socket when it goes on.
    fleet.edit("stopped").await?;
    fleet.first.signal(Signal::STOP)?;
    leads(&fleet.second).await?;
    fleet.edit("meanwhile").await?;
    fleet.is_observed().await?;
    let settled = fleet.read("{.metadata.resourceVersion}").await?;
    fleet.first.signal(Signal::CONT)?;
    eventually("it notices", async || {
        ensure!(!is_leading(&fleet.first).await?, "it leads still");
        ensure!(fleet.first.log().contains("leader.lost"), "{}", fleet.first.log());
        Ok(())
    })
    .await?;
    // Long enough for a round of the election and for whatever a writer does at once.
    sleep(Duration::from_secs(3)).await;
    assert_eq!(fleet.read("{.metadata.resourceVersion}").await?, settled);
    assert!(writes(&fleet.first).await? <= before + 1, "at most what was on its way when it was stopped");
    assert!(is_leading(&fleet.second).await?);
    Ok(())
}
