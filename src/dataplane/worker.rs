//! One worker: a thread, its listeners, its connections and its pools. Nothing of it is `Send`.

use std::cell::{Cell, Ref, RefCell};
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::try_join_all;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept;
use super::account::Record;
use super::connection::Viewer;
use super::entrance::Entrance;
use super::exchange::Opened;
use super::limits::Limits;
use super::listener::Listener;
use super::live::LiveTable;
use super::mailbox::{Letter, Letters};
use super::origin::{Budgets, Pool};
use super::places::Places;
use super::response::compression::Compressions;
use super::websocket::registry::Registry;
use super::websocket::side::{Side, Upgraded};
use super::websocket::tunnel;
use crate::drain::{Drain, Phase};
use crate::overload::{Level, Overload};
use crate::table::reason::Reason;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::{Lost, Metrics, Present, WorkerMetrics};

/// Numbers connections over all workers of the process.
static CONNECTION_IDS: AtomicU64 = AtomicU64::new(1);

/// What everything on a worker shares.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) tables: Tables,
    pub(crate) pool: Pool,
    /// How often requests may be sent again.
    pub(crate) budgets: Budgets,
    /// Answers that are being compressed.
    pub(crate) compressions: Compressions,
    pub(crate) limits: Limits,
    pub(crate) drain: Drain,
    pub(crate) entrance: Entrance,
    /// The places of viewers, over all workers.
    pub(crate) places: Arc<Places>,
    /// The port that redirects to HTTPS name.
    pub(crate) https_redirect_port: u16,
    pub(crate) overload: Overload,
    pub(crate) metrics: Metrics,
    /// What this worker counts for itself.
    pub(crate) own_metrics: Arc<WorkerMetrics>,
    pub(crate) access_log: AccessLog,
    /// The tasks of viewer connections; a worker ends with the last of them.
    viewers: TaskTracker,
    pub(crate) registry: Registry,
    leaving: Cell<bool>,
}

/// What a worker is made from; it crosses to the worker's thread.
#[derive(Debug)]
pub(crate) struct Seed {
    /// The worker's number.
    pub(crate) place: usize,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) letters: Letters,
    pub(crate) tables: Arc<ArcSwap<LiveTable>>,
    pub(crate) limits: Limits,
    pub(crate) drain: Drain,
    pub(crate) entrance: Entrance,
    pub(crate) places: Arc<Places>,
    pub(crate) https_redirect_port: u16,
    pub(crate) overload: Overload,
    pub(crate) metrics: Metrics,
    pub(crate) access_log: AccessLog,
}

/// Runs a worker until its drain is over; says how many exchanges and tunnels were cut.
///
/// Whatever is left on the runtime when this returns is dropped with it.
pub(crate) async fn run(seed: Seed) -> io::Result<usize> {
    let (worker, listeners, letters) = Worker::new(seed);
    let closing = CancellationToken::new();
    let doors = listeners.into_iter();
    let doors = doors.map(|listener| accept::run(Rc::clone(&worker), listener, closing.clone()));
    tokio::select! {
        // 1. The drain is over, or was cut short.
        cut = worker.until_drained(try_join_all(doors), &closing) => cut,
        // 2. Never: it looks after the worker as long as that runs.
        () = worker.look_after(letters) => Ok(0),
    }
}

impl Worker {
    /// A worker, and what it is to listen to.
    pub(crate) fn new(seed: Seed) -> (Rc<Self>, Vec<Listener>, Letters) {
        let worker = Self {
            tables: Tables::new(seed.tables),
            pool: Pool::new(seed.limits.idle_per_endpoint),
            budgets: Budgets::new(),
            compressions: Compressions::default(),
            registry: Registry::new(seed.limits.tunnels),
            limits: seed.limits,
            drain: seed.drain,
            entrance: seed.entrance,
            places: seed.places,
            https_redirect_port: seed.https_redirect_port,
            overload: seed.overload,
            own_metrics: seed.metrics.worker(seed.place),
            metrics: seed.metrics,
            access_log: seed.access_log,
            viewers: TaskTracker::new(),
            leaving: Cell::new(false),
        };
        (Rc::new(worker), seed.listeners, seed.letters)
    }

    /// Serves a viewer; the worker's drain waits for it.
    pub(crate) fn serve(&self, viewer: impl Future<Output = ()> + 'static) {
        self.viewers.spawn_local(caught(self.metrics.clone(), Lost::Connection, viewer));
    }

    /// Runs a tunnel to its end, in a task of its own: the connection's was made for HTTP and is large.
    pub(crate) fn tunnel<S: Side>(&self, viewer: Upgraded<S>, opened: Opened) {
        let Opened { origin, admission, terms } = opened;
        let task = tunnel::run(admission, terms, viewer, origin);
        self.viewers.spawn_local(caught(self.metrics.clone(), Lost::Tunnel, task));
    }

