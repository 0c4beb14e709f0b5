//! `compress`: real answers, read by decoders that know nothing of us, over both kinds of HTTP.

use std::io::Read;

use http::Request;
use tidegate::dataplane::Limits;
use tidegate::overload::Level;
use tidegate::table::route::Compression;

use super::http2::{self, Door};
use super::rig::{Plane, RawOrigin, Site, Viewer, field};

const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];

fn site(origin: &RawOrigin) -> Site {
    let mut site = Site::new("web", &[origin.address]);
    site.default.compression = Compression::On;
    site
}

/// Text that is neither all alike nor without any pattern.
fn text(length: usize) -> Vec<u8> {
    let lines =
        (0_usize..).flat_map(|number| format!("line {} of {number}\n", number * 7919 % 104_729).into_bytes());
    lines.take(length).collect()
}

fn decoder<'b>(coding: &str, body: &'b [u8]) -> Box<dyn Read + 'b> {
    match coding {
        "zstd" => Box::new(zstd::stream::read::Decoder::new(body).unwrap()),
        "br" => Box::new(brotli::Decompressor::new(body, 4096)),
        "gzip" => Box::new(flate2::read::GzDecoder::new(body)),
        other => panic!("nobody asked for {other}"),
    }
}

pub(super) fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    decoder(coding, body).read_to_end(&mut text).unwrap();
    text
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: web.example\r\n{fields}\r\n")
}

fn answer(fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// One exchange over HTTP/1.1; gives the head of what the viewer gets.
async fn exchange(plane: &Plane, origin: &RawOrigin, request: &str, answer: &[u8]) -> (String, Viewer) {
    let mut viewer = plane.connect().await;
    viewer.send(request).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    connection.send(answer).await;
    (viewer.until("\r\n\r\n").await, viewer)
}

/// The next chunk; empty is the last.
async fn chunk(viewer: &mut Viewer) -> Vec<u8> {
    let size = viewer.until("\r\n").await;
    let data = viewer.bytes(usize::from_str_radix(size.trim_end(), 16).unwrap()).await;
    viewer.until("\r\n").await;
    data
}

pub(super) async fn chunks(viewer: &mut Viewer) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let next = chunk(viewer).await;
        if next.is_empty() {
            return body;
        }
        body.extend(next);
    }
}

#[tokio::test]
async fn each_coding_is_read_by_its_own_decoder_over_http1() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![site(&origin)]);
    for (coding, length) in CODINGS.into_iter().flat_map(|coding| [(coding, 1_000), (coding, 300_000)]) {
        let original = text(length);
        let answer = answer("Content-Type: text/html\r\nETag: \"a\"\r\nAccept-Ranges: bytes\r\n", &original);
        let request = get(&format!("Accept-Encoding: {coding}\r\n"));
        let (head, mut viewer) = exchange(&plane, &origin, &request, &answer).await;
        assert_eq!(field(&head, "content-encoding"), Some(coding));
        assert_eq!(field(&head, "vary"), Some("Accept-Encoding"));
        assert_eq!(field(&head, "etag"), Some("W/\"a\""));
        assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
        assert_eq!((field(&head, "content-length"), field(&head, "accept-ranges")), (None, None));
        let body = chunks(&mut viewer).await;
        assert!(body.len() < length / 2, "{coding}: {length} became {}", body.len());
        assert!(decoded(coding, &body) == original, "{coding}");
    }
}

#[tokio::test]
async fn each_coding_is_read_by_its_own_decoder_over_http2() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![site(&origin)]);
    let mut client = door.connect().await;
    let original = text(300_000);
    for coding in CODINGS {
        let request =
            Request::get("https://web.example/").header("accept-encoding", coding).body(()).unwrap();
        let (response, ()) = tokio::join!(client.send(request), async {
            let mut connection = origin.accept().await;
            connection.until("\r\n\r\n").await;
            connection.send(answer("Content-Type: text/css\r\nConnection: close\r\n", &original)).await;
        });
        let (head, body) = response.unwrap().into_parts();
        assert_eq!(head.headers["content-encoding"], coding);
        assert!(!head.headers.contains_key("content-length"));
        let (body, _) = http2::read(body).await.unwrap();
        assert!(decoded(coding, &body) == original, "{coding}");
    }
}

