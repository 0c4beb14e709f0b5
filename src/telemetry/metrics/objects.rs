//! The metrics of objects: what the last round of reconciliation found, told as a whole.
//!
//! They are looked up at each scrape, so series of objects that are gone go with them, and a round costs nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::exposition::{Family, Labels};
use crate::object::ObjectKey;

/// What the last round found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// The state of each Distribution, in the API's word.
    pub states: Vec<(ObjectKey, String)>,
    /// Distribution, condition type and status (`True`, `False`, `Unknown`).
    pub conditions: Vec<(ObjectKey, String, String)>,
    /// The Secret of each certificate in use, and the end of its validity in seconds since 1970.
    pub certificates: BTreeMap<ObjectKey, f64>,
    /// Objects whose newest version does not decode, by kind; the last good one is served.
    pub kept_last_good: Vec<(ObjectKey, &'static str)>,
    /// The other replicas, as the leader sees them, and whether each has long not taken what that has.
    pub lagging: Vec<(String, bool)>,
}

/// Looks up the present [`Objects`]; nothing before there is somebody to ask.
#[derive(Default)]
pub(super) struct PresentObjects(ArcSwapOption<Look>);

type Look = Box<dyn Fn() -> Objects + Send + Sync>;

impl PresentObjects {
    pub(super) fn ask(&self, look: impl Fn() -> Objects + Send + Sync + 'static) {
        self.0.store(Some(Arc::new(Box::new(look))));
    }
}

impl fmt::Debug for PresentObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentObjects")
    }
}

impl Collector for PresentObjects {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let objects = self.0.load_full().map(|look| look()).unwrap_or_default();
        states(&mut encoder, &objects)?;
        let help = "The conditions of each Distribution; 1 for the status that holds";
        let mut family = Family::begin(&mut encoder, "condition", help, MetricType::Gauge)?;
        for (key, kind, status) in &objects.conditions {
            family.gauge(&Labels::of(Some(key)).with("type", kind).with("status", status), 1.0)?;
        }
        let help = "When the certificate in a Secret ends, in seconds since 1970";
        let mut family =
            Family::begin(&mut encoder, "certificate_not_after_seconds", help, MetricType::Gauge)?;
        for (secret, not_after) in &objects.certificates {
            let labels = Labels(vec![("namespace", &secret.namespace), ("secret", &secret.name)]);
            family.gauge(&labels, *not_after)?;
        }
        let help = "Objects whose newest version does not decode, so that an older one is served";
        let mut family = Family::begin(&mut encoder, "kept_last_good", help, MetricType::Gauge)?;
        for (key, kind) in &objects.kept_last_good {
            let labels = Labels(vec![("namespace", &key.namespace), ("name", &key.name), ("kind", kind)]);
            family.gauge(&labels, 1.0)?;
        }
        let help = "1 where a replica has long not taken what the leader has; only the leader tells";
        let mut family = Family::begin(&mut encoder, "replica_lagging", help, MetricType::Gauge)?;
        for (replica, lags) in &objects.lagging {
            family.gauge(&Labels(vec![("replica", replica)]), f64::from(u8::from(*lags)))?;
        }
        Ok(())
    }
}

fn states(encoder: &mut DescriptorEncoder<'_>, objects: &Objects) -> fmt::Result {
    let mut counts = BTreeMap::<&str, u32>::new();
    for (_, state) in &objects.states {
        *counts.entry(state).or_default() += 1;
    }
    let mut family = Family::begin(encoder, "distributions", "Distributions by state", MetricType::Gauge)?;
    for (state, count) in counts {
        family.gauge(&Labels(vec![("state", state)]), f64::from(count))?;
    }
    Ok(())
}
