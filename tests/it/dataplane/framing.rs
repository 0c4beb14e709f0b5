//! Heads and bodies of viewers who try to be read in two ways, and of those who only look like it.

use std::time::Duration;

use tidegate::dataplane::Limits;

use super::rig::{EchoOrigin, Plane, RawOrigin, Site, field};

#[tokio::test]
async fn what_could_be_read_in_two_ways_never_reaches_the_origin() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let host = "Host: web.example\r\n";
    let long = "y".repeat(9 * 1024);
    let rows = [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), "400"),
        ("GET / HTTP/1.1\r\nHost: web.example, other.example\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost: user@web.example\r\n\r\n".to_owned(), "400"),
        (format!("GET http://other.example/ HTTP/1.1\r\n{host}\r\n"), "400"),
        (format!("GET ftp://web.example/ HTTP/1.1\r\n{host}\r\n"), "400"),
        (format!("GET web.example HTTP/1.1\r\n{host}\r\n"), "400"),
        (format!("GET /a/../b HTTP/1.1\r\n{host}\r\n"), "400"),
        (format!("GET /a/%2e%2E/b HTTP/1.1\r\n{host}\r\n"), "400"),
        (format!("GET /%00 HTTP/1.1\r\n{host}\r\n"), "400"),
        (format!("GET /a\\b HTTP/1.1\r\n{host}\r\n"), "400"),
        (format!("GET /\u{e9} HTTP/1.1\r\n{host}\r\n"), "400"),
        (format!("GET / HTTP/1.2\r\n{host}\r\n"), "400"),
        (format!("GET / HTTP/2.0\r\n{host}\r\n"), "400"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "400"),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), "400"),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: identity\r\n\r\n"), "400"),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), "400"),
        (
            format!(
                "POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            "400",
        ),
        (format!("POST / HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "400"),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: +1\r\n\r\na"), "400"),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}x: a\r\n b\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}x: a\0b\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}Connection: close\r\nExpect: 200-ok\r\n\r\n"), "417"),
        (format!("GET /{long} HTTP/1.1\r\n{host}\r\n"), "414"),
        (format!("GET / HTTP/1.1\r\n{host}{}\r\n", format!("x: {long}\r\n").repeat(4)), "431"),
        (format!("GET / HTTP/1.1\r\n{host}{}\r\n", "x: y\r\n".repeat(100)), "431"),
    ];
    for (request, status) in rows {
        let response = origin.nobody_comes_while(plane.ask(&request)).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.90?}: {response:?}");
        assert_eq!(response.matches("HTTP/1.").count(), 1, "{request:.90?}: {response:?}");
    }
}

#[tokio::test]
async fn a_length_beside_chunked_is_reframed_and_the_connection_closed() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer
        .send("POST / HTTP/1.1\r\nHost: web.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: web.example\r\n\r\n")
        .await;
    let mut connection = origin.accept().await;
    let head = connection.until("\r\n\r\n").await;
    assert_eq!(field(&head, "content-length"), None);
    assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
    assert_eq!(connection.until("0\r\n\r\n").await, "2\r\nab\r\n0\r\n\r\n");
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let response = viewer.rest().await;
    assert_eq!(field(&response, "connection"), Some("close"));
    assert!(response.ends_with("\r\n\r\nok"), "{response}");
}

#[tokio::test]
async fn a_get_keeps_its_chunked_body() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer.send("GET / HTTP/1.1\r\nHost: web.example\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx-trailer: 1\r\n\r\n").await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    assert_eq!(connection.until("0\r\n\r\n").await, "2\r\nab\r\n0\r\n\r\n");
}

#[tokio::test]
async fn a_continue_is_sent_by_us_once_an_origin_is_there() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address]), Site::new("empty", &[])]);
    let request = "POST / HTTP/1.1\r\nHost: web.example\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    let mut viewer = plane.connect().await;
    viewer.send(request).await;
    assert_eq!(viewer.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    viewer.send("ab").await;
    let mut connection = origin.accept().await;
    let seen = connection.response().await;
    assert_eq!(field(&seen, "expect"), None);
    assert!(seen.ends_with("\r\n\r\nab"), "{seen}");

    let refused = plane.ask(&request.replace("web.", "empty.")).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert_eq!(field(&refused, "connection"), Some("close"));
}

#[tokio::test]
async fn a_viewer_of_http_1_0_gets_what_it_can_read() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    viewer.send("GET / HTTP/1.0\r\nHost: web.example\r\n\r\n").await;
    let mut connection = origin.accept().await;
    let seen = connection.until("\r\n\r\n").await;
    assert!(seen.starts_with("GET / HTTP/1.1\r\n"), "{seen}");
    assert_eq!(field(&seen, "via"), Some("1.0 tidegate"));
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await;
    let response = viewer.rest().await;
    assert_eq!(field(&response, "transfer-encoding"), None);
    assert!(response.ends_with("\r\n\r\nok"), "{response}");
}

#[tokio::test]
async fn answers_without_a_body_keep_their_length_and_their_connection() {
    let origin = RawOrigin::start().await;
    let plane = Plane::of_one_worker(Limits::default(), vec![Site::new("web", &[origin.address])]);
    let mut viewer = plane.connect().await;
    let rows = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200", Some("5")),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", "304", None),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", "204", None),
    ];
    viewer.send("HEAD / HTTP/1.1\r\nHost: web.example\r\n\r\n").await;
    let mut connection = origin.accept().await;
    for (place, (method, answer, status, length)) in rows.into_iter().enumerate() {
        if place > 0 {
            viewer.send(format!("{method} / HTTP/1.1\r\nHost: web.example\r\n\r\n")).await;
        }
        connection.until("\r\n\r\n").await;
        connection.send(answer).await;
        let head = viewer.until("\r\n\r\n").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert_eq!(field(&head, "content-length"), length);
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_408_and_silence_is_closed() {
    let limits = Limits {
        request_head: Duration::from_millis(50),
        viewer_idle: Duration::from_millis(50),
        ..Limits::default()
    };
    let origin = EchoOrigin::start("web").await;
    let plane = Plane::of_one_worker(limits, vec![Site::new("web", &[origin.address])]);
    let response = plane.ask("GET / HTTP/1.1\r\nHo").await;
    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
    assert_eq!(field(&response, "x-tidegate-error"), Some("viewer_timeout"));
    assert_eq!(plane.ask("").await, "");
    let mut viewer = plane.connect().await;
    viewer.send("GET / HTTP/1.1\r\nHost: web.example\r\n\r\n").await;
    viewer.response().await;
    assert_eq!(viewer.rest().await, "");
}
