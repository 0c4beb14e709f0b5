//! What each cluster test starts from: a client of the control plane, a namespace and a network of its own.
//!
//! It starts no process: `tests/control-plane/main.rs` has done so, and ends everything with the test run.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Context;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

/// One test's part of the control plane.
pub(crate) struct Cluster {
    /// The administrator, who creates what users create.
    pub(crate) admin: kube::Client,
    /// The API namespace that only this test uses.
    pub(crate) namespace: String,
    folder: PathBuf,
    network: u8,
}

impl Cluster {
    /// Takes part in the run's control plane, in a fresh namespace whose name begins with `name`.
    ///
    /// # Errors
    ///
    /// Outside of the control plane, with the command that goes inside.
    pub(crate) async fn join(name: &str) -> anyhow::Result<Self> {
        static NETWORKS: AtomicU8 = AtomicU8::new(1);
        let folder = inside()?;
        let admin = client(&folder.join("admin.kubeconfig")).await?;
        let network = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let namespace = create_namespace(&admin, name).await?;
        Ok(Self { admin, namespace, folder, network })
    }

    /// A client with the rights that the chart gives to Tidegate.
    pub(crate) async fn tidegate(&self) -> anyhow::Result<kube::Client> {
        client(&self.tidegate_kubeconfig()).await
    }

    /// For `tidegate serve --kubeconfig`.
    pub(crate) fn tidegate_kubeconfig(&self) -> PathBuf {
        self.folder.join("tidegate.kubeconfig")
    }

    /// An address that no other test listens on, and that the API server takes for a pod's.
    pub(crate) fn address(&self, host: u8) -> IpAddr {
        Ipv4Addr::new(10, 99, self.network, host).into()
    }
}

/// The folder of the control plane that this process runs beside.
fn inside() -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os("TIDEGATE_CONTROL_PLANE").context(
        "the cluster suite runs beside an API server, in a network namespace of its own: \
         use `make test`, or `make cluster RUN='cargo test --test it cluster::'`, \
         or leave it out with `cargo test -- --skip cluster::`",
    )?;
    Ok(folder.into())
}

async fn client(kubeconfig: &Path) -> anyhow::Result<kube::Client> {
    let read = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("{} is not readable: did the control plane end?", kubeconfig.display()))?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

async fn create_namespace(admin: &kube::Client, name: &str) -> anyhow::Result<String> {
    let metadata = ObjectMeta { generate_name: Some(format!("{name}-")), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    let created = Api::<Namespace>::all(admin.clone()).create(&PostParams::default(), &namespace).await?;
    created.metadata.name.context("the API server names what it creates")
}
