//! The loop from a change to a published table: provider → translate → publish → hand the facts on.
//!
//! It knows neither Kubernetes nor connections: both ends are parameters. Nothing is published before the
//! provider has everything, and a provider that falls silent leaves the last table in force for ever.
//! Start with [`run`].

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::conditions::facts::{CertificateFact, Facts};
use crate::provider::{Change, Provider};
use crate::snapshot::Snapshot;
use crate::table::RoutingTable;
use crate::telemetry::metrics::ConfigMetrics;
use crate::translate::{Memory, Options, Translation, translate};

/// In a burst of changes at most one build starts within this time; the first change after a quiet time is built
/// at once.
const BUILD_INTERVAL: Duration = Duration::from_millis(50);

/// One finished round: what was looked at and what came of it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Round {
    /// The objects.
    pub snapshot: Arc<Snapshot>,
    /// The table that was made of them; it, or one that equals it, is already published.
    pub table: RoutingTable,
    /// What translation found about each Distribution.
    pub facts: Arc<Facts>,
    /// The default certificate, where there is one to show.
    pub default_certificate: Option<CertificateFact>,
}

impl AsRef<Arc<Snapshot>> for Round {
    fn as_ref(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }
}

/// What publishing a table did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publication {
    /// The table is in force.
    Swapped,
    /// An equal one already was.
    Unchanged,
}

/// What a loop is made of.
pub struct Reconciler<P> {
    /// Where objects come from.
    pub provider: Arc<dyn Provider>,
    /// What the process decides about translation.
    pub options: Options,
    /// Makes a table the one that requests see.
    pub publish: P,
    /// Where finished rounds go; none before the first.
    pub rounds: watch::Sender<Option<Round>>,
    /// Counts builds and publications.
    pub metrics: ConfigMetrics,
}

