//! The live view of WebSockets: what stands in a line, and that many are told without being gathered.

use futures_util::SinkExt;
use serde_json::{Value, json};
use tidegate::dataplane::Limits;
use tokio_tungstenite::tungstenite::Message;

use super::Server;
use crate::dataplane::rig::{Plane, RawOrigin, Site, soon};
use crate::websocket::peers::{EchoSocket, Socket, echo, handshake, next, open, open_to, switching};

fn lines(page: &str) -> Vec<Value> {
    page.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_line_tells_all_of_one_websocket_while_it_is_open() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let server = Server::of(plane.handle.clone(), "127.0.0.0/8").await;
    let mut viewer = plane.connect().await;
    let address = viewer.stream.local_addr().unwrap();
    viewer.send(handshake("Sec-WebSocket-Protocol: chat, news\r\n")).await;
    let mut far = origin.accept().await;
    far.until("\r\n\r\n").await;
    assert_eq!(server.get("/debug/connections").await.body, "", "a handshake is none yet");

    let agreed = "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";
    far.send(switching(agreed)).await;
    viewer.until("\r\n\r\n").await;
    viewer.send(b"\x01\x82\0\0\0\0hi").await;
    assert_eq!(far.bytes(8).await.len(), 8);
    far.send(b"\x81\x02ho\x89\0").await;
    assert_eq!(viewer.bytes(6).await.len(), 6);

    let page = server.get("/debug/connections").await;
    assert!(page.head.contains("content-type: application/jsonl"), "{}", page.head);
    let [line] = &mut lines(&page.body)[..] else { panic!("{}", page.body) };
    let line = line.as_object_mut().unwrap();
    let fields: Vec<_> = line.keys().cloned().collect();
    let guide = include_str!("../../../docs/connections.md");
    let named = guide.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0));
    let mut named: Vec<_> = named.collect();
    named.sort_unstable();
    assert_eq!(fields, named, "docs/connections.md");
    let opened: jiff::Timestamp = line["opened"].as_str().unwrap().parse().unwrap();
    assert!(opened <= jiff::Timestamp::now());
    assert!(line["age"].as_f64().unwrap() >= line["idle"].as_f64().unwrap());
    for different_each_time in ["id", "connection_id", "opened", "age", "idle"] {
        line.remove(different_each_time);
    }
    let expected = json!({
        "distribution": "test/web", "behavior": "*", "origin": "web",
        "endpoint": origin.address.to_string(), "viewer": address.to_string(), "protocol": "h1",
        "bytes": { "to_origin": 8, "to_viewer": 6 },
        "frames": { "to_origin": 1, "to_viewer": 2 },
        "messages": { "to_origin": 0, "to_viewer": 1 },
        "subprotocol": "chat", "extensions": "permessage-deflate",
    });
    assert_eq!(Value::Object(line.clone()), expected);
}

#[tokio::test]
async fn a_query_narrows_the_list_and_a_wrong_one_is_told_so() {
    let origin = EchoSocket::start().await;
    let plane =
        Plane::serving(vec![Site::new("web", &[origin.address]), Site::new("blog", &[origin.address])]);
    let server = Server::of(plane.handle.clone(), "127.0.0.0/8").await;
    let mut sockets = Vec::new();
    for host in ["web.example", "blog.example", "web.example"] {
        sockets.push(open_to(host, &plane).await);
    }
    let ids = async |query: &str| -> Vec<Value> {
        let body = server.get(&format!("/debug/connections{query}")).await.body;
        lines(&body).iter().map(|line| line["distribution"].clone()).collect()
    };
    assert_eq!(ids("").await.len(), 3);
    assert_eq!(ids("?distribution=test/blog").await, ["test/blog"]);
    assert_eq!(ids("?distribution=test%2Fweb").await, ["test/web", "test/web"]);
    assert_eq!(ids("?distribution=test/web&limit=1").await, ["test/web"]);
    assert_eq!(ids("?limit=0").await.len(), 0);
    assert_eq!(ids("?distribution=test/other").await.len(), 0);
    let wrong = server.get("/debug/connections?distribution=web").await;
    assert_eq!((wrong.status, wrong.body.contains("is not NAMESPACE/NAME")), (400, true));
}

#[tokio::test]
async fn many_are_told_in_parts_and_each_once() {
    let origin = EchoSocket::start().await;
    let plane = Plane::with(Limits { listed_at_once: 7, ..Limits::default() });
    plane.publish(vec![Site::new("web", &[origin.address])]);
    let server = Server::of(plane.handle.clone(), "127.0.0.0/8").await;
    let mut sockets = Vec::new();
    for _ in 0..100 {
        sockets.push(open(&plane).await);
    }
    let body = server.get("/debug/connections").await.body;
    let mut ids: Vec<_> = lines(&body).iter().map(|line| line["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), body.lines().count()), (100, 100));
    assert_eq!(server.get("/debug/connections?limit=11").await.body.lines().count(), 11);
}

#[tokio::test]
async fn the_metrics_of_websockets_move_while_they_are_open() {
    let origin = EchoSocket::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let mut socket: Socket = open(&plane).await;
    let shop = "namespace=\"test\",distribution=\"web\"";
    let open_now = format!("tidegate_websocket_connections{{{shop},origin=\"web\",protocol=\"h1\"}}");
    let messages = format!("tidegate_websocket_messages_total{{{shop},direction=\"to_origin\"}}");
    let bytes = format!("tidegate_websocket_bytes_total{{{shop},direction=\"to_viewer\"}}");
    let duration = format!("tidegate_websocket_duration_seconds_count{{{shop}}}");
    let read = |names: [&String; 4]| names.map(|name| plane.metric(name));
    echo(&mut socket, "one").await;
    assert_eq!(read([&open_now, &messages, &bytes, &duration]), [1, 1, 5, 0]);
    echo(&mut socket, "two").await;
    assert_eq!(read([&open_now, &messages, &bytes, &duration]), [1, 2, 10, 0]);
    let week = format!("tidegate_websocket_duration_seconds_bucket{{le=\"604800.0\",{shop}}}");
    assert!(plane.metrics.encode().unwrap().contains(&week), "{}", plane.metrics.encode().unwrap());

    soon(socket.send(Message::Close(None))).await.unwrap();
    assert!(matches!(next(&mut socket).await, Message::Close(None)));
    drop(socket);
    let closed = async {
        while read([&open_now, &messages, &bytes, &duration]) != [0, 2, 12, 1] {
            tokio::task::yield_now().await;
        }
    };
    soon(closed).await;
}
