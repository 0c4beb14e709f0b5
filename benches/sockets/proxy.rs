//! Tidegate as `serve` runs it on a folder of manifests, which are edited under it.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::certificate::{Certificate, HOST};

/// How long it may take to serve.
const START: Duration = Duration::from_secs(20);

/// The process, with its folder; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where it takes plaintext.
    pub(crate) http: SocketAddr,
    /// Where it takes TLS.
    pub(crate) https: SocketAddr,
    admin: SocketAddr,
    folder: TempDir,
    process: Child,
}

impl Proxy {
    /// Starts it, and waits until it is ready.
    pub(crate) async fn start(
        origin: SocketAddr,
        certificate: &Certificate,
        spread: Duration,
        drain: Duration,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidegate-sockets-").tempdir()?;
        let manifests = folder.path().join("manifests");
        fs::create_dir(&manifests)?;
        fs::write(manifests.join("site.yaml"), site(origin))?;
        let [http, https, admin] = [free_port()?, free_port()?, free_port()?];
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .arg("serve")
            .args(["--http-listen", &http.to_string(), "--https-listen", &https.to_string()])
            .args(["--admin-listen", &admin.to_string(), "--access-log", "off", "--drain-delay", "0s"])
            .args(["--websocket-drain-spread", &format!("{}s", spread.as_secs())])
            .args(["--drain-timeout", &format!("{}s", drain.as_secs())])
            .arg("--manifests")
            .arg(&manifests)
            .stdin(Stdio::null())
            .stderr(fs::File::create(folder.path().join("stderr"))?)
            .kill_on_drop(true);
        let process = command.spawn().context("it does not start")?;
        let proxy = Self { http, https, admin, folder, process };
        proxy.swap_certificate(certificate)?;
        proxy.edit_another(0)?;
        let began = Instant::now();
        while !proxy.serves().await {
            ensure!(began.elapsed() < START, "it does not serve: {}", proxy.said());
            sleep(Duration::from_millis(50)).await;
        }
        Ok(proxy)
    }

    /// Replaces a Distribution that the sockets have nothing to do with.
    pub(crate) fn edit_another(&self, edit: usize) -> anyhow::Result<()> {
        self.write(
            "another.yaml",
            &format!(
                "apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {{name: another, namespace: other}}
spec:
  aliases: [another.test]
  origins: [{{id: origin, service: {{name: origin}}}}]
  cacheBehaviors: [{{pathPattern: /{edit}/*, targetOriginId: origin}}]
  defaultCacheBehavior: {{targetOriginId: origin}}
"
            ),
        )
    }

    /// Replaces the certificate that the sockets' handshakes were made with.
    pub(crate) fn swap_certificate(&self, certificate: &Certificate) -> anyhow::Result<()> {
        let mut secret = String::from(
            "apiVersion: v1\nkind: Secret\nmetadata: {name: tls, namespace: bench}\ntype: kubernetes.io/tls\nstringData:\n",
        );
        for (name, pem) in [("tls.crt", &certificate.chain), ("tls.key", &certificate.key)] {
            writeln!(secret, "  {name}: |")?;
            for line in pem.lines() {
                writeln!(secret, "    {line}")?;
            }
        }
        self.write("certificate.yaml", &secret)
    }

    /// In one step, so that half a file is never read.
    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let new = self.folder.path().join(name);
        fs::write(&new, text)?;
        Ok(fs::rename(new, self.folder.path().join("manifests").join(name))?)
    }

    async fn serves(&self) -> bool {
        let sites = self.page("/debug/status").await.unwrap_or_default();
        // The certificate and the other Distribution came a moment later.
        let ready = self.page("/readyz").await.is_ok_and(|page| page.starts_with("HTTP/1.1 200"));
        ready && sites.contains("another") && !sites.contains("SecretNotFound")
    }

    /// How many tables it has published.
    pub(crate) async fn published(&self) -> anyhow::Result<String> {
        let metrics = self.page("/metrics").await?;
        let line = metrics.lines().find_map(|line| line.strip_prefix("tidegate_config_publish_total "));
        Ok(line.context("no tidegate_config_publish_total in /metrics")?.trim().to_owned())
    }

    async fn page(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.admin).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await?;
        Ok(page)
    }

    /// Its memory of its own, in KiB: what of it no file stands behind.
    pub(crate) fn memory_kib(&self) -> anyhow::Result<u64> {
        let id = self.process.id().context("it has ended")?;
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
        Ok(line.context("no RssAnon in its status")?.trim().parse()?)
    }

    /// Sends SIGTERM.
    pub(crate) async fn terminate(&self) -> anyhow::Result<()> {
        let id = self.process.id().context("it has ended")?.to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await?;
        ensure!(sent.success(), "it cannot be terminated");
        Ok(())
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.process.wait().await?)
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }
}

/// A port that was free a moment ago.
fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn site(origin: SocketAddr) -> String {
    let (address, port) = (origin.ip(), origin.port());
    format!(
        "apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {{name: site, namespace: bench}}
spec:
  aliases: [{HOST}]
  viewerCertificate: {{secretName: tls}}
  origins: [{{id: origin, service: {{name: origin}}}}]
  defaultCacheBehavior: {{targetOriginId: origin, viewerProtocolPolicy: allow-all}}
---
apiVersion: v1
kind: Service
metadata: {{name: origin, namespace: bench}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: origin-1, namespace: bench, labels: {{kubernetes.io/service-name: origin}}}}
addressType: IPv4
endpoints: [{{addresses: [{address}]}}]
ports: [{{name: http, port: {port}}}]
"
    )
}
