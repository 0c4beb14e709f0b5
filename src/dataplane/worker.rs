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
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::task::TaskTracker;

use super::account::Record;
use super::connection::{Viewer, http1};
use super::exchange::Opened;
use super::limits::Limits;
use super::listener::{self, Kind, Listener};
use super::live::LiveTable;
use super::origin::Pool;
use super::websocket::side::{Side, Upgraded};
use crate::drain::Drain;
use crate::table::reason::Reason;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Metrics;

/// How often pools are looked through for connections that idled long enough.
const SWEEP: Duration = Duration::from_secs(1);

/// Numbers connections over all workers of the process.
static CONNECTION_IDS: AtomicU64 = AtomicU64::new(1);

/// What everything on a worker shares.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) tables: Tables,
    pub(crate) pool: Pool,
    pub(crate) limits: Limits,
    pub(crate) drain: Drain,
    /// The port that redirects to HTTPS name.
    pub(crate) https_redirect_port: u16,
    pub(crate) metrics: Metrics,
    pub(crate) access_log: AccessLog,
    /// The tasks of viewer connections; a worker ends with the last of them.
    viewers: TaskTracker,
    /// Exchanges and tunnels that are under way: what a deadline cuts.
    under_way: Cell<usize>,
}

/// What a worker is made from; it crosses to the worker's thread.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) tables: Arc<ArcSwap<LiveTable>>,
    pub(crate) limits: Limits,
    pub(crate) drain: Drain,
    pub(crate) https_redirect_port: u16,
    pub(crate) metrics: Metrics,
    pub(crate) access_log: AccessLog,
}

/// Runs a worker until its drain is over; says how many exchanges and tunnels were cut.
///
/// Whatever is left on the runtime when this returns is dropped with it.
pub(crate) async fn run(seed: Seed) -> io::Result<usize> {
    let worker = Rc::new(Worker {
        tables: Tables::new(seed.tables),
        pool: Pool::new(seed.limits.idle_per_endpoint),
        limits: seed.limits,
        drain: seed.drain,
        https_redirect_port: seed.https_redirect_port,
        metrics: seed.metrics,
        access_log: seed.access_log,
        viewers: TaskTracker::new(),
        under_way: Cell::new(0),
    });
    let mut accepting = Vec::new();
    for listener in seed.listeners {
        let socket = TcpListener::from_std(listener.socket)?;
        accepting.push(tokio::task::spawn_local(accept(
            Rc::clone(&worker),
            socket,
            listener.kind,
            listener.local,
        )));
    }
    worker.until_drained(accepting).await;
    Ok(worker.under_way.get())
}

async fn accept(worker: Rc<Worker>, listener: TcpListener, kind: Kind, local: SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => worker.admit(stream, peer, kind, local),
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
    fn admit(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr, kind: Kind, local: SocketAddr) {
        listener::tune(&stream);
        let open = self.metrics.connections(kind.as_str(), "h1").enter();
        let worker = Rc::clone(self);
        self.viewers.spawn_local(caught(async move {
            match kind {
                Kind::Http => http1::serve(Viewer::new(worker, peer, local, None), stream).await,
                Kind::Https => {}
            }
            drop(open);
        }));
    }

    /// Runs a task that belongs to no viewer; a panic costs only this task.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        tokio::task::spawn_local(caught(task));
    }

    /// Serves on until the drain has nothing left to wait for, or until the deadline.
    async fn until_drained(&self, accepting: Vec<JoinHandle<()>>) {
        let (mut draining, mut terminating) = (self.drain.clone(), self.drain.clone());
        let serve = async {
            self.sweep_until(draining.draining()).await;
            // The listeners go last: as long as somebody is served here, load balancers may send others.
            self.viewers.close();
            self.sweep_until(self.viewers.wait()).await;
            // A listener that is closed loses who waits in its queue.
            sleep(self.limits.accept_tail).await;
            accepting.iter().for_each(JoinHandle::abort);
            self.viewers.wait().await;
        };
        tokio::select! {
            // 1. Everything ended by itself.
            () = serve => {}
            // 2. The deadline: what is left is cut.
            () = terminating.terminating() => {}
        }
    }

    /// Looks after the pools and the cached table until `done`.
    async fn sweep_until<T>(&self, done: impl Future<Output = T>) {
        let mut tick = interval(SWEEP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let sweep = async {
            loop {
                tick.tick().await;
                self.pool.sweep(&self.tables.current().endpoints);
            }
        };
        tokio::select! {
            _over = done => {}
            () = sweep => {}
        }
    }

    pub(crate) fn next_connection_id(&self) -> u64 {
        CONNECTION_IDS.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn exchange_began(&self) {
        self.under_way.set(self.under_way.get() + 1);
    }

    pub(crate) fn exchange_ended(&self, record: &Record) {
        self.under_way.set(self.under_way.get().saturating_sub(1));
        record.tell(&self.metrics, &self.access_log);
    }

    /// Notes a request that ended before there was a head to serve.
    pub(crate) fn refused_unread(&self, viewer: &Rc<Viewer>, reason: Reason) {
        self.exchange_began();
        self.exchange_ended(&Record::unread(viewer, reason));
    }

    pub(crate) fn headers_dropped(&self, underscored: usize) {
        if underscored > 0 {
            self.metrics.headers_dropped("underscore", underscored as u64);
        }
    }

    /// Runs a tunnel to its end.
    pub(crate) async fn tunnel<S: Side>(&self, mut viewer: Upgraded<S>, opened: Opened) {
        let Opened { mut origin, loaded } = opened;
        let tunnel = async {
            origin.stream.write_all(&viewer.early).await?;
            viewer.stream.write_all(&origin.early).await?;
            copy_bidirectional(&mut viewer.stream, &mut origin.stream).await
        };
        self.under_way.set(self.under_way.get() + 1);
        if let Err(error) = tunnel.await {
            tracing::debug!(event = "tunnel.broken", %error, "a tunnel ended with an error");
        }
        self.under_way.set(self.under_way.get().saturating_sub(1));
        drop(loaded);
    }
}

/// Keeps a panic from the other tasks of the worker; the panic hook has told it.
async fn caught(task: impl Future<Output = ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        tracing::error!(
            event = "task.panicked",
            "a connection was lost to a fault of ours; please report it"
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
