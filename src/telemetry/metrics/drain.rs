//! What a drain still waits for, read where it is counted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family as Series;

use super::cells::Gauge;
use super::exposition::{Family, Labels};
use super::traffic::Traffic;

/// Everything that counts viewer connections: listener and protocol.
const CONNECTIONS: [[(&str, &str); 2]; 4] = [
    [("listener", "http"), ("protocol", "h1")],
    [("listener", "http"), ("protocol", "h2")],
    [("listener", "https"), ("protocol", "h1")],
    [("listener", "https"), ("protocol", "h2")],
];

/// What is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// Viewer connections.
    pub connections: i64,
    /// WebSockets; those over HTTP/1.1 are tunnels and no longer counted as connections.
    pub web_sockets: i64,
}

/// Shows what is open as what is waited for, once a drain has begun; 0 before.
#[derive(Debug)]
pub(super) struct DrainMetrics {
    began: AtomicBool,
    connections: Series<super::Labels<2>, Gauge>,
    traffic: Arc<Traffic>,
}

impl DrainMetrics {
    pub(super) fn new(connections: Series<super::Labels<2>, Gauge>, traffic: Arc<Traffic>) -> Self {
        Self { began: AtomicBool::new(false), connections, traffic }
    }

    pub(super) fn began(&self) {
        self.began.store(true, Ordering::Relaxed);
    }

    pub(super) fn remaining(&self) -> Remaining {
        let open = CONNECTIONS.iter().filter_map(|labels| Some(self.connections.get(labels)?.value()));
        Remaining { connections: open.sum(), web_sockets: self.traffic.open_web_sockets() }
    }
}

impl Collector for DrainMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Remaining { connections, web_sockets } = match self.began.load(Ordering::Relaxed) {
            true => self.remaining(),
            false => Remaining { connections: 0, web_sockets: 0 },
        };
        let help = "What a drain still waits for; 0 while there is none";
        let mut family = Family::begin(&mut encoder, "drain_remaining", help, MetricType::Gauge)?;
        for (kind, amount) in [("connections", connections), ("websockets", web_sockets)] {
            family.gauge(&Labels(vec![("kind", kind)]), amount as f64)?;
        }
        Ok(())
    }
}
