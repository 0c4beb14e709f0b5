//! Origins over HTTP/2: what they see, how they share a connection, and what their resets mean.

use std::future::{Future, poll_fn};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use tidegate::dataplane::Limits;
use tidegate::table::origin::HttpVersion;
use tokio::net::TcpStream;

use super::rig::{Plane, RawOrigin, Site, Viewer, field, soon};

const GET: &str = "GET /a?b HTTP/1.1\r\nHost: web.example\r\n\r\n";

/// A connection that the proxy made to an origin of HTTP/2.
struct Http2Origin(Connection<TcpStream, Bytes>);

type Asked = (Request<RecvStream>, SendResponse<Bytes>);

impl Http2Origin {
    async fn accept(origin: &RawOrigin) -> Self {
        let stream = origin.accept().await.stream;
        Self(soon(h2::server::handshake(stream)).await.unwrap())
    }

    async fn asked(&mut self) -> Asked {
        soon(self.0.accept()).await.unwrap().unwrap()
    }

    /// Goes on as a connection while something else happens on its streams.
    async fn during<T>(&mut self, what: impl Future<Output = T>) -> T {
        tokio::select! {
            done = soon(what) => done,
            more = self.0.accept() => panic!("nothing more was to come: {more:?}"),
        }
    }

    /// Until the proxy ends the connection.
    async fn ends(&mut self) {
        assert!(soon(self.0.accept()).await.is_none_or(|more| more.is_err()));
    }
}

fn site(origin: &RawOrigin) -> Site {
    let mut site = Site::new("web", &[origin.address]);
    site.origin = |origin| origin.http_version = HttpVersion::Http2;
    site
}

fn plane(origin: &RawOrigin) -> Plane {
    Plane::of_one_worker(Limits::default(), vec![site(origin)])
}

/// The end of a body of which no byte is left.
async fn end(body: &mut RecvStream) {
    while let Some(data) = body.data().await {
        assert!(data.unwrap().is_empty());
    }
}

fn answer(respond: &mut SendResponse<Bytes>, text: &'static str) {
    let response = Response::builder().header("content-length", text.len()).body(()).unwrap();
    let mut body = respond.send_response(response, false).unwrap();
    body.send_data(Bytes::from_static(text.as_bytes()), true).unwrap();
}

#[tokio::test]
async fn an_origin_over_http2_sees_pseudo_headers_and_no_connection_headers() {
    let origin = RawOrigin::start().await;
    let plane = plane(&origin);
    let mut viewer = plane.connect().await;
    viewer.send("POST /a?b HTTP/1.1\r\nHost: Web.Example\r\nConnection: keep-alive, x-mine\r\nX-Mine: 1\r\nTransfer-Encoding: chunked\r\nTE: gzip\r\n\r\n2\r\nab\r\n0\r\n\r\n").await;
    let mut connection = Http2Origin::accept(&origin).await;
    let (request, mut respond) = connection.asked().await;
    assert_eq!(request.uri(), "http://web.example/a?b");
    for name in ["host", "connection", "x-mine", "transfer-encoding", "te"] {
        assert!(!request.headers().contains_key(name), "{name}");
    }
    assert_eq!(request.headers()["via"], "1.1 tidegate");
    let mut body = request.into_body();
    assert_eq!(connection.during(body.data()).await.unwrap().unwrap(), "ab");
    connection.during(end(&mut body)).await;
    answer(&mut respond, "ok");
    let response = connection.during(viewer.response()).await;
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\nok"), "{response}");
    assert_eq!(field(&response, "transfer-encoding"), None);
}

