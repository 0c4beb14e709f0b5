//! Connections that idle at origins: a publish closes those that lead nowhere any more, and no others.

use std::time::Duration;

use tidegate::dataplane::Limits;
use tidegate::table::origin::HttpVersion;

use super::rig::{Plane, RawOrigin, Site, Viewer, soon};

/// A plane whose workers never look for what is idle by themselves.
fn plane(sites: Vec<Site>) -> Plane {
    Plane::of_one_worker(Limits { sweep: Duration::from_secs(3600), ..Limits::default() }, sites)
}

fn asking(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

async fn answer(connection: &mut Viewer) {
    connection.until("\r\n\r\n").await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
}

/// The connection that one request leaves behind.
async fn idle(plane: &Plane, origin: &RawOrigin, host: &str) -> Viewer {
    let mut viewer = plane.connect().await;
    viewer.send(asking(host)).await;
    let mut connection = origin.accept().await;
    answer(&mut connection).await;
    assert!(viewer.response().await.ends_with("ok"));
    connection
}

#[tokio::test]
async fn an_idle_connection_closes_when_its_endpoint_leaves_and_that_of_another_stays() {
    let (leaving, staying) = (RawOrigin::start().await, RawOrigin::start().await);
    let stays = Site::new("stays", &[staying.address]);
    let plane = plane(vec![Site::new("web", &[leaving.address]), stays.clone()]);
    let mut gone = idle(&plane, &leaving, "web.example").await;
    let mut kept = idle(&plane, &staying, "stays.example").await;

    plane.publish(vec![Site::new("web", &[]), stays]);
    assert_eq!(gone.rest().await, "");

    let mut viewer = plane.connect().await;
    viewer.send(asking("stays.example")).await;
    staying.nobody_comes_while(answer(&mut kept)).await;
    assert!(viewer.response().await.ends_with("ok"));
}

#[tokio::test]
async fn an_exchange_on_the_way_to_an_endpoint_that_leaves_goes_on_to_its_end() {
    let leaving = RawOrigin::start().await;
    let plane = plane(vec![Site::new("web", &[leaving.address])]);
    let mut gone = idle(&plane, &leaving, "web.example").await;
    let mut viewer = plane.connect().await;
    viewer.send(asking("web.example")).await;
    gone.until("\r\n\r\n").await;
    // A second one idles and tells when the publish has reached the worker.
    let mut other = idle(&plane, &leaving, "web.example").await;

    plane.publish(vec![Site::new("web", &[])]);
    assert_eq!(other.rest().await, "");
    gone.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(viewer.response().await.ends_with("ok"));
}

#[tokio::test]
async fn an_idle_connection_of_http2_closes_when_its_endpoint_leaves() {
    let origin = RawOrigin::start().await;
    let mut site = Site::new("web", &[origin.address]);
    site.origin = |origin| origin.http_version = HttpVersion::Http2;
    let plane = plane(vec![site.clone()]);
    let mut viewer = plane.connect().await;
    viewer.send(asking("web.example")).await;
    let stream = origin.accept().await.stream;
    let mut connection = soon(h2::server::Builder::new().handshake::<_, bytes::Bytes>(stream)).await.unwrap();
    let (_, mut respond) = soon(connection.accept()).await.unwrap().unwrap();
    respond.send_response(http::Response::builder().status(204).body(()).unwrap(), true).unwrap();
    tokio::select! {
        head = viewer.until("\r\n\r\n") => assert!(head.starts_with("HTTP/1.1 204 "), "{head}"),
        _ = connection.accept() => panic!("nothing more was to come"),
    }

    site.endpoints.clear();
    plane.publish(vec![site]);
    assert!(soon(connection.accept()).await.is_none_or(|more| more.is_err()));
}
