//! Which endpoint a request goes to: affinity, hashes, endpoints that are left out, and whom that concerns.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderName, StatusCode};
use tidegate::dataplane::Limits;
use tidegate::table::balancing::{Affinity, Algorithm, Balancing, HashOn, OutlierDetection};
use tidegate::table::origin::Origin;

use super::counting::{Behaviour, CountingOrigin};
use super::rig::{EchoOrigin, Plane, RawOrigin, Site, Viewer, field, soon};

fn get(host: &str, line: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}.example\r\n{line}\r\n")
}

async fn answer(viewer: &mut Viewer, request: &str) -> String {
    viewer.send(request).await;
    viewer.response().await
}

/// The first line of what an [`EchoOrigin`] answers: its name.
fn who(response: &str) -> &str {
    response.split_once("\r\n\r\n").unwrap().1.lines().next().unwrap()
}

fn sticky(origin: &mut Origin) {
    let affinity =
        Affinity { cookie: "at".to_owned(), ttl: Some(Duration::from_secs(3600)), salt: "6a1e".to_owned() };
    origin.balancing = Balancing { algorithm: Algorithm::RoundRobin, affinity: Some(affinity) };
}

#[tokio::test]
async fn a_cookie_keeps_a_viewer_on_its_endpoint_until_that_is_gone() {
    let (a, b) = (EchoOrigin::start("a").await, EchoOrigin::start("b").await);
    let site = |endpoints: &[SocketAddr]| Site { origin: sticky, ..Site::new("web", endpoints) };
    let plane = Plane::of_one_worker(Limits::default(), vec![site(&[a.address, b.address])]);
    let mut viewer = plane.connect().await;
    let first = answer(&mut viewer, &get("web", "")).await;
    let cookie = field(&first, "set-cookie").unwrap().to_owned();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
    let token = pair.strip_prefix("at=").unwrap();
    assert!(token.len() == 16 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");

    let with_cookie = get("web", &format!("Cookie: x=1; {pair}; y=2\r\n"));
    for _ in 0..5 {
        let next = answer(&mut viewer, &with_cookie).await;
        assert_eq!(who(&next), who(&first));
        assert_eq!(field(&next, "set-cookie"), None);
    }
    let left = if who(&first) == "a" { &b } else { &a };
    plane.publish(vec![site(&[left.address])]);
    let moved = answer(&mut viewer, &with_cookie).await;
    assert_ne!(who(&moved), who(&first));
    let renewed = field(&moved, "set-cookie").unwrap();
    assert!(renewed.starts_with("at=") && !renewed.starts_with(pair), "{renewed}");
    let unknown = answer(&mut viewer, &get("web", "Cookie: at=127.0.0.1\r\n")).await;
    assert!(unknown.starts_with("HTTP/1.1 200 ") && field(&unknown, "set-cookie").is_some());
}

fn by_user(origin: &mut Origin) {
    let on = HashOn::Header(HeaderName::from_static("x-user"));
    origin.balancing = Balancing { algorithm: Algorithm::Hash(on), affinity: None };
}

#[tokio::test]
async fn a_value_goes_to_its_endpoint_from_every_worker_and_only_its_own_moves() {
    let origins = [EchoOrigin::start("a").await, EchoOrigin::start("b").await, EchoOrigin::start("c").await];
    let addresses = origins.each_ref().map(|origin| origin.address);
    let site = |endpoints: &[SocketAddr]| Site { origin: by_user, ..Site::new("web", endpoints) };
    let plane = Plane::serving(vec![site(&addresses)]);
    let users: Vec<_> = (0..20).map(|user| get("web", &format!("X-User: {user}\r\n"))).collect();
    let mut places = Vec::new();
    for user in &users {
        places.push(who(&answer(&mut plane.connect().await, user).await).to_owned());
        assert_eq!(who(&answer(&mut plane.connect().await, user).await), places.last().unwrap());
    }
    assert!(["a", "b", "c"].iter().all(|name| places.iter().any(|place| place == name)), "{places:?}");
    plane.publish(vec![site(&addresses[..2])]);
    for (user, place) in users.iter().zip(&places) {
        let now = answer(&mut plane.connect().await, user).await;
        assert!(place == "c" || who(&now) == place, "{place} became {}", who(&now));
    }
}

fn impatient(origin: &mut Origin) {
    origin.balancing = Balancing { algorithm: Algorithm::RoundRobin, affinity: None };
    origin.outlier_detection = OutlierDetection {
        consecutive_failures: NonZeroU32::new(2).unwrap(),
        ejection_time: Duration::from_millis(200),
        max_ejected_percent: 50,
        statuses: vec![StatusCode::SERVICE_UNAVAILABLE],
    };
}

fn tolerant(origin: &mut Origin) {
    impatient(origin);
    origin.outlier_detection.statuses.clear();
}

#[tokio::test]
async fn an_endpoint_that_fails_is_left_out_comes_back_on_trial_and_is_nobody_elses_business() {
    let (bad, good) = (
        CountingOrigin::start(Behaviour::Answer(503)).await,
        CountingOrigin::start(Behaviour::Answer(200)).await,
    );
    let endpoints = [bad.address, good.address];
    let sites = vec![
        Site { origin: impatient, ..Site::new("web", &endpoints) },
        Site { origin: tolerant, ..Site::new("neighbour", &endpoints) },
    ];
    let plane = Plane::of_one_worker(Limits::default(), sites);
    let mut viewer = plane.connect().await;
    let ejected = |name: &str, count: usize| {
        let labels = format!(r#"namespace="test",distribution="{name}",origin="web""#);
        let page = plane.metrics.encode().unwrap();
        let line = format!("tidegate_endpoints{{{labels},state=\"ejected\"}} {count}.0\n");
        assert!(page.contains(&line), "{line}: {page}");
    };
    for _ in 0..4 {
        answer(&mut viewer, &get("web", "")).await;
    }
    assert_eq!((bad.requests(), good.requests()), (2, 2));
    ejected("web", 1);
    ejected("neighbour", 0);
    // The neighbour goes there all the same.
    for _ in 0..4 {
        answer(&mut viewer, &get("neighbour", "")).await;
    }
    assert_eq!((bad.requests(), good.requests()), (4, 4));

    // One that is well again is found out by one request.
    bad.behave(Behaviour::Answer(200));
    soon(async {
        while bad.requests() == 4 {
            answer(&mut viewer, &get("web", "")).await;
        }
    })
    .await;
    ejected("web", 0);
    let before = bad.requests();
    for _ in 0..4 {
        answer(&mut viewer, &get("web", "")).await;
    }
    assert_eq!(bad.requests(), before + 2);
}

fn hasty(origin: &mut Origin) {
    impatient(origin);
    origin.outlier_detection.ejection_time = Duration::from_secs(60);
    origin.completion_timeout = Some(Duration::from_millis(100));
}

#[tokio::test]
async fn an_endpoint_that_hangs_past_the_limit_on_the_whole_exchange_is_left_out() {
    let hanging = RawOrigin::start().await;
    let good = CountingOrigin::start(Behaviour::Answer(200)).await;
    let site = Site { origin: hasty, ..Site::new("web", &[hanging.address, good.address]) };
    let plane = Plane::of_one_worker(Limits::default(), vec![site]);
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let response = answer(&mut plane.connect().await, &get("web", "")).await;
        statuses.push(response["HTTP/1.1 ".len()..][..3].to_owned());
    }
    assert_eq!(statuses.iter().filter(|status| *status == "504").count(), 2, "{statuses:?}");
    assert_eq!(good.requests(), 6, "{statuses:?}");
}

#[tokio::test]
async fn the_last_endpoints_are_never_left_out() {
    let bad = [
        CountingOrigin::start(Behaviour::Answer(503)).await,
        CountingOrigin::start(Behaviour::Answer(503)).await,
        CountingOrigin::start(Behaviour::Answer(503)).await,
    ];
    let endpoints = bad.each_ref().map(|origin| origin.address);
    let site = Site { origin: impatient, ..Site::new("web", &endpoints) };
    let plane = Plane::of_one_worker(Limits::default(), vec![site]);
    let mut viewer = plane.connect().await;
    for _ in 0..12 {
        let response = answer(&mut viewer, &get("web", "")).await;
        assert!(response.starts_with("HTTP/1.1 503 ") && field(&response, "x-tidegate-error").is_none());
    }
    let page = plane.metrics.encode().unwrap();
    assert!(page.contains("state=\"ejected\"} 1.0\n") && page.contains("state=\"serving\"} 2.0\n"), "{page}");
}
