//! Pages of other web origins: what they may read, and what they are told before they ask.

use http::Request;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderValue,
};
use tidegate::table::cors::{Cors, Pages};
use tidegate::table::response_headers::{Precedence, ResponseHeaders, ServerTiming};
use tidegate::table::web_origin::AllowedOrigins;

use super::http2::Door;
use super::rig::{Plane, RawOrigin, RouteShape, Site, field, soon};

fn with(cors: Cors) -> Option<ResponseHeaders> {
    let server_timing = ServerTiming::Untold;
    Some(ResponseHeaders { removed: Vec::new(), cors: Some(cors), added: Vec::new(), server_timing })
}

fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

/// Pages of two kinds, with credentials; the policy has the last word.
fn listed() -> Cors {
    let credentials = (ACCESS_CONTROL_ALLOW_CREDENTIALS, value("true"));
    Cors {
        pages: Pages::Of(AllowedOrigins::new(["https://app.example", "https://*.apps.example"])),
        on_answers: vec![credentials.clone(), (ACCESS_CONTROL_EXPOSE_HEADERS, value("x-total"))],
        on_preflights: vec![
            credentials,
            (ACCESS_CONTROL_ALLOW_METHODS, value("PUT")),
            (ACCESS_CONTROL_ALLOW_HEADERS, value("x-key")),
            (ACCESS_CONTROL_MAX_AGE, value("600")),
        ],
        methods: vec!["PUT".parse().unwrap()],
        headers: vec!["x-key".parse().unwrap()],
        precedence: Precedence::Policy,
    }
}

/// Pages of any web origin.
fn any() -> Cors {
    Cors { pages: Pages::Any, on_answers: Vec::new(), on_preflights: Vec::new(), ..listed() }
}

/// The default behavior is for listed pages, `/any/*` for all, and in `/theirs/*` the origin has the last word.
fn site(endpoints: &[std::net::SocketAddr]) -> Site {
    let mut site = Site::new("web", endpoints);
    site.default.response_headers = || with(listed());
    let theirs = || with(Cors { precedence: Precedence::Origin, ..listed() });
    site.ordered = vec![
        ("/any/*", RouteShape { response_headers: || with(any()), ..site.default }),
        ("/theirs/*", RouteShape { response_headers: theirs, ..site.default }),
    ];
    site
}

/// Allow-Origin, Allow-Credentials, Expose-Headers, Allow-Methods, Vary.
type Told<'h> = [Option<&'h str>; 5];

fn told(head: &str) -> Told<'_> {
    let name = |rest| format!("access-control-{rest}");
    let [origin, credentials, expose, methods] =
        ["allow-origin", "allow-credentials", "expose-headers", "allow-methods"].map(name);
    [origin.as_str(), &credentials, &expose, &methods, "vary"].map(|name| field(head, name))
}

const APP: &str = "Origin: https://app.example\r\n";
const PUT: &str = "Access-Control-Request-Method: PUT\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
/// What an application says that lets everybody in.
const LAX: &str =
    "Access-Control-Allow-Origin: https://lax.example\r\nAccess-Control-Allow-Credentials: true\r\n";

/// What a viewer gets of an origin that answers so.
async fn passed(origin: &RawOrigin, plane: &Plane, request: &str, answer: &str) -> String {
    let mut viewer = plane.connect().await;
    viewer.send(format!("{request}Host: web.example\r\nConnection: close\r\n\r\n")).await;
    let mut far = origin.accept().await;
    far.until("\r\n\r\n").await;
    far.send(format!("{answer}\r\n")).await;
    viewer.rest().await
}

#[tokio::test]
async fn an_answer_says_which_page_may_read_it_and_nothing_to_others() {
    let origin = RawOrigin::start().await;
    let plane = Plane::of_one_worker(Default::default(), vec![site(&[origin.address])]);
    let vary = Some("origin");
    let nobody: Told<'_> = [None, None, None, None, vary];
    let granted = |page| -> Told<'_> { [Some(page), Some("true"), Some("x-total"), None, vary] };
    let get = |path: &str, origin: &str| match origin {
        "" => format!("GET {path} HTTP/1.1\r\n"),
        origin => format!("GET {path} HTTP/1.1\r\nOrigin: {origin}\r\n"),
    };
    let rows = [
        ("/", "https://app.example", "", granted("https://app.example")),
        ("/", "https://a.apps.example", LAX, granted("https://a.apps.example")),
        ("/", "https://apps.example", "", nobody),
        ("/", "https://evil.example", LAX, nobody),
        ("/", "null", LAX, nobody),
        ("/", "", LAX, nobody),
        ("/any/x", "https://evil.example", "", [Some("*"), None, None, None, vary]),
        ("/any/x", "", "", nobody),
        // The origin's stays, and what it does not say is added.
        ("/theirs/x", "https://app.example", "", granted("https://app.example")),
        ("/theirs/x", "https://app.example", LAX, granted("https://lax.example")),
        (
            "/theirs/x",
            "https://evil.example",
            LAX,
            [Some("https://lax.example"), Some("true"), None, None, vary],
        ),
    ];
    for (path, page, says, expected) in rows {
        let response = passed(&origin, &plane, &get(path, page), &format!("{OK}{says}")).await;
        assert_eq!(told(&response), expected, "{path} {page} {says}: {response}");
    }
}

