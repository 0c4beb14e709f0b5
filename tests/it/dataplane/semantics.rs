//! What behaviors and origins say of requests, each as one table, from viewers of every version of HTTP.

use http::{HeaderValue, Method, Request};
use tidegate::table::origin::{HostHeader, Origin};
use tidegate::table::route::ViewerProtocolPolicy;

use super::http2::{Client, Door};
use super::rig::{EchoOrigin, RawOrigin, RouteShape, Site, field, soon};
use crate::websocket::peers::handshake;

/// Those that CloudFront knows, and that pass where a behavior lists none.
const USUAL: [&str; 7] = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"];
const SEVEN: &[Method] =
    &[Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::POST, Method::PATCH, Method::DELETE];

/// How a viewer asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
    Http2,
}

/// What came back.
struct Answer {
    status: u16,
    reason: Option<String>,
    location: Option<String>,
    body: String,
}

/// Asks a site of the door's for a path, over plain HTTP/1 or over HTTP/2.
async fn ask(door: &Door, client: &mut Client, version: Version, method: &str, path: &str) -> Answer {
    if version == Version::Http2 {
        let uri = if method == "CONNECT" { path.to_owned() } else { format!("https://web.example{path}") };
        let answer = client.ask(Request::builder().method(method).uri(uri).body(()).unwrap()).await;
        let said = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        return Answer {
            status: answer.status().as_u16(),
            reason: said("x-tidegate-error"),
            location: said("location"),
            body: answer.into_body(),
        };
    }
    let number = if version == Version::Http10 { "1.0" } else { "1.1" };
    let head = format!(
        "{method} {path} HTTP/{number}\r\nHost: web.example\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    let answer = door.plane.ask(&head).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let said = |name| field(head, name).map(str::to_owned);
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        reason: said("x-tidegate-error"),
        location: said("location"),
        body: body.to_owned(),
    }
}

#[tokio::test]
async fn the_methods_that_a_behavior_lists_pass_over_every_version_and_no_others() {
    let origin = EchoOrigin::start("web").await;
    let mut site = Site::new("web", &[origin.address]);
    site.default.methods = SEVEN;
    let read = RouteShape { methods: &[Method::GET, Method::HEAD], ..site.default };
    let write = RouteShape { methods: &[Method::POST], ..site.default };
    site.ordered = vec![("/read", read), ("/write", write)];
    let door = Door::open(vec![site]);
    let mut client = door.connect().await;
    for version in [Version::Http10, Version::Http11, Version::Http2] {
        for method in USUAL.into_iter().chain(["PROPFIND"]) {
            let rows = [
                ("/", USUAL.contains(&method)),
                ("/read", matches!(method, "GET" | "HEAD")),
                ("/write", method == "POST"),
            ];
            for (path, passes) in rows {
                let answer = ask(&door, &mut client, version, method, path).await;
                let expected =
                    if passes { (200, None) } else { (403, Some("method_not_allowed_by_behavior")) };
                assert_eq!(
                    (answer.status, answer.reason.as_deref()),
                    expected,
                    "{version:?} {method} {path}"
                );
            }
        }
        for (method, target) in [("TRACE", "/"), ("CONNECT", "web.example:443")] {
            let answer = ask(&door, &mut client, version, method, target).await;
            let expected = (405, Some("method_not_supported"));
            assert_eq!((answer.status, answer.reason.as_deref()), expected, "{version:?} {method}");
        }
    }
}

