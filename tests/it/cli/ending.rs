//! How the running process ends: signals, exit statuses, and what is cut.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::serving::{LIMIT, Serving, wait_for};

/// A folder with one Distribution, `example.com`, whose only endpoint is `origin`.
pub(super) fn folder(origin: SocketAddr) -> tempfile::TempDir {
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
