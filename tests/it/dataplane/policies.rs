//! What a viewer gets from the proxy itself.

use tidegate::table::route::ViewerProtocolPolicy;

use super::counting::{Behaviour, CountingOrigin};
use super::rig::{Plane, RawOrigin, RouteShape, Site, field};

fn redirecting(origin: &RawOrigin) -> Site {
    let mut site = Site::new("web", &[origin.address]);
    site.default.viewers = ViewerProtocolPolicy::RedirectToHttps;
    let https_only = RouteShape { viewers: ViewerProtocolPolicy::HttpsOnly, ..site.default };
    site.ordered = vec![("/api/*", https_only)];
    site
}

#[tokio::test]
async fn plain_http_is_redirected_or_refused_as_the_behavior_says() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![redirecting(&origin)]);
    let mut viewer = plane.connect().await;
    let rows = [
        ("GET /a?b", "301", Some("https://web.example:8443/a?b"), None),
        ("POST /a", "307", Some("https://web.example:8443/a"), None),
        ("GET /api/x", "403", None, Some("https_only")),
    ];
    for (line, status, location, reason) in rows {
        viewer.send(format!("{line} HTTP/1.1\r\nHost: web.example:8080\r\n\r\n")).await;
        let response = origin.nobody_comes_while(viewer.response()).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {response}");
        assert_eq!(field(&response, "location"), location);
        assert_eq!(field(&response, "x-tidegate-error"), reason);
    }
}

/// What plain HTTP gets under each policy, with each method of the seven, over both versions that it is spoken in.
#[tokio::test]
async fn each_policy_treats_each_method_of_each_version_as_it_should() {
    let origin = CountingOrigin::start(Behaviour::Answer(200)).await;
    let policies = [
        ("open", ViewerProtocolPolicy::AllowAll),
        ("closed", ViewerProtocolPolicy::HttpsOnly),
        ("moved", ViewerProtocolPolicy::RedirectToHttps),
    ];
    let site = |(name, viewers)| {
        let site = Site::new(name, &[origin.address]);
        Site { default: RouteShape { viewers, ..site.default }, ..site }
    };
    let plane = Plane::serving(policies.map(site).into());
    let (served, refused) = ("200", "403");
    let rows = [
        // method, version, allow-all, https-only, redirect-to-https
        ("GET", "1.1", served, refused, "301"),
        ("HEAD", "1.1", served, refused, "301"),
        ("OPTIONS", "1.1", served, refused, "307"),
        ("PUT", "1.1", served, refused, "307"),
        ("POST", "1.1", served, refused, "307"),
        ("PATCH", "1.1", served, refused, "307"),
        ("DELETE", "1.1", served, refused, "307"),
        ("GET", "1.0", served, refused, "301"),
        ("HEAD", "1.0", served, refused, "301"),
        ("OPTIONS", "1.0", served, refused, refused),
        ("PUT", "1.0", served, refused, refused),
        ("POST", "1.0", served, refused, refused),
        ("PATCH", "1.0", served, refused, refused),
        ("DELETE", "1.0", served, refused, refused),
    ];
    for (method, version, open, closed, moved) in rows {
        for (host, status) in [("open", open), ("closed", closed), ("moved", moved)] {
            let asked = origin.requests();
            let line = format!("{method} /a?b HTTP/{version}");
            let answer =
                plane.ask(&format!("{line}\r\nHost: {host}.example\r\nConnection: close\r\n\r\n")).await;
            assert!(answer.split(' ').nth(1) == Some(status), "{host} {line}: {answer}");
            let location =
                matches!(status, "301" | "307").then(|| format!("https://{host}.example:8443/a?b"));
            assert_eq!(field(&answer, "location"), location.as_deref(), "{host} {line}");
            let reason = (status == refused).then_some("https_only");
            assert_eq!(field(&answer, "x-tidegate-error"), reason, "{host} {line}");
            assert_eq!(origin.requests() - asked, usize::from(status == served), "{host} {line}");
        }
    }
}

#[tokio::test]
async fn an_error_is_json_for_who_asks_for_it() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![redirecting(&origin)]);
    let mut viewer = plane.connect().await;
    viewer.send("GET /api/x HTTP/1.1\r\nHost: web.example\r\nAccept: application/json\r\n\r\n").await;
    let response = viewer.response().await;
    assert_eq!(field(&response, "content-type"), Some("application/json"));
    assert!(response.ends_with("\r\n\r\n{\"error\":\"https_only\",\"status\":403}\n"), "{response}");
}

#[tokio::test]
async fn a_head_gets_the_headers_of_an_error_and_no_body() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![redirecting(&origin)]);
    let request = "HEAD /api/x HTTP/1.1\r\nHost: web.example\r\nConnection: close\r\n\r\n";
    let response = plane.ask(request).await;
    assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
    assert!(response.ends_with("\r\n\r\n"), "{response}");
}

#[tokio::test]
async fn methods_that_concern_the_proxy_are_answered_by_it() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
    let rows = [
        ("OPTIONS * HTTP/1.1", "204", None),
        ("TRACE / HTTP/1.1", "405", Some("method_not_supported")),
        ("CONNECT web.example:443 HTTP/1.1", "405", Some("method_not_supported")),
        ("PROPFIND / HTTP/1.1", "403", Some("method_not_allowed_by_behavior")),
    ];
    for (line, status, reason) in rows {
        let request = format!("{line}\r\nHost: web.example\r\nConnection: close\r\n\r\n");
        let response = origin.nobody_comes_while(plane.ask(&request)).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {response}");
        assert_eq!(field(&response, "x-tidegate-error"), reason);
        assert_eq!(field(&response, "allow").is_some(), matches!(status, "204" | "405"), "{response}");
    }
}

#[tokio::test]
async fn the_root_object_and_the_path_prefix_are_what_the_origin_sees() {
    let origin = RawOrigin::start().await;
    let mut site = Site::new("web", &[origin.address]);
    site.root = Some("/index.html");
    site.origin = |origin| {
        origin.path_prefix = "/site".to_owned();
        origin.custom_headers = vec![("x-own".parse().unwrap(), "ours".parse().unwrap())];
    };
    let plane = Plane::of_one_worker(Default::default(), vec![site]);
    let mut viewer = plane.connect().await;
    viewer.send("GET /?q HTTP/1.1\r\nHost: web.example\r\nX-Own: theirs\r\n\r\n").await;
    let request = origin.accept().await.until("\r\n\r\n").await;
    assert!(request.starts_with("GET /site/index.html?q HTTP/1.1\r\n"), "{request}");
    assert_eq!(field(&request, "x-own"), Some("ours"));
    assert_eq!(request.matches("x-own").count(), 1);
}
