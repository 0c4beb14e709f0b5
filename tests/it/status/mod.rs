//! What the status writer writes, and when it does not write.

mod events_told;
mod fleet;
mod leading;
mod published;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate::api::{LoadBalancerIngress, LoadBalancerStatus};
use tidegate::conditions::facts::{DistributionFacts, Facts, Finding, Served};
use tidegate::conditions::reasons::Reason;
use tidegate::conditions::roster::Roster;
use tidegate::object::ObjectKey;
use tidegate::status::clock::Clock;
use tidegate::status::events;
use tidegate::status::leader::{self, Reins};
use tidegate::status::writer::{self, Limits, Present, Writer};
use tidegate::telemetry::metrics::{Build, Metrics};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::provider::stub::{Seen, Stub};
use crate::provider::{LIMIT, distribution, key, with};

/// A writer on a stub, with facts and present statuses that are set by hand. The clock of the test is paused, so
/// waiting for an hour costs nothing.
struct Bench {
    stub: Stub,
    facts: watch::Sender<Option<Arc<Facts>>>,
    present: Arc<Mutex<BTreeMap<ObjectKey, Arc<Value>>>>,
    present_changes: watch::Sender<()>,
    load_balancer: Arc<Mutex<Option<LoadBalancerStatus>>>,
    metrics: Metrics,
    reins: Reins,
    _roster: watch::Sender<Option<Arc<Roster>>>,
    _stop: DropGuard,
}

impl Bench {
    /// A writer that leads for ever.
    fn start(stub: &Stub) -> Self {
        let bench = Self::follow(stub);
        bench.reins.hold("edge", Duration::MAX);
        bench
    }

    /// A writer that does not lead.
    fn follow(stub: &Stub) -> Self {
        let facts = watch::Sender::new(None);
        let present = Arc::<Mutex<BTreeMap<ObjectKey, Arc<Value>>>>::default();
        let present_changes = watch::Sender::new(());
        let metrics = Metrics::new(Build { version: "0", commit: "0" });
        let reading = Arc::clone(&present);
        let load_balancer = Arc::<Mutex<Option<LoadBalancerStatus>>>::default();
        let told = Arc::clone(&load_balancer);
        let (reins, leadership) = leader::channel(Clock::system());
        let roster = watch::Sender::new(Some(Arc::new(Roster::alone("edge-1"))));
        let (events, teller) =
            events::channel(&metrics, events::Limits { queue: 4, ..events::Limits::default() });
        let leading = leadership.clone();
        let writer = Writer {
            client: stub.client(),
            facts: facts.subscribe(),
            present: Present {
                changes: present_changes.subscribe(),
                read: Box::new(move || reading.lock().unwrap().clone()),
                load_balancer: Box::new(move || told.lock().unwrap().clone()),
            },
            roster: roster.subscribe(),
            leadership,
            events,
            clock: Timestamp::now,
            metrics: metrics.clone(),
            limits: Limits::default(),
        };
        let stop = CancellationToken::new();
        tokio::spawn(writer::run(writer, stop.clone()));
        tokio::spawn(events::run(teller, stub.client(), leading, "edge-1".to_owned(), stop.clone()));
        Self {
            stub: stub.clone(),
            facts,
            present,
            present_changes,
            load_balancer,
            metrics,
            reins,
            _roster: roster,
            _stop: stop.drop_guard(),
        }
    }

    fn find(&self, facts: &[(&str, DistributionFacts)]) {
        self.facts.send_replace(Some(found(facts)));
    }

    /// What the provider would see: the status that stands in the cluster now.
    fn show(&self, name: &str) {
        let status = self.stub.status(&format!("shop/{name}"));
        self.present.lock().unwrap().insert(key(name), Arc::new(status));
        self.present_changes.send_replace(());
    }

    /// Says where viewers come to.
    fn publish(&self, ingress: &[LoadBalancerIngress]) {
        *self.load_balancer.lock().unwrap() = Some(LoadBalancerStatus { ingress: ingress.to_vec() });
        self.present_changes.send_replace(());
    }

    fn writes(&self) -> Vec<Seen> {
        self.stub.requests(|seen| seen.target.contains("/status?"))
    }

