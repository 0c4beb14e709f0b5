//! The data plane: workers that serve viewers from the newest routing table.
//!
//! [`start`] opens the listeners and the workers; the [`Handle`] is the one door through which everybody else
//! talks to them. It knows no Kubernetes and no API types, only the table.
//! To follow a request, start at [`exchange`]; for a connection's life, at `connection::http1`
//! and `connection::http2`.

mod accept;
mod account;
mod alarm;
mod connection;
mod entrance;
mod exchange;
#[cfg(test)]
mod fault;
mod guarded_io;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod inside;
mod limits;
mod listener;
mod listing;
mod live;
mod mailbox;
mod origin;
mod places;
pub(crate) mod proxy_protocol;
mod response;
mod targets;
mod tls;
mod viewer;
pub mod websocket;
mod witness;
mod worker;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;

use crate::drain::Drain;
use crate::object::ObjectKey;
use crate::overload::Overload;
use crate::table::RoutingTable;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Metrics;

pub use entrance::Entrance;
pub use limits::Limits;
pub use listener::ListenError;
use listener::{Kind, Listener};
pub use listing::Tunnels;
use live::{Linker, LiveTable};
use mailbox::Mailbox;
use places::Places;
pub use viewer::address::TrustedProxies;
use worker::Seed;

/// What the data plane is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where plaintext viewers come; empty is off. Port 0 lets the system choose.
    pub http: Vec<SocketAddr>,
    /// Where TLS viewers come.
    pub https: Vec<SocketAddr>,
    /// Threads that serve.
    pub workers: NonZeroUsize,
    /// Waits and bounds.
    pub limits: Limits,
    /// Who is let in, and what is believed of them.
    pub entrance: Entrance,
    /// The port that redirects to HTTPS name; 443 is left out.
    pub https_redirect_port: u16,
    /// Whether memory is short.
    pub overload: Overload,
}

/// Why the data plane did not start: one sentence for the person who started it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system gives no thread.
    #[error("cannot start a worker thread: {0}; allow the process more threads, or set fewer `--workers`")]
    Thread(#[source] io::Error),
    /// There are no ticket keys.
    #[error("cannot make keys for TLS session tickets: {0}; the system must give randomness to the process")]
    Tickets(#[source] rustls::Error),
}

/// A worker that ended although nobody told it to.
#[derive(Debug, thiserror::Error)]
#[error("a data-plane worker ended unexpectedly; its log lines above say why, the process must be restarted")]
pub struct WorkerLost;

/// The door to a running data plane; clones lead to the same one.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Inner>);

struct Inner {
    tables: Arc<ArcSwap<LiveTable>>,
    publisher: Mutex<Publisher>,
    mailboxes: Vec<Mailbox>,
    /// How many tunnels a worker looks at for one answer.
    listed_at_once: usize,
    workers: tokio::sync::Mutex<Vec<oneshot::Receiver<io::Result<usize>>>>,
    http: Vec<SocketAddr>,
    https: Vec<SocketAddr>,
}

struct Publisher {
    linker: Linker,
    /// The first table counts as different from the one that stood in for it, even where both are empty.
    published: bool,
    /// Tables that a worker may still serve from. They are freed here, on the publisher's thread: the last
    /// owner of 5,000 Distributions is busy for a while.
    retired: Vec<Arc<LiveTable>>,
}

/// Opens the listeners and starts the workers; they serve an empty table until one is published.
///
/// # Errors
/// [`StartError`]; workers that had started end with the process.
pub fn start(
    config: &Config,
    drain: &Drain,
    metrics: &Metrics,
    access_log: &AccessLog,
) -> Result<Handle, StartError> {
    let (mut inner, seeds) = prepare(config, drain, metrics, access_log)?;
    for seed in seeds {
        inner.workers.get_mut().push(spawn_worker(seed).map_err(StartError::Thread)?);
    }
    Ok(Handle(Arc::new(inner)))
}

/// Everything but the threads: what the handle leads to, and what each worker is made from.
fn prepare(
    config: &Config,
    drain: &Drain,
    metrics: &Metrics,
    access_log: &AccessLog,
) -> Result<(Inner, Vec<Seed>), StartError> {
    let mut of_workers: Vec<Vec<Listener>> = (0..config.workers.get()).map(|_| Vec::new()).collect();
    let mut bind = |kind, addresses: &[SocketAddr]| -> Result<Vec<SocketAddr>, ListenError> {
        let mut bound = Vec::new();
        for address in addresses {
            let listeners = listener::bind(kind, *address, config.workers)?;
            bound.extend(listeners.first().map(|first| first.local));
            of_workers.iter_mut().zip(listeners).for_each(|(own, listener)| own.push(listener));
        }
        Ok(bound)
    };
    let (http, https) = (bind(Kind::Http, &config.http)?, bind(Kind::Https, &config.https)?);
    let linker = Linker::new(metrics.clone()).map_err(StartError::Tickets)?;
    let tables = Arc::new(ArcSwap::from_pointee(LiveTable::default()));
    let Entrance { max_connections, max_connections_per_ip, .. } = config.entrance;
    metrics.connections_max(max_connections.get());
    let places = Places::new(max_connections, max_connections_per_ip);
    let told = Arc::clone(&tables);
    metrics.endpoints(move || told.load().endpoints_by_origin());
    let (mut seeds, mut mailboxes) = (Vec::new(), Vec::new());
    for (place, listeners) in of_workers.into_iter().enumerate() {
        let (mailbox, letters) = mailbox::open(config.limits.mailbox);
        mailboxes.push(mailbox);
        seeds.push(Seed {
            place,
            listeners,
            letters,
            tables: Arc::clone(&tables),
            limits: config.limits.clone(),
            drain: drain.clone(),
            entrance: config.entrance.clone(),
            places: Arc::clone(&places),
            https_redirect_port: config.https_redirect_port,
            overload: config.overload.clone(),
            metrics: metrics.clone(),
            access_log: access_log.clone(),
        });
    }
    let inner = Inner {
        tables,
        publisher: Mutex::new(Publisher { linker, published: false, retired: Vec::new() }),
        mailboxes,
        listed_at_once: config.limits.listed_at_once,
        workers: tokio::sync::Mutex::default(),
        http,
        https,
    };
    Ok((inner, seeds))
}

fn spawn_worker(seed: Seed) -> io::Result<oneshot::Receiver<io::Result<usize>>> {
    let (ended, end) = oneshot::channel();
    let thread = std::thread::Builder::new().name(format!("worker-{}", seed.place));
    let serve = move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        // Nobody waits where the handle is gone.
        let _nobody_waits = ended.send(runtime.and_then(|runtime| runtime.block_on(worker::run(seed))));
    };
    thread.spawn(serve)?;
    Ok(end)
}

