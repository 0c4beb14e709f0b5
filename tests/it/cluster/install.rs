//! `manifests/install.yaml` and every variant of the chart as the API server judges them.

use std::path::Path;
use std::process::Output;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use tokio::process::Command;

use super::harness::Cluster;
use crate::chart::{self, REPOSITORY};

const SERVER_SIDE: [&str; 4] = ["apply", "--server-side", "--force-conflicts", "--dry-run=server"];
const STRICTLY: [&str; 4] = ["--validate=strict", "--warnings-as-errors", "--filename", "-"];

#[tokio::test]
async fn the_install_manifest_is_taken_to_the_letter_without_a_warning() -> anyhow::Result<()> {
    let cluster = Cluster::join("install").await?;
    let namespace = format!("namespace/{}", cluster.namespace);
    // The pod security standard warns about a Deployment, and only refuses its pods.
    cluster.kubectl(&["label", &namespace, "pod-security.kubernetes.io/warn=restricted"]).await?;

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/install.yaml");
    let manifest = std::fs::read_to_string(path)?.replace("tidegate-system", &cluster.namespace);
    cluster.kubectl_with(&[SERVER_SIDE, STRICTLY].concat(), &manifest).await?;
    Ok(())
}

/// But for the kinds of the Prometheus operator, which this API server does not have.
#[tokio::test]
async fn every_variant_is_taken_to_the_letter_without_a_warning() -> anyhow::Result<()> {
    let cluster = Cluster::join("variants").await?;
    for file in chart::variants()? {
        // The namespaces that variants name have to exist.
        let rendered = chart::render_variant(&file, &cluster.namespace)?
            .replace("namespace: shop", &format!("namespace: {}", cluster.namespace))
            .replace("namespace: blog", &format!("namespace: {}", cluster.namespace));
        let mut objects = chart::objects(&rendered)?;
        objects.retain(|object| object["apiVersion"] != "monitoring.coreos.com/v1");
        let on_the_node = rendered.contains("hostPort:");
        let level = if on_the_node { "privileged" } else { "restricted" };
        let warn = format!("pod-security.kubernetes.io/warn={level}");
        let namespace = format!("namespace/{}", cluster.namespace);
        cluster.kubectl(&["label", "--overwrite", &namespace, &warn]).await?;
        let list: Value = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let judged = cluster.kubectl_with(&[SERVER_SIDE, STRICTLY].concat(), &list.to_string()).await;
        judged.with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// The cluster's definition is that of this version: the control plane has installed the chart.
#[tokio::test]
async fn an_older_chart_is_refused_over_a_newer_definition() -> anyhow::Result<()> {
    let cluster = Cluster::join("older").await?;
    let folder = tempfile::tempdir()?;
    let helm = async |arguments: &[&str]| -> anyhow::Result<Output> {
        let mut helm = Command::new("helm");
        helm.current_dir(REPOSITORY).arg("--kubeconfig").arg(cluster.admin_kubeconfig());
        Ok(helm.args(arguments).kill_on_drop(true).output().await?)
    };
    for (version, refused) in [("0.0.9", true), (env!("CARGO_PKG_VERSION"), false), ("99.0.0", false)] {
        let folder = folder.path().join(version);
        let target = folder.to_str().context("a path")?;
        let package = ["package", "charts/tidegate", "--app-version", version, "--destination", target];
        ensure!(helm(&package).await?.status.success(), "the chart is not packaged");
        let package = Path::new(target).join(format!("tidegate-{}.tgz", env!("CARGO_PKG_VERSION")));
        let package = package.to_str().context("a path")?;
        let template =
            ["template", "tidegate", package, "--namespace", "tidegate-system", "--dry-run=server"];
        let output = helm(&template).await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success() != refused, "{version}: {said}");
        let sentence = format!("is newer than {version} of this chart");
        ensure!(said.contains(&sentence) == refused, "{version}: {said}");
    }
    Ok(())
}
