//! The cells that the request path writes to: atomics only, no lock, no allocation once a key is known.
//!
//! prometheus-client's own histogram takes a mutex on every observation, which workers would share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Adds `amount`.
    pub(super) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The sum so far.
    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number of things that are open right now.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Counts one more until the answer is dropped.
    pub fn enter(&self) -> Entered {
        self.0.fetch_add(1, Ordering::Relaxed);
        Entered(Arc::clone(&self.0))
    }

    /// How many there are.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl TypedMetric for Gauge {
    const TYPE: MetricType = MetricType::Gauge;
}

impl EncodeMetric for Gauge {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(&self.value())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// One thing that a [`Gauge`] counts.
#[derive(Debug)]
pub struct Entered(Arc<AtomicI64>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counters of one family that differ in a small key, such as the status code.
///
/// A key that was seen before costs one wait-free read; a new one copies the map, which happens as often as
/// there are keys. Keys must come from a bounded set.
pub(super) struct Counters<K>(ArcSwap<BTreeMap<K, Arc<Counter>>>);

impl<K: Ord + Clone> Counters<K> {
    /// Adds `amount` to the counter of `key`.
    pub(super) fn add(&self, key: K, amount: u64) {
        if let Some(counter) = self.0.load().get(&key) {
            return counter.add(amount);
        }
        // Cells are shared between the old map and the new one, so nothing that is counted meanwhile is lost.
        self.0.rcu(|known| {
            let mut extended = BTreeMap::clone(known);
            extended.entry(key.clone()).or_default();
            extended
        });
        if let Some(counter) = self.0.load().get(&key) {
            counter.add(amount);
        }
    }

    /// Every key with its sum.
    pub(super) fn values(&self) -> Vec<(K, u64)> {
        self.0.load().iter().map(|(key, counter)| (key.clone(), counter.value())).collect()
    }
}

impl<K> Default for Counters<K> {
    fn default() -> Self {
        Self(ArcSwap::default())
    }
}

impl<K> fmt::Debug for Counters<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counters").field(&self.0.load().len()).finish()
    }
}

/// Durations, counted by the smallest bound that holds them.
#[derive(Debug)]
pub(super) struct Histogram {
    /// Upper bounds in seconds, ascending; above the last one comes infinity.
    bounds: &'static [f64],
    /// One cell per bound, and the last one for infinity.
    counts: Box<[Counter]>,
    sum_us: Counter,
}

impl Histogram {
    /// An empty histogram; `bounds` are seconds in ascending order.
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Self { bounds, counts, sum_us: Counter::default() }
    }

    /// Counts one duration.
    pub(super) fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let position = self.bounds.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get(position) {
            count.add(1);
        }
        self.sum_us.add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// What was counted so far.
    pub(super) fn read(&self) -> HistogramReading {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(self.counts.iter().map(Counter::value)).collect();
        HistogramReading {
            sum: Duration::from_micros(self.sum_us.value()).as_secs_f64(),
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

/// The contents of a [`Histogram`] at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HistogramReading {
    /// All durations together, in seconds.
    pub(super) sum: f64,
    /// How many there were.
    pub(super) count: u64,
    /// Upper bound in seconds, and how many fell under it but not under the one before.
    pub(super) buckets: Vec<(f64, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_under_the_smallest_bound_that_holds_it() {
        let histogram = Histogram::new(&[0.1, 1.0]);
        for ms in [50, 100, 101, 5000] {
            histogram.observe(Duration::from_millis(ms));
        }
        let reading = histogram.read();
        assert_eq!(reading.buckets, [(0.1, 2), (1.0, 1), (f64::INFINITY, 1)]);
        assert_eq!((reading.count, reading.sum), (4, 5.251));
    }

    #[test]
    fn counting_from_many_threads_loses_nothing() {
        let counters = Counters::<u16>::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|n| counters.add(n % 7, 1)));
            }
        });
        assert_eq!(counters.values().iter().map(|(_, sum)| sum).sum::<u64>(), 4000);
    }

    #[test]
    fn a_gauge_counts_what_is_held() {
        let gauge = Gauge::default();
        let held = (gauge.enter(), gauge.enter());
        assert_eq!(gauge.value(), 2);
        drop(held);
        assert_eq!(gauge.value(), 0);
    }
}