/// Builds and publishes until `stop`, or until the provider ends; then what it saw last was served.
///
/// Translation is synchronous and may take a while, so this future wants a thread of its own.
pub async fn run<P: FnMut(RoutingTable) -> Publication>(
    mut reconciler: Reconciler<P>,
    stop: CancellationToken,
) {
    let mut changes = reconciler.provider.changes();
    changes.mark_changed(); // what was listed before we subscribed counts, too
    let mut memory = Memory::default();
    let mut default_certificate_problem = None;
    while next_change(&mut changes, &stop).await {
        let started = Instant::now();
        let change = *changes.borrow_and_update();
        if let Some(snapshot) = reconciler.provider.snapshot() {
            let translation = translate(&snapshot, &reconciler.options, memory);
            let Translation { table, facts, memory: next, default_certificate, .. } = translation;
            let problem = translation.default_certificate_problem;
            memory = next;
            tell_once(&mut default_certificate_problem, problem);
            let (snapshot, facts) = (Arc::new(snapshot), Arc::new(facts));
            let round = Round { snapshot, table, facts, default_certificate };
            reconciler.finish(round, started, change);
        }
        tokio::select! {
            () = sleep_until(started + BUILD_INTERVAL) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn next_change(changes: &mut watch::Receiver<Change>, stop: &CancellationToken) -> bool {
    tokio::select! {
        changed = changes.changed() => changed.is_ok(),
        () = stop.cancelled() => false,
    }
}

/// The default certificate belongs to no Distribution, so a log line is all that can tell of it.
fn tell_once(told: &mut Option<String>, problem: Option<String>) {
    if let Some(problem) = problem.as_ref().filter(|_| *told != problem) {
        tracing::warn!(event = "certificate.invalid", "{problem}");
    }
    *told = problem;
}

impl<P: FnMut(RoutingTable) -> Publication> Reconciler<P> {
    /// Publishes, counts, and only then hands on what was found: facts are about a table that is in force.
    fn finish(&mut self, round: Round, started: Instant, change: Change) {
        let hosts = round.table.hosts.len();
        let routes: usize = round.table.hosts.routes().iter().map(|routes| routes.iter().count()).sum();
        let built = started.elapsed();
        let stored = round.snapshot.stored;
        let was_stored = self.rounds.borrow().as_ref().is_some_and(|last| last.snapshot.stored.is_some());
        self.metrics.built(built);
        if (self.publish)(round.table.clone()) == Publication::Swapped {
            let since_event = change.at.elapsed();
            let generation = self.metrics.published(since_event);
            tracing::info!(
                event = "config.published",
                generation,
                hosts,
                routes,
                build_ms = milliseconds(built),
                since_event_ms = milliseconds(since_event),
            );
        }
        // What comes from a file is as old as that, until the provider says the same.
        if let Some(age) =
            stored.map(|stored| stored.age(Timestamp::now())).or(was_stored.then_some(Duration::ZERO))
        {
            self.metrics.is_of(age);
        }
        self.rounds.send_replace(Some(round));
    }
}

/// With microseconds behind the point.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::telemetry::metrics::{Build, Metrics};
    use crate::translate::EndpointAddresses;

    /// A provider whose snapshots are set by hand.
    struct Shelf {
        changes: watch::Sender<Change>,
        snapshot: Mutex<Option<Snapshot>>,
    }

    impl Shelf {
        fn new(snapshot: Option<Snapshot>) -> Arc<Self> {
            let changes = watch::Sender::new(Change { at: Instant::now() });
            Arc::new(Self { changes, snapshot: Mutex::new(snapshot) })
        }

        fn put(&self, snapshot: Snapshot) {
            *self.snapshot.lock().unwrap() = Some(snapshot);
            self.changes.send_replace(Change { at: Instant::now() });
        }
    }

    impl Provider for Shelf {
        fn changes(&self) -> watch::Receiver<Change> {
            self.changes.subscribe()
        }

        fn snapshot(&self) -> Option<Snapshot> {
            self.snapshot.lock().unwrap().clone()
        }
    }

    /// Starts a loop; the channel gets the time of each publication.
    fn start(shelf: &Arc<Shelf>) -> (tokio::sync::mpsc::UnboundedReceiver<Instant>, CancellationToken) {
        let (published, publications) = tokio::sync::mpsc::unbounded_channel();
        let reconciler = Reconciler {
            provider: Arc::clone(shelf) as Arc<dyn Provider>,
            options: Options {
                default_certificate: None,
                base_domain: None,
                endpoint_addresses: EndpointAddresses::Standalone,
                zone: None,
                acme_unclaimed_hosts: false,
            },
            publish: move |_| {
                published.send(Instant::now()).unwrap();
                Publication::Swapped
            },
            rounds: watch::Sender::new(None),
            metrics: Metrics::new(Build { version: "0", commit: "0" }).config(),
        };
        let stop = CancellationToken::new();
        tokio::spawn(run(reconciler, stop.clone()));
        (publications, stop)
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_published_before_the_provider_has_everything() {
        let shelf = Shelf::new(None);
        let (mut publications, _stop) = start(&shelf);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(publications.try_recv().is_err());
        shelf.put(Snapshot::default());
        publications.recv().await.expect("an empty cluster is a valid table");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_change_is_built_at_once_and_a_burst_in_intervals() {
        let shelf = Shelf::new(Some(Snapshot::default()));
        let (mut publications, _stop) = start(&shelf);
        publications.recv().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;

        let burst = Instant::now();
        let changing = Arc::clone(&shelf);
        tokio::spawn(async move {
            for _ in 0..100 {
                changing.put(Snapshot::default());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut at = Vec::new();
        while let Ok(published) = publications.try_recv() {
            at.push((published - burst).as_millis());
        }
        assert_eq!(at, [0, 50, 100]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_loop_publishes_no_more() {
        let shelf = Shelf::new(Some(Snapshot::default()));
        let (mut publications, stop) = start(&shelf);
        publications.recv().await.unwrap();
        stop.cancel();
        shelf.put(Snapshot::default());
        assert!(publications.recv().await.is_none());
    }
}
