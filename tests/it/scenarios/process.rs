//! The running `tidegate`: started with ports that the system chooses, ended when dropped.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// More than a start may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// Where the process listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// A process that serves.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Where it listens.
    pub(crate) addresses: Addresses,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts `tidegate serve` on a folder and waits until it listens.
    pub(crate) async fn start(folder: &Path, flags: &[String]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .arg("serve")
            .arg("--manifests")
            .arg(folder)
            .args(["--http-listen=127.0.0.1:0", "--https-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"])
            .args(["--workers=1", "--access-log=off", "--log-format=json"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("a pipe");
        let log = Arc::new(Mutex::new(String::new()));
        let (ready, addresses) = oneshot::channel();
        let kept = Arc::clone(&log);
        // It ends with the pipe, which ends with the process.
        std::thread::spawn(move || {
            let mut ready = Some(ready);
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let (Some(addresses), Some(_)) = (addresses_in(&line), &ready) {
                    // Nobody listens where the start took too long.
                    let _nobody = ready.take().expect("looked at above").send(addresses);
                }
                let mut log = kept.lock().expect("no panic here");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let addresses = timeout(LIMIT, addresses).await;
        let said = || log.lock().expect("no panic there").clone();
        let addresses = match addresses {
            Ok(Ok(addresses)) => addresses,
            outcome => {
                // It may have ended already.
                let _ended = child.kill();
                let _ended = child.wait();
                panic!("the process does not listen ({outcome:?}); it said:\n{}", said());
            }
        };
        Self { child, addresses, log }
    }

    /// What it logged so far.
    pub(crate) fn said(&self) -> String {
        self.log.lock().expect("no panic there").clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// The addresses in the line that says where the process listens.
fn addresses_in(line: &str) -> Option<Addresses> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line.get("event")?.as_str()? != "serve.listening" {
        return None;
    }
    let address = |field: &str| line.get(field)?.as_str()?.trim_matches(['[', ']']).parse().ok();
    Some(Addresses { http: address("http")?, https: address("https")?, admin: address("admin")? })
}
