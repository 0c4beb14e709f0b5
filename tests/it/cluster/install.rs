//! `manifests/install.yaml` as the API server judges it.

use super::harness::Cluster;

#[tokio::test]
async fn the_install_manifest_is_taken_to_the_letter_without_a_warning() -> anyhow::Result<()> {
    let cluster = Cluster::join("install").await?;
    let namespace = format!("namespace/{}", cluster.namespace);
    // The pod security standard warns about a Deployment, and only refuses its pods.
    cluster.kubectl(&["label", &namespace, "pod-security.kubernetes.io/warn=restricted"]).await?;

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/install.yaml");
    let manifest = std::fs::read_to_string(path)?.replace("tidegate-system", &cluster.namespace);
    let server_side = ["apply", "--server-side", "--force-conflicts", "--dry-run=server"];
    let strictly = ["--validate=strict", "--warnings-as-errors", "--filename", "-"];
    cluster.kubectl_with(&[server_side, strictly].concat(), &manifest).await?;
    Ok(())
}
