//! What each cluster test starts from: a client of the control plane, a namespace and a network of its own.
//!
//! It starts no control plane: `tests/control-plane/main.rs` has done so, and ends everything with the test run.
//! `serve` is Tidegate itself, `backend` a pod's program, `viewer` who asks.

mod backend;
mod objects;
mod relay;
mod serve;
mod viewer;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

pub(crate) use self::backend::{Backend, PORT};
pub(crate) use self::objects::{certificate, secret, service};
pub(crate) use self::relay::Relay;
pub(crate) use self::serve::Tidegate;
pub(crate) use self::viewer::Viewer;

/// What a test waits for comes in milliseconds; a machine that builds something beside it is allowed to be slow.
const LIMIT: Duration = Duration::from_secs(60);

/// One test's part of the control plane.
pub(crate) struct Cluster {
    /// The administrator, who creates what users create.
    pub(crate) admin: kube::Client,
    /// The API namespace that only this test uses.
    pub(crate) namespace: String,
    folder: PathBuf,
    /// For `tidegate serve --kubeconfig`.
    kubeconfig: PathBuf,
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
        let kubeconfig = folder.join("tidegate.kubeconfig");
        Ok(Self { admin, namespace, folder, kubeconfig, network })
    }

    /// A client with the rights that the chart gives to Tidegate.
    pub(crate) async fn tidegate(&self) -> anyhow::Result<kube::Client> {
        client(&self.kubeconfig).await
    }

    /// A client with the rights of this user, who has those that a test gives.
    pub(crate) async fn client_of(&self, user: &str) -> anyhow::Result<kube::Client> {
        let mut kubeconfig = read(&self.admin_kubeconfig())?;
        for named in &mut kubeconfig.auth_infos {
            let admin = named.auth_info.as_mut().context("the administrator has credentials")?;
            admin.impersonate = Some(user.to_owned());
        }
        connect(kubeconfig).await
    }

    /// For `tidegate serve --kubeconfig`.
    pub(crate) fn tidegate_kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone()
    }

    /// Has Tidegate reach the API server through `relay` from now on.
    pub(crate) fn reach_through(&mut self, relay: &Relay) {
        self.kubeconfig = relay.kubeconfig();
    }

    /// For programs that are the administrator.
    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// What kubectl says as the administrator, in the test's namespace.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.kubectl_with(arguments, "").await
    }

    /// The same, with this on its standard input.
    pub(crate) async fn kubectl_with(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let mut child = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(self.admin_kubeconfig())
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("kubectl does not start")?;
        let mut stdin = child.stdin.take().context("stdin is piped")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        ensure!(output.status.success(), "kubectl: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8(output.stdout)?)
    }

    /// `kubectl apply` of this YAML.
    pub(crate) async fn apply(&self, yaml: &str) -> anyhow::Result<()> {
        self.kubectl_with(&["apply", "--filename", "-"], yaml).await.map(drop)
    }

    /// `kubectl wait` for `TYPE=STATUS` of a Distribution.
    pub(crate) async fn wait_for(&self, distribution: &str, condition: &str) -> anyhow::Result<()> {
        let (object, limit) = (format!("dist/{distribution}"), format!("--timeout={}s", LIMIT.as_secs()));
        let waited = self.kubectl(&["wait", &format!("--for=condition={condition}"), &object, &limit]).await;
        match waited {
            Ok(_) => Ok(()),
            Err(error) => Err(error.context(self.kubectl(&["get", &object, "--output=yaml"]).await?)),
        }
    }

    /// An address that no other test listens on, and that the API server takes for a pod's.
    pub(crate) fn address(&self, host: u8) -> IpAddr {
        Ipv4Addr::new(10, 99, self.network, host).into()
    }
}

/// Asks until it is so, or the limit has passed: for what another process does, and nothing announces.
pub(crate) async fn eventually<T>(
    what: &str,
    mut ask: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if begun.elapsed() > LIMIT => {
                return Err(error.context(format!("not within {LIMIT:?}: {what}")));
            }
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
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
    connect(read(kubeconfig)?).await
}

fn read(kubeconfig: &Path) -> anyhow::Result<Kubeconfig> {
    Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("{} is not readable: did the control plane end?", kubeconfig.display()))
}

async fn connect(kubeconfig: Kubeconfig) -> anyhow::Result<kube::Client> {
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

async fn create_namespace(admin: &kube::Client, name: &str) -> anyhow::Result<String> {
    let metadata = ObjectMeta { generate_name: Some(format!("{name}-")), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    let created = Api::<Namespace>::all(admin.clone()).create(&PostParams::default(), &namespace).await?;
    created.metadata.name.context("the API server names what it creates")
}