#[tokio::test]
async fn a_preflight_that_the_policy_allows_is_answered_without_the_origin() {
    let origin = RawOrigin::start().await;
    let plane = Plane::serving(vec![site(&[origin.address])]);
    for wants in ["", "Access-Control-Request-Headers: X-Key\r\n"] {
        let request =
            format!("OPTIONS /x HTTP/1.1\r\nHost: web.example\r\nConnection: close\r\n{APP}{PUT}{wants}\r\n");
        let response = origin.nobody_comes_while(plane.ask(&request)).await;
        assert!(response.starts_with("HTTP/1.1 204 "), "{response}");
        let expected = [Some("https://app.example"), Some("true"), None, Some("PUT"), Some("origin")];
        assert_eq!(told(&response), expected, "{response}");
        assert_eq!(field(&response, "access-control-allow-headers"), Some("x-key"));
        assert_eq!(field(&response, "access-control-max-age"), Some("600"));
        assert_eq!(field(&response, "content-length"), None, "{response}");
        assert!(response.ends_with("\r\n\r\n"), "{response}");
    }
}

#[tokio::test]
async fn other_preflights_and_what_is_none_go_to_the_origin_and_are_told_what_the_policy_allows() {
    let origin = RawOrigin::start().await;
    let plane = Plane::of_one_worker(Default::default(), vec![site(&[origin.address])]);
    let delete = "Access-Control-Request-Method: DELETE\r\n";
    let other = "Access-Control-Request-Headers: x-other\r\n";
    let (app, vary) = (Some("https://app.example"), Some("origin"));
    let asked: Told<'_> = [app, Some("true"), None, Some("PUT"), vary];
    let rows = [
        (format!("OPTIONS / HTTP/1.1\r\n{APP}{delete}"), asked),
        (format!("OPTIONS / HTTP/1.1\r\n{APP}{PUT}{other}"), asked),
        (format!("OPTIONS /theirs/x HTTP/1.1\r\n{APP}{PUT}"), asked),
        (
            format!("OPTIONS / HTTP/1.1\r\nOrigin: https://evil.example\r\n{PUT}"),
            [None, None, None, None, vary],
        ),
        (format!("OPTIONS / HTTP/1.1\r\n{PUT}"), [None, None, None, None, vary]),
        (format!("OPTIONS / HTTP/1.1\r\n{APP}"), [app, Some("true"), Some("x-total"), None, vary]),
        (format!("PUT / HTTP/1.1\r\n{APP}{PUT}"), [app, Some("true"), Some("x-total"), None, vary]),
    ];
    for (request, expected) in rows {
        let response = passed(&origin, &plane, &request, OK).await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{request}{response}");
        assert_eq!(told(&response), expected, "{request}{response}");
    }
}

#[tokio::test]
async fn a_page_may_read_of_errors_of_ours_and_a_preflight_passes_the_policies_before() {
    let origin = RawOrigin::start().await;
    let mut site = site(&[]);
    let closed = RouteShape {
        source_ranges: || {
            tidegate::table::source_ranges::SourceRanges::new([], ["127.0.0.0/8".parse().unwrap()])
        },
        ..site.default
    };
    site.ordered = vec![("/closed", closed)];
    let plane = Plane::serving(vec![site]);
    for (line, status) in [("GET /", "503"), ("OPTIONS /closed", "403")] {
        let request = format!("{line} HTTP/1.1\r\nHost: web.example\r\nConnection: close\r\n{APP}{PUT}\r\n");
        let response = origin.nobody_comes_while(plane.ask(&request)).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {response}");
        assert_eq!(
            field(&response, "access-control-allow-origin"),
            Some("https://app.example"),
            "{response}"
        );
    }
}

#[tokio::test]
async fn over_http2_pages_are_told_the_same() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![site(&[origin.address])]);
    let mut client = door.connect().await;
    let preflight = Request::options("https://web.example/x")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "PUT");
    let answer = origin.nobody_comes_while(client.ask(preflight.body(()).unwrap())).await;
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://app.example");
    assert_eq!(answer.headers()["access-control-allow-methods"], "PUT");
    assert_eq!(answer.headers()["access-control-allow-credentials"], "true");
    let get = Request::get("https://web.example/any/x").header("origin", "https://evil.example");
    let asked = tokio::spawn(async move { client.ask(get.body(()).unwrap()).await });
    let mut far = origin.accept().await;
    far.until("\r\n\r\n").await;
    far.send(format!("{OK}{LAX}\r\n")).await;
    let answer = soon(asked).await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    assert_eq!(answer.headers()["vary"], "origin");
}
