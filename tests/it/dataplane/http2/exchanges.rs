//! Requests and their answers, as HTTP/1.1 origins see and give them.

use tidegate::table::route::ViewerProtocols;

use super::*;
use crate::dataplane::rig::{EchoOrigin, RawOrigin, field};

#[tokio::test]
async fn requests_pass_and_tell_how_they_came() {
    let origin = EchoOrigin::start("web").await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let response = client.ask(get("https://web.example/a?b")).await;
    assert_eq!(response.status(), 200);
    let head = response.body();
    assert!(head.starts_with("web\nGET /a?b HTTP/1.1\r\n"), "{head}");
    assert_eq!(field(head, "host"), Some("web.example"));
    assert_eq!(field(head, "via"), Some("2.0 tidegate"));
    assert_eq!(field(head, "x-forwarded-proto"), Some("https"));
    assert_eq!(field(head, "transfer-encoding"), None);
}

#[tokio::test]
async fn many_streams_are_served_at_once() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let client = door.connect().await;
    let mut waiting = Vec::new();
    for path in ["/a", "/b", "/c"] {
        let mut requests = soon(client.requests.clone().ready()).await.unwrap();
        waiting.push(requests.send_request(get(&format!("https://web.example{path}")), true).unwrap().0);
    }
    // Nobody is answered before all have come.
    let mut connections = Vec::new();
    for _ in 0..3 {
        let mut connection = origin.accept().await;
        let head = connection.until("\r\n\r\n").await;
        connections.push((connection, head));
    }
    for (connection, head) in &mut connections {
        let path = head.split(' ').nth(1).unwrap();
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{path}")).await;
    }
    let mut answers = Vec::new();
    for response in waiting {
        let (text, _) = read(soon(response).await.unwrap().into_body()).await.unwrap();
        answers.push(String::from_utf8(text).unwrap());
    }
    assert_eq!(answers, ["/a", "/b", "/c"]);
}

#[tokio::test]
async fn errors_of_ours_name_their_reason() {
    let door = Door::open(vec![Site::new("web", &[])]);
    let mut client = door.connect().await;
    assert_eq!(error(&client.ask(get("https://web.example/")).await), (503, Some("no_endpoints")));
    let head = Request::head("https://web.example/").body(()).unwrap();
    assert_eq!(error(&client.ask(head).await), (503, Some("no_endpoints")));
    let connect = Request::connect("web.example:443").body(()).unwrap();
    assert_eq!(error(&client.send(connect).await.unwrap()), (405, Some("method_not_supported")));
}

#[tokio::test]
async fn cookie_crumbs_are_joined() {
    let origin = EchoOrigin::start("web").await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let mut request = get("https://web.example/");
    for crumb in ["a=1", "b=2; c=3"] {
        request.headers_mut().append("cookie", crumb.parse().unwrap());
    }
    let response = client.ask(request).await;
    assert_eq!(field(response.body(), "cookie"), Some("a=1; b=2; c=3"));
}

#[tokio::test]
async fn an_answer_without_a_body_ends_with_its_head() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let rows = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Some("5")),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Some("5")),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Some("0")),
    ];
    for (method, answer, length) in rows {
        let request = Request::builder().method(method).uri("https://web.example/").body(()).unwrap();
        let asked = client.send(request);
        let (response, _connection) = tokio::join!(asked, async {
            let mut connection = origin.accept().await;
            connection.until("\r\n\r\n").await;
            connection.send(answer.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
            connection
        });
        let response = response.unwrap();
        let field = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(field("content-length"), length, "{answer}");
        assert_eq!(field("connection"), None);
        assert!(field("date").is_some_and(|date| date.ends_with(" GMT")));
        assert!(response.body().is_end_stream(), "{method} {answer}");
    }
}

#[tokio::test]
async fn a_distribution_decides_what_is_offered() {
    let origin = EchoOrigin::start("web").await;
    let mut site = Site::new("web", &[origin.address]);
    site.protocols = ViewerProtocols::Http1;
    let door = Door::open(vec![site]);
    let client = tls::client(&[&door.certificate], &[b"h2", b"http/1.1"]);
    let mut viewer = handshake(&door.plane, &client, "web.example").await.unwrap();
    assert_eq!(viewer.stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    viewer.send("GET / HTTP/1.1\r\nHost: web.example\r\n\r\n").await;
    assert!(viewer.response().await.starts_with("HTTP/1.1 200 OK\r\n"));
}
