//! What replicas tell each other, and what the leader makes of it: on a stub, in paused time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate::conditions::facts::{DistributionFacts, Facts};
use tidegate::conditions::roster::Roster;
use tidegate::drain::{self, Controller, Phase};
use tidegate::status::clock::Clock;
use tidegate::status::events;
use tidegate::status::fleet::{self, Limits, Member};
use tidegate::status::leader::{self, Reins};
use tidegate::status::replica::{Pod, Replica};
use tidegate::status::writer::{self, Present, Writer};
use tidegate::telemetry::metrics::{Build, Metrics};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{condition, facts, found, stub_with};
use crate::provider::LIMIT;
use crate::provider::stub::{Hitch, Seen, Stub};

/// A replica in the fleet of the class `tidegate`, whose facts a test sets.
struct Running {
    facts: watch::Sender<Option<Arc<Facts>>>,
    roster: watch::Receiver<Option<Arc<Roster>>>,
    drain: Controller,
    task: JoinHandle<()>,
    _reins: Reins,
}

fn clock() -> Clock {
    let begun = Instant::now();
    let start = "2026-06-01T00:00:00Z".parse::<Timestamp>().unwrap();
    Clock::of(move || Duration::from_secs(1000) + begun.elapsed(), move || start + begun.elapsed())
}

/// Starts a replica; the leader writes statuses as well.
fn start(stub: &Stub, name: &str) -> Running {
    let (facts, judged) = watch::channel(None);
    let (told, roster) = watch::channel(None);
    let (reins, leadership) = leader::channel(clock());
    if name == "leader" {
        reins.hold("leader_1", Duration::MAX);
        let stub = stub.clone();
        let changes = watch::Sender::new(());
        let metrics = Metrics::new(Build { version: "0", commit: "0" });
        let (events, teller) = events::channel(&metrics, events::Limits::default());
        let (calls, leading) = (stub.client(), leadership.clone());
        tokio::spawn(events::run(teller, calls, leading, name.to_owned(), CancellationToken::new()));
        let writer = Writer {
            client: stub.client(),
            facts: judged.clone(),
            present: Present {
                changes: changes.subscribe(),
                read: Box::new(BTreeMap::new),
                load_balancer: Box::new(|| None),
            },
            roster: roster.clone(),
            leadership: leadership.clone(),
            events,
            clock: Timestamp::now,
            metrics,
            limits: writer::Limits::default(),
        };
        tokio::spawn(async move {
            writer::run(writer, CancellationToken::new()).await;
            drop(changes);
        });
    }
    let pod = Pod { name: name.to_owned(), uid: format!("uid-of-{name}") };
    let member = Member {
        client: stub.client(),
        replica: Replica::new("edge".to_owned(), name, Some(pod)),
        class: "tidegate".to_owned(),
        facts: judged,
        roster: told,
        leadership,
        clock: clock(),
        limits: Limits::default(),
    };
    let (controller, drain) = drain::channel();
    let task = tokio::spawn(fleet::run(member, drain));
    Running { facts, roster, drain: controller, task, _reins: reins }
}

impl Running {
    /// A table is in force with this generation of the Distribution `web`.
    fn judge(&self, generation: i64) {
        let facts = DistributionFacts { generation, ..facts("web") };
        self.facts.send_replace(Some(found(&[("web", facts)])));
    }

    fn peers(&self) -> Vec<String> {
        let roster = self.roster.borrow();
        roster.iter().flat_map(|roster| &roster.peers).map(|peer| peer.name.clone()).collect()
    }
}

/// `2/2 True Deployed`, as the status of `web` says.
fn deployed(stub: &Stub) -> String {
    let status = stub.status("shop/web");
    if status == Value::Null {
        return String::new();
    }
    let deployed = condition(&status, "Deployed");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let [replicas, status, reason] =
        [&status["replicas"], &deployed["status"], &deployed["reason"]].map(text);
    format!("{replicas} {status} {reason}")
}

