//! `tidegate probe` as the chart's test runs it: what answers, and an exit status.

use std::net::TcpListener;

use super::ending::folder;
use super::serving::Serving;
use super::{assert_fails, tidegate};
use crate::websocket::peers::EchoSocket;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_tells_what_answers_and_ends_by_it() {
    let origin = EchoSocket::start().await;
    let folder = folder(origin.address);
    let serving = Serving::start(folder.path(), &["--viewer-health-path=/healthz"]);

    let ready = tidegate(&["probe", &format!("http://{}/readyz", serving.admin)]);
    let told = String::from_utf8_lossy(&ready.stdout).into_owned();
    assert!(ready.status.success() && told.starts_with("200 OK\n"), "{told}");

    let (viewers, health) = (format!("http://{}", serving.http), format!("http://{}/healthz", serving.http));
    assert!(tidegate(&["probe", &health]).status.success());
    assert_fails(&["probe", &viewers], 1, "it answers 404 Not Found (no_distribution)");
    // The host is the Distribution's now, which does not know the path for health.
    let host = ["probe", "--host=example.com", &health];
    assert!(!String::from_utf8_lossy(&tidegate(&host).stderr).contains("no_distribution"));
}

#[test]
fn a_probe_of_nobody_is_one_sentence() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    let sentence = format!("error: {url}: Connection refused (os error 111); is it the right address?");
    assert_fails(&["probe", "--within=600ms", &url], 1, &sentence);
    assert_fails(&["probe", "https://example.com/"], 2, "write http://HOST:PORT/PATH, without TLS");
}
