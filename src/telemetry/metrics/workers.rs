//! The metrics that each worker counts for itself; a scrape adds them up.
//!
//! Every request touches them, so no two workers share a cache line here.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::exposition::{Family, Labels};

/// The metrics of one worker; its series live as long as it does.
#[derive(Debug)]
#[repr(align(128))] // its own cache lines
pub struct WorkerMetrics {
    /// The worker's number, as its thread is named.
    place: usize,
    requests: AtomicI64,
    origin_connections: AtomicI64,
    idle_origin_connections: AtomicI64,
    /// The share of time it was busy, as the bits of an `f64`.
    busy: AtomicU64,
}

/// What a worker has a number of at any moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// A request that has begun and not ended.
    Request,
    /// A connection to an origin, from its first byte to its close.
    OriginConnection,
    /// The time in which such a connection waits in a pool.
    IdleOriginConnection,
}

impl WorkerMetrics {
    fn new(place: usize) -> Self {
        Self {
            place,
            requests: AtomicI64::new(0),
            origin_connections: AtomicI64::new(0),
            idle_origin_connections: AtomicI64::new(0),
            busy: AtomicU64::new(0),
        }
    }

    /// Counts one more until the answer is dropped.
    pub fn enter(self: &Arc<Self>, present: Present) -> Counted {
        self.cell(present).fetch_add(1, Ordering::Relaxed);
        Counted { metrics: Arc::clone(self), present }
    }

    /// How many there are right now.
    pub fn count(&self, present: Present) -> usize {
        usize::try_from(self.cell(present).load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Notes that of the time `passed` since the last note the worker did anything but wait for `busy`.
    pub fn busy(&self, busy: Duration, passed: Duration) {
        let share = if passed.is_zero() { 0.0 } else { busy.div_duration_f64(passed).min(1.0) };
        self.busy.store(share.to_bits(), Ordering::Relaxed);
    }

    fn cell(&self, present: Present) -> &AtomicI64 {
        match present {
            Present::Request => &self.requests,
            Present::OriginConnection => &self.origin_connections,
            Present::IdleOriginConnection => &self.idle_origin_connections,
        }
    }
}

/// One thing that a worker counts; dropping it counts it as gone.
#[derive(Debug)]
pub struct Counted {
    metrics: Arc<WorkerMetrics>,
    present: Present,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.cell(self.present).fetch_sub(1, Ordering::Relaxed);
    }
}

/// Every worker that runs.
#[derive(Debug, Default)]
pub(super) struct Workers(Mutex<Vec<Weak<WorkerMetrics>>>);

impl Workers {
    pub(super) fn add(&self, place: usize) -> Arc<WorkerMetrics> {
        let made = Arc::new(WorkerMetrics::new(place));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&made));
        made
    }

    fn live(&self) -> Vec<Arc<WorkerMetrics>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }
}

impl Collector for Workers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let workers = self.live();
        let sum = |present| -> i64 {
            workers.iter().map(|worker| worker.cell(present).load(Ordering::Relaxed)).sum()
        };
        let help = "Requests that have begun and not ended";
        Family::begin(&mut encoder, "requests_in_flight", help, MetricType::Gauge)?
            .gauge(&Labels(Vec::new()), sum(Present::Request) as f64)?;
        let help = "Connections to origins: in use (open), and waiting for the next request (idle)";
        let mut family = Family::begin(&mut encoder, "origin_connections", help, MetricType::Gauge)?;
        let (all, idle) = (sum(Present::OriginConnection), sum(Present::IdleOriginConnection));
        for (state, amount) in [("open", all - idle), ("idle", idle)] {
            family.gauge(&Labels(vec![("state", state)]), amount as f64)?;
        }
        let help = "The share of the last second in which a worker did anything but wait, from 0 to 1";
        let mut family = Family::begin(&mut encoder, "worker_busy", help, MetricType::Gauge)?;
        for worker in &workers {
            let place = worker.place.to_string();
            let busy = f64::from_bits(worker.busy.load(Ordering::Relaxed));
            family.gauge(&Labels(vec![("worker", &place)]), busy)?;
        }
        Ok(())
    }
}
