//! How the running process ends: signals, exit statuses, and what is cut.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

/// The limit of every wait here.
const LIMIT: Duration = Duration::from_secs(30);

/// A running `tidegate serve` over a folder; killed when the test is over.
struct Serving {
    child: Child,
    /// The lines of its log.
    log: Receiver<Value>,
    http: SocketAddr,
}

impl Serving {
    /// Starts it, and waits until a table is in force.
    fn start(folder: &Path, drain: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["serve", "--http-listen=127.0.0.1:0", "--https-listen=off", "--admin-listen=127.0.0.1:0"])
            .arg("--manifests")
            .arg(folder)
            .args(drain)
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = read_log(child.stderr.take().expect("stderr is piped"));
        let listening = wait_for(&log, "serve.listening");
        let http = listening["http"].as_str().and_then(|text| text.parse().ok()).expect("one address");
        wait_for(&log, "config.published");
        Self { child, log, http }
    }

    /// Sends a signal by its name.
    fn signal(&self, name: &str) {
        let kill = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(kill.expect("kill starts").success());
    }

    /// Waits for the end, which closes the log, and gives the exit status.
    fn end(mut self) -> Option<i32> {
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

fn wait_for(log: &Receiver<Value>, event: &str) -> Value {
    loop {
        let line = log.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("no line of {event}"));
        if line["event"] == event {
            return line;
        }
    }
}

/// A folder with one Distribution, `example.com`, whose only endpoint is `origin`.
fn folder(origin: SocketAddr) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = format!(
        "\
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web-1, namespace: shop, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
ports: [{{name: http, port: {port}}}]
endpoints: [{{addresses: [{ip}]}}]
---
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {{name: web, namespace: shop}}
spec:
  aliases: [example.com]
  origins: [{{id: web, service: {{name: web}}}}]
  defaultCacheBehavior: {{targetOriginId: web, viewerProtocolPolicy: allow-all}}
",
        ip = origin.ip(),
        port = origin.port(),
    );
    std::fs::write(folder.path().join("web.yaml"), manifest).expect("a file");
    folder
}

/// Sends a request through `serving` and waits until it has reached `origin`, which never answers it.
fn hang(serving: &Serving, origin: &TcpListener) -> (TcpStream, TcpStream) {
    let mut viewer = TcpStream::connect(serving.http).expect("the listener accepts");
    viewer.write_all(b"GET / HTTP/1.1\r\nhost: example.com\r\n\r\n").expect("the request is taken");
    let (mut held, _) = origin.accept().expect("the request reaches the origin");
    held.set_read_timeout(Some(LIMIT)).expect("a limit");
    held.read_exact(&mut [0; 5]).expect("the request's first bytes");
    (viewer, held)
}

#[test]
fn a_signal_drains_and_the_process_ends_well() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().expect("a folder");
        let serving = Serving::start(folder.path(), &["--drain-delay=0s"]);
        serving.signal(signal);
        wait_for(&serving.log, "drain.start");
        wait_for(&serving.log, "drain.done");
        assert_eq!(serving.end(), Some(0), "after SIG{signal}");
    }
}

#[test]
fn a_deadline_that_cuts_a_request_is_an_exit_status_of_its_own() {
    let origin = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let folder = folder(origin.local_addr().expect("its address"));
    let drain = ["--drain-delay=0s", "--drain-timeout=5s", "--websocket-drain-spread=0s"];
    let serving = Serving::start(folder.path(), &drain);
    let _hanging = hang(&serving, &origin);
    serving.signal("TERM");
    let done = wait_for(&serving.log, "drain.done");
    assert_eq!(done["cut"], 1, "{done}");
    assert_eq!(serving.end(), Some(3));
}

#[test]
fn a_second_signal_ends_at_once() {
    let origin = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let folder = folder(origin.local_addr().expect("its address"));
    // Without the second signal this would take longer than any wait here.
    let serving = Serving::start(folder.path(), &["--drain-delay=10m", "--drain-timeout=10m"]);
    let _hanging = hang(&serving, &origin);
    serving.signal("TERM");
    wait_for(&serving.log, "drain.start");
    serving.signal("TERM");
    wait_for(&serving.log, "drain.cut");
    assert_eq!(serving.end(), Some(3));
}
