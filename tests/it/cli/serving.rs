//! The real binary over a folder of manifests, and its log.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

/// The limit of every wait here.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// A running `tidegate serve` over a folder; killed when the test is over.
pub(super) struct Serving {
    child: Child,
    /// The lines of its log.
    pub(super) log: Receiver<Value>,
    pub(super) http: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Serving {
    /// Starts it, and waits until a table is in force.
    pub(super) fn start(folder: &Path, flags: &[&str]) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_tidegate")), folder, flags)
    }

    /// The same after these commands of a shell, which set limits.
    pub(super) fn under(limits: &str, folder: &Path, flags: &[&str]) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("{limits}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_tidegate")]);
        Self::run(shell, folder, flags)
    }

    fn run(mut command: Command, folder: &Path, flags: &[&str]) -> Self {
        let mut child = command
            .args(["serve", "--http-listen=127.0.0.1:0", "--https-listen=off", "--admin-listen=127.0.0.1:0"])
            .arg("--manifests")
            .arg(folder)
            .args(flags)
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = read_log(child.stderr.take().expect("stderr is piped"));
        let listening = wait_for(&log, "serve.listening");
        let address = |name: &str| listening[name].as_str().and_then(|text| text.parse().ok());
        let (http, admin) = (address("http").expect("one address"), address("admin").expect("one address"));
        wait_for(&log, "config.published");
        Self { child, log, http, admin }
    }

    /// Sends a signal by its name.
    pub(super) fn signal(&self, name: &str) {
        let kill = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(kill.expect("kill starts").success());
    }

    /// Waits for the end, which closes the log, and gives the exit status.
    pub(super) fn end(mut self) -> Option<i32> {
        while let Ok(line) = self.log.recv_timeout(LIMIT) {
            assert_ne!(line["level"], "ERROR", "{line}");
        }
        self.child.wait().expect("the process can be waited for").code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Only fails where it has ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn read_log(stderr: ChildStderr) -> Receiver<Value> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let line = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a JSON line: {line}"));
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

pub(super) fn wait_for(log: &Receiver<Value>, event: &str) -> Value {
    loop {
        let line = log.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("no line of {event}"));
        if line["event"] == event {
            return line;
        }
    }
}
