//! Bodies in both directions: at once, bounded, and never taken for complete when they are not.

use h2::Reason;

use super::*;
use crate::dataplane::rig::{RawOrigin, Viewer, field};

/// A POST whose body follows, and the origin's side of it.
async fn upload(
    door: &Door,
    origin: &RawOrigin,
    request: Request<()>,
) -> (Client, ResponseFuture, SendStream<Bytes>, Viewer) {
    let mut client = door.connect().await;
    let (response, body) = client.open(request).await;
    let connection = origin.accept().await;
    (client, response, body, connection)
}

#[tokio::test]
async fn each_piece_passes_as_it_comes() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let (_client, response, mut sending, mut connection) =
        upload(&door, &origin, post("https://web.example/")).await;
    let head = connection.until("\r\n\r\n").await;
    assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let mut receiving = soon(response).await.unwrap().into_body();
    for piece in ["a", "b"] {
        sending.send_data(Bytes::from_static(piece.as_bytes()), false).unwrap();
        let chunk = format!("1\r\n{piece}\r\n");
        assert_eq!(connection.until(&chunk).await, chunk);
        connection.send(chunk).await;
        assert_eq!(soon(receiving.data()).await.unwrap().unwrap(), piece);
    }
    sending.send_data(Bytes::new(), true).unwrap();
    connection.until("0\r\n\r\n").await;
    connection.send("0\r\n\r\n").await;
    assert_eq!(read(receiving).await.unwrap(), (Vec::new(), None));
}

#[tokio::test]
async fn a_cut_body_is_reset_and_never_ended() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let asked = client.send(get("https://web.example/"));
        let (response, connection) = tokio::join!(asked, async {
            let mut connection = origin.accept().await;
            connection.until("\r\n\r\n").await;
            connection.send(head).await;
            connection
        });
        let mut body = response.unwrap().into_body();
        assert_eq!(soon(body.data()).await.unwrap().unwrap(), "half");
        drop(connection);
        let end = soon(body.data()).await.unwrap().unwrap_err();
        assert_eq!(end.reason(), Some(Reason::INTERNAL_ERROR), "{head}");
    }
}