#[tokio::test]
async fn plain_http_is_served_refused_or_redirected_by_policy_method_and_version() {
    let origin = EchoOrigin::start("web").await;
    let mut site = Site::new("web", &[origin.address]);
    site.default.methods = SEVEN;
    let of = |viewers| RouteShape { viewers, ..site.default };
    site.ordered = vec![
        ("/redirected", of(ViewerProtocolPolicy::RedirectToHttps)),
        ("/refused", of(ViewerProtocolPolicy::HttpsOnly)),
    ];
    let door = Door::open(vec![site]);
    let mut client = door.connect().await;
    for version in [Version::Http10, Version::Http11] {
        for method in USUAL {
            let redirected = match method {
                "GET" | "HEAD" => (301, None),
                // 307 is not in HTTP/1.0.
                _ if version == Version::Http10 => (403, Some("https_only")),
                _ => (307, None),
            };
            let rows =
                [("/", (200, None)), ("/refused", (403, Some("https_only"))), ("/redirected", redirected)];
            for (path, expected) in rows {
                let answer = ask(&door, &mut client, version, method, path).await;
                assert_eq!(
                    (answer.status, answer.reason.as_deref()),
                    expected,
                    "{version:?} {method} {path}"
                );
                let moved = matches!(answer.status, 301 | 307);
                let there = moved.then(|| format!("https://web.example:8443{path}"));
                assert_eq!(answer.location, there, "{version:?} {method} {path}");
            }
        }
    }
    for method in USUAL {
        for path in ["/", "/refused", "/redirected"] {
            let answer = ask(&door, &mut client, Version::Http2, method, path).await;
            assert_eq!((answer.status, answer.reason), (200, None), "over TLS: {method} {path}");
        }
    }
}

#[tokio::test]
async fn the_root_is_its_object_for_every_method_and_nothing_else_is() {
    let origin = EchoOrigin::start("web").await;
    let mut site = Site::new("web", &[origin.address]);
    (site.default.methods, site.root) = (SEVEN, Some("/index.html"));
    // Behaviors are matched by what the root has become.
    let none = RouteShape { methods: &[], ..site.default };
    let door = Door::open(vec![site.clone(), Site { name: "bare", root: None, ..site.clone() }]);
    let mut client = door.connect().await;
    for version in [Version::Http11, Version::Http2] {
        for method in USUAL {
            let answer = ask(&door, &mut client, version, method, "/?a=b").await;
            assert_eq!(answer.status, 200, "{version:?} {method}");
            // HEAD has no body that could tell.
            let told = format!("web\n{method} /index.html?a=b HTTP/1.1\r\n");
            assert!(answer.body.starts_with(&told) || method == "HEAD", "{version:?} {}", answer.body);
        }
        for path in ["/sub/", "/index.html", "/index.html/", "/?", "/%2F"] {
            let answer = ask(&door, &mut client, version, "GET", path).await;
            let expected = if path == "/?" { "/index.html?" } else { path };
            let told = format!("web\nGET {expected} HTTP/1.1\r\n");
            assert!(answer.body.starts_with(&told), "{version:?} {path}: {}", answer.body);
        }
    }
    let absolute = "GET http://web.example/ HTTP/1.1\r\nHost: web.example\r\nConnection: close\r\n\r\n";
    assert!(door.plane.ask(absolute).await.contains("web\nGET /index.html HTTP/1.1\r\n"));
    let bare = "GET / HTTP/1.1\r\nHost: bare.example\r\nConnection: close\r\n\r\n";
    assert!(door.plane.ask(bare).await.contains("web\nGET / HTTP/1.1\r\n"));

    site.ordered = vec![("/index.html", none)];
    let door = Door::open(vec![site.clone()]);
    let mut client = door.connect().await;
    let refused = Some("method_not_allowed_by_behavior");
    assert_eq!(ask(&door, &mut client, Version::Http11, "GET", "/").await.reason.as_deref(), refused);
    site.ordered = vec![("/", none)];
    let door = Door::open(vec![site]);
    let mut client = door.connect().await;
    assert_eq!(ask(&door, &mut client, Version::Http2, "GET", "/").await.status, 200);
}

#[tokio::test]
async fn a_handshake_at_the_root_stays_there() {
    let origin = RawOrigin::start().await;
    let mut site = Site::new("web", &[origin.address]);
    site.root = Some("/index.html");
    site.origin = |origin| origin.path_prefix = "/base".to_owned();
    let door = Door::open(vec![site]);
    let mut viewer = door.plane.connect().await;
    viewer.send(handshake("").replace("/chat?room=1", "/?room=1")).await;
    let request = origin.accept().await.until("\r\n\r\n").await;
    assert!(request.starts_with("GET /base/?room=1 HTTP/1.1\r\n"), "{request}");
}

