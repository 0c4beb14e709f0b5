//! Who leads, and for how long: elections on a stub that fails as a test wants, with clocks that a test sets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tidegate::drain::{self, Controller, Phase};
use tidegate::object::ObjectKey;
use tidegate::status::clock::Clock;
use tidegate::status::leader::{self, Candidate, Leadership, Limits};
use tidegate::telemetry::metrics::{Build, Metrics};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep, timeout};

use crate::provider::LIMIT;
use crate::provider::stub::{Hitch, Stub};

const LEASE: &str = "edge/tidegate";

/// Clocks that jump when a test says so, and go with the test's paused time otherwise.
#[derive(Clone, Default)]
struct Jumps(Arc<Mutex<(Duration, SignedDuration)>>);

impl Jumps {
    /// The process stands still for so long.
    fn stop(&self, time: Duration) {
        self.0.lock().unwrap().0 += time;
    }

    /// Somebody sets the calendar.
    fn set_calendar(&self, by: SignedDuration) {
        self.0.lock().unwrap().1 += by;
    }

    fn clock(&self) -> Clock {
        let (steady, calendar, begun) = (self.clone(), self.clone(), Instant::now());
        let start = "2026-06-01T00:00:00Z".parse::<Timestamp>().unwrap();
        Clock::of(
            move || Duration::from_secs(1000) + begun.elapsed() + steady.0.lock().unwrap().0,
            move || start + begun.elapsed() + calendar.0.lock().unwrap().1,
        )
    }
}

/// One replica that stands for election.
struct Replica {
    leadership: Leadership,
    jumps: Jumps,
    metrics: Metrics,
    drain: Controller,
    task: JoinHandle<()>,
}

impl Replica {
    fn start(stub: &Stub, name: &str) -> Self {
        let jumps = Jumps::default();
        let (reins, leadership) = leader::channel(jumps.clock());
        let metrics = Metrics::new(Build { version: "0", commit: "0" });
        let candidate = Candidate {
            client: stub.client(),
            lease: ObjectKey::new("edge", "tidegate"),
            holder: name.to_owned(),
            clock: jumps.clock(),
            metrics: metrics.clone(),
            limits: Limits::default(),
        };
        let (controller, drain) = drain::channel();
        let task = tokio::spawn(leader::run(candidate, reins, drain));
        Self { leadership, jumps, metrics, drain: controller, task }
    }

    /// A first one, which leads.
    async fn leading(stub: &Stub, name: &str) -> Self {
        let replica = Self::start(stub, name);
        replica.leads().await;
        replica
    }

    fn is_leading(&self) -> bool {
        self.leadership.remaining().is_some()
    }

    async fn leads(&self) {
        until(|| self.is_leading()).await;
    }

    fn gauge(&self) -> String {
        let page = self.metrics.encode().unwrap();
        page.lines().find_map(|line| line.strip_prefix("tidegate_leader ")).unwrap_or_default().to_owned()
    }
}

async fn until(holds: impl Fn() -> bool) {
    let held = async {
        while !holds() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, held).await.expect("it comes in time");
}

