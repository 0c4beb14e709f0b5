//! `tidegate serve` as the cluster runs it: the binary, the chart's ServiceAccount, a process of its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal};
use tokio::net::TcpStream;

use super::{Cluster, eventually};

/// A running Tidegate; dropping it kills it.
pub(crate) struct Tidegate {
    process: Child,
    logs: tempfile::TempDir,
    http: SocketAddr,
    https: SocketAddr,
    admin: SocketAddr,
}

impl Drop for Tidegate {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            println!("what tidegate logged:\n{}", self.log());
        }
    }
}

impl Tidegate {
    /// Serves the test's namespace, and returns when it is ready.
    pub(crate) async fn serve(cluster: &Cluster) -> anyhow::Result<Self> {
        Self::serve_with(cluster, &["--watch-namespaces", &cluster.namespace]).await
    }

    /// Serves what these flags say, and returns when it is ready.
    pub(crate) async fn serve_with(cluster: &Cluster, flags: &[&str]) -> anyhow::Result<Self> {
        Self::replica(cluster, 1, flags).await
    }

    /// One of several replicas, which is called `NAMESPACE-NUMBER`.
    pub(crate) async fn replica(cluster: &Cluster, number: u8, flags: &[&str]) -> anyhow::Result<Self> {
        let tidegate = Self::start(cluster, number, flags)?;
        tidegate.is_ready().await?;
        Ok(tidegate)
    }

    /// The same, which may not be ready yet.
    pub(crate) fn start(cluster: &Cluster, number: u8, flags: &[&str]) -> anyhow::Result<Self> {
        let at = |port| SocketAddr::new(cluster.address(number), port);
        let (http, https, admin) = (at(80), at(443), at(9090));
        let logs = tempfile::tempdir()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.env_clear().env("POD_NAMESPACE", "tidegate-system");
        command.env("POD_NAME", format!("{}-{number}", cluster.namespace));
        // The replicas of one class elect a leader, and each test has a fleet of its own.
        command.env("TIDEGATE_CLASS_NAME", &cluster.namespace);
        command.arg("serve").arg("--kubeconfig").arg(cluster.tidegate_kubeconfig());
        command.args(["--http-listen", &http.to_string(), "--https-listen", &https.to_string()]);
        command.args(["--admin-listen", &admin.to_string(), "--debug-from", "10.99.0.0/16"]);
        command.args(["--workers", "2", "--log-format", "json"]).args(flags);
        command.stdin(Stdio::null());
        command
            .stdout(File::create(logs.path().join("access"))?)
            .stderr(File::create(logs.path().join("log"))?);
        let process = command.spawn().context("tidegate does not start")?;
        Ok(Self { process, logs, http, https, admin })
    }

    /// Waits until it is ready.
    pub(crate) async fn is_ready(&self) -> anyhow::Result<()> {
        eventually("tidegate is ready", async || match self.ask("/readyz").await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.context(self.log())),
        })
        .await
    }

    /// Where viewers come without TLS.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where viewers come with TLS.
    pub(crate) fn https(&self) -> SocketAddr {
        self.https
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(rustix::process::kill_process(Pid::from_child(&self.process), signal)?)
    }

    /// Where operators ask.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.logs.path().join("log")).unwrap_or_default()
    }

    /// The body of an admin page; another status than 200 is an error.
    pub(crate) async fn ask(&self, path: &str) -> anyhow::Result<String> {
        let stream = TcpStream::connect(self.admin).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = http::Request::get(path).header("host", "admin").body(Empty::<Bytes>::new())?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        anyhow::ensure!(head.status.is_success(), "{path} answers {}", head.status);
        Ok(String::from_utf8(body.to_vec())?)
    }
}