#[tokio::test]
async fn the_origin_s_path_and_host_are_what_its_owner_says_for_requests_and_handshakes() {
    type Set = fn(&mut Origin);
    let rows: [(Set, &str, &str); 6] = [
        (|origin| say(origin, "", None), "", "web.example"),
        (|origin| say(origin, "/base", None), "/base", "web.example"),
        (|origin| say(origin, "/a/b%20c", None), "/a/b%20c", "web.example"),
        (|origin| say(origin, "", Some("web.shop.svc")), "", "web.shop.svc"),
        (|origin| say(origin, "/base", Some("web.shop.svc")), "/base", "web.shop.svc"),
        (|origin| say(origin, "/base", Some("intern.test:8080")), "/base", "intern.test:8080"),
    ];
    for (set, prefix, host) in rows {
        let origin = RawOrigin::start().await;
        let mut site = Site::new("web", &[origin.address]);
        site.origin = set;
        let door = Door::open(vec![site]);
        let mut client = door.connect().await;
        for target in ["/", "/x/y?q=/", "/base", "//x"] {
            let line = format!("GET {prefix}{target} HTTP/1.1\r\n");
            let mut viewer = door.plane.connect().await;
            viewer.send(format!("GET {target} HTTP/1.1\r\nHost: web.example\r\n\r\n")).await;
            let plain = origin.accept().await.until("\r\n\r\n").await;
            let request = Request::get(format!("https://web.example{target}")).body(()).unwrap();
            let (_response, _body) = client.open(request).await;
            let over_http2 = origin.accept().await.until("\r\n\r\n").await;
            let mut viewer = door.plane.connect().await;
            viewer.send(handshake("").replace("/chat?room=1", target)).await;
            let tunnel = origin.accept().await.until("\r\n\r\n").await;
            for request in [plain, over_http2, tunnel] {
                assert!(request.starts_with(&line), "{line}{request}");
                assert_eq!(field(&request, "host"), Some(host), "{request}");
                // What the viewer asked for is told beside it.
                assert_eq!(field(&request, "x-forwarded-host"), Some("web.example"), "{request}");
            }
        }
    }
}

fn say(origin: &mut Origin, path_prefix: &str, host: Option<&'static str>) {
    path_prefix.clone_into(&mut origin.path_prefix);
    origin.host_header =
        host.map_or(HostHeader::Viewer, |host| HostHeader::Fixed(HeaderValue::from_static(host)));
}

#[tokio::test]
async fn a_body_passes_up_to_its_limit_whether_its_length_was_told_or_not() {
    let origin = RawOrigin::start().await;
    let mut site = Site::new("web", &[origin.address]);
    site.default.max_request_body_bytes = Some(4);
    let free = RouteShape { max_request_body_bytes: None, ..site.default };
    site.ordered = vec![("/free", free)];
    let door = Door::open(vec![site]);
    let post = |path: &str, rest: &str| format!("POST {path} HTTP/1.1\r\nHost: web.example\r\n{rest}");
    let told = |path: &str, body: &str| post(path, &format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    let untold = |path: &str, body: &str| {
        post(path, &format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()))
    };
    for passing in [
        told("/", ""),
        told("/", "four"),
        told("/free", "more"),
        untold("/", "four"),
        untold("/free", "five5"),
    ] {
        let mut viewer = door.plane.connect().await;
        viewer.send(&passing).await;
        let mut far = origin.accept().await;
        let sent = passing.split_once("\r\n\r\n").unwrap().1;
        far.until("\r\n\r\n").await;
        assert_eq!(String::from_utf8(far.bytes(sent.len()).await).unwrap(), sent);
        far.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        assert!(viewer.until("\r\n\r\n").await.starts_with("HTTP/1.1 200 "), "{passing}");
    }
    // What is told to be too long asks nobody.
    let mut viewer = door.plane.connect().await;
    viewer.send(told("/", "five5")).await;
    let answer = origin.nobody_comes_while(viewer.until("\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(field(&answer, "x-tidegate-error"), Some("body_too_large"));
    // What is not told is seen when it comes, and the origin never takes it for whole.
    let mut viewer = door.plane.connect().await;
    viewer.send(post("/", "Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n")).await;
    let mut far = origin.accept().await;
    far.until("four").await;
    viewer.send("1\r\n5\r\n").await;
    let answer = viewer.until("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(field(&answer, "x-tidegate-error"), Some("body_too_large"));
    let rest = soon(far.ends()).await.unwrap_or_default();
    assert!(!rest.contains("0\r\n\r\n"), "{rest:?}");
}
