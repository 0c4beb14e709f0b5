//! The metrics of the way from a change to a published table.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::cells::{Counter, Histogram};
use super::exposition::{Family, Labels};

/// From half a millisecond to ten seconds.
const BOUNDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Counts builds and publications; cheap to clone.
#[derive(Clone, Debug)]
pub struct ConfigMetrics(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    published: Counter,
    built: Histogram,
    propagated: Histogram,
    present: Mutex<Option<Present>>,
}

/// How old the present table is.
#[derive(Clone, Copy, Debug)]
struct Present {
    since: Instant,
    /// How old what it was made of was by then.
    age: Duration,
}

impl ConfigMetrics {
    pub(super) fn new() -> Self {
        Self(Arc::new(Cells {
            published: Counter::default(),
            built: Histogram::new(BOUNDS),
            propagated: Histogram::new(BOUNDS),
            present: Mutex::new(None),
        }))
    }

    /// Counts one translation and how long it took.
    pub fn built(&self, took: Duration) {
        self.0.built.observe(took);
    }

    /// Counts one publication, `since_event` after the change that led to it; answers how many there were, the
    /// generation of the configuration.
    pub fn published(&self, since_event: Duration) -> u64 {
        self.0.propagated.observe(since_event);
        self.is_of(Duration::ZERO);
        self.0.published.add(1);
        self.0.published.value()
    }

    /// Notes how old what the present table was made of is by now.
    pub fn is_of(&self, age: Duration) {
        let present = Present { since: Instant::now(), age };
        *self.0.present.lock().unwrap_or_else(PoisonError::into_inner) = Some(present);
    }
}

impl Collector for ConfigMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let none = Labels(Vec::new());
        let encoder = &mut encoder;
        Family::begin(encoder, "config_publish", "Tables published", MetricType::Counter)?
            .counter(&none, self.0.published.value())?;
        let help = "How long a translation took";
        Family::begin(encoder, "config_build_seconds", help, MetricType::Histogram)?
            .histogram(&none, &self.0.built.read())?;
        let help = "From a change's event to the publication of its table";
        Family::begin(encoder, "config_propagation_seconds", help, MetricType::Histogram)?
            .histogram(&none, &self.0.propagated.read())?;
        let present = *self.0.present.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Present { since, age }) = present {
            let help = "How long ago the present table was published, or the file written that it comes from";
            Family::begin(encoder, "config_age_seconds", help, MetricType::Gauge)?
                .gauge(&none, (age + since.elapsed()).as_secs_f64())?;
        }
        Ok(())
    }
}