#[tokio::test]
async fn what_does_not_qualify_passes_as_it_came() {
    let origin = RawOrigin::start().await;
    let mut mixed = site(&origin);
    let plain = Site::new("web", &[origin.address]).default;
    mixed.ordered = vec![("/off", plain)];
    let plane = Plane::serving(vec![mixed]);
    let asks = "Accept-Encoding: gzip, br\r\n";
    let html = "Content-Type: text/html\r\nETag: \"a\"\r\n";
    let long = text(1_000);
    let vary = Some("Accept-Encoding");
    let rows = [
        // Another viewer would get it compressed.
        (get(""), answer(html, &long), vary),
        (get("Accept-Encoding: gzip;q=0\r\n"), answer(html, &long), vary),
        (get(asks).replace("HTTP/1.1", "HTTP/1.0"), answer(html, &long), vary),
        // Nobody would.
        (get(asks).replace("GET / ", "GET /off "), answer(html, &long), None),
        (get(asks), answer("Content-Type: image/png\r\nETag: \"a\"\r\n", &long), None),
        (get(asks), answer("ETag: \"a\"\r\n", &long), None),
        (get(asks), answer(html, &text(999)), None),
        (get(asks), answer(&format!("{html}Content-Encoding: gzip\r\n"), &long), None),
        (get(asks), answer(&format!("{html}Cache-Control: no-transform\r\n"), &long), None),
    ];
    for (request, answer, expected) in rows {
        let (head, mut viewer) = exchange(&plane, &origin, &request, &answer).await;
        let told = String::from_utf8_lossy(&answer);
        assert_eq!(
            field(&head, "content-encoding"),
            field(&told, "content-encoding"),
            "{request}{told:.200}"
        );
        assert_eq!(field(&head, "content-length"), field(&told, "content-length"), "{request}{told:.200}");
        assert_eq!(field(&head, "etag"), Some("\"a\""), "{request}");
        assert_eq!(field(&head, "vary"), expected, "{request}{told:.200}");
        let length: usize = field(&head, "content-length").unwrap().parse().unwrap();
        assert!(answer.ends_with(&viewer.bytes(length).await), "{request}{told:.200}");
    }
}

#[tokio::test]
async fn a_stream_without_a_length_passes_piece_by_piece_as_it_came() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![site(&origin)]);
    let stream =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n";
    let (head, mut viewer) =
        exchange(&plane, &origin, &get("Accept-Encoding: gzip\r\n"), stream.as_bytes()).await;
    assert_eq!((field(&head, "content-encoding"), field(&head, "vary")), (None, None));
    assert_eq!(chunk(&mut viewer).await, b"one");
}

#[tokio::test]
async fn a_head_tells_of_the_answer_as_the_origin_has_it() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![site(&origin)]);
    let request = get("Accept-Encoding: gzip\r\n").replace("GET", "HEAD");
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nContent-Type: text/css\r\nETag: \"a\"\r\n\r\n";
    let (head, _viewer) = exchange(&plane, &origin, &request, answer.as_bytes()).await;
    assert_eq!(field(&head, "content-length"), Some("5000"));
    assert_eq!((field(&head, "etag"), field(&head, "content-encoding")), (Some("\"a\""), None));
    assert_eq!(field(&head, "vary"), Some("Accept-Encoding"));
}

#[tokio::test]
async fn what_is_still_good_is_called_by_the_name_that_its_viewer_knows() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![site(&origin)]);
    let answer = "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n";
    for (fields, tag) in [("Accept-Encoding: gzip\r\n", "W/\"a\""), ("", "\"a\"")] {
        let request = get(&format!("{fields}If-None-Match: W/\"a\"\r\n"));
        let (head, _viewer) = exchange(&plane, &origin, &request, answer.as_bytes()).await;
        assert_eq!(field(&head, "etag"), Some(tag));
    }
}

