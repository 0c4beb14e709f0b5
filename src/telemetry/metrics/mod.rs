//! The metrics and their names, which are a contract with dashboards and alerts.
//!
//! Labels are bounded by the configuration, never by what viewers send. Who counts takes a handle once and then
//! only touches atomics: [`Metrics::distribution`] for traffic, [`Metrics::config`] for tables,
//! [`Metrics::objects`] for what the last round found; what happens seldom has a method here.

mod cells;
mod config;
mod drain;
mod endpoints;
mod exposition;
mod objects;
mod process;
mod traffic;
mod workers;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeMetric, text};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge as PlainGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use cells::{Entered, Gauge};
pub use config::ConfigMetrics;
pub use drain::Remaining;
pub use endpoints::OriginEndpoints;
pub use objects::Objects;
pub use traffic::{
    Detail, Direction, DistributionMetrics, Failed, OriginMetrics, PageOutcome, RequestMetrics, TunnelMetrics,
};
pub use workers::{Counted, Present, WorkerMetrics};

use crate::object::ObjectKey;

/// The media type of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Every metric of the process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    traffic: Arc<traffic::Traffic>,
    config: ConfigMetrics,
    objects: Arc<objects::PresentObjects>,
    endpoints: Arc<endpoints::PresentEndpoints>,
    workers: Arc<workers::Workers>,
    drain: Arc<drain::DrainMetrics>,
    connections: Family<Labels<2>, Gauge>,
    connections_max: PlainGauge,
    connections_rejected: Family<Labels<1>, Counter>,
    accept_errors: Counter,
    tls_handshakes: Family<Labels<3>, Counter>,
    headers_dropped: Family<Labels<1>, Counter>,
    panics: Family<Labels<1>, Counter>,
    memory_pressure: PlainGauge<f64, AtomicU64>,
    status_writes: Family<Labels<1>, Counter>,
    leader: PlainGauge,
    events: Family<Labels<1>, Counter>,
    watch_errors: Family<Labels<2>, Counter>,
    access_log_dropped: Counter,
}

/// What a fault of ours cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// One request; its viewer was told so.
    Exchange,
    /// A viewer's connection.
    Connection,
    /// A WebSocket.
    Tunnel,
    /// Something behind them, such as a connection to an origin.
    Task,
}

impl Lost {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Connection => "connection",
            Self::Tunnel => "tunnel",
            Self::Task => "task",
        }
    }
}

/// What the binary says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// The release.
    pub version: &'static str,
    /// The commit that it was built from.
    pub commit: &'static str,
}

impl Metrics {
    /// An empty set; the process's age counts from here.
    pub fn new(build: Build) -> Self {
        Self::with_detail(build, Detail::default())
    }