fn tellings(stub: &Stub, name: &str) -> Vec<Seen> {
    stub.requests(|seen| seen.method == Method::PATCH && seen.target.contains(&format!("/leases/{name}?")))
}

fn status_writes(stub: &Stub) -> usize {
    stub.requests(|seen| seen.target.contains("/status?")).len()
}

async fn until(holds: impl Fn() -> bool) {
    let held = async {
        while !holds() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, held).await.expect("it comes in time");
}

/// Two replicas of which all serve the first generation.
async fn two(stub: &Stub) -> (Running, Running) {
    let (leader, other) = (start(stub, "leader"), start(stub, "other"));
    leader.judge(1);
    other.judge(1);
    until(|| deployed(stub) == "2/2 True Deployed").await;
    (leader, other)
}

#[tokio::test(start_paused = true)]
async fn a_replica_joins_with_its_first_table_and_leaves_with_its_process() {
    let stub = Stub::default();
    let replica = start(&stub, "edge-1");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(stub.lease("edge/edge-1"), Value::Null);
    replica.judge(1);
    until(|| stub.lease("edge/edge-1") != Value::Null).await;
    let lease = stub.lease("edge/edge-1");
    assert_eq!(lease["metadata"]["labels"], json!({"tidegate.io/fleet": "tidegate"}));
    assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], "uid-of-edge-1");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 15);
    assert!(lease["metadata"]["annotations"]["tidegate.io/digest"].as_str().unwrap().starts_with("v1:"));
    replica.drain.advance(Phase::Leaving);
    until(|| replica.task.is_finished()).await;
    assert_eq!(stub.lease("edge/edge-1"), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_leaves_before_its_first_table_was_never_there() {
    let stub = Stub::default();
    let replica = start(&stub, "edge-1");
    sleep(Duration::from_secs(1)).await;
    replica.drain.advance(Phase::Leaving);
    until(|| replica.task.is_finished()).await;
    assert!(tellings(&stub, "edge-1").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_at_once_and_a_round_that_judged_the_same_is_not() {
    let stub = Stub::default();
    let replica = start(&stub, "edge-1");
    replica.judge(1);
    sleep(Duration::from_secs(58)).await;
    assert_eq!(tellings(&stub, "edge-1").len(), 12, "every 5 s");
    for _ in 0..10 {
        replica.judge(1);
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(tellings(&stub, "edge-1").len(), 12);
    for generation in 2..6 {
        replica.judge(generation);
        sleep(Duration::from_millis(20)).await;
    }
    sleep(Duration::from_millis(200)).await;
    assert_eq!(tellings(&stub, "edge-1").len(), 13, "a burst is told once");
}

#[tokio::test(start_paused = true)]
async fn an_edit_that_all_take_is_one_write() {
    let stub = stub_with(&["web"]);
    let (leader, other) = two(&stub).await;
    let before = status_writes(&stub);
    leader.judge(2);
    sleep(Duration::from_millis(100)).await;
    other.judge(2);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(deployed(&stub), "2/2 True Deployed");
    assert_eq!(stub.status("shop/web")["observedGeneration"], 2);
    assert_eq!(status_writes(&stub), before + 1);
}

#[tokio::test(start_paused = true)]
async fn an_edit_that_one_does_not_take_is_told_and_after_10_seconds_by_name() {
    let stub = stub_with(&["web"]);
    let (leader, other) = two(&stub).await;
    leader.judge(2);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(deployed(&stub), "1/2 False InProgress");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(deployed(&stub), "1/2 False ReplicaLagging");
    let status = stub.status("shop/web");
    assert!(condition(&status, "Deployed")["message"].as_str().unwrap().contains("Replica other has not"));
    other.judge(2);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(deployed(&stub), "2/2 True Deployed");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_died_is_not_waited_for() {
    let stub = stub_with(&["web"]);
    let (leader, other) = two(&stub).await;
    other.task.abort();
    leader.judge(2);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(deployed(&stub), "1/2 False InProgress");
    sleep(Duration::from_secs(12)).await;
    assert_eq!(deployed(&stub), "1/1 True Deployed");
    assert!(leader.peers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn scaling_flips_nothing() {
    let stub = stub_with(&["web"]);
    let (leader, other) = two(&stub).await;
    let before = status_writes(&stub);
    let third = start(&stub, "third");
    third.facts.send_replace(Some(Arc::default())); // It has not even heard of the Distribution.
    until(|| leader.peers() == ["other", "third"]).await;
    sleep(Duration::from_secs(30)).await;
    third.drain.advance(Phase::Leaving);
    other.drain.advance(Phase::Leaving);
    until(|| leader.peers().is_empty()).await;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(status_writes(&stub), before);
    assert_eq!(deployed(&stub), "2/2 True Deployed");
}

#[tokio::test(start_paused = true)]
async fn churn_elsewhere_holds_nothing_back() {
    let stub = stub_with(&["web", "busy"]);
    let (leader, other) = two(&stub).await;
    let judge = |replica: &Running, web: i64, busy: i64| {
        let of = |name: &str, generation| DistributionFacts { generation, ..facts(name) };
        replica.facts.send_replace(Some(found(&[("web", of("web", web)), ("busy", of("busy", busy))])));
    };
    for generation in 1..20 {
        // The other one is always behind with the busy one.
        judge(&leader, 2, generation + 1);
        judge(&other, 2, generation);
        sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(deployed(&stub), "2/2 True Deployed");
    assert_eq!(stub.status("shop/web")["observedGeneration"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_digest_of_another_version_counts_as_a_replica_that_has_not_taken_it() {
    let stub = stub_with(&["web"]);
    let leader = start(&stub, "leader");
    let older = |renewal: u32| {
        json!({
            "metadata": {
                "namespace": "edge", "name": "older", "labels": {"tidegate.io/fleet": "tidegate"},
                "annotations": {"tidegate.io/digest": "v0:AAAA"},
            },
            "spec": {"renewTime": format!("2026-06-01T00:00:{renewal:02}.000000Z")},
        })
    };
    stub.put("leases", older(0));
    sleep(Duration::from_secs(1)).await;
    leader.judge(1);
    for renewal in 1..6 {
        sleep(Duration::from_secs(3)).await;
        stub.put("leases", older(renewal));
        assert!(deployed(&stub).starts_with("1/2 False"), "{}", deployed(&stub));
    }
    stub.delete("leases", "edge/older");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(deployed(&stub), "1/1 True Deployed");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_it_is_known_who_is_there() {
    let stub = stub_with(&["web"]);
    stub.fail("leases", Some(500));
    let leader = start(&stub, "leader");
    leader.judge(1);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(status_writes(&stub), 0);
    stub.permit("leases");
    until(|| deployed(&stub) == "1/1 True Deployed").await;
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_makes_nobody_dead() {
    let stub = stub_with(&["web"]);
    let (leader, _other) = two(&stub).await;
    for fault in [Some(500), None] {
        stub.fail("leases", fault);
        sleep(Duration::from_secs(120)).await;
        assert_eq!(leader.peers(), ["other"]);
        stub.permit("leases");
        for _ in 0..120 {
            sleep(Duration::from_millis(500)).await;
            assert_eq!(leader.peers(), ["other"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_and_lost_answers_are_tried_again() {
    let stub = stub_with(&["web"]);
    let (leader, other) = two(&stub).await;
    for hitch in [Hitch::Refused(500), Hitch::Refused(409), Hitch::AnswerLost, Hitch::Refused(403)] {
        stub.hitch([hitch, hitch]);
        sleep(Duration::from_secs(12)).await;
        assert_eq!((leader.peers(), other.peers()), (vec!["other".to_owned()], vec!["leader".to_owned()]));
    }
    assert_eq!(deployed(&stub), "2/2 True Deployed");
}
