//! Endpoints that refuse, connections that are dead, and how often the same request may be sent.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU8;
use std::time::Duration;

use tidegate::dataplane::Limits;

use super::rig::{EchoOrigin, Plane, RawOrigin, Site, Viewer, field};

const GET: &str = "GET / HTTP/1.1\r\nHost: web.example\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn one_worker(endpoints: &[SocketAddr]) -> Plane {
    Plane::of_one_worker(Limits::default(), vec![Site::new("web", endpoints)])
}

async fn answer(viewer: &mut Viewer, request: &str) -> String {
    viewer.send(request).await;
    viewer.response().await
}

#[tokio::test]
async fn an_endpoint_that_refuses_costs_an_attempt_and_no_request() {
    let origin = EchoOrigin::start("web").await;
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    // Each has a budget of its own, which two retries do not use up.
    let sites = names.map(|name| Site::new(name, &[nobody(), nobody(), origin.address]));
    let plane = Plane::of_one_worker(Limits::default(), sites.into());
    let mut viewer = plane.connect().await;
    for name in names {
        let response = answer(&mut viewer, &GET.replace("web", name)).await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    }
}

#[tokio::test]
async fn no_more_endpoints_are_tried_than_the_origin_allows() {
    let mut site = Site::new("web", &[nobody(), nobody()]);
    site.origin = |origin| origin.connection_attempts = NonZeroU8::MIN;
    let plane = Plane::serving(vec![site, Site::new("empty", &[])]);
    let mut viewer = plane.connect().await;
    let response = answer(&mut viewer, GET).await;
    assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
    assert_eq!(field(&response, "x-tidegate-error"), Some("origin_refused"));
    let response = answer(&mut viewer, &GET.replace("web", "empty")).await;
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert_eq!(field(&response, "x-tidegate-error"), Some("no_endpoints"));
}

#[tokio::test]
async fn a_connection_is_used_again_and_replaced_when_the_origin_closed_it() {
    let origin = RawOrigin::start().await;
    let plane = one_worker(&[origin.address]);
    let mut viewer = plane.connect().await;

    viewer.send(GET).await;
    let mut first = origin.accept().await;
    first.until("\r\n\r\n").await;
    first.send(OK).await;
    viewer.response().await;

    viewer.send(GET).await;
    first.until("\r\n\r\n").await;
    first.send(OK).await;
    viewer.response().await;
    drop(first);

    viewer.send(GET).await;
    let mut second = origin.accept().await;
    second.until("\r\n\r\n").await;
    second.send(OK).await;
    assert!(viewer.response().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_get_that_met_a_dying_connection_is_sent_again_and_a_post_is_not() {
    let origin = RawOrigin::start().await;
    let plane = one_worker(&[origin.address]);
    for (request, status) in [(GET.to_owned(), "200"), (GET.replace("GET", "POST"), "502")] {
        let mut viewer = plane.connect().await;
        viewer.send(GET).await;
        let mut pooled = origin.accept().await;
        pooled.until("\r\n\r\n").await;
        pooled.send(OK).await;
        viewer.response().await;

        viewer.send(&request).await;
        pooled.until("\r\n\r\n").await;
        drop(pooled); // the request was read, and no byte of an answer written
        if status == "200" {
            let mut fresh = origin.accept().await;
            fresh.until("\r\n\r\n").await;
            fresh.send(OK.replace("OK\r\n", "OK\r\nConnection: close\r\n")).await;
        }
        let response = viewer.response().await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
    }
}

#[tokio::test]
async fn an_origin_that_stays_silent_is_504() {
    let origin = RawOrigin::start().await;
    let mut site = Site::new("web", &[origin.address]);
    site.origin = |origin| origin.read_timeout = Duration::from_millis(50);
    let plane = Plane::serving(vec![site]);
    let mut viewer = plane.connect().await;
    let response = answer(&mut viewer, GET).await;
    assert!(response.starts_with("HTTP/1.1 504 "), "{response}");
    assert_eq!(field(&response, "x-tidegate-error"), Some("origin_read_timeout"));
}

#[tokio::test]
async fn what_is_not_http_is_502_and_its_connection_is_not_used_again() {
    let origin = RawOrigin::start().await;
    let plane = one_worker(&[origin.address]);
    let mut viewer = plane.connect().await;
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(11);
    let nonsense = [
        "SSH-2.0-x\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_owned(),
        interim.clone(),
        format!("{interim}{OK}"),
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(33 * 1024)),
    ];
    for head in nonsense {
        viewer.send(GET).await;
        let mut connection = origin.accept().await;
        connection.until("\r\n\r\n").await;
        connection.send(&head).await;
        let response = viewer.response().await;
        assert!(response.starts_with("HTTP/1.1 502 "), "{head:.60}: {response}");
        assert_eq!(field(&response, "x-tidegate-error"), Some("origin_protocol"), "{head:.60}");
    }
}

#[tokio::test]
async fn ten_interim_responses_are_swallowed() {
    let origin = RawOrigin::start().await;
    let plane = one_worker(&[origin.address]);
    let mut viewer = plane.connect().await;
    viewer.send(GET).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    connection.send("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10)).await;
    connection.send(OK).await;
    assert!(viewer.response().await.starts_with("HTTP/1.1 200 "));
}