    /// Waits for the nth write since the start.
    async fn nth_write(&self, nth: usize) -> Seen {
        let comes = async {
            loop {
                match self.writes().get(nth - 1) {
                    Some(write) => return write.clone(),
                    None => sleep(Duration::from_millis(10)).await,
                }
            }
        };
        timeout(LIMIT, comes).await.expect("the write comes in time")
    }
}

fn found(facts: &[(&str, DistributionFacts)]) -> Arc<Facts> {
    let facts = facts.iter().map(|(name, facts)| (key(name), Arc::new(facts.clone()))).collect();
    Arc::new(Facts(facts))
}

fn stub_with(names: &[&str]) -> Stub {
    let stub = Stub::default();
    for name in names {
        stub.put("distributions", distribution(name));
    }
    stub
}

fn facts(name: &str) -> DistributionFacts {
    DistributionFacts {
        uid: Some(format!("uid-of-{name}")),
        generation: 1,
        enabled: true,
        served: Served::Yes,
        aliases: Vec::new(),
        domain_name: None,
        origins: Vec::new(),
        certificates: Vec::new(),
        findings: Vec::new(),
        warnings: Vec::new(),
    }
}

fn missing_service(name: &str) -> DistributionFacts {
    let finding = Finding {
        reason: Reason::BackendNotFound,
        field: String::new(),
        message: "no such Service".to_owned(),
    };
    DistributionFacts { findings: vec![finding], ..facts(name) }
}

fn condition<'a>(status: &'a Value, of: &str) -> &'a Value {
    let conditions = status["conditions"].as_array().expect("conditions");
    conditions.iter().find(|condition| condition["type"] == of).expect("the condition")
}

