//! `tidegate serve`: the wiring of provider, reconciliation, data plane, status and admin pages.
//!
//! It decides nothing but who talks to whom. `tidegate demo` runs the same with settings of its own.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::error::ErrorKind;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::descriptors;
use super::signals::Signals;
use super::source::{self, Source};
use super::tasks::Tasks;
use super::{BUILD, End, ending};
use crate::admin::{self, Found, Judgements, Sources};
use crate::conditions::facts::Facts;
use crate::dataplane::websocket::Waits;
use crate::dataplane::{self, Limits, TrustedProxies};
use crate::drain::{self, Drain};
use crate::object::ObjectKey;
use crate::overload::{self, Memory, Overload};
use crate::provider::Class;
use crate::reconcile::{self, Publication, Reconciler, Round};
use crate::settings::{self, Settings};
use crate::snapshot::{Kind, Snapshot};
use crate::table::RoutingTable;
use crate::telemetry::access_log::{self, AccessLog};
use crate::telemetry::log;
use crate::telemetry::metrics::Metrics;

/// How long the end waits for a slow reader of the access log.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How long the end waits for the API server to hear that this replica leaves; it learns of that at the beginning
/// of the drain.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where the process listens, with the ports that the system chose for port 0.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// For viewers without TLS.
    pub(super) http: Vec<SocketAddr>,
    /// For viewers with TLS.
    pub(super) https: Vec<SocketAddr>,
    /// For operators.
    pub(super) admin: SocketAddr,
}

impl Addresses {
    /// The line that scripts wait for, with the ports that were found.
    fn tell(&self) {
        let list = |addresses: &[SocketAddr]| {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        let (http, https) = (list(&self.http), list(&self.https));
        tracing::info!(event = "serve.listening", http, https, admin = %self.admin);
    }
}

/// Checks the settings, starts the log, and serves until a signal.
pub(super) fn run(settings: &Settings) -> anyhow::Result<End> {
    if let Some(contradiction) = settings.contradiction() {
        return Err(clap::Error::raw(ErrorKind::ArgumentConflict, format!("{contradiction}\n")).into());
    }
    let format = settings.process.log_format.unwrap_or_else(log::Format::for_stderr);
    log::start(format, log::parse_filter(&settings.process.log_level).context("--log-level")?);
    serve(settings, |_| {})
}

/// Serves until a signal; `on_ready` is called once, when the first table is in force.
pub(super) fn serve(settings: &Settings, on_ready: impl FnOnce(&Addresses)) -> anyhow::Result<End> {
    let process = &settings.process;
    let metrics = Metrics::with_detail(BUILD, process.metrics_detail);
    let (access_log, writer) =
        access_log::start(process.access_log, &process.identity(), io::stdout(), metrics.clone())
            .context("the access log's thread does not start")?;
    let control = Builder::new_current_thread().enable_all().build().context("the runtime does not start")?;
    let end = control.block_on(serve_and_drain(settings, &metrics, &access_log, on_ready));
    // A resolver that hangs in a thread of its own must not hold up the end.
    control.shutdown_background();
    writer.finish(LAST_LINES);
    end
}

async fn serve_and_drain(
    settings: &Settings,
    metrics: &Metrics,
    access_log: &AccessLog,
    on_ready: impl FnOnce(&Addresses),
) -> anyhow::Result<End> {
    let mut signals = Signals::listen().context("signals cannot be listened for")?;
    let (controller, drain) = drain::channel();
    let mut tasks = Tasks::default();
    let overload = watch_memory(metrics, &mut tasks);
    let plane = dataplane::start(&plane_config(settings, overload), &drain, metrics, access_log)?;
    let mut workers = pin!(plane.join());
    let ready = tokio::select! {
        ready = start_control(settings, &plane, &drain, metrics, &mut tasks) => ready?,
        // Nothing was served yet, so there is nothing to drain.
        _ = signals.next() => return Ok(End::Well),
    };
    let signal = tokio::select! {
        signal = signals.next() => signal,
        never = tell_when_ready(ready, on_ready) => match never {},
        error = tasks.first_end() => return Err(error),
        ended = &mut workers => {
            ended?;
            anyhow::bail!("the data plane ended unexpectedly; restart the process and report this");
        }
    };
    tracing::info!(event = "drain.start", signal);
    let end = ending::drain(&controller, workers, &mut signals, settings, metrics).await;
    tasks.left(FAREWELL).await;
    Ok(end?)
}

/// Has the memory watched for as long as the process lives.
fn watch_memory(metrics: &Metrics, tasks: &mut Tasks) -> Overload {
    let (controller, overload) = overload::channel();
    let metrics = metrics.clone();
    let memory = Memory::find(Path::new("/"));
    tasks.spawn(
        "watching memory",
        overload::watch(memory, controller, move |share| metrics.memory_pressure(share)),
    );
    overload
}

fn plane_config(settings: &Settings, overload: Overload) -> dataplane::Config {
    let viewers = &settings.viewers;
    dataplane::Config {
        http: viewers.http_listen(),
        https: viewers.https_listen(),
        workers: settings.process.workers(),
        limits: Limits {
            tls_handshake: viewers.tls_handshake_timeout,
            request_head: viewers.viewer_header_timeout,
            request_body_gap: viewers.viewer_body_timeout,
            answer_stall: viewers.viewer_write_timeout,
            viewer_idle: viewers.viewer_idle_timeout,
            tunnels: Waits { spread: settings.ending.websocket_drain_spread, ..Waits::default() },
            ..Limits::default()
        },
        entrance: entrance(&settings.entrance, descriptors::raise()),
        https_redirect_port: viewers.https_redirect_port,
        overload,
    }
}

fn entrance(entrance: &settings::Entrance, descriptors: u64) -> dataplane::Entrance {
    let most = NonZeroUsize::new(descriptors::for_viewers(descriptors)).unwrap_or(NonZeroUsize::MIN);
    dataplane::Entrance {
        trusted_proxies: TrustedProxies::new(entrance.trusted_proxies.clone()),
        proxy_protocol: entrance.proxy_protocol,
        max_connections: entrance.max_connections.unwrap_or(most),
        max_connections_per_ip: entrance.max_connections_per_ip(),
        underscore_headers: entrance.underscore_headers,
        health_path: entrance.viewer_health_path.clone(),
    }
}

/// What is known once everything runs.
struct Started {
    addresses: Addresses,
    judgements: watch::Receiver<Option<Judgements>>,
}

/// Starts everything but the data plane: the source of objects, reconciliation, judgements, admin pages.
async fn start_control(
    settings: &Settings,
    plane: &dataplane::Handle,
    drain: &Drain,
    metrics: &Metrics,
    tasks: &mut Tasks,
) -> anyhow::Result<Started> {
    let listener = bind_admin(settings.process.admin_listen).await?;
    let addresses = Addresses {
        http: plane.http_addresses().to_vec(),
        https: plane.https_addresses().to_vec(),
        admin: listener.local_addr().context("the admin listener has no address")?,
    };
    let source = Source::open(settings, metrics, tasks).await?;
    let (rounds, finished) = watch::channel(None);
    let reconciler = Reconciler {
        provider: source.provider(),
        options: source.options(settings)?,
        publish: publish_to(plane.clone()),
        rounds,
        metrics: metrics.config(),
    };
    tasks.spawn_fallible("reconciliation", on_own_thread("reconcile", reconciler)?);
    source.keep(settings, finished.clone(), tasks);
    let (found, seen) = watch::channel(None);
    let (own, facts) = watch::channel(None);
    tasks.spawn("handing on rounds", hand_on(finished, source::class(settings), own, found));
    let (judged, judgements) = watch::channel(None);
    let voice = source.voice();
    let roster = source.write_status(settings, facts, drain, metrics, tasks);
    tasks.spawn(
        "judging Distributions",
        admin::follow(seen, roster, judged, metrics.clone(), voice, Timestamp::now),
    );
    let sources = Sources {
        metrics: metrics.clone(),
        judgements: judgements.clone(),
        plane: plane.clone(),
        drain: drain.clone(),
        https_redirect_port: settings.viewers.https_redirect_port,
        debug_from: settings.process.debug_from.clone(),
    };
    tasks.spawn("the admin server", admin::serve(listener, sources, CancellationToken::new()));
    addresses.tell();
    Ok(Started { addresses, judgements })
}

async fn bind_admin(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = match TcpListener::bind(address).await {
        // IPv6 is off: the same port on every IPv4 address is what was meant.
        Err(error) if is_without_ipv6(&error) && address.ip() == Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    bound.with_context(|| {
        format!("cannot listen on {address}; stop what listens there, or choose another --admin-listen")
    })
}

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
}

fn publish_to(plane: dataplane::Handle) -> impl FnMut(RoutingTable) -> Publication + Send + 'static {
    move |table| if plane.publish(table) { Publication::Swapped } else { Publication::Unchanged }
}