    /// The same, where the metrics of requests tell as much as `detail` says.
    pub fn with_detail(build: Build, detail: Detail) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::Process::new()));
        let ours = registry.sub_registry_with_prefix("tidegate");
        let labels = vec![("version", build.version), ("commit", build.commit)];
        ours.register("build", "The release that runs", Info::new(labels));
        let traffic = Arc::new(traffic::Traffic::new(detail));
        ours.register_collector(Box::new(Arc::clone(&traffic)));
        let config = ConfigMetrics::new();
        ours.register_collector(Box::new(config.clone()));
        let objects = Arc::<objects::PresentObjects>::default();
        ours.register_collector(Box::new(Arc::clone(&objects)));
        let endpoints = Arc::<endpoints::PresentEndpoints>::default();
        ours.register_collector(Box::new(Arc::clone(&endpoints)));
        let workers = Arc::<workers::Workers>::default();
        ours.register_collector(Box::new(Arc::clone(&workers)));
        let connections = family(ours, "connections", "Viewer connections that are open");
        let drain = Arc::new(drain::DrainMetrics::new(connections.clone(), Arc::clone(&traffic)));
        ours.register_collector(Box::new(Arc::clone(&drain)));
        let help = "How many viewer connections may be open at once";
        let connections_max = single(ours, "connections_max", help);
        let help = "Viewer connections that were closed at once because there are too many";
        let connections_rejected = family(ours, "connections_rejected", help);
        let help = "Failures to accept a connection that are ours, as the lack of file descriptors is";
        let accept_errors = single(ours, "accept_errors", help);
        let tls_handshakes = family(ours, "tls_handshakes", "TLS handshakes with viewers");
        let headers_dropped = family(ours, "headers_dropped", "Header fields that were not passed on");
        let help = "Faults of ours that were caught, by what was lost to them";
        let panics = family(ours, "panics", help);
        let help = "The share of the memory limit that is in use, from 0 to 1; 0 without a limit";
        let memory_pressure = single(ours, "memory_pressure", help);
        let status_writes = family(ours, "status_writes", "Attempts to write a status");
        let help = "1 on the replica that writes status, 0 on the others";
        let leader = single(ours, "leader", help);
        let events = family(ours, "events", "Events about Distributions");
        let watch_errors = family(ours, "watch_errors", "Lists and watches that failed");
        let help = "Access-log lines that found the queue full";
        let access_log_dropped = single(ours, "access_log_dropped", help);
        Self(Arc::new(Inner {
            registry,
            traffic,
            config,
            objects,
            endpoints,
            workers,
            drain,
            connections,
            connections_max,
            connections_rejected,
            accept_errors,
            tls_handshakes,
            headers_dropped,
            panics,
            memory_pressure,
            status_writes,
            leader,
            events,
            watch_errors,
            access_log_dropped,
        }))
    }

    /// Everything as OpenMetrics text of type [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// Only where a metric contradicts itself, which is a fault of ours.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.0.registry)?;
        Ok(page)
    }

    /// The metrics of a Distribution, found or made; its series live as long as somebody holds them.
    pub fn distribution(&self, key: &ObjectKey) -> Arc<DistributionMetrics> {
        self.0.traffic.distribution(key)
    }

    /// The metrics of what no Distribution answers.
    pub fn unmatched(&self) -> &DistributionMetrics {
        &self.0.traffic.unmatched
    }

    /// The metrics of the way from a change to a published table.
    pub fn config(&self) -> ConfigMetrics {
        self.0.config.clone()
    }

    /// Has `look` asked at each scrape what is to be told about objects.
    pub fn objects(&self, look: impl Fn() -> Objects + Send + Sync + 'static) {
        self.0.objects.ask(look);
    }

    /// Has `look` asked at each scrape what is to be told about endpoints.
    pub fn endpoints(&self, look: impl Fn() -> Vec<OriginEndpoints> + Send + Sync + 'static) {
        self.0.endpoints.ask(look);
    }

    /// Counts the viewer connections of a listener (`http`, `https`) and protocol (`h1`, `h2`).
    pub fn connections(&self, listener: &'static str, protocol: &'static str) -> Gauge {
        self.0.connections.get_or_create_owned(&[("listener", listener), ("protocol", protocol)])
    }

    /// Notes how many viewer connections may be open at once.
    pub fn connections_max(&self, most: usize) {
        self.0.connections_max.set(i64::try_from(most).unwrap_or(i64::MAX));
    }

    /// Counts a viewer connection that was closed at once, because there are too many of the kind that `reason`
    /// names.
    pub fn connection_rejected(&self, reason: &'static str) {
        self.0.connections_rejected.get_or_create(&[("reason", reason)]).inc();
    }

    /// Counts a failure to accept that is ours, as the lack of file descriptors is.
    pub fn accept_failed(&self) {
        self.0.accept_errors.inc();
    }

    /// The metrics of one worker, whose number is `place`.
    pub fn worker(&self, place: usize) -> Arc<WorkerMetrics> {
        self.0.workers.add(place)
    }

    /// Counts a fault of ours that was caught.
    pub fn panicked(&self, lost: Lost) {
        self.0.panics.get_or_create(&[("lost", lost.as_str())]).inc();
    }

    /// Notes which share of the memory limit is in use; 0 where there is no limit.
    pub fn memory_pressure(&self, share: f64) {
        self.0.memory_pressure.set(share);
    }

    /// Counts a TLS handshake with a viewer: `version` is `1.2`, `1.3` or `none`,
    /// `resumed` is `true` or `false`, `result` is `ok` or what went wrong.
    pub fn tls_handshake(&self, version: &'static str, resumed: &'static str, result: &'static str) {
        let labels = [("version", version), ("resumed", resumed), ("result", result)];
        self.0.tls_handshakes.get_or_create(&labels).inc();
    }

    /// Counts header fields that were not passed on.
    pub fn headers_dropped(&self, reason: &'static str, amount: u64) {
        self.0.headers_dropped.get_or_create(&[("reason", reason)]).inc_by(amount);
    }

    /// Counts an attempt to write a status: `ok`, `conflict`, `error`.
    pub fn status_write(&self, result: &'static str) {
        self.0.status_writes.get_or_create(&[("result", result)]).inc();
    }

    /// Notes that this replica is the one that writes status.
    pub fn leader_acquired(&self) {
        self.0.leader.set(1);
    }

    /// Notes that it is not, or no longer.
    pub fn leader_lost(&self) {
        self.0.leader.set(0);
    }

    /// Counts an event: `ok`, `error`, or `dropped` where the queue was full or the term over.
    pub fn event(&self, result: &'static str) {
        self.0.events.get_or_create(&[("result", result)]).inc();
    }

    /// Counts a list or watch that failed.
    pub fn watch_error(&self, kind: &'static str, reason: &'static str) {
        self.0.watch_errors.get_or_create(&[("kind", kind), ("reason", reason)]).inc();
    }

    /// Notes that this replica is leaving: from now on a scrape shows what that waits for.
    pub fn drain_began(&self) {
        self.0.drain.began();
    }

    /// What is open right now.
    pub fn remaining(&self) -> Remaining {
        self.0.drain.remaining()
    }

    /// Counts an access-log line that found the queue full.
    pub(crate) fn access_log_dropped(&self) {
        self.0.access_log_dropped.inc();
    }
}

fn family<const N: usize, M>(registry: &mut Registry, name: &str, help: &str) -> Family<Labels<N>, M>
where
    M: Default + EncodeMetric + TypedMetric + fmt::Debug + Send + Sync + 'static,
{
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

fn single<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: Default + Clone + EncodeMetric + fmt::Debug + Send + Sync + 'static,
{
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests;
