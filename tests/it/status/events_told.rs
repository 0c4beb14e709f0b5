//! Which Events the status writer causes, and that they hold up nothing.

use std::time::Duration;

use serde_json::Value;
use tidegate::conditions::facts::{DistributionFacts, Warning};
use tidegate::conditions::reasons::WarningKind;
use tokio::time::sleep;

use super::{Bench, facts, missing_service, stub_with};

/// `TYPE REASON` of each Event that was created, in this order, and how often one was counted up.
fn told(bench: &Bench) -> (Vec<String>, usize) {
    let requests = bench.stub.requests(|seen| seen.target.contains("/events"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (again, first): (Vec<_>, Vec<_>) =
        requests.into_iter().partition(|seen| seen.body["series"]["count"].is_i64());
    let first =
        first.iter().map(|seen| format!("{} {}", text(&seen.body["type"]), text(&seen.body["reason"])));
    (first.collect(), again.len())
}

#[tokio::test(start_paused = true)]
async fn a_change_of_state_is_one_event_and_the_same_again_counts_it_up() {
    let bench = Bench::start(&stub_with(&["web"]));
    for found in [missing_service("web"), facts("web"), missing_service("web")] {
        bench.find(&[("web", found)]);
        sleep(Duration::from_secs(2)).await;
    }
    let expected = ["Warning BackendNotFound", "Normal ResolvedRefs", "Normal Ready"];
    assert_eq!(told(&bench), (expected.map(str::to_owned).to_vec(), 1));
    let first = bench.stub.requests(|seen| seen.target.contains("/events")).remove(0);
    assert!(first.target.starts_with("/apis/events.k8s.io/v1/namespaces/shop/events"), "{}", first.target);
    let regarding = &first.body["regarding"];
    assert_eq!(
        (&regarding["kind"], &regarding["name"], &regarding["uid"]),
        (&"Distribution".into(), &"web".into(), &"uid-of-web".into())
    );
    assert_eq!(
        (&first.body["note"], &first.body["reportingInstance"]),
        (&"no such Service".into(), &"edge-1".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_warning_is_an_event_though_nothing_fails() {
    let bench = Bench::start(&stub_with(&["web"]));
    let warning = Warning {
        kind: WarningKind::UnreachableBehavior,
        field: String::new(),
        message: "no request reaches it.".to_owned(),
    };
    bench.find(&[("web", DistributionFacts { warnings: vec![warning], ..facts("web") })]);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(told(&bench).0, ["Normal Ready", "Warning UnreachableBehavior"]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_takes_no_status_has_one_event_that_says_so() {
    let stub = stub_with(&["web"]);
    stub.refuse_status("shop/web", 422);
    let bench = Bench::start(&stub);
    bench.find(&[("web", facts("web"))]);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(told(&bench), (vec!["Warning Invalid".to_owned()], 0));
    let event = bench.stub.requests(|seen| seen.target.contains("/events")).remove(0);
    let note = event.body["note"].as_str().unwrap_or_default();
    assert!(note.starts_with("the API server takes no status of this object (422: "), "{note}");
}

#[tokio::test(start_paused = true)]
async fn events_that_nobody_takes_hold_up_no_status() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let stub = stub_with(&names);
    stub.fail("events", None);
    let bench = Bench::start(&stub);
    bench.find(&names.map(|name| (name, facts(name))));
    bench.nth_write(names.len()).await;
    let page = bench.metrics.encode().expect("metrics");
    assert!(page.contains(r#"tidegate_events_total{result="dropped"} "#), "{page}");
}
