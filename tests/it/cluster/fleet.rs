//! What `Deployed` says while replicas join, stop and leave: processes beside a real API server, with the chart's rights.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ListParams};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::harness::{Cluster, Tidegate, eventually};
use super::leader::Fleet;

const DEPLOYED: &str = "{.status.replicas} {.status.conditions[?(@.type=='Deployed')]['status','reason']}";

impl Fleet {
    /// Waits until the status reads `2/2 True Deployed`, and says how long that took.
    async fn reads(&self, expected: &str) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        eventually(&format!("the status reads {expected}"), async || {
            let told = self.read(DEPLOYED).await?;
            let observed = self.read("{.metadata.generation} {.status.observedGeneration}").await?;
            ensure!(observed.split_once(' ').is_some_and(|(one, other)| one == other), "{observed}");
            ensure!(told == expected, "it reads {told}");
            Ok(())
        })
        .await?;
        Ok(begun.elapsed())
    }
}

#[tokio::test]
async fn a_replica_that_stands_still_is_waited_for_until_it_counts_as_gone() -> anyhow::Result<()> {
    let fleet = Fleet::start("lagging").await?;
    fleet.edit("both").await?;
    let both = fleet.reads("2/2 True Deployed").await?;
    fleet.second.signal(Signal::STOP)?;
    fleet.edit("one").await?;
    let told = fleet.reads("1/2 False InProgress").await?;
    let gone = fleet.reads("1/1 True Deployed").await?;
    println!("2/2 after {both:?}; 1/2 after {told:?}; 1/1 after {gone:?} more");
    assert!(told < Duration::from_secs(10), "{told:?}");

    let settled = fleet.read("{.metadata.resourceVersion}").await?;
    fleet.second.signal(Signal::CONT)?;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(fleet.read("{.metadata.resourceVersion}").await?, settled, "who comes back flips nothing");
    fleet.edit("both again").await?;
    fleet.reads("2/2 True Deployed").await?;
    Ok(())
}

#[tokio::test]
async fn replicas_that_join_and_leave_flip_nothing() -> anyhow::Result<()> {
    let fleet = Fleet::start("scaling").await?;
    fleet.edit("both").await?;
    fleet.reads("2/2 True Deployed").await?;
    let settled = fleet.read("{.metadata.resourceVersion}").await?;
    let class = &fleet.cluster.namespace;
    let leases: Api<Lease> = Api::namespaced(fleet.cluster.admin.clone(), "tidegate-system");
    let of_fleet = ListParams::default().labels(&format!("tidegate.io/fleet={class}"));
    let members = async |expected: usize| {
        eventually(&format!("{expected} replicas"), async || {
            let count = leases.list(&of_fleet).await?.items.len();
            ensure!(count == expected, "there are {count}");
            Ok(())
        })
        .await
    };
    let third = Tidegate::replica(&fleet.cluster, 3, &["--watch-namespaces", class]).await?;
    members(3).await?;
    third.signal(Signal::TERM)?;
    members(2).await?;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(fleet.read("{.metadata.resourceVersion}").await?, settled);
    Ok(())
}

#[tokio::test]
async fn the_status_command_tells_the_fleet_and_what_is_not_ready() -> anyhow::Result<()> {
    let fleet = Fleet::start("told").await?;
    fleet.reads("2/2 True Deployed").await?;
    let (first, second) =
        (format!("{}-1", fleet.cluster.namespace), format!("{}-2", fleet.cluster.namespace));
    eventually("each replica tells of both", async || {
        for replica in [&fleet.first, &fleet.second] {
            let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
                .args(["status", "--admin", &format!("http://{}", replica.admin())])
                .output()?;
            let table = String::from_utf8(output.stdout)?;
            let row =
                |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
            ensure!(row(&first).contains("Serving") && row(&first).contains("leader"), "{table}");
            ensure!(row(&second).contains("Serving") && !row(&second).contains("leader"), "{table}");
            ensure!(
                table.contains("1 Distribution: 1 Degraded.") && table.contains("BackendNotFound"),
                "{table}"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn another_class_is_served_without_a_word_about_it() -> anyhow::Result<()> {
    let cluster = Cluster::join("also").await?;
    let flags = ["--watch-namespaces", &cluster.namespace, "--also-serve-class", "elsewhere"];
    let tidegate = Tidegate::serve_with(&cluster, &flags).await?;
    let distribution = |name: &str, class: &str| {
        let host = format!("{name}.{}.example.com", cluster.namespace);
        format!(
            "
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {{name: {name}}}
spec:
  className: {class}
  aliases: [{host}]
  origins: [{{id: web, service: {{name: web}}}}]
  defaultCacheBehavior: {{targetOriginId: web}}
---
"
        )
    };
    let own = cluster.namespace.clone();
    cluster.apply(&(distribution("ours", &own) + &distribution("theirs", "elsewhere"))).await?;
    cluster.wait_for("ours", "ResolvedRefs=False").await?;
    let page = tidegate.ask("/debug/status").await?;
    assert!(page.contains("\"ours\"") && page.contains("\"theirs\""), "both are served: {page}");
    sleep(Duration::from_secs(2)).await;
    let path = "--output=jsonpath={.status.observedGeneration}{.status.conditions[0].reason}";
    assert_eq!(cluster.kubectl(&["get", "dist/theirs", path]).await?, "Pending");
    Ok(())
}
