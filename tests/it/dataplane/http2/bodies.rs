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

#[tokio::test]
async fn an_origin_that_does_not_read_stops_the_viewer() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let (_client, _response, mut body, mut connection) =
        upload(&door, &origin, post("https://web.example/")).await;
    connection.until("\r\n\r\n").await;
    let taken = fill(&mut body).await;
    // What was held back goes on when the origin reads.
    connection.bytes(taken / 2).await;
    assert!(fill(&mut body).await > 0);
}

/// Sends as much as the windows allow until they have been shut for a while; gives how much that was.
async fn fill(body: &mut SendStream<Bytes>) -> usize {
    let mut taken = 0;
    body.reserve_capacity(64 * 1024);
    let room = |body: &mut SendStream<Bytes>, cx: &mut std::task::Context<'_>| body.poll_capacity(cx);
    while let Ok(Some(Ok(room))) =
        tokio::time::timeout(std::time::Duration::from_millis(200), std::future::poll_fn(|cx| room(body, cx)))
            .await
    {
        body.send_data(Bytes::from(vec![b'x'; room]), false).unwrap();
        body.reserve_capacity(64 * 1024);
        taken += room;
        assert!(taken < 64 << 20, "somebody buffers without a bound");
    }
    taken
}

#[tokio::test]
async fn a_viewer_that_does_not_read_stops_the_origin() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let asked = client.send(get("https://web.example/"));
    let (response, mut connection) = tokio::join!(asked, async {
        let mut connection = origin.accept().await;
        connection.until("\r\n\r\n").await;
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40)).await;
        connection
    });
    let taken = crate::dataplane::streaming::fill(&mut connection).await;
    let mut body = response.unwrap().into_body();
    let mut read = 0;
    while read < taken / 2 {
        let data = soon(body.data()).await.unwrap().unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        read += data.len();
    }
    assert!(crate::dataplane::streaming::fill(&mut connection).await > 0);
}

#[tokio::test]
async fn an_origins_trailers_pass_and_a_viewers_end_before_http1() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut request = post("https://web.example/");
    request.headers_mut().insert("te", "trailers".parse().unwrap());
    let (_client, response, mut body, mut connection) = upload(&door, &origin, request).await;
    body.send_trailers([("x-end".parse().unwrap(), "viewer".parse().unwrap())].into_iter().collect())
        .unwrap();
    assert!(connection.until("\r\n\r\n").await.starts_with("POST "));
    assert_eq!(connection.until("\r\n\r\n").await, "0\r\n\r\n");
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n\
                  2\r\nok\r\n0\r\nx-end: origin\r\nhost: other\r\n\r\n";
    connection.send(answer).await;
    let (text, trailers) = read(soon(response).await.unwrap().into_body()).await.unwrap();
    let trailers = trailers.unwrap();
    assert_eq!(
        (text.as_slice(), &trailers["x-end"], trailers.len()),
        (&b"ok"[..], &"origin".parse().unwrap(), 1)
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413() {
    let origin = RawOrigin::start().await;
    let mut site = Site::new("web", &[origin.address]);
    site.default.max_request_body_bytes = Some(4);
    let door = Door::open(vec![site]);
    // Announced: nobody is asked.
    let mut announced = post("https://web.example/");
    announced.headers_mut().insert("content-length", "5".parse().unwrap());
    let mut client = door.connect().await;
    let (response, _body) = client.open(announced).await;
    let response = origin.nobody_comes_while(soon(response)).await.unwrap();
    assert_eq!(error(&response), (413, Some("body_too_large")));
    // Not announced: as soon as it is seen, and not a byte earlier.
    let (_client, response, mut body, mut connection) =
        upload(&door, &origin, post("https://web.example/")).await;
    body.send_data(Bytes::from_static(b"four"), false).unwrap();
    connection.until("four").await;
    body.send_data(Bytes::from_static(b"5"), false).unwrap();
    assert_eq!(error(&soon(response).await.unwrap()), (413, Some("body_too_large")));
}

#[tokio::test]
async fn a_viewer_is_told_to_go_on_when_there_is_an_origin() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut request = post("https://web.example/");
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    let mut client = door.connect().await;
    let (mut response, mut body) = client.open(request).await;
    let mut connection = origin.accept().await;
    let interim = soon(std::future::poll_fn(|cx| response.poll_informational(cx))).await.unwrap().unwrap();
    assert_eq!(interim.status(), 100);
    assert_eq!(field(&connection.until("\r\n\r\n").await, "expect"), None);
    body.send_data(Bytes::from_static(b"body"), true).unwrap();
    connection.until("body").await;
    connection.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(soon(response).await.unwrap().status(), 204);
    // Who is refused is not told to.
    let mut request = post("https://nobody.example/");
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    let (mut response, _body) = client.open(request).await;
    let interim = soon(std::future::poll_fn(|cx| response.poll_informational(cx))).await;
    assert!(interim.is_none());
}
