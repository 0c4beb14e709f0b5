//! One worker: a thread, its listeners, its connections and its pools. Nothing of it is `Send`.

use std::cell::{Cell, Ref, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::task::TaskTracker;

use super::account::Record;
use super::connection::{Viewer, http1, http2};
use super::entrance::Entrance;
use super::exchange::Opened;
use super::limits::Limits;
use super::listener::{self, Kind, Listener};
use super::live::LiveTable;
use super::mailbox::{Letter, Letters};
use super::origin::{Budgets, Pool};
use super::tls::{self, Protocol};
use super::viewer::address::Peer;
use super::websocket::registry::Registry;
use super::websocket::side::{Side, Upgraded};
use super::websocket::tunnel;
use crate::drain::{Drain, Phase};
use crate::overload::{Level, Overload};
use crate::table::reason::Reason;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::{Lost, Metrics, Present, WorkerMetrics};

/// How often a worker looks after itself: at connections that idled long enough, and at how busy it was.
const SWEEP: Duration = Duration::from_secs(1);

/// Numbers connections over all workers of the process.
static CONNECTION_IDS: AtomicU64 = AtomicU64::new(1);

/// What everything on a worker shares.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) tables: Tables,
    pub(crate) pool: Pool,
    /// How often requests may be sent again.
    pub(crate) budgets: Budgets,
    pub(crate) limits: Limits,
    pub(crate) drain: Drain,
    pub(crate) entrance: Entrance,
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
    let mut accepting = Vec::new();
    for listener in listeners {
        let socket = TcpListener::from_std(listener.socket)?;
        accepting.push(spawn_local(accept(Rc::clone(&worker), socket, listener.kind, listener.local)));
    }
    tokio::select! {
        // 1. The drain is over, or was cut short.
        cut = worker.until_drained(accepting) => Ok(cut),
        // 2. Never: it looks after the worker as long as that runs.
        () = worker.look_after(letters) => Ok(0),
    }
}

async fn accept(worker: Rc<Worker>, listener: TcpListener, kind: Kind, local: SocketAddr) {
    let handshakes = Arc::new(Semaphore::new(worker.limits.handshakes));
    loop {
        // Handshakes are what costs: the next one is accepted when there is room for it.
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => worker.admit(stream, peer, kind, local, permit),
            Err(error) if concerns_one_viewer(&error) => {}
            Err(error) => {
                tracing::warn!(event = "accept.failed", listener = %local, %error, "cannot accept; will try again");
                sleep(worker.limits.accept_pause).await;
            }
        }
    }
}

/// Errors of a connection that was gone before it was accepted (accept(2)); others are ours, as EMFILE is.
fn concerns_one_viewer(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted,
    };
    let gone = [ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted];
    gone.contains(&error.kind())
}

impl Worker {
    /// A worker, and what it is to listen to.
    pub(crate) fn new(seed: Seed) -> (Rc<Self>, Vec<Listener>, Letters) {
        let worker = Self {
            tables: Tables::new(seed.tables),
            pool: Pool::new(seed.limits.idle_per_endpoint),
            budgets: Budgets::new(),
            registry: Registry::new(seed.limits.tunnels),
            limits: seed.limits,
            drain: seed.drain,
            entrance: seed.entrance,
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

    fn admit(
        self: &Rc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        kind: Kind,
        local: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) {
        listener::tune(&stream);
        let peer = Peer::new(peer, &self.entrance.trusted_proxies);
        let open = self.metrics.connections(kind.as_str(), "h1").enter();
        let worker = Rc::clone(self);
        let task = async move {
            if kind == Kind::Http {
                drop(permit);
                return http1::serve(Viewer::new(worker, peer, local, None, open), stream).await;
            }
            match tls::accept(&worker, stream).await {
                Ok((stream, session)) => {
                    drop(permit);
                    match session.protocol {
                        Protocol::Http1 => {
                            let viewer = Viewer::new(worker, peer, local, Some(session), open);
                            http1::serve(viewer, stream).await;
                        }
                        Protocol::Http2 => {
                            drop(open);
                            let open = worker.metrics.connections(kind.as_str(), "h2").enter();
                            let viewer = Viewer::new(worker, peer, local, Some(session), open);
                            http2::serve(viewer, stream).await;
                        }
                    }
                }
                Err(failure) => {
                    tracing::debug!(event = "tls.failed", viewer = %peer.address, error = %failure, "no TLS session");
                }
            }
        };
        self.viewers.spawn_local(caught(self.metrics.clone(), Lost::Connection, task));
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
    async fn until_drained(&self, accepting: Vec<JoinHandle<()>>) -> usize {
        let (mut drain, mut terminating) = (self.drain.clone(), self.drain.clone());
        let serve = async {
            drain.leaving().await;
            self.leaving.set(true);
            if let Phase::Draining(schedule) = drain.draining().await {
                self.registry.drain(schedule);
            }
            // The listeners go last: as long as somebody is served here, load balancers may send others.
            self.viewers.close();
            self.viewers.wait().await;
            // A listener that is closed loses who waits in its queue.
            sleep(self.limits.accept_tail).await;
            accepting.iter().for_each(JoinHandle::abort);
            self.viewers.wait().await;
        };
        tokio::select! {
            // 1. Everything ended by itself.
            () = serve => 0,
            // 2. The deadline: what is left is cut, and tunnels tell their logs.
            () = terminating.terminating() => {
                let exchanges = self.own_metrics.count(Present::Request);
                exchanges + self.registry.terminate().await
            }
        }
    }

    /// Looks after pools, mail and the cached table.
    async fn look_after(&self, mut letters: Letters) {
        let mut tick = interval(SWEEP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let runtime = tokio::runtime::Handle::current().metrics();
        let mut noted = (Instant::now(), Duration::ZERO);
        loop {
            tokio::select! {
                // 1. Time to tidy the pool; an idle worker lets go of its old table, too.
                _ = tick.tick() => {
                    self.pool.sweep(&self.tables.current().endpoints);
                    let now = (Instant::now(), runtime.worker_total_busy_duration(0));
                    self.own_metrics.busy(now.1.saturating_sub(noted.1), now.0 - noted.0);
                    noted = now;
                    self.budgets.sweep();
                }
                // 2. Mail; after the last writer is gone there is none.
                Some(letter) = letters.next() => match letter {
                    Letter::Gone(keys) => keys.iter().for_each(|key| self.registry.remove(key)),
                    // Whoever asked may have given up.
                    Letter::ListTunnels(answer) => drop(answer.send(self.registry.list())),
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
pub(crate) async fn caught(metrics: Metrics, lost: Lost, task: impl Future<Output = ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        metrics.panicked(lost);
        tracing::error!(
            event = "task.panicked",
            lost = lost.as_str(),
            "something was lost to a fault of ours; please report it with the line before this one"
        );
    }
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