    /// Runs a task that belongs to no viewer; a panic costs only this task.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        tokio::task::spawn_local(caught(self.metrics.clone(), Lost::Task, task));
    }

    /// Serves on until the drain has nothing left to wait for, or until the deadline; says what that cut.
    /// `doors` end some time after `closing`.
    async fn until_drained(
        &self,
        doors: impl Future<Output = io::Result<Vec<()>>>,
        closing: &CancellationToken,
    ) -> io::Result<usize> {
        let mut terminating = self.drain.clone();
        let serve = async {
            let (closed, ()) = tokio::join!(doors, self.until_idle(closing));
            closed?;
            self.viewers.wait().await;
            Ok(0)
        };
        tokio::select! {
            // 1. Everything ended by itself.
            end = serve => end,
            // 2. The deadline: what is left is cut, and tunnels tell their logs.
            () = terminating.terminating() => {
                let exchanges = self.own_metrics.count(Present::Request);
                Ok(exchanges + self.registry.terminate().await)
            }
        }
    }

    /// Waits for the drain, and for the last viewer then; nobody is let in any more afterwards.
    async fn until_idle(&self, closing: &CancellationToken) {
        let mut drain = self.drain.clone();
        drain.leaving().await;
        self.leaving.set(true);
        if let Phase::Draining(schedule) = drain.draining().await {
            self.registry.drain(schedule);
        }
        // The listeners go last: as long as somebody is served here, load balancers may send others.
        self.viewers.close();
        self.viewers.wait().await;
        sleep(self.limits.accept_tail).await;
        closing.cancel();
    }

    /// Looks after pools, mail and the cached table.
    async fn look_after(&self, mut letters: Letters) {
        let mut tick = interval(self.limits.sweep);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let runtime = tokio::runtime::Handle::current().metrics();
        let mut noted = (Instant::now(), Duration::ZERO);
        loop {
            tokio::select! {
                // 1. Time to tidy the pool; an idle worker lets go of its old table, too.
                _ = tick.tick() => {
                    self.pool.sweep(&self.tables.current().reachable);
                    let now = (Instant::now(), runtime.worker_total_busy_duration(0));
                    self.own_metrics.busy(now.1.saturating_sub(noted.1), now.0 - noted.0);
                    noted = now;
                    self.budgets.sweep();
                    self.registry.rebalance(now.0 + self.limits.sweep);
                }
                // 2. Mail; after the last writer is gone there is none.
                Some(letter) = letters.next() => match letter {
                    Letter::Gone(keys) => keys.iter().for_each(|key| self.registry.remove(key)),
                    Letter::Departed(endpoints) => self.registry.leave(&endpoints),
                    // The next tick looks at them.
                    Letter::ScaledOut(origins) => self.registry.begin_rebalance(origins),
                    Letter::Unreachable => self.pool.sweep(&self.tables.current().reachable),
                    // Whoever asked may have given up.
                    Letter::ListTunnels((ask, answer)) => drop(answer.send(self.registry.list(&ask))),
                },
            }
        }
    }

    /// Whether answers ask viewers to leave: for good, or because what they keep open is too much here.
    pub(crate) fn asks_to_leave(&self) -> bool {
        self.leaving.get() || self.overload.level() >= Level::High
    }

    pub(crate) fn next_connection_id(&self) -> u64 {
        CONNECTION_IDS.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells of an exchange that has ended.
    pub(crate) fn tell(&self, record: &Record) {
        record.tell(&self.metrics, &self.access_log);
    }

    /// Notes a request that ended before there was a head to serve.
    pub(crate) fn refused_unread(&self, viewer: &Rc<Viewer>, reason: Reason) {
        self.tell(&Record::unread(viewer, reason));
    }

    pub(crate) fn headers_dropped(&self, underscored: usize) {
        if underscored > 0 {
            self.metrics.headers_dropped("underscore", underscored as u64);
        }
    }
}

/// Keeps a panic from the other tasks of the worker; the panic hook has told where it was.
///
/// No `async fn`, which would keep room for the task twice.
pub(crate) fn caught(
    metrics: Metrics,
    lost: Lost,
    task: impl Future<Output = ()>,
) -> impl Future<Output = ()> {
    AssertUnwindSafe(task).catch_unwind().map(move |ended| {
        if ended.is_err() {
            metrics.panicked(lost);
            tracing::error!(
                event = "task.panicked",
                lost = lost.as_str(),
                "something was lost to a fault of ours; please report it with the line before this one"
            );
        }
    })
}

/// The newest table as this worker has it: read once for each request and each handshake.
#[derive(Debug)]
pub(crate) struct Tables {
    shared: Arc<ArcSwap<LiveTable>>,
    cached: RefCell<Arc<LiveTable>>,
}

impl Tables {
    pub(crate) fn new(shared: Arc<ArcSwap<LiveTable>>) -> Self {
        let cached = RefCell::new(shared.load_full());
        Self { shared, cached }
    }

    /// The table that is published now; to be read and let go before anybody is waited for.
    /// Nothing is counted up or down, since the table's counter is shared by all cores.
    pub(crate) fn current(&self) -> Ref<'_, LiveTable> {
        let newest = self.shared.load();
        if !Arc::ptr_eq(&newest, &self.cached.borrow()) {
            self.cached.replace(Arc::clone(&newest));
        }
        Ref::map(self.cached.borrow(), |cached| &**cached)
    }
}
