//! The page that a scraper reads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::StatusCode;

use super::*;

fn metrics() -> Metrics {
    Metrics::new(Build { version: "1.2.3", commit: "abc" })
}

fn page(metrics: &Metrics) -> String {
    metrics.encode().unwrap()
}

#[test]
fn a_request_is_counted_under_its_distribution() {
    let metrics = metrics();
    let web = metrics.distribution(&ObjectKey::new("shop", "web"));
    web.requests().count(StatusCode::OK, "h1", Some(Duration::from_millis(3)));
    web.requests().count(StatusCode::SWITCHING_PROTOCOLS, "h1", None);
    let page = page(&metrics);
    let shop = r#"namespace="shop",distribution="web""#;
    assert!(
        page.contains(&format!("tidegate_requests_total{{{shop},code=\"200\",protocol=\"h1\"}} 1\n")),
        "{page}"
    );
    assert!(page.contains(&format!("tidegate_request_duration_seconds_count{{{shop}}} 1\n")), "{page}");
    assert!(page.contains("tidegate_build_info{version=\"1.2.3\",commit=\"abc\"} 1\n"), "{page}");
    assert!(page.contains("\nprocess_resident_memory_bytes "), "{page}");
    assert!(page.ends_with("# EOF\n"), "{page}");
}

#[test]
fn series_end_with_the_last_tunnel_of_their_distribution() {
    let metrics = metrics();
    let key = ObjectKey::new("shop", "web");
    let table = metrics.distribution(&key);
    let tunnel = table.origin("api").web_socket_opened("h1");
    drop(table);
    let open = r#"tidegate_websocket_connections{namespace="shop",distribution="web",origin="api",protocol="h1"} 1.0"#;
    assert!(page(&metrics).contains(open), "{}", page(&metrics));
    tunnel.closed("drain", 1012, Duration::from_secs(1));
    assert!(!page(&metrics).contains("shop"), "{}", page(&metrics));
}

#[test]
fn a_close_code_of_the_application_has_one_label() {
    let metrics = metrics();
    let table = metrics.distribution(&ObjectKey::new("shop", "web"));
    for code in [4000, 4001] {
        table.origin("api").web_socket_opened("h1").closed("viewer", code, Duration::ZERO);
    }
    let page = page(&metrics);
    assert!(page.contains(r#"closed_by="viewer",code="app"} 2"#), "{page}");
}

#[test]
fn objects_that_are_gone_take_their_series_with_them() {
    let metrics = metrics();
    let key = ObjectKey::new("shop", "web");
    let deployed = Objects { states: vec![(key, "Deployed".to_owned())], ..Objects::default() };
    metrics.objects(move || deployed.clone());
    assert!(page(&metrics).contains("tidegate_distributions{state=\"Deployed\"} 1"), "{}", page(&metrics));
    metrics.objects(Objects::default);
    assert!(!page(&metrics).contains("Deployed"), "{}", page(&metrics));
}

/// Counts one of everything that there is to count.
fn count_everything(metrics: &Metrics) -> (TunnelMetrics, Entered, Counted) {
    let key = ObjectKey::new("shop", "web");
    let web = metrics.distribution(&key);
    let api = web.origin("api");
    web.requests().count(StatusCode::OK, "h1", Some(Duration::ZERO));
    web.web_socket_handshake_failed("websocket_version");
    web.error_page(PageOutcome::Served);
    web.answered_itself(StatusCode::BAD_GATEWAY, "origin_reset");
    api.failed("origin_reset");
    api.failed_over(Failed::Status(503));
    let (tunnel, open) = (api.web_socket_opened("h1"), api.web_socket_opened("h1"));
    tunnel.bytes(Direction::ToOrigin, 1);
    tunnel.messages(Direction::ToViewer, 1);
    tunnel.closed("viewer", 1000, Duration::ZERO);
    metrics.config().published(Duration::ZERO);
    let objects = Objects {
        states: vec![(key.clone(), "Deployed".to_owned())],
        conditions: vec![(key.clone(), "Ready".to_owned(), "True".to_owned())],
        certificates: BTreeMap::from([(key.clone(), 1.0)]),
        kept_last_good: vec![(key.clone(), "Service")],
        lagging: vec![("edge-2".to_owned(), true)],
    };
    let endpoints = OriginEndpoints { distribution: key, origin: "api".to_owned(), serving: 1, ejected: 0 };
    metrics.endpoints(move || vec![endpoints.clone()]);
    metrics.objects(move || objects.clone());
    metrics.tls_handshake("1.3", "false", "ok");
    metrics.headers_dropped("underscore", 1);
    metrics.connection_rejected("total");
    metrics.panicked(Lost::Exchange);
    metrics.status_write("ok");
    metrics.event("ok");
    metrics.watch_error("Service", "gone");
    let worker = metrics.worker(0);
    (open, metrics.connections("http", "h1").enter(), worker.enter(Present::Request))
}

/// `name{label,label}` of each metric on the page, as its samples show it.
fn names_on(page: &str) -> BTreeSet<String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let histograms: BTreeSet<_> =
        types.filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name).collect();
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples.map(|sample| name_of(sample, &histograms)).collect()
}

