//! `manifests/examples`: what a reader copies is taken by the API server to the letter, and served.

use std::fs;
use std::path::PathBuf;

use super::harness::{Cluster, Tidegate, certificate, secret};

/// The examples, and none is forgotten: they are listed from the folder.
fn examples() -> anyhow::Result<Vec<PathBuf>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/examples");
    let mut paths =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    paths.sort();
    assert!(!paths.is_empty());
    Ok(paths)
}

#[tokio::test]
async fn every_example_is_accepted_as_it_stands() -> anyhow::Result<()> {
    let cluster = Cluster::join("examples").await?;
    let _tidegate = Tidegate::serve(&cluster).await?;
    for path in examples()? {
        let path = path.to_string_lossy();
        cluster.kubectl(&["apply", "--validate=strict", "--filename", &path]).await?;
    }
    cluster.kubectl(&["wait", "--for=condition=Accepted", "dist", "--all", "--timeout=60s"]).await?;

    // What the examples leave to the reader.
    for (name, host) in [("web-tls", "*.example.com"), ("chat-tls", "chat.example.com")] {
        cluster.apply(&secret(name, &certificate(host)?)).await?;
    }
    cluster.kubectl(&["wait", "--for=condition=ResolvedRefs", "dist", "--all", "--timeout=60s"]).await?;
    Ok(())
}
