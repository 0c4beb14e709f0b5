//! Who is measured: the programs that are there, and one of them running.
//!
//! All are told the same: one worker, the same certificate, TLS 1.3, kept connections to the origin, and the header
//! fields that an ingress controller sets. Each has a file with its own way to say so.

mod haproxy;
mod nginx;
mod tidegate;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::certificate::Certificate;
use crate::machine;
use crate::measure::Bench;
use crate::rows::AccessLog;
use crate::viewers::request;

/// How long a proxy may take to serve its first request.
const START: Duration = Duration::from_secs(10);

/// A proxy that can be started.
#[derive(Debug)]
pub(crate) struct Program {
    /// With its version, as the table's head has it.
    pub(crate) name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Tidegate(PathBuf),
    Nginx,
    Haproxy,
}

/// What a proxy is told.
#[derive(Debug)]
struct Setting<'s> {
    folder: &'s Path,
    http: SocketAddr,
    https: SocketAddr,
    origin: SocketAddr,
    /// How many connections it can pass on at once.
    passable: usize,
    certificate: &'s Certificate,
    access_log: AccessLog,
}

impl Setting<'_> {
    /// Writes a file of the proxy; gives its path.
    fn file(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(path)
    }
}

impl Program {
    /// This build of Tidegate first, then other builds, then the peers that are installed; and a sentence for each
    /// peer that is not.
    pub(crate) fn find(build: &Path, against: &[(String, PathBuf)]) -> (Vec<Self>, Vec<String>) {
        let mut found = vec![Self { name: "Tidegate".to_owned(), kind: Kind::Tidegate(build.to_owned()) }];
        let other = |(name, path): &(String, PathBuf)| Self {
            name: name.clone(),
            kind: Kind::Tidegate(path.clone()),
        };
        found.extend(against.iter().map(other));
        let mut absent = Vec::new();
        let peers = [
            ("nginx", nginx::version(), Kind::Nginx, "nginx-light"),
            ("HAProxy", haproxy::version(), Kind::Haproxy, "haproxy"),
        ];
        for (name, version, kind, package) in peers {
            match version {
                Some(version) => found.push(Self { name: format!("{name} {version}"), kind }),
                None => absent.push(format!("{name} was not measured: apt-get install {package}")),
            }
        }
        (found, absent)
    }

    /// Whether it is a build of Tidegate and not a peer.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Tidegate(_))
    }

    /// Starts it, and waits until it serves.
    pub(crate) async fn start(&self, bench: &Bench<'_>, access_log: AccessLog) -> anyhow::Result<Proxy> {
        let folder = tempfile::Builder::new().prefix("tidegate-bench-").tempdir()?;
        let (http, https) = (free_port()?, free_port()?);
        let setting = Setting {
            folder: folder.path(),
            http,
            https,
            origin: bench.origin.address,
            passable: bench.passable,
            certificate: &bench.certificate,
            access_log,
        };
        let mut command = match &self.kind {
            Kind::Tidegate(binary) => tidegate::command(bench.cores, binary, &setting),
            Kind::Nginx => nginx::command(bench.cores, &setting),
            Kind::Haproxy => haproxy::command(bench.cores, &setting),
        }?;
        let process = spawn(&mut command, folder.path())?;
        let mut proxy = Proxy { name: self.name.clone(), http, https, process, folder };
        proxy.serves().await?;
        Ok(proxy)
    }
}

/// Standard output is where access logs go, so it is a file as it would be for a container.
fn spawn(command: &mut Command, folder: &Path) -> anyhow::Result<Child> {
    let (out, err) = (fs::File::create(folder.join("stdout"))?, fs::File::create(folder.join("stderr"))?);
    command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .kill_on_drop(true)
        .spawn()
        .context("it does not start")
}

/// A port that was free a moment ago: not every proxy can say which one it took by itself.
fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A proxy that runs; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) name: String,
    /// Where it takes plaintext.
    pub(crate) http: SocketAddr,
    /// Where it takes TLS.
    pub(crate) https: SocketAddr,
    process: Child,
    folder: TempDir,
}

impl Proxy {
    async fn serves(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while let Err(error) = request::on_new_connection(self.http).await {
            if self.process.try_wait()?.is_some() || begun.elapsed() > START {
                let told = fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default();
                return Err(error.context(format!("{} does not serve; it says: {}", self.name, told.trim())));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// How much CPU time it has used.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<Duration> {
        machine::cpu_time(self.id()?)
    }

    /// How much memory it has, in KiB.
    pub(crate) fn memory_kib(&self) -> anyhow::Result<u64> {
        machine::memory_kib(self.id()?)
    }

    fn id(&self) -> anyhow::Result<u32> {
        self.process.id().with_context(|| format!("{} has ended", self.name))
    }

    /// Ends it, with the processes that it started.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.id()?.to_string();
        Command::new("kill").args(["-TERM", &id]).status().await?;
        if timeout(Duration::from_secs(3), self.process.wait()).await.is_err() {
            self.process.kill().await?;
        }
        Ok(())
    }
}