fn name_of(sample: &str, histograms: &BTreeSet<&str>) -> String {
    let (name, rest) = sample.split_at(sample.find(['{', ' ']).unwrap());
    let parts = ["_bucket", "_sum", "_count"].iter().filter_map(|part| name.strip_suffix(part));
    let name = parts.into_iter().find(|whole| histograms.contains(whole)).unwrap_or(name);
    let labels =
        rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(labels, _)| labels);
    let labels = labels.split(',').filter_map(|label| label.split_once('=')).map(|(label, _)| label);
    let labels: Vec<_> = labels.filter(|label| *label != "le").collect();
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
}

#[test]
fn the_guide_names_every_metric_with_its_labels_and_no_other() {
    let guide = include_str!("../../../docs/metrics.md");
    let told: BTreeSet<_> =
        guide.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).collect();
    let metrics = metrics();
    let _open = count_everything(&metrics);
    let told: BTreeSet<String> = told.into_iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names_on(&page(&metrics)), told);
}

#[test]
fn a_drain_waits_for_what_is_open_once_it_has_begun() {
    let metrics = metrics();
    let _open = (metrics.connections("https", "h2").enter(), metrics.connections("http", "h1").enter());
    assert!(page(&metrics).contains("tidegate_drain_remaining{kind=\"connections\"} 0.0\n"));
    metrics.drain_began();
    assert!(page(&metrics).contains("tidegate_drain_remaining{kind=\"connections\"} 2.0\n"));
}

#[test]
fn workers_are_added_up() {
    let metrics = metrics();
    let (one, two) = (metrics.worker(0), metrics.worker(1));
    let _open = [one.enter(Present::OriginConnection), two.enter(Present::OriginConnection)];
    let idle = two.enter(Present::IdleOriginConnection);
    two.busy(Duration::from_millis(250), Duration::from_secs(1));
    let before = page(&metrics);
    for line in
        [r#"connections{state="open"} 1.0"#, r#"connections{state="idle"} 1.0"#, r#"busy{worker="1"} 0.25"#]
    {
        assert!(before.contains(line), "{line}: {before}");
    }
    drop(idle);
    let after = page(&metrics);
    assert!(after.contains(r#"connections{state="open"} 2.0"#), "{after}");
}

#[test]
fn the_behavior_is_told_where_it_was_asked_for() {
    let build = Build { version: "1.2.3", commit: "abc" };
    let metrics = Metrics::with_detail(build, Detail::Behavior);
    let web = metrics.distribution(&ObjectKey::new("shop", "web"));
    let (api, rest) = (web.behavior("/api/*"), web.behavior("*"));
    for requests in [&api, &*web.behavior("/api/*"), &rest, metrics.unmatched().requests()] {
        requests.count(StatusCode::OK, "h2", Some(Duration::ZERO));
    }
    let before = page(&metrics);
    for line in [
        r#"namespace="shop",distribution="web",code="200",protocol="h2",behavior="/api/*"} 2"#,
        r#"namespace="shop",distribution="web",code="200",protocol="h2",behavior="*"} 1"#,
        r#"namespace="",distribution="",code="200",protocol="h2",behavior=""} 1"#,
        r#"request_duration_seconds_count{namespace="shop",distribution="web",behavior="/api/*"} 2"#,
    ] {
        assert!(before.contains(line), "{line}: {before}");
    }
    drop(api);
    assert!(!page(&metrics).contains("/api/*"));
}
