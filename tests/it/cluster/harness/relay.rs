//! The way to the API server, which a test can cut: one control plane serves all tests of a run, so none may end it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::Cluster;

/// A relay between Tidegate and the API server.
pub(crate) struct Relay {
    address: SocketAddr,
    server: String,
    folder: tempfile::TempDir,
    open: Option<AbortOnDropHandle<()>>,
}

impl Relay {
    /// An open way to the API server of `cluster`.
    pub(crate) async fn open(cluster: &Cluster) -> anyhow::Result<Self> {
        let text = fs::read_to_string(cluster.tidegate_kubeconfig())?;
        let mut kubeconfig: Value = serde_json::from_str(&text)?;
        let server = &mut kubeconfig["clusters"][0]["cluster"]["server"];
        let target = server.as_str().and_then(|url| url.strip_prefix("https://")).context("a URL")?;
        let target = target.trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        *server = json!(format!("https://{address}"));
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("kubeconfig"), kubeconfig.to_string())?;
        let open = Some(relay(listener, target.clone()));
        Ok(Self { address, server: target, folder, open })
    }

    /// The credentials of Tidegate, and this way.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Refuses connections from now on, and cuts those that there are.
    pub(crate) fn cut(&mut self) {
        self.open = None;
    }

    /// Lets connections through again.
    pub(crate) async fn mend(&mut self) -> anyhow::Result<()> {
        self.open = Some(relay(TcpListener::bind(self.address).await?, self.server.clone()));
        Ok(())
    }
}

fn relay(listener: TcpListener, server: String) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut here, _)) = listener.accept().await {
            let server = server.clone();
            connections.spawn(async move {
                if let Ok(mut there) = TcpStream::connect(server).await {
                    let _ended = copy_bidirectional(&mut here, &mut there).await;
                }
            });
        }
    }))
}