#[tokio::test]
async fn a_compressed_body_that_is_cut_is_not_taken_for_a_whole_one() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![site(&origin)]);
    let half = "HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nContent-Length: 100000\r\n\r\nhalf";
    for coding in CODINGS {
        let request = get(&format!("Accept-Encoding: {coding}\r\n"));
        let (head, mut viewer) = exchange(&door.plane, &origin, &request, half.as_bytes()).await;
        assert_eq!(field(&head, "content-encoding"), Some(coding));
        assert!(viewer.ends().await.is_err(), "{coding}");

        let request =
            Request::get("https://web.example/").header("accept-encoding", coding).body(()).unwrap();
        let mut client = door.connect().await;
        let (response, ()) = tokio::join!(client.send(request), async {
            let mut connection = origin.accept().await;
            connection.until("\r\n\r\n").await;
            connection.send(half).await;
        });
        // The end may be known before the head is on its way.
        let end = match response {
            Ok(response) => http2::read(response.into_body()).await.unwrap_err(),
            Err(end) => end,
        };
        assert_eq!(end.reason(), Some(h2::Reason::INTERNAL_ERROR), "{coding}");
    }
}

#[tokio::test]
async fn what_a_slow_origin_sends_is_there_before_the_origin_goes_on() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![site(&origin)]);
    for coding in CODINGS {
        let original = text(2_000);
        let mut viewer = plane.connect().await;
        viewer.send(get(&format!("Accept-Encoding: {coding}\r\n"))).await;
        let mut connection = origin.accept().await;
        connection.until("\r\n\r\n").await;
        let answer = answer("Content-Type: text/plain\r\n", &original);
        let (now, later) = answer.split_at(answer.len() - 1_000);
        connection.send(now).await;
        viewer.until("\r\n\r\n").await;
        let (mut body, mut so_far) = (Vec::new(), vec![0; 1_000]);
        while decoder(coding, &body).read_exact(&mut so_far).is_err() {
            body.extend(chunk(&mut viewer).await);
        }
        assert!(original.starts_with(&so_far), "{coding}");
        connection.send(later).await;
        body.extend(chunks(&mut viewer).await);
        assert!(decoded(coding, &body) == original, "{coding}");
    }
}

#[tokio::test]
async fn beyond_so_many_at_once_and_while_memory_is_short_answers_pass_as_they_came() {
    let origin = RawOrigin::start().await;
    let limits = Limits { compressions: 1, ..Limits::default() };
    let plane = Plane::of_one_worker(limits, vec![site(&origin)]);
    let request = get("Accept-Encoding: gzip\r\n");
    let whole = answer("Content-Type: text/plain\r\n", &text(2_000));
    let coding = |head: &str| field(head, "content-encoding").map(str::to_owned);
    let mut under_way = plane.connect().await;
    under_way.send(&request).await;
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    let (begin, rest) = whole.split_at(500);
    connection.send(begin).await;
    assert_eq!(coding(&under_way.until("\r\n\r\n").await).as_deref(), Some("gzip"));

    let (head, _viewer) = exchange(&plane, &origin, &request, &whole).await;
    assert_eq!((coding(&head), field(&head, "vary")), (None, Some("Accept-Encoding")));

    connection.send(rest).await;
    chunks(&mut under_way).await;
    drop(connection);
    let (head, mut viewer) = exchange(&plane, &origin, &request, &whole).await;
    assert_eq!(coding(&head).as_deref(), Some("gzip"));
    chunks(&mut viewer).await;

    plane.overload.set(Level::High);
    let (head, _viewer) = exchange(&plane, &origin, &request, &whole).await;
    assert_eq!(coding(&head), None);
}