#[tokio::test]
async fn exchanges_share_a_connection_until_it_is_full() {
    let origin = RawOrigin::start().await;
    let limits = Limits { origin_streams: 2, ..Limits::default() };
    let plane = Plane::of_one_worker(limits, vec![site(&origin)]);
    let mut viewers = Vec::new();
    for _ in 0..3 {
        let mut viewer = plane.connect().await;
        viewer.send(GET).await;
        viewers.push(viewer);
    }
    let mut first = Http2Origin::accept(&origin).await;
    let mut second = Http2Origin::accept(&origin).await;
    let mut asked = vec![first.asked().await, first.asked().await, second.asked().await];
    for (_, respond) in &mut asked {
        answer(respond, "ok");
    }
    let all = async {
        for viewer in &mut viewers {
            assert!(viewer.response().await.starts_with("HTTP/1.1 200 "));
        }
    };
    first.during(second.during(all)).await;
    // Where there is room again, no connection is made.
    viewers[0].send(GET).await;
    let (_, mut respond) = origin.nobody_comes_while(first.asked()).await;
    answer(&mut respond, "ok");
    assert!(first.during(viewers[0].response()).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn an_origin_gets_a_bounded_number_of_connections() {
    let origin = RawOrigin::start().await;
    let limits = Limits { origin_streams: 1, origin_connections: 2, ..Limits::default() };
    let plane = Plane::of_one_worker(limits, vec![site(&origin)]);
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut viewer = plane.connect().await;
        viewer.send(GET).await;
        let mut connection = Http2Origin::accept(&origin).await;
        let (_, respond) = connection.asked().await;
        held.push((viewer, connection, respond));
    }
    let mut more = plane.connect().await;
    more.send(GET).await;
    let response = origin.nobody_comes_while(more.response()).await;
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert_eq!(field(&response, "x-tidegate-error"), Some("connection_limit"));
    // Where one ends there is room.
    let (first, connection, respond) = &mut held[0];
    answer(respond, "ok");
    assert!(connection.during(first.response()).await.ends_with("ok"));
    first.send(GET).await;
    origin.nobody_comes_while(connection.asked()).await;
}

#[tokio::test]
async fn distributions_share_no_connection_to_the_same_address() {
    let origin = RawOrigin::start().await;
    let neighbour = Site { origin: site(&origin).origin, ..Site::new("neighbour", &[origin.address]) };
    let plane = Plane::of_one_worker(Limits::default(), vec![site(&origin), neighbour]);
    let mut held = Vec::new();
    for host in ["web.example", "neighbour.example"] {
        let mut viewer = plane.connect().await;
        viewer.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let mut connection = Http2Origin::accept(&origin).await;
        let (_, mut respond) = connection.asked().await;
        answer(&mut respond, "ok");
        assert!(connection.during(viewer.response()).await.ends_with("ok"), "{host}");
        held.push(connection);
    }
}

#[tokio::test]
async fn a_refused_stream_and_a_going_connection_cost_no_request() {
    let origin = RawOrigin::start().await;
    let plane = plane(&origin);
    let post = "POST / HTTP/1.1\r\nHost: web.example\r\nContent-Length: 0\r\n\r\n";
    let mut viewer = plane.connect().await;
    viewer.send(post).await;
    let mut first = Http2Origin::accept(&origin).await;
    let (_, mut respond) = first.asked().await;
    respond.send_reset(Reason::REFUSED_STREAM);
    let (_, mut respond) = first.asked().await;
    answer(&mut respond, "again");
    assert!(first.during(viewer.response()).await.ends_with("again"));

    first.0.abrupt_shutdown(Reason::NO_ERROR);
    viewer.send(post).await;
    soon(poll_fn(|cx| first.0.poll_closed(cx))).await.unwrap();
    let mut second = Http2Origin::accept(&origin).await;
    let (_, mut respond) = second.asked().await;
    answer(&mut respond, "other");
    assert!(second.during(viewer.response()).await.ends_with("other"));
}

#[tokio::test]
async fn a_connection_that_goes_keeps_what_is_on_it_and_gets_nothing_more() {
    let origin = RawOrigin::start().await;
    let plane = plane(&origin);
    let mut held = plane.connect().await;
    held.send(GET).await;
    let mut going = Http2Origin::accept(&origin).await;
    let (_, mut respond) = going.asked().await;
    going.0.graceful_shutdown();
    let mut body = respond.send_response(Response::new(()), false).unwrap();
    body.send_data(Bytes::from_static(b"half"), false).unwrap();
    // What comes behind the GOAWAY has passed, so the proxy knows of it.
    going.during(held.until("half")).await;

    let mut viewer = plane.connect().await;
    viewer.send(GET).await;
    let mut fresh = going.during(Http2Origin::accept(&origin)).await;
    for turn in 0..20 {
        let (_, mut respond) = origin.nobody_comes_while(fresh.asked()).await;
        answer(&mut respond, "ok");
        let response = fresh.during(going.during(viewer.response())).await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{turn}: {response}");
        viewer.send(GET).await;
    }
    let labels = "namespace=\"test\",distribution=\"web\",origin=\"web\"";
    let page = plane.metrics.encode().unwrap();
    assert!(page.contains(&format!("tidegate_endpoints{{{labels},state=\"ejected\"}} 0.0\n")), "{page}");

    body.send_data(Bytes::from_static(b"held"), true).unwrap();
    going.ends().await;
    assert!(held.until("0\r\n\r\n").await.contains("held"));
}

#[tokio::test]
async fn a_reset_is_502_before_the_head_and_visible_behind_it() {
    let origin = RawOrigin::start().await;
    let plane = plane(&origin);
    let mut viewer = plane.connect().await;
    viewer.send(GET).await;
    let mut connection = Http2Origin::accept(&origin).await;
    let (_, mut respond) = connection.asked().await;
    respond.send_reset(Reason::INTERNAL_ERROR);
    let response = connection.during(viewer.response()).await;
    assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
    assert_eq!(field(&response, "x-tidegate-error"), Some("origin_reset"));

    for reason in [Reason::CANCEL, Reason::NO_ERROR, Reason::INTERNAL_ERROR] {
        let mut viewer = plane.connect().await;
        viewer.send(GET).await;
        let (_, mut respond) = connection.asked().await;
        let mut body = respond.send_response(Response::new(()), false).unwrap();
        body.send_data(Bytes::from_static(b"half"), false).unwrap();
        connection.during(viewer.until("half")).await;
        body.send_reset(reason);
        assert!(connection.during(viewer.ends()).await.is_err(), "{reason:?}");
    }
}

#[tokio::test]
async fn a_viewer_that_goes_cancels_its_stream_and_no_other() {
    let origin = RawOrigin::start().await;
    let plane = plane(&origin);
    let (mut gone, mut stays) = (plane.connect().await, plane.connect().await);
    gone.send(GET).await;
    let mut connection = Http2Origin::accept(&origin).await;
    let (_, mut cancelled) = connection.asked().await;
    stays.send(GET).await;
    let (_, mut respond) = connection.asked().await;
    drop(gone);
    let reset = connection.during(poll_fn(|cx| cancelled.poll_reset(cx))).await;
    assert_eq!(reset.unwrap(), Reason::CANCEL);
    answer(&mut respond, "ok");
    assert!(connection.during(stays.response()).await.ends_with("ok"));
}

#[tokio::test]
async fn a_viewer_that_does_not_read_stops_its_stream_and_no_other() {
    let origin = RawOrigin::start().await;
    let plane = plane(&origin);
    let mut slow = plane.connect().await;
    slow.send(GET).await;
    let mut connection = Http2Origin::accept(&origin).await;
    let (_, mut respond) = connection.asked().await;
    let mut body = respond.send_response(Response::new(()), false).unwrap();
    let piece = Bytes::from(vec![b'x'; 16 * 1024]);
    let fill = async {
        let mut sent = 0;
        while let Ok(room) = tokio::time::timeout(Duration::from_millis(200), async {
            body.reserve_capacity(piece.len());
            poll_fn(|cx| body.poll_capacity(cx)).await.unwrap().unwrap()
        })
        .await
        {
            let room = room.min(piece.len());
            body.send_data(piece.slice(..room), false).unwrap();
            sent += room;
            assert!(sent < 64 << 20, "somebody buffers without a bound");
        }
    };
    connection.during(fill).await;
    let mut quick = plane.connect().await;
    quick.send(GET).await;
    let (_, mut respond) = connection.asked().await;
    answer(&mut respond, "ok");
    assert!(connection.during(quick.response()).await.ends_with("ok"));
}

#[tokio::test]
async fn trailers_pass_where_they_were_asked_for() {
    let origin = RawOrigin::start().await;
    let plane = plane(&origin);
    let mut connection = None;
    for (te, trailers) in [("TE: trailers\r\n", Some("grpc-status: 0")), ("", None)] {
        let mut viewer = plane.connect().await;
        viewer
            .send(format!("POST / HTTP/1.1\r\nHost: web.example\r\n{te}Trailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 1\r\n\r\n"))
            .await;
        if connection.is_none() {
            connection = Some(Http2Origin::accept(&origin).await);
        }
        let connection = connection.as_mut().unwrap();
        let (request, mut respond) = connection.asked().await;
        assert_eq!(request.headers().contains_key("te"), trailers.is_some());
        assert_eq!(request.headers().contains_key("trailer"), trailers.is_some());
        let mut body = request.into_body();
        connection.during(body.data()).await.unwrap().unwrap();
        let sum = connection
            .during(async {
                end(&mut body).await;
                body.trailers().await.unwrap()
            })
            .await;
        assert_eq!(sum.map(|sum| sum["x-sum"].clone()), trailers.map(|_| "1".parse().unwrap()));
        let head = Response::builder().header("trailer", "grpc-status").body(()).unwrap();
        let mut body = respond.send_response(head, false).unwrap();
        body.send_data(Bytes::from_static(b"ok"), false).unwrap();
        let status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        body.send_trailers(status).unwrap();
        let seen = connection.during(viewer.until("\r\n0\r\n")).await
            + &connection.during(viewer.until("\r\n")).await;
        assert_eq!(seen.contains("grpc-status: 0"), trailers.is_some(), "{seen}");
        assert_eq!(seen.contains("trailer: grpc-status"), trailers.is_some(), "{seen}");
    }
}

#[tokio::test]
async fn an_origin_that_speaks_something_else_is_502() {
    let origin = RawOrigin::start().await;
    let plane = plane(&origin);
    let mut viewer = plane.connect().await;
    viewer.send(GET).await;
    let mut connection = origin.accept().await;
    connection.until("SM\r\n\r\n").await;
    connection.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let response = viewer.response().await;
    assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
    assert_eq!(field(&response, "x-tidegate-error"), Some("origin_protocol"));
}

#[tokio::test]
async fn interim_answers_are_swallowed_to_a_limit() {
    let origin = RawOrigin::start().await;
    let plane = plane(&origin);
    let mut viewer = plane.connect().await;
    viewer.send(GET).await;
    let mut connection = Http2Origin::accept(&origin).await;
    for (interim, status) in [(10, "200"), (11, "502")] {
        let (_, mut respond) = connection.asked().await;
        for _ in 0..interim {
            respond.send_informational(Response::builder().status(103).body(()).unwrap()).unwrap();
        }
        answer(&mut respond, "ok");
        let response = connection.during(viewer.response()).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        viewer.send(GET).await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time_and_with_its_endpoint() {
    let origin = RawOrigin::start().await;
    let mut idle = site(&origin);
    idle.origin = |origin| {
        origin.http_version = HttpVersion::Http2;
        origin.keepalive_timeout = Duration::from_millis(10);
    };
    let plane = Plane::of_one_worker(Limits::default(), vec![idle]);
    let ask = async |viewer: &mut Viewer| {
        viewer.send(GET).await;
        let mut connection = Http2Origin::accept(&origin).await;
        let (_, mut respond) = connection.asked().await;
        answer(&mut respond, "ok");
        connection.during(viewer.response()).await;
        connection
    };
    let mut viewer = plane.connect().await;
    ask(&mut viewer).await.ends().await;
    plane.publish(vec![site(&origin)]);
    let mut connection = ask(&mut viewer).await;
    plane.publish(vec![]);
    connection.ends().await;
}

#[tokio::test]
async fn a_connection_that_gives_no_sign_of_life_fails_what_waits_on_it() {
    let origin = RawOrigin::start().await;
    let limits = Limits {
        origin_silence: Duration::from_millis(50),
        origin_sign_of_life: Duration::from_millis(50),
        ..Limits::default()
    };
    let plane = Plane::of_one_worker(limits, vec![site(&origin)]);
    let mut viewer = plane.connect().await;
    viewer.send(GET).await;
    // It takes everything and says nothing, not even to a ping.
    let mut connection = origin.accept().await;
    connection.until("SM\r\n\r\n").await;
    let response = viewer.response().await;
    assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
}
