//! How one of an origin's endpoints is chosen, and when one is left out for a while.

use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderName, StatusCode};

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balancing {
    /// The rule of choice.
    pub algorithm: Algorithm,
    /// Keeps a viewer on one endpoint, before the rule is asked.
    pub affinity: Option<Affinity>,
}

/// The rule of choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// The less loaded of two; for WebSockets the least loaded of all.
    #[default]
    LeastRequest,
    /// One after the other, over all workers.
    RoundRobin,
    /// The same endpoint for the same value, as long as that one is not overloaded. A request without the value
    /// is one of [`Algorithm::LeastRequest`].
    Hash(HashOn),
}

/// What a hash is taken of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOn {
    /// A header of the request, as the origin reads it.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
    /// The viewer's address.
    ViewerAddress,
}

/// A cookie of ours that names an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// The cookie's name.
    pub cookie: String,
    /// How long viewers keep it; none for as long as the browser's session.
    pub ttl: Option<Duration>,
    /// Keeps viewers from finding out by trial which address a cookie stands for; the same on every replica.
    pub salt: String,
}

/// When an endpoint is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    /// So many failures in a row eject it.
    pub consecutive_failures: NonZeroU32,
    /// How long the first ejection lasts.
    pub ejection_time: Duration,
    /// The share of an origin's endpoints that may be ejected at once, 0 to 100.
    pub max_ejected_percent: u8,
    /// Answers that count as failures.
    pub statuses: Vec<StatusCode>,
}

impl Default for OutlierDetection {
    /// The API's defaults.
    fn default() -> Self {
        Self {
            consecutive_failures: NonZeroU32::new(5).expect("it is not zero"),
            ejection_time: Duration::from_secs(10),
            max_ejected_percent: 50,
            statuses: Vec::new(),
        }
    }
}