impl Handle {
    /// Serves `table` from now on: each request and each handshake that begins after this. Open connections and
    /// tunnels stay, but the tunnels of Distributions that were removed or disabled are drained.
    /// Says whether it differs from the one before; the first one always does.
    pub fn publish(&self, table: RoutingTable) -> bool {
        let mut publisher = self.0.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.0.tables.load_full();
        if publisher.published && before.table == table {
            return false;
        }
        publisher.published = true;
        let live = Arc::new(publisher.linker.link(table, &before));
        let gone = live::gone(&before, &live);
        let departed = publisher.linker.departed(&before.table, &live.table);
        let moved = live.reachable != before.reachable;
        let scaled_out = Linker::scaled_out(&before, &live);
        self.0.tables.store(live);
        if moved {
            self.0.mailboxes.iter().for_each(Mailbox::tell_unreachable);
        }
        if !gone.is_empty() {
            self.0.mailboxes.iter().for_each(|mailbox| mailbox.tell_gone(&gone));
        }
        if !scaled_out.is_empty() {
            self.0.mailboxes.iter().for_each(|mailbox| mailbox.tell_scaled_out(&scaled_out));
        }
        if !departed.is_empty() {
            self.0.mailboxes.iter().for_each(|mailbox| mailbox.tell_departed(&departed));
        }
        publisher.retired.push(before);
        publisher.retired.retain(|retired| Arc::strong_count(retired) > 1);
        true
    }

    /// The addresses where plaintext viewers come, in the order of the configuration, with their ports.
    pub fn http_addresses(&self) -> &[SocketAddr] {
        &self.0.http
    }

    /// The addresses where TLS viewers come.
    pub fn https_addresses(&self) -> &[SocketAddr] {
        &self.0.https
    }

    /// The open tunnels of all workers, or those of one Distribution, to be asked for part by part.
    pub fn tunnels(&self, distribution: Option<ObjectKey>) -> Tunnels {
        Tunnels::new(self.clone(), distribution)
    }

    /// Waits until the drain is over and every worker has ended; says how many exchanges and tunnels were cut
    /// at the deadline. Whoever asks a second time waits and hears of none.
    ///
    /// # Errors
    /// [`WorkerLost`] as soon as one ends without a drain.
    pub async fn join(&self) -> Result<usize, WorkerLost> {
        let mut workers = self.0.workers.lock().await;
        let mut cut = 0;
        while !workers.is_empty() {
            let (ended, place, _) = futures_util::future::select_all(workers.iter_mut()).await;
            drop(workers.swap_remove(place));
            match ended {
                Ok(Ok(of_worker)) => cut += of_worker,
                Ok(Err(error)) => {
                    tracing::error!(event = "worker.failed", %error, "a worker cannot go on");
                    return Err(WorkerLost);
                }
                Err(_panicked) => return Err(WorkerLost),
            }
        }
        Ok(cut)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataplane")
            .field("http", &self.http)
            .field("https", &self.https)
            .finish_non_exhaustive()
    }
}
