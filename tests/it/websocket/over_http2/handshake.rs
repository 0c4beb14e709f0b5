//! Handshakes: which of them reach the origin, as what, and what the viewer gets to see.

use tidegate::table::web_origin::AllowedOrigins;
use tidegate::table::web_socket::Handshakes;

use super::{asking, connect, switching};
use crate::dataplane::http2::{Door, error, get, read};
use crate::dataplane::rig::{RawOrigin, Site, field, soon};
use crate::websocket::peers::{ACCEPT, KEY};

#[tokio::test]
async fn the_origin_is_asked_over_http_1_and_the_viewer_hears_of_no_keys() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let extensions = "permessage-deflate; client_max_window_bits";
    let asked = connect(&[
        ("origin", "https://app.example"),
        ("sec-websocket-protocol", "chat, superchat"),
        ("sec-websocket-extensions", extensions),
        ("sec-websocket-key", KEY),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
    ]);
    let play = async {
        let mut far = origin.accept().await;
        let request = far.until("\r\n\r\n").await;
        let agreed = "Sec-WebSocket-Protocol: superchat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\
                      Set-Cookie: c=3\r\n";
        far.send(switching(&request, agreed)).await;
        (request, far)
    };
    let ((answer, _wire), (request, _far)) = tokio::join!(client.answer(asked), play);

    assert!(request.starts_with("GET /chat?room=1 HTTP/1.1\r\n"), "{request}");
    for (name, value) in [
        ("host", "web.example"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat, superchat"),
        ("sec-websocket-extensions", extensions),
        ("origin", "https://app.example"),
        ("cookie", "a=1; b=2"),
        ("x-forwarded-proto", "https"),
    ] {
        assert_eq!(field(&request, name), Some(value), "{request}");
    }
    assert_ne!(field(&request, "sec-websocket-key"), Some(KEY));
    assert_eq!(field(&request, "content-length").or(field(&request, "transfer-encoding")), None);

    assert_eq!(answer.status(), 200);
    let said = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!(said("sec-websocket-protocol"), Some("superchat"));
    assert_eq!(said("sec-websocket-extensions"), Some("permessage-deflate"));
    assert_eq!(said("set-cookie"), Some("c=3"));
    assert!(said("date").is_some());
    for name in ["connection", "upgrade", "sec-websocket-accept", "sec-websocket-key", "content-length"] {
        assert_eq!(said(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_bad_handshake_is_told_why_and_reaches_no_origin() {
    let origin = RawOrigin::start().await;
    let mut off = Site::new("off", &[origin.address]);
    off.default.web_socket = |policy| policy.handshakes = Handshakes::Refused;
    let mut picky = Site::new("picky", &[origin.address]);
    picky.default.web_socket =
        |policy| policy.allowed_origins = AllowedOrigins::new(["https://picky.example"]);
    let mut other = Site::new("other", &[origin.address]);
    other.namespace = "elsewhere";
    let sites = vec![Site::new("web", &[origin.address]), off, picky, other];
    let door = Door::open(sites);
    let mut client = door.connect().await;
    let chat = "https://web.example/chat";
    let version = ("sec-websocket-version", "13");
    let rows = [
        (426, "websocket_version", asking("websocket", chat, &[("sec-websocket-version", "12")])),
        (426, "websocket_version", asking("websocket", chat, &[])),
        (426, "websocket_version", asking("websocket", chat, &[version, version])),
        (400, "bad_websocket_handshake", asking("websocket", chat, &[version, ("content-length", "0")])),
        (501, "protocol_not_supported", asking("connect-udp", chat, &[version])),
        (501, "protocol_not_supported", asking("websocket2", chat, &[version])),
        (403, "websocket_disabled", asking("websocket", "https://off.example/chat", &[version])),
        (
            403,
            "websocket_origin",
            asking("websocket", "https://picky.example/", &[version, ("origin", "https://evil.example")]),
        ),
        (421, "misdirected", asking("websocket", "https://other.example/chat", &[version])),
        (404, "no_distribution", asking("websocket", "https://nobody.example/chat", &[version])),
        (400, "bad_host", asking("websocket", chat, &[version, ("host", "off.example")])),
        (400, "bad_path", asking("websocket", "ftp://web.example/chat", &[version])),
        (400, "bad_path", asking("websocket", "https://web.example/../chat", &[version])),
    ];
    for (status, reason, request) in rows {
        let told = (status == 426).then_some("13");
        let shown = format!("{request:?}");
        let (answer, _) = origin.nobody_comes_while(client.answer(request)).await;
        assert_eq!(error(&answer), (status, Some(reason)), "{shown}");
        let version = answer.headers().get("sec-websocket-version").map(|told| told.to_str().unwrap());
        assert_eq!(version, told, "{shown}");
        assert_eq!(answer.headers().get("upgrade"), None, "{shown}");
    }
    let failures = |distribution: &str, reason: &str| {
        let labels = format!("{distribution},reason=\"{reason}\"");
        door.plane.metric(&format!("tidegate_websocket_handshake_failures_total{{{labels}}}"))
    };
    let nobodys = "namespace=\"\",distribution=\"\"";
    assert_eq!(failures(nobodys, "websocket_version"), 3);
    assert_eq!(failures(nobodys, "bad_websocket_handshake"), 1);
    assert_eq!(failures("namespace=\"test\",distribution=\"off\"", "websocket_disabled"), 1);
    // The connection is as good as before, and a protocol's name may be in any case.
    let asked = client.answer(asking("WebSocket", chat, &[version]));
    let play = async {
        let mut far = origin.accept().await;
        let request = far.until("\r\n\r\n").await;
        far.send(switching(&request, "")).await;
        far
    };
    let ((answer, _wire), _far) = tokio::join!(asked, play);
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_handshake_counts_as_a_get() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    // GET is allowed, CONNECT is not listed: the origin is asked, and answers as to any GET.
    let play = async {
        let mut far = origin.accept().await;
        let request = far.until("\r\n\r\n").await;
        far.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
        (request, far)
    };
    let ((answer, _wire), (request, _far)) = tokio::join!(client.answer(connect(&[])), play);
    assert_eq!(error(&answer), (404, None));
    assert!(request.starts_with("GET /chat?room=1 HTTP/1.1\r\n"), "{request}");
}

#[tokio::test]
async fn an_origin_that_does_not_answer_the_handshake_is_a_502() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let wrong: [fn(&str) -> String; 6] = [
        // The viewer's key means nothing.
        |request| switching(request, "").replace("Accept: ", &format!("Accept: {ACCEPT}\r\nX-Accept: ")),
        |request| switching(request, "").replace("Sec-WebSocket-Accept", "X-Accept"),
        |request| switching(request, "").replace("Upgrade: websocket", "Upgrade: h2c"),
        // To a viewer of HTTP/2 each of these would be an agreement.
        |_| "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\u{1}\u{0}".to_owned(),
        |_| "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        |_| "HTTP/1.1 206 Partial Content\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
    ];
    for wrong in wrong {
        let play = async {
            let mut far = origin.accept().await;
            let request = far.until("\r\n\r\n").await;
            far.send(wrong(&request)).await;
            far.rest().await
        };
        let ((answer, _), rest) = tokio::join!(client.answer(connect(&[("sec-websocket-key", KEY)])), play);
        assert_eq!(error(&answer), (502, Some("origin_websocket_handshake")));
        assert_eq!(rest, "", "the origin's connection is closed");
    }
}

#[tokio::test]
async fn an_origin_that_refuses_is_heard_and_the_connection_goes_on() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let play = async {
        let mut far = origin.accept().await;
        far.until("\r\n\r\n").await;
        far.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
        far
    };
    let ((answer, wire), mut far) = tokio::join!(client.answer(connect(&[])), play);
    assert_eq!(error(&answer), (403, None));
    assert_eq!(read(wire.incoming).await.unwrap().0, b"no");
    let failures = "tidegate_websocket_handshake_failures_total{namespace=\"test\",distribution=\"web\",reason=\"origin_status\"}";
    assert_eq!(door.plane.metric(failures), 1);
    // So do both connections.
    let play = async {
        far.until("\r\n\r\n").await;
        far.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    };
    let (answer, ()) = tokio::join!(client.ask(get("https://web.example/")), play);
    assert_eq!(answer.body(), "ok");
}

#[tokio::test]
async fn the_next_endpoint_is_asked_where_one_refuses_the_connection() {
    let gone = RawOrigin::start().await.address;
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[gone, origin.address])]);
    let mut client = door.connect().await;
    // As many as may be sent again in a second.
    for _ in 0..3 {
        let play = async {
            let mut far = origin.accept().await;
            let request = far.until("\r\n\r\n").await;
            far.send(switching(&request, "")).await;
            far
        };
        let ((answer, _wire), _far) = tokio::join!(client.answer(connect(&[])), play);
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn a_reset_before_the_answer_takes_the_handshake_along() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let (response, mut outgoing) = client.handshake(connect(&[])).await;
    let mut far = origin.accept().await;
    far.until("\r\n\r\n").await;
    outgoing.send_reset(h2::Reason::CANCEL);
    assert_eq!(far.rest().await, "");
    assert!(soon(response).await.is_err());
}