fn transitions(stub: &Stub) -> i64 {
    stub.lease(LEASE)["spec"]["leaseTransitions"].as_i64().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn one_of_two_leads_and_the_other_one_knows_whom() {
    let stub = Stub::default();
    let first = Replica::leading(&stub, "first").await;
    let second = Replica::start(&stub, "second");
    for _ in 0..60 {
        sleep(Duration::from_secs(1)).await;
        assert!(first.is_leading() && !second.is_leading());
    }
    assert_eq!(second.leadership.holder().as_deref(), Some("first"));
    assert_eq!((first.gauge(), second.gauge()), ("1".to_owned(), "0".to_owned()));
    assert_eq!(transitions(&stub), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_is_followed_when_its_lease_has_ended_and_not_before() {
    let stub = Stub::default();
    let first = Replica::leading(&stub, "first").await;
    let second = Replica::start(&stub, "second");
    sleep(Duration::from_secs(11)).await;
    first.task.abort();
    let died = Instant::now();
    while !second.is_leading() {
        sleep(Duration::from_millis(10)).await;
        assert!(!(first.is_leading() && second.is_leading()), "two lead at once");
    }
    let after = died.elapsed();
    assert!((Duration::from_secs(13)..Duration::from_secs(18)).contains(&after), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_leaves_gives_the_lease_back_and_does_not_come_again() {
    let stub = Stub::default();
    let first = Replica::leading(&stub, "first").await;
    let second = Replica::start(&stub, "second");
    sleep(Duration::from_secs(5)).await;
    first.drain.advance(Phase::Leaving);
    let left = Instant::now();
    until(|| second.is_leading()).await;
    assert!(left.elapsed() < Duration::from_secs(3), "{:?}", left.elapsed());
    second.task.abort();
    sleep(Duration::from_secs(60)).await;
    assert!(!first.is_leading() && first.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_leaves_takes_the_lease_of_nobody() {
    let stub = Stub::default();
    let first = Replica::leading(&stub, "first").await;
    let second = Replica::start(&stub, "second");
    sleep(Duration::from_secs(5)).await;
    second.drain.advance(Phase::Leaving);
    sleep(Duration::from_secs(5)).await;
    assert!(second.task.is_finished());
    assert!(first.is_leading());
    assert_eq!(transitions(&stub), 1);
}

#[tokio::test(start_paused = true)]
async fn calendars_that_jump_change_nothing() {
    let stub = Stub::default();
    let first = Replica::leading(&stub, "first").await;
    let second = Replica::start(&stub, "second");
    let day = SignedDuration::from_hours(24);
    for (ours, theirs) in [(day, -day), (-day * 400, day * 800), (day, -day)] {
        first.jumps.set_calendar(ours);
        second.jumps.set_calendar(theirs);
        sleep(Duration::from_secs(30)).await;
        assert!(first.is_leading() && !second.is_leading());
    }
    assert_eq!(transitions(&stub), 1);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_writes_nothing_when_it_goes_on() {
    let stub = Stub::default();
    let first = Replica::leading(&stub, "first").await;
    let mut steps = 0;
    let jumps = first.jumps.clone();
    // Between two steps of a write the process is stopped: the next one is not taken though it could be.
    let write = std::future::poll_fn(|context| {
        steps += 1;
        jumps.stop(Duration::from_secs(10));
        context.waker().wake_by_ref();
        std::task::Poll::<()>::Pending
    });
    assert_eq!(first.leadership.while_leading(write).await, None);
    assert_eq!(steps, 1);
    let never = async { unreachable!("a write begins though the term is over") };
    assert_eq!(first.leadership.while_leading::<()>(never).await, None);
    // Nobody was faster, so it leads again, by a new term.
    first.leads().await;
    assert_eq!(first.leadership.while_leading(async { 7 }).await, Some(7));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_a_stop_begins_no_term() {
    let stub = Stub::default();
    let first = Replica::leading(&stub, "first").await;
    stub.hitch([Hitch::AnswerLate(Duration::from_secs(1))]);
    sleep(Duration::from_millis(2500)).await; // a renewal waits for its answer
    first.jumps.stop(Duration::from_secs(60));
    for _ in 0..20 {
        assert!(!first.is_leading());
        sleep(Duration::from_millis(50)).await;
    }
    first.leads().await;
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_was_stopped_looks_again_before_it_takes_over() {
    let stub = Stub::default();
    let first = Replica::leading(&stub, "first").await;
    let second = Replica::start(&stub, "second");
    sleep(Duration::from_secs(5)).await;
    second.jumps.stop(Duration::from_secs(3600));
    for _ in 0..300 {
        sleep(Duration::from_millis(100)).await;
        assert!(first.is_leading() && !second.is_leading());
    }
}

#[tokio::test(start_paused = true)]
async fn failures_that_pass_cost_no_term_and_longer_ones_end_it_in_time() {
    let stub = Stub::default();
    let first = Replica::leading(&stub, "first").await;
    stub.fail("leases", Some(500));
    for _ in 0..70 {
        advance(Duration::from_millis(100)).await;
        assert!(first.is_leading());
    }
    stub.permit("leases");
    sleep(Duration::from_secs(5)).await;
    assert!(first.is_leading());

    for fault in [Some(500), None] {
        stub.fail("leases", fault);
        let since = Instant::now();
        until(|| !first.is_leading()).await;
        assert!(since.elapsed() <= Duration::from_secs(10), "{:?}", since.elapsed());
        sleep(Duration::from_millis(100)).await;
        stub.permit("leases");
        first.leads().await;
    }
    assert_eq!(transitions(&stub), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_and_a_conflict_cost_no_term() {
    let stub = Stub::default();
    stub.hitch([Hitch::AnswerLost]); // of the creation
    let first = Replica::leading(&stub, "first").await;
    let second = Replica::start(&stub, "second");
    for hitch in [Hitch::AnswerLost, Hitch::Refused(409), Hitch::Refused(500), Hitch::AnswerLost] {
        stub.hitch([hitch]);
        for _ in 0..80 {
            sleep(Duration::from_millis(100)).await;
            assert!(first.is_leading() && !second.is_leading(), "{hitch:?}");
        }
    }
    assert_eq!(transitions(&stub), 1);
}

#[tokio::test(start_paused = true)]
async fn a_note_on_the_lease_is_kept_and_is_no_renewal() {
    let stub = Stub::default();
    let note = |text: &str| {
        let mut lease = stub.lease(LEASE);
        lease["metadata"]["annotations"] = json!({"example.com/note": text});
        stub.put("leases", lease);
    };
    let first = Replica::leading(&stub, "first").await;
    note("before");
    sleep(Duration::from_secs(30)).await;
    assert!(first.is_leading());
    assert_eq!(stub.lease(LEASE)["metadata"]["annotations"]["example.com/note"], "before");

    let second = Replica::start(&stub, "second");
    sleep(Duration::from_secs(5)).await;
    first.task.abort();
    let died = Instant::now();
    while !second.is_leading() {
        note(&format!("{:?}", died.elapsed()));
        sleep(Duration::from_millis(500)).await;
        assert!(died.elapsed() < Duration::from_secs(20), "notes hold it up");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_deletes_is_made_anew() {
    let stub = Stub::default();
    let first = Replica::leading(&stub, "first").await;
    stub.delete("leases", LEASE);
    sleep(Duration::from_secs(8)).await;
    assert!(first.is_leading());
    assert_eq!(stub.lease(LEASE)["spec"]["holderIdentity"], "first");
}
