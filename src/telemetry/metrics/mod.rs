//! The metrics and their names, which are a contract with dashboards and alerts.
//!
//! Labels are bounded by the configuration, never by what viewers send. Who counts takes a handle once and then
//! only touches atomics: [`Metrics::distribution`] for traffic, [`Metrics::config`] for tables,
//! [`Metrics::objects`] for what the last round found; what happens seldom has a method here.

mod cells;
mod config;
mod exposition;
mod objects;
mod process;
mod traffic;

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeMetric, text};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge as PlainGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use cells::{Entered, Gauge};
pub use config::ConfigMetrics;
pub use objects::Objects;
pub use traffic::{Direction, DistributionMetrics, OriginMetrics, TunnelMetrics};

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
    connections: Family<Labels<2>, Gauge>,
    tls_handshakes: Family<Labels<3>, Counter>,
    headers_dropped: Family<Labels<1>, Counter>,
    status_writes: Family<Labels<1>, Counter>,
    watch_errors: Family<Labels<2>, Counter>,
    drain_remaining: Family<Labels<1>, PlainGauge>,
    access_log_dropped: Counter,
}

/// What is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// Viewer connections.
    pub connections: i64,
    /// WebSockets, which are tunnels and no longer counted as connections.
    pub web_sockets: i64,
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
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::Process::new()));
        let ours = registry.sub_registry_with_prefix("tidegate");
        let labels = vec![("version", build.version), ("commit", build.commit)];
        ours.register("build", "The release that runs", Info::new(labels));
        let traffic = Arc::new(traffic::Traffic::new());
        ours.register_collector(Box::new(Arc::clone(&traffic)));
        let config = ConfigMetrics::new();
        ours.register_collector(Box::new(config.clone()));
        let objects = Arc::<objects::PresentObjects>::default();
        ours.register_collector(Box::new(Arc::clone(&objects)));
        let connections = family(ours, "connections", "Viewer connections that are open");
        let tls_handshakes = family(ours, "tls_handshakes", "TLS handshakes with viewers");
        let headers_dropped = family(ours, "headers_dropped", "Header fields that were not passed on");
        let status_writes = family(ours, "status_writes", "Attempts to write a status");
        let watch_errors = family(ours, "watch_errors", "Lists and watches that failed");
        let drain_remaining = family(ours, "drain_remaining", "What a drain still waits for");
        let access_log_dropped = Counter::default();
        let help = "Access-log lines that found the queue full";
        ours.register("access_log_dropped", help, access_log_dropped.clone());
        Self(Arc::new(Inner {
            registry,
            traffic,
            config,
            objects,
            connections,
            tls_handshakes,
            headers_dropped,
            status_writes,
            watch_errors,
            drain_remaining,
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

    /// The metrics of requests that no Distribution answers.
    pub fn unmatched(&self) -> Arc<DistributionMetrics> {
        Arc::clone(&self.0.traffic.unmatched)
    }

    /// The metrics of the way from a change to a published table.
    pub fn config(&self) -> ConfigMetrics {
        self.0.config.clone()
    }

    /// Has `look` asked at each scrape what is to be told about objects.
    pub fn objects(&self, look: impl Fn() -> Objects + Send + Sync + 'static) {
        self.0.objects.ask(look);
    }

    /// Counts the viewer connections of a listener (`http`, `https`) and protocol (`h1`).
    pub fn connections(&self, listener: &'static str, protocol: &'static str) -> Gauge {
        self.0.connections.get_or_create_owned(&[("listener", listener), ("protocol", protocol)])
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

    /// Counts a list or watch that failed.
    pub fn watch_error(&self, kind: &'static str, reason: &'static str) {
        self.0.watch_errors.get_or_create(&[("kind", kind), ("reason", reason)]).inc();
    }

    /// Reads what is open right now, and shows it as what a drain still waits for.
    pub fn drain_remaining(&self) -> Remaining {
        let web_sockets = self.0.traffic.open_web_sockets();
        let listeners = ["http", "https"].map(|listener| self.connections(listener, "h1").value());
        let remaining = Remaining { connections: listeners.iter().sum(), web_sockets };
        for (kind, amount) in [("connections", remaining.connections), ("websockets", web_sockets)] {
            self.0.drain_remaining.get_or_create(&[("kind", kind)]).set(amount);
        }
        remaining
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;

    fn metrics() -> Metrics {
        Metrics::new(Build { version: "1.2.3", commit: "abc" })
    }

    fn page(metrics: &Metrics) -> String {
        metrics.encode().unwrap()
    }

    #[test]
    fn a_request_is_counted_under_its_distribution() {
        let metrics = metrics();
        let web = metrics.distribution(&ObjectKey::new("shop", "web"));
        web.request(StatusCode::OK, "h1", Duration::from_millis(3));
        web.request(StatusCode::SWITCHING_PROTOCOLS, "h1", Duration::from_millis(3));
        let page = page(&metrics);
        let shop = r#"namespace="shop",distribution="web""#;
        assert!(
            page.contains(&format!("tidegate_requests_total{{{shop},code=\"200\",protocol=\"h1\"}} 1\n")),
            "{page}"
        );
        assert!(page.contains(&format!("tidegate_request_duration_seconds_count{{{shop}}} 1\n")), "{page}");
        assert!(page.contains("tidegate_build_info{version=\"1.2.3\",commit=\"abc\"} 1\n"), "{page}");
        assert!(page.contains("\nprocess_resident_memory_bytes "), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    }

    #[test]
    fn series_end_with_the_last_tunnel_of_their_distribution() {
        let metrics = metrics();
        let key = ObjectKey::new("shop", "web");
        let table = metrics.distribution(&key);
        let tunnel = table.origin("api").web_socket_opened();
        drop(table);
        let open = r#"tidegate_websocket_connections{namespace="shop",distribution="web",origin="api",protocol="h1"} 1.0"#;
        assert!(page(&metrics).contains(open), "{}", page(&metrics));
        tunnel.closed("drain", 1012, Duration::from_secs(1));
        assert!(!page(&metrics).contains("shop"), "{}", page(&metrics));
    }

    #[test]
    fn a_close_code_of_the_application_has_one_label() {
        let metrics = metrics();
        let table = metrics.distribution(&ObjectKey::new("shop", "web"));
        for code in [4000, 4001] {
            table.origin("api").web_socket_opened().closed("viewer", code, Duration::ZERO);
        }
        let page = page(&metrics);
        assert!(page.contains(r#"closed_by="viewer",code="app"} 2"#), "{page}");
    }

    #[test]
    fn objects_that_are_gone_take_their_series_with_them() {
        let metrics = metrics();
        let key = ObjectKey::new("shop", "web");
        let deployed = Objects { states: vec![(key, "Deployed".to_owned())], ..Objects::default() };
        metrics.objects(move || deployed.clone());
        assert!(
            page(&metrics).contains("tidegate_distributions{state=\"Deployed\"} 1"),
            "{}",
            page(&metrics)
        );
        metrics.objects(Objects::default);
        assert!(!page(&metrics).contains("Deployed"), "{}", page(&metrics));
    }
}
