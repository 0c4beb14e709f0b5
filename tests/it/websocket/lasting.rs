//! Changing the configuration does not touch what is open.

use rustls::ClientConfig;
use std::sync::Arc;
use tidegate::table::certificate::Certificates;
use tidegate::table::web_socket::Handshakes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::peers::{EchoSocket, Socket, echo, open_on};
use crate::dataplane::rig::{Plane, Site, soon, table};
use crate::dataplane::tls;

/// Of each kind.
const SOCKETS: usize = 100;
const EDITS: usize = 400;
/// Every so many edits there is a new certificate.
const EDITS_PER_CERTIFICATE: usize = 10;
/// And every so many all sockets are used.
const EDITS_PER_ECHO: usize = 100;

/// A viewer's connection, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

async fn open(plane: &Plane, client: &Arc<ClientConfig>) -> Vec<Socket<Box<dyn Stream>>> {
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        let plain: Box<dyn Stream> = Box::new(plane.connect().await.stream);
        let secure = tls::handshake(plane, client, "web.example").await.unwrap();
        let secure: Box<dyn Stream> = Box::new(secure.stream);
        for stream in [plain, secure] {
            sockets.push(open_on("web.example", stream).await);
        }
    }
    sockets
}

/// The sites after so many edits: each of them changes another Distribution and something of the sockets' own.
fn edited(edit: usize, own: &EchoSocket, other: &EchoSocket) -> Vec<Site> {
    let mut web = Site::new("web", &[own.address]);
    let mut blog = Site::new("blog", &[other.address]);
    let shape = web.default;
    match edit % 5 {
        0 => web.ordered = vec![("/chat", shape)],
        1 => web.ordered = vec![("/chat*", shape), ("/news", shape)],
        2 => web.default.web_socket = |policy| policy.handshakes = Handshakes::Refused,
        3 => web.endpoints = vec![other.address],
        _ => web.endpoints.clear(),
    }
    if edit.is_multiple_of(2) {
        blog.endpoints.push(own.address);
    }
    if edit.is_multiple_of(3) { vec![web] } else { vec![web, blog] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_edits_and_dozens_of_certificates_close_no_socket() {
    let (own, other) = (EchoSocket::start().await, EchoSocket::start().await);
    let mut made = tls::make(&["web.example"]);
    let certificates =
        |made: &tls::Made| -> Certificates { tls::certificates(&[("web", tls::usable(made))], None) };
    let plane = Plane::start();
    plane.handle.publish(table(vec![Site::new("web", &[own.address])], certificates(&made)));
    let mut sockets = open(&plane, &tls::client(&[&made], &[])).await;

    for edit in 1..=EDITS {
        if edit.is_multiple_of(EDITS_PER_CERTIFICATE) {
            made = tls::make(&["web.example"]);
        }
        let published = plane.handle.publish(table(edited(edit, &own, &other), certificates(&made)));
        assert!(published, "edit {edit} changes nothing");
        if edit.is_multiple_of(EDITS_PER_ECHO) {
            for socket in &mut sockets {
                echo(socket, "still here").await;
            }
        }
    }

    let open = "tidegate_websocket_connections{namespace=\"test\",distribution=\"web\",origin=\"web\",protocol=\"h1\"}";
    assert_eq!(plane.metric(open), 2 * SOCKETS);
    let page = plane.metrics.encode().unwrap();
    assert!(!page.contains("tidegate_websocket_closed_total{"), "{page}");
    // The edits were in force: the newest certificate is shown.
    soon(tls::handshake(&plane, &tls::client(&[&made], &[]), "web.example")).await.unwrap();
}