#[tokio::test(start_paused = true)]
async fn a_status_is_applied_by_one_field_manager() {
    let bench = Bench::start(&stub_with(&["web"]));
    bench.find(&[("web", facts("web"))]);
    let write = bench.nth_write(1).await;
    assert!(write.target.starts_with("/apis/tidegate.io/v1alpha1/namespaces/shop/distributions/web/status?"));
    assert!(write.target.contains("fieldManager=tidegate"), "{}", write.target);
    assert_eq!(write.body["metadata"]["uid"], "uid-of-web");
    assert_eq!(write.body["status"]["replicas"], "1/1");
    assert_eq!(condition(&write.body["status"], "Ready")["status"], "True");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_when_the_cluster_already_says_so() {
    let stub = stub_with(&["web"]);
    let first = Bench::start(&stub);
    first.find(&[("web", facts("web"))]);
    first.nth_write(1).await;
    drop(first);

    let restarted = Bench::start(&stub);
    restarted.show("web");
    restarted.find(&[("web", facts("web"))]);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(restarted.writes().len(), 1, "a restart writes nothing");
}

#[tokio::test(start_paused = true)]
async fn facts_that_say_the_same_again_are_not_written_again() {
    let bench = Bench::start(&stub_with(&["web"]));
    bench.find(&[("web", facts("web"))]);
    bench.nth_write(1).await;
    bench.find(&[("web", facts("web"))]);
    bench.show("web");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_one_writes_only_that_one() {
    let bench = Bench::start(&stub_with(&["blog", "web"]));
    bench.find(&[("blog", facts("blog")), ("web", facts("web"))]);
    bench.nth_write(2).await;
    bench.find(&[("blog", facts("blog")), ("web", missing_service("web"))]);
    let third = bench.nth_write(3).await;
    assert!(third.target.contains("/distributions/web/status?"));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.writes().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_did_not_flip_keeps_its_time() {
    let stub = stub_with(&["web"]);
    let bench = Bench::start(&stub);
    bench.find(&[("web", facts("web"))]);
    bench.nth_write(1).await;
    let mut aged = stub.status("shop/web");
    for condition in aged["conditions"].as_array_mut().expect("conditions") {
        condition["lastTransitionTime"] = json!("2020-02-02T02:02:02Z");
    }
    let mut object = distribution("web");
    object["status"] = aged;
    stub.put("distributions", object);
    bench.show("web");

    bench.find(&[("web", missing_service("web"))]);
    let status = bench.nth_write(2).await.body["status"].clone();
    assert_eq!(condition(&status, "Accepted")["lastTransitionTime"], "2020-02-02T02:02:02Z");
    assert_ne!(condition(&status, "ResolvedRefs")["lastTransitionTime"], "2020-02-02T02:02:02Z");
    assert_ne!(condition(&status, "Ready")["lastTransitionTime"], "2020-02-02T02:02:02Z");
}

#[tokio::test(start_paused = true)]
async fn a_status_that_somebody_changed_is_put_right() {
    let stub = stub_with(&["web"]);
    let bench = Bench::start(&stub);
    bench.find(&[("web", facts("web"))]);
    bench.nth_write(1).await;
    let mut object = distribution("web");
    object["status"] = json!({"hosts": "somebody.example.com"});
    stub.put("distributions", object);
    bench.show("web");
    let status = bench.nth_write(2).await.body["status"].clone();
    assert_eq!(condition(&status, "Ready")["status"], "True");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_takes_no_status_is_tried_ever_more_seldom() {
    let stub = stub_with(&["bad", "good"]);
    stub.refuse_status("shop/bad", 422);
    let bench = Bench::start(&stub);
    bench.find(&[("bad", facts("bad")), ("good", facts("good"))]);
    bench.nth_write(2).await;
    sleep(Duration::from_secs(3600)).await;
    let refused = bench.writes().iter().filter(|seen| seen.target.contains("/bad/")).count();
    // 1 + 2 + 4 + ... + 256 s, then every 300 s.
    assert!((15..=25).contains(&refused), "{refused} attempts in an hour");
    assert_eq!(bench.writes().len(), refused + 1, "its neighbour is written once");
    let page = bench.metrics.encode().expect("metrics");
    assert!(page.contains(r#"tidegate_status_writes_total{result="ok"} 1"#), "{page}");
    assert!(page.contains(&format!(r#"tidegate_status_writes_total{{result="error"}} {refused}"#)), "{page}");
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_tried_at_once_whatever_was_refused_before() {
    let stub = stub_with(&["web"]);
    stub.refuse_status("shop/web", 422);
    let bench = Bench::start(&stub);
    bench.find(&[("web", facts("web"))]);
    sleep(Duration::from_secs(1000)).await;
    let before = bench.writes().len();
    bench.find(&[("web", DistributionFacts { generation: 2, ..facts("web") })]);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(bench.writes().len(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_namesake_does_not_get_the_status_of_its_forerunner() {
    let stub = stub_with(&[]);
    stub.put("distributions", with(distribution("web"), "/metadata/uid", json!("another")));
    let bench = Bench::start(&stub);
    bench.find(&[("web", facts("web"))]);
    bench.nth_write(1).await;
    assert_eq!(stub.status("shop/web"), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_object_is_forgotten() {
    let stub = stub_with(&["web"]);
    stub.refuse_status("shop/web", 422);
    let bench = Bench::start(&stub);
    bench.find(&[("web", facts("web"))]);
    bench.nth_write(1).await;
    bench.find(&[]);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(bench.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_changes_is_one_write() {
    let bench = Bench::start(&stub_with(&["web"]));
    for _ in 0..10 {
        bench.find(&[("web", missing_service("web"))]);
        sleep(Duration::from_millis(10)).await;
        bench.find(&[("web", facts("web"))]);
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_writes_and_one_that_becomes_it_has_nothing_to_catch_up_with() {
    let bench = Bench::follow(&stub_with(&["web"]));
    bench.find(&[("web", facts("web"))]);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(bench.writes().len(), 0);
    bench.reins.hold("edge", Duration::MAX);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(bench.writes().len(), 1);
    bench.reins.leave_to(Some("another"));
    bench.find(&[("web", missing_service("web"))]);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(bench.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_term_ends_is_judged_anew_by_who_leads_next() {
    let stub = stub_with(&["web"]);
    stub.silence_status("shop/web");
    let bench = Bench::start(&stub);
    bench.find(&[("web", facts("web"))]);
    bench.nth_write(1).await;
    bench.reins.leave_to(None);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.writes().len(), 1);
    bench.reins.hold("edge", Duration::MAX);
    bench.nth_write(2).await;
}