/// Runs reconciliation on a thread of its own, since translation may take a while; the answer waits for its end.
fn on_own_thread<P>(
    name: &str,
    reconciler: Reconciler<P>,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + 'static>
where
    P: FnMut(RoutingTable) -> Publication + Send + 'static,
{
    let (ended, end) = oneshot::channel();
    let runtime =
        Builder::new_current_thread().enable_time().build().context("the runtime does not start")?;
    let run = move || {
        runtime.block_on(reconcile::run(reconciler, CancellationToken::new()));
        // Nobody waits where the process ends by itself.
        let _nobody_waits = ended.send(());
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run).context("a thread does not start")?;
    Ok(async { end.await.context("its thread panicked") })
}

/// Hands each round on to those who tell of it: what is `own` to the cluster, all of it to operators.
async fn hand_on(
    mut finished: watch::Receiver<Option<Round>>,
    class: Class,
    own: watch::Sender<Option<Arc<Facts>>>,
    found: watch::Sender<Option<Found>>,
) {
    while finished.changed().await.is_ok() {
        let Some(round) = finished.borrow_and_update().clone() else { continue };
        let Round { snapshot, table, facts, default_certificate } = round;
        let own_facts = owned(&class, &snapshot, &facts);
        // What a file says of the cluster may not be written back to it.
        if snapshot.stored.is_none() {
            own.send_replace(Some(Arc::clone(&own_facts)));
        }
        found.send_replace(Some(Found { table, facts, own: own_facts, snapshot, default_certificate }));
    }
}

/// The facts about Distributions whose status is ours to write.
fn owned(class: &Class, snapshot: &Snapshot, facts: &Arc<Facts>) -> Arc<Facts> {
    if class.also.is_none() {
        return Arc::clone(facts);
    }
    let is_ours = |key: &ObjectKey| {
        let newest = snapshot.problems.undecodable.get(&(Kind::Distribution, key.clone()));
        let served = || snapshot.distributions.get(key).and_then(|it| it.spec.class_name.as_deref());
        class.owns(newest.map_or_else(served, |newest| newest.class_name.as_deref()))
    };
    let ours = facts.0.iter().filter(|(key, _)| is_ours(key));
    Arc::new(Facts(ours.map(|(key, facts)| (key.clone(), Arc::clone(facts))).collect()))
}

async fn tell_when_ready(mut started: Started, on_ready: impl FnOnce(&Addresses)) -> Infallible {
    if started.judgements.wait_for(Option::is_some).await.is_ok() {
        on_ready(&started.addresses);
    }
    std::future::pending().await
}
