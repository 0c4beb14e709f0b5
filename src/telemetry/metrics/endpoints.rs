//! The metric of endpoints: how many each origin has, looked up in the live table at each scrape.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::exposition::{Family, Labels};
use crate::object::ObjectKey;

/// The endpoints of one origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginEndpoints {
    /// Whose origin it is.
    pub distribution: ObjectKey,
    /// `origins[].id`.
    pub origin: String,
    /// Those that requests go to.
    pub serving: usize,
    /// Those that failed too often and are left out.
    pub ejected: usize,
}

/// Looks up the present endpoints; none before there is somebody to ask.
#[derive(Default)]
pub(super) struct PresentEndpoints(ArcSwapOption<Look>);

type Look = Box<dyn Fn() -> Vec<OriginEndpoints> + Send + Sync>;

impl PresentEndpoints {
    pub(super) fn ask(&self, look: impl Fn() -> Vec<OriginEndpoints> + Send + Sync + 'static) {
        self.0.store(Some(Arc::new(Box::new(look))));
    }
}

impl fmt::Debug for PresentEndpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentEndpoints")
    }
}

impl Collector for PresentEndpoints {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.0.load_full().map(|look| look()).unwrap_or_default();
        let help = "Endpoints of each origin";
        let mut family = Family::begin(&mut encoder, "endpoints", help, MetricType::Gauge)?;
        for OriginEndpoints { distribution, origin, serving, ejected } in &all {
            for (state, count) in [("serving", serving), ("ejected", ejected)] {
                let labels = Labels::of(Some(distribution)).with("origin", origin).with("state", state);
                family.gauge(&labels, *count as f64)?;
            }
        }
        Ok(())
    }
}
