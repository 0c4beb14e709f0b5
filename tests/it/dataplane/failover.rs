//! Origin groups: which failures make the next member answer, for which requests, and what becomes of the answer that
//! nobody gets.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request};
use tidegate::dataplane::Limits;
use tidegate::table::origin::{HostHeader, HttpVersion, Trust};

use super::counting::{Behaviour, CountingOrigin};
use super::http2::{Client, Door, error, get};
use super::origin_tls::{Own, TlsOrigin, tls};
use super::rig::{EchoOrigin, Plane, RawOrigin, Site, Viewer, field, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: web.example\r\n\r\n";

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A group of two, which fails over on 403, 404 and 503.
fn pair(first: Site, second: SocketAddr) -> Site {
    Site { spares: vec![Site::new("spare", &[second])], failover: &[403, 404, 503], ..first }
}

fn one_worker(site: Site) -> Plane {
    Plane::of_one_worker(Limits::default(), vec![site])
}

async fn answer(viewer: &mut Viewer, request: &str) -> String {
    viewer.send(request).await;
    viewer.response().await
}

async fn ask(plane: &Plane, request: &str) -> String {
    answer(&mut plane.connect().await, request).await
}

/// How often the origin `id` was passed over for `reason`.
fn failovers(plane: &Plane, id: &str, reason: &str) -> usize {
    let labels = format!("namespace=\"test\",distribution=\"web\",origin=\"{id}\",reason=\"{reason}\"");
    plane.metric(&format!("tidegate_origin_failovers_total{{{labels}}}"))
}

/// What a viewer gets over HTTP/1.1 and over HTTP/2 from a group of `first` and an origin that answers; and how often
/// each reason was counted.
async fn both_versions(first: impl Fn() -> Site, reason: &str) {
    let second = EchoOrigin::start("second").await;
    let plane = one_worker(pair(first(), second.address));
    let response = ask(&plane, GET).await;
    assert!(response.starts_with("HTTP/1.1 200 ") && response.contains("second\n"), "{reason}: {response}");
    assert_eq!(failovers(&plane, "web", reason), 1, "{reason}");

    let door = Door::open(vec![pair(first(), second.address)]);
    let response = door.connect().await.ask(get("https://web.example/")).await;
    assert_eq!(response.status(), 200, "{reason}");
    assert!(response.body().starts_with("second\n"), "{reason}: {response:?}");
    assert_eq!(failovers(&door.plane, "web", reason), 1, "{reason}");
}

#[tokio::test]
async fn a_listed_status_makes_the_next_member_answer_and_another_does_not() {
    let (first, second) = (
        CountingOrigin::start(Behaviour::Answer(503)).await,
        CountingOrigin::start(Behaviour::Answer(200)).await,
    );
    let plane = one_worker(pair(Site::new("web", &[first.address]), second.address));
    let mut viewer = plane.connect().await;
    for (status, gets) in [(503, 200), (404, 200), (403, 200), (500, 500), (401, 401), (200, 200)] {
        first.behave(Behaviour::Answer(status));
        let before = (first.requests(), second.requests());
        let response = answer(&mut viewer, GET).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {gets} ")), "{status}: {response}");
        let went_on = usize::from([403, 404, 503].contains(&status));
        assert_eq!((first.requests(), second.requests()), (before.0 + 1, before.1 + went_on), "{status}");
        assert_eq!(failovers(&plane, "web", &status.to_string()), went_on, "{status}");
    }
}

#[tokio::test]
async fn a_member_that_gives_no_answer_is_passed_over() {
    both_versions(|| Site::new("web", &[nobody()]), "origin_refused").await;
    both_versions(|| Site::new("web", &[]), "no_endpoints").await;

    let silent = RawOrigin::start().await;
    let slow = || {
        let mut site = Site::new("web", &[silent.address]);
        site.origin = |origin| origin.read_timeout = Duration::from_millis(50);
        site
    };
    both_versions(slow, "origin_read_timeout").await;
    let overdue = || {
        let mut site = Site::new("web", &[silent.address]);
        site.origin = |origin| origin.completion_timeout = Some(Duration::from_millis(50));
        site
    };
    both_versions(overdue, "origin_completion_timeout").await;

    let closing = CountingOrigin::start(Behaviour::Close).await;
    both_versions(|| Site::new("web", &[closing.address]), "origin_reset").await;
}

#[tokio::test]
async fn an_origin_that_fails_its_tls_or_speaks_no_http_is_passed_over() {
    let (own, other) = (Own::self_signed(), Own::self_signed());
    let origin = TlsOrigin::showing(&own).await;
    let site = || origin.site(tls(None, Trust::Pinned(vec![other.digest()])));
    let refusing = async {
        loop {
            drop(origin.accept().await);
        }
    };
    tokio::select! {
        () = both_versions(site, "origin_tls") => {}
        () = refusing => unreachable!(),
    }

    let babbling = RawOrigin::start().await;
    let babble = async {
        loop {
            let mut connection = babbling.accept().await;
            connection.until("\r\n\r\n").await;
            connection.send("SSH-2.0-x\r\n\r\n").await;
        }
    };
    tokio::select! {
        () = both_versions(|| Site::new("web", &[babbling.address]), "origin_protocol") => {}
        () = babble => unreachable!(),
    }
}

#[tokio::test]
async fn only_get_head_and_options_go_on() {
    let (first, second) = (
        CountingOrigin::start(Behaviour::Answer(503)).await,
        CountingOrigin::start(Behaviour::Answer(200)).await,
    );
    let plane = one_worker(pair(Site::new("web", &[first.address]), second.address));
    let refused = one_worker(pair(Site::new("web", &[nobody()]), second.address));
    for (method, goes_on) in
        [("GET", true), ("HEAD", true), ("OPTIONS", true), ("POST", false), ("PUT", false)]
    {
        let request = GET.replace("GET", method);
        let request = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        for (plane, error) in [(&plane, 503), (&refused, 502)] {
            let before = second.requests();
            let response = plane.ask(&request).await;
            let status = if goes_on { 200 } else { error };
            assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{method}: {response}");
            assert_eq!(second.requests() - before, usize::from(goes_on), "{method}");
        }
    }
}

#[tokio::test]
async fn a_get_with_a_body_goes_on_only_while_nothing_of_it_was_sent() {
    let (first, second) = (
        CountingOrigin::start(Behaviour::Answer(503)).await,
        CountingOrigin::start(Behaviour::Answer(200)).await,
    );
    let request = GET.replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nhello");
    let plane = one_worker(pair(Site::new("web", &[first.address]), second.address));
    let response = ask(&plane, &request).await;
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert_eq!((first.body_bytes(), second.requests()), (5, 0));

    let plane = one_worker(pair(Site::new("web", &[nobody()]), second.address));
    let response = ask(&plane, &request).await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert_eq!(second.body_bytes(), 5);
}

#[tokio::test]
async fn a_body_that_comes_late_goes_to_the_member_that_is_asked_now_and_whole() {
    let (first, second) = (RawOrigin::start().await, RawOrigin::start().await);
    let plane = one_worker(pair(Site::new("web", &[first.address]), second.address));
    let mut viewer = plane.connect().await;
    viewer.send(GET.replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\n")).await;
    let mut unwanted = first.accept().await;
    unwanted.until("\r\n\r\n").await;
    // What is left of this answer would be waited for.
    unwanted.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n").await;
    let mut wanted = second.accept().await;
    viewer.send("hello").await;
    let request = wanted.until("hello").await;
    assert!(request.contains("\r\ncontent-length: 5\r\n"), "{request}");
    wanted.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(viewer.response().await.ends_with("\r\n\r\nok"));
}

#[tokio::test]
async fn where_all_fail_the_viewer_gets_what_the_last_one_gave() {
    let (first, last) = (
        CountingOrigin::start(Behaviour::Answer(503)).await,
        CountingOrigin::start(Behaviour::Answer(404)).await,
    );
    let mut plane = one_worker(pair(Site::new("web", &[first.address]), last.address));
    let response = ask(&plane, GET).await;
    assert!(response.starts_with("HTTP/1.1 404 ") && response.ends_with("ok"), "{response}");
    assert_eq!(field(&response, "x-tidegate-error"), None);
    assert_eq!(failovers(&plane, "spare", "404"), 0);

    plane = one_worker(pair(Site::new("web", &[first.address]), nobody()));
    let response = ask(&plane, GET).await;
    assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
    assert_eq!(field(&response, "x-tidegate-error"), Some("origin_refused"));

    let empty = Site {
        spares: vec![Site::new("spare", &[])],
        failover: &[503],
        ..Site::new("web", &[first.address])
    };
    let door = Door::open(vec![empty]);
    let response = door.connect().await.ask(get("https://web.example/")).await;
    assert_eq!(error(&response), (503, Some("no_endpoints")));
}

#[tokio::test]
async fn members_are_asked_in_their_order_and_the_first_one_again_next_time() {
    let origins = [
        CountingOrigin::start(Behaviour::Answer(503)).await,
        CountingOrigin::start(Behaviour::Answer(503)).await,
        CountingOrigin::start(Behaviour::Answer(200)).await,
        CountingOrigin::start(Behaviour::Answer(200)).await,
    ];
    let [first, spares @ ..] = &origins;
    let names = ["second", "third", "fourth"];
    let spares =
        names.into_iter().zip(spares).map(|(name, origin)| Site::new(name, &[origin.address])).collect();
    let plane = one_worker(Site { spares, failover: &[503], ..Site::new("web", &[first.address]) });
    let mut viewer = plane.connect().await;
    for _ in 0..2 {
        assert!(answer(&mut viewer, GET).await.starts_with("HTTP/1.1 200 "));
    }
    let counts = || origins.iter().map(CountingOrigin::requests).collect::<Vec<_>>();
    assert_eq!(counts(), [2, 2, 2, 0]);
    first.behave(Behaviour::Answer(200));
    assert!(answer(&mut viewer, GET).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(counts(), [3, 2, 2, 0]);
}

#[tokio::test]
async fn each_member_reads_the_request_as_its_own_settings_make_it() {
    let first = RawOrigin::start().await;
    let second = RawOrigin::start().await;
    let mut site = pair(Site::new("web", &[first.address]), second.address);
    site.origin = |origin| {
        origin.path_prefix = "/first".to_owned();
        origin.host_header = HostHeader::Fixed(HeaderValue::from_static("first.internal"));
        origin.custom_headers = vec![(HeaderName::from_static("x-first"), HeaderValue::from_static("1"))];
    };
    site.spares[0].origin = |origin| {
        origin.path_prefix = "/second".to_owned();
        origin.custom_headers = vec![(HeaderName::from_static("x-second"), HeaderValue::from_static("2"))];
    };
    let plane = one_worker(site);
    let mut viewer = plane.connect().await;
    viewer.send("GET /a?b HTTP/1.1\r\nHost: web.example\r\nx-first: viewer\r\n\r\n").await;
    let mut connection = first.accept().await;
    let seen_first = connection.until("\r\n\r\n").await;
    connection.send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").await;
    let mut connection = second.accept().await;
    let seen_second = connection.until("\r\n\r\n").await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert!(viewer.response().await.starts_with("HTTP/1.1 200 "));

    assert!(seen_first.starts_with("GET /first/a?b HTTP/1.1\r\n"), "{seen_first}");
    assert!(seen_second.starts_with("GET /second/a?b HTTP/1.1\r\n"), "{seen_second}");
    let fields = |seen: &str| {
        ["host", "x-first", "x-second", "x-forwarded-host", "via"]
            .map(|name| field(seen, name).map(str::to_owned))
    };
    let some = |text: &str| Some(text.to_owned());
    let via = some("1.1 tidegate");
    assert_eq!(
        fields(&seen_first),
        [some("first.internal"), some("1"), None, some("web.example"), via.clone()]
    );
    assert_eq!(
        fields(&seen_second),
        [some("web.example"), some("viewer"), some("2"), some("web.example"), via]
    );
    assert_eq!(field(&seen_first, "x-request-id"), field(&seen_second, "x-request-id"));
}

#[tokio::test]
async fn members_may_speak_different_versions_of_http() {
    let second = EchoOrigin::start("second").await;
    let first = RawOrigin::start().await;
    let mut site = pair(Site::new("web", &[first.address]), second.address);
    site.origin = |origin| origin.http_version = HttpVersion::Http2;
    let plane = one_worker(site);
    let play = async {
        let stream = first.accept().await.stream;
        let mut connection = soon(h2::server::handshake(stream)).await.unwrap();
        let (request, mut respond) = soon(connection.accept()).await.unwrap().unwrap();
        let no = http::Response::builder().status(503).body(()).unwrap();
        respond.send_response(no, true).unwrap();
        let _ = connection.accept().await;
        request.uri().clone()
    };
    let asked = ask(&plane, GET);
    let response = tokio::select! {
        response = asked => response,
        uri = play => panic!("the origin was left at {uri}"),
    };
    assert!(response.contains("second\nGET / HTTP/1.1\r\n"), "{response}");
}

#[tokio::test]
async fn endpoints_that_are_all_full_are_like_none() {
    let (first, second) = (RawOrigin::start().await, EchoOrigin::start("second").await);
    let mut site = pair(Site::new("web", &[first.address]), second.address);
    site.origin = |origin| origin.max_connections_per_endpoint = Some(NonZeroU32::MIN);
    let plane = one_worker(site);
    let mut waiting = plane.connect().await;
    waiting.send(GET).await;
    let mut busy = first.accept().await;
    busy.until("\r\n\r\n").await;

    assert!(ask(&plane, GET).await.contains("second\n"));
    assert_eq!(failovers(&plane, "web", "connection_limit"), 1);
    let post = ask(&plane, &GET.replace("GET", "POST")).await;
    assert_eq!(field(&post, "x-tidegate-error"), Some("connection_limit"));
}

#[tokio::test]
async fn a_short_answer_that_nobody_gets_is_read_and_its_connection_used_again() {
    let (first, second) = (RawOrigin::start().await, EchoOrigin::start("second").await);
    // What comes in two pieces may take its time here.
    let limits = Limits { discard: Duration::from_secs(10), ..Limits::default() };
    let plane = Plane::of_one_worker(limits, vec![pair(Site::new("web", &[first.address]), second.address)]);
    let mut viewer = plane.connect().await;
    viewer.send(GET).await;
    let mut connection = first.accept().await;
    for pieces in [
        &["Content-Length: 5\r\n\r\nsorry"][..],
        &["Transfer-Encoding: chunked\r\n\r\n5\r\nsorry\r\n", "0\r\n\r\n"],
    ] {
        connection.until("\r\n\r\n").await;
        connection.send("HTTP/1.1 503 No\r\n").await;
        for piece in pieces {
            connection.send(piece).await;
        }
        assert!(viewer.response().await.contains("second\n"));
        viewer.send(GET).await;
    }
    connection.until("\r\n\r\n").await;
}

#[tokio::test]
async fn a_long_slow_or_broken_answer_that_nobody_gets_costs_its_connection_and_no_time() {
    let (first, second) = (RawOrigin::start().await, EchoOrigin::start("second").await);
    let plane = one_worker(pair(Site::new("web", &[first.address]), second.address));
    let long = 10 * 1024 * 1024;
    let answers = [
        // One that says how long it is, and one that does not.
        (format!("Content-Length: {long}\r\n\r\n"), long),
        ("Connection: close\r\n\r\n".to_owned(), long),
        ("Content-Length: 5\r\n\r\nso".to_owned(), 0),
        ("Transfer-Encoding: chunked\r\n\r\nnonsense".to_owned(), 0),
    ];
    for (rest, body) in answers {
        let mut viewer = plane.connect().await;
        viewer.send(GET).await;
        let mut connection = first.accept().await;
        connection.until("\r\n\r\n").await;
        connection.send(format!("HTTP/1.1 503 No\r\n{rest}")).await;
        let send = async {
            let mut sent = 0;
            while sent < body
                && tokio::io::AsyncWriteExt::write_all(&mut connection.stream, &[b'x'; 4096]).await.is_ok()
            {
                sent += 4096;
            }
            let closed = connection.ends().await;
            (sent, closed)
        };
        let ((sent, _closed), response) = tokio::join!(send, viewer.response());
        assert!(response.contains("second\n"), "{rest}: {response}");
        // What the system's buffers held is lost, the rest was never sent.
        assert!(sent < long || body == 0, "{rest}: {sent}");
    }
}

#[tokio::test]
async fn a_member_whose_answer_breaks_off_in_its_body_is_not_passed_over() {
    let (first, second) = (RawOrigin::start().await, RawOrigin::start().await);
    let plane = one_worker(pair(Site::new("web", &[first.address]), second.address));
    let mut viewer = plane.connect().await;
    viewer.send(GET).await;
    let mut connection = first.accept().await;
    connection.until("\r\n\r\n").await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe").await;
    drop(connection);
    let answer = second.nobody_comes_while(viewer.ends()).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.ends_with("\r\n\r\nhe")));
}

#[tokio::test]
async fn over_http2_head_and_options_go_on_and_a_post_does_not() {
    let (first, second) = (
        CountingOrigin::start(Behaviour::Answer(503)).await,
        CountingOrigin::start(Behaviour::Answer(200)).await,
    );
    let door = Door::open(vec![pair(Site::new("web", &[first.address]), second.address)]);
    let mut client: Client = door.connect().await;
    for (method, status) in [("HEAD", 200), ("OPTIONS", 200), ("POST", 503), ("PUT", 503)] {
        let request = Request::builder().method(method).uri("https://web.example/").body(()).unwrap();
        assert_eq!(client.send(request).await.unwrap().status(), status, "{method}");
    }
    assert_eq!((first.requests(), second.requests()), (4, 2));
}
