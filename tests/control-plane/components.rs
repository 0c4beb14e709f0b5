//! etcd, kube-apiserver and, where it is wanted, kube-controller-manager as child processes.
//!
//! It runs in a network namespace of its own, hence the fixed ports and tokens: nobody else can reach them.
//! Start at `ControlPlane::start`.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::json;

/// Where the chart is installed, and whose ServiceAccount Tidegate is.
pub(crate) const NAMESPACE: &str = "tidegate-system";

const ETCD: &str = "http://127.0.0.1:2379";
const API_SERVER: &str = "https://127.0.0.1:6443";

/// The API server is ready in 3 s; a machine that builds something beside it is allowed to be slow.
const START_LIMIT: Duration = Duration::from_secs(90);

/// Whether Deployments, EndpointSlices and ends of namespaces are cared for: of use by hand, and 3 s of processor time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Controllers {
    Run,
    Leave,
}

/// The running control plane; dropping it kills it.
pub(crate) struct ControlPlane {
    folder: PathBuf,
    children: Vec<(&'static str, Child)>,
}

impl ControlPlane {
    /// Starts everything with its files in `folder` and returns when the API server is ready.
    pub(crate) fn start(folder: &Path, controllers: Controllers) -> anyhow::Result<Self> {
        let mut plane = Self { folder: folder.to_path_buf(), children: Vec::new() };
        plane.write_credentials()?;
        plane.start_etcd()?;
        plane.start_api_server()?;
        plane.wait_until_ready()?;
        if controllers == Controllers::Run
            && let Err(error) = plane.start_controllers()
        {
            // Not part of KUBEBUILDER_ASSETS; by hand, a control plane without it is better than none.
            eprintln!("control plane: no controllers: {error:#}");
        }
        Ok(plane)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    pub(crate) fn tidegate_kubeconfig(&self) -> PathBuf {
        self.folder.join("tidegate.kubeconfig")
    }

    /// Installs the chart with its default values, so that its RBAC is what Tidegate runs with.
    pub(crate) fn install_chart(&self, chart: &Path) -> anyhow::Result<()> {
        let mut helm = Command::new("helm");
        helm.args(["install", "tidegate"]).arg(chart).args(["--namespace", NAMESPACE, "--create-namespace"]);
        output(helm.arg("--kubeconfig").arg(self.admin_kubeconfig()))?;
        self.kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd/distributions.tidegate.io",
            "--timeout=30s",
        ])?;
        Ok(())
    }

    /// Tokens, a kubeconfig each, and the key that ServiceAccount tokens are signed with.
    fn write_credentials(&self) -> anyhow::Result<()> {
        let account = format!("system:serviceaccount:{NAMESPACE}:tidegate");
        let groups = format!("system:serviceaccounts,system:serviceaccounts:{NAMESPACE}");
        let tokens =
            format!("admin,admin,admin,\"system:masters\"\ntidegate,{account},tidegate,\"{groups}\"\n");
        fs::write(self.folder.join("tokens.csv"), tokens)?;
        let signing = rcgen::KeyPair::generate()?;
        fs::write(self.folder.join("service-accounts.key"), signing.serialize_pem())?;
        fs::write(self.folder.join("service-accounts.pub"), signing.public_key_pem())?;
        for user in ["admin", "tidegate"] {
            let kubeconfig = json!({
                "apiVersion": "v1", "kind": "Config", "current-context": user,
                // The API server makes this file itself: its own certificate and the CA that signed it.
                "clusters": [{"name": "test", "cluster": {"server": API_SERVER, "certificate-authority": self.folder.join("apiserver.crt")}}],
                "users": [{"name": user, "user": {"token": user}}],
                "contexts": [{"name": user, "context": {"cluster": "test", "user": user}}],
            });
            fs::write(self.folder.join(format!("{user}.kubeconfig")), kubeconfig.to_string())?;
        }
        Ok(())
    }

    fn start_etcd(&mut self) -> anyhow::Result<()> {
        let mut etcd = Command::new("etcd");
        etcd.arg("--data-dir").arg(self.folder.join("etcd"));
        etcd.args(["--listen-client-urls", ETCD, "--advertise-client-urls", ETCD]);
        etcd.args([
            "--listen-peer-urls",
            "http://127.0.0.1:2380",
            "--initial-advertise-peer-urls",
            "http://127.0.0.1:2380",
        ]);
        etcd.args([
            "--initial-cluster",
            "default=http://127.0.0.1:2380",
            "--unsafe-no-fsync",
            "--log-level",
            "warn",
        ]);
        self.spawn("etcd", etcd)
    }

    fn start_api_server(&mut self) -> anyhow::Result<()> {
        let mut server = Command::new("kube-apiserver");
        server.args(["--etcd-servers", ETCD, "--bind-address=127.0.0.1", "--secure-port=6443"]);
        server.args(["--advertise-address=10.99.0.1", "--service-cluster-ip-range=10.96.0.0/16"]);
        server.arg("--cert-dir").arg(&self.folder);
        server.arg("--token-auth-file").arg(self.folder.join("tokens.csv"));
        server.arg("--service-account-issuer=https://kubernetes.default.svc");
        server.arg("--service-account-key-file").arg(self.folder.join("service-accounts.pub"));
        server.arg("--service-account-signing-key-file").arg(self.folder.join("service-accounts.key"));
        // Without that plugin a Pod needs no ServiceAccount, which only the controllers would make.
        server.args([
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--profiling=false",
        ]);
        self.spawn("kube-apiserver", server)
    }

    fn start_controllers(&mut self) -> anyhow::Result<()> {
        let mut manager = Command::new("kube-controller-manager");
        manager.arg("--kubeconfig").arg(self.admin_kubeconfig());
        manager.arg("--service-account-private-key-file").arg(self.folder.join("service-accounts.key"));
        manager.arg("--flex-volume-plugin-dir").arg(self.folder.join("volume-plugins"));
        manager.args(["--leader-elect=false", "--bind-address=127.0.0.1", "--profiling=false"]);
        self.spawn("kube-controller-manager", manager)
    }

    /// Starts a program in a process group of its own, out of reach of the terminal's Ctrl-C, with a log file.
    fn spawn(&mut self, name: &'static str, mut command: Command) -> anyhow::Result<()> {
        let log = File::create(self.folder.join(format!("{name}.log")))?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| {
                format!(
                    "{name} does not start: build it with tests/control-plane/build, or use `make cluster`"
                )
            })?;
        self.children.push((name, child));
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "another process's readiness can only be asked for again")]
    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            for (name, child) in &mut self.children {
                if let Some(status) = child.try_wait()? {
                    let log = fs::read_to_string(self.folder.join(format!("{name}.log")))?;
                    bail!("{name} ended with {status}:\n{}", last_lines(&log));
                }
            }
            match self.kubectl(&["get", "--raw", "/readyz", "--request-timeout=5s"]) {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > START_LIMIT => {
                    return Err(error).context("the API server does not become ready");
                }
                Err(_) => sleep(Duration::from_millis(100)),
            }
        }
    }

    fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        output(Command::new("kubectl").arg("--kubeconfig").arg(self.admin_kubeconfig()).args(arguments))
    }
}

impl Drop for ControlPlane {
    /// SIGKILL: the API server's graceful end waits for etcd, and nothing here is worth keeping.
    fn drop(&mut self) {
        for (_, child) in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a short program to its end; what it says on stderr is the error.
fn output(command: &mut Command) -> anyhow::Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{name} does not start: build it with tests/control-plane/build"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(output)
}

/// What a reader needs of a component's log when it has ended: the last 15 lines.
fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
}
