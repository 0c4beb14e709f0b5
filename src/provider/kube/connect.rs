//! From a kubeconfig, or from inside a pod, to a client of an API server, whether that answers or not.
//!
//! It does not know what the client is used for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::fault::root_cause;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a connection may be silent. Above the timeout of a watch, which is silent by right.
const SILENCE: Duration = Duration::from_secs(55);

/// Why there is no API server to talk to; one sentence each, which names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// `--kubeconfig` names no file.
    #[error("kubeconfig {} does not exist; name an existing file with --kubeconfig", .0.display())]
    NoSuchFile(PathBuf),
    /// The kubeconfig is not usable.
    #[error("cannot use kubeconfig {}: {source}; correct the file", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KubeconfigError,
    },
    /// Neither in a cluster nor with a kubeconfig.
    #[error(
        "not in a cluster, and no usable kubeconfig: {0}; pass --kubeconfig FILE, or --manifests PATH to serve \
         without a cluster"
    )]
    NowhereToConnect(#[source] KubeconfigError),
    /// The configuration is readable, but no client can be made of it.
    #[error(
        "cannot make a client for the API server {server}: {}; correct the kubeconfig",
        root_cause(source)
    )]
    Client {
        /// Its URL.
        server: String,
        /// What is wrong.
        source: kube::Error,
    },
}

/// A client of the API server that `kubeconfig` names, else of the cluster we run in, else of the usual
/// kubeconfig. It was not asked anything yet: one that is away is waited for by those who ask it.
///
/// # Errors
/// One sentence that says what to do.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, ConnectError> {
    let mut config = match kubeconfig {
        Some(path) => from_file(path).await?,
        None => anywhere().await?,
    };
    // A server that is silent is noticed, and each caller has its own way to try again.
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    config.default_retry = false;
    let server = config.cluster_url.to_string();
    tracing::info!(event = "watch.start", server, "the API server is {server}");
    Client::try_from(config).map_err(|source| ConnectError::Client { server, source })
}

async fn from_file(path: &Path) -> Result<Config, ConnectError> {
    if !path.exists() {
        return Err(ConnectError::NoSuchFile(path.to_owned()));
    }
    let wrong = |source| ConnectError::Kubeconfig { path: path.to_owned(), source };
    let kubeconfig = Kubeconfig::read_from(path).map_err(wrong)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(wrong)
}

async fn anywhere() -> Result<Config, ConnectError> {
    if let Ok(config) = Config::incluster() {
        return Ok(config);
    }
    Config::from_kubeconfig(&KubeConfigOptions::default()).await.map_err(ConnectError::NowhereToConnect)
}
