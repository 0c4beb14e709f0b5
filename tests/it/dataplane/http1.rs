//! HTTP/1.1 from a viewer to an origin and back.

use super::rig::{EchoOrigin, Plane, RawOrigin, Site, field};

#[tokio::test]
async fn a_request_reaches_the_origin_and_its_answer_the_viewer() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer
        .send("POST /a%2Fb?c=d HTTP/1.1\r\nHost: WEB.example:8080\r\nContent-Length: 5\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: x-mine\r\nx-mine: 1\r\nx_forwarded_for: 1\r\n\r\nhello")
        .await;

    let mut connection = origin.accept().await;
    let request = connection.response().await;
    assert!(request.starts_with("POST /a%2Fb?c=d HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\nhello"), "{request}");
    assert_eq!(field(&request, "host"), Some("web.example:8080"));
    assert_eq!(field(&request, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(field(&request, "x-forwarded-proto"), Some("http"));
    assert_eq!(field(&request, "x-forwarded-port"), Some("8080"));
    assert_eq!(field(&request, "via"), Some("1.1 tidegate"));
    assert_eq!(field(&request, "x-mine"), None);
    assert_eq!(field(&request, "x_forwarded_for"), None);
    assert_eq!(field(&request, "connection"), None);

    connection
        .send("HTTP/1.1 201 Made\r\nContent-Length: 2\r\nKeep-Alive: timeout=9\r\nX-Own: a\r\n\r\nok")
        .await;
    let response = viewer.response().await;
    assert!(response.starts_with("HTTP/1.1 201 "), "{response}");
    assert!(response.ends_with("\r\n\r\nok"), "{response}");
    assert_eq!(field(&response, "x-own"), Some("a"));
    assert_eq!(field(&response, "keep-alive"), None);
    assert_eq!(plane.stop().await, 0);
}

#[tokio::test]
async fn a_viewer_connection_carries_many_requests_and_survives_a_publish() {
    let (old, new) = (EchoOrigin::start("old").await, EchoOrigin::start("new").await);
    let plane = Plane::serving(vec![Site::new("web", &[old.address])]);
    let mut viewer = plane.connect().await;
    for (origin, expected) in [(&old, "old"), (&old, "old"), (&new, "new"), (&new, "new")] {
        plane.publish(vec![Site::new("web", &[origin.address])]);
        viewer.send("GET /x HTTP/1.1\r\nHost: web.example\r\n\r\n").await;
        let response = viewer.response().await;
        assert!(response.contains(&format!("\r\n\r\n{expected}\n")), "{response}");
    }
}

#[tokio::test]
async fn the_first_table_is_a_change_even_when_it_is_empty() {
    let plane = Plane::start();
    assert!(plane.publish(vec![]));
    assert!(!plane.publish(vec![]));
}

#[tokio::test]
async fn publishing_an_equal_table_changes_nothing() {
    let origin = EchoOrigin::start("web").await;
    let plane = Plane::start();
    assert!(plane.publish(vec![Site::new("web", &[origin.address])]));
    assert!(!plane.publish(vec![Site::new("web", &[origin.address])]));
    assert!(plane.publish(vec![]));
}

#[tokio::test]
async fn a_host_that_nobody_owns_is_404_with_its_reason() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let ask = plane.ask("GET / HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n");
    let response = origin.nobody_comes_while(ask).await;
    assert!(response.starts_with("HTTP/1.1 404 "), "{response}");
    assert_eq!(field(&response, "x-tidegate-error"), Some("no_distribution"));
}
