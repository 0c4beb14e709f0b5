//! The metrics of requests and tunnels, by Distribution and origin.
//!
//! A handle is resolved when a table is linked and then only written to. A series lives as long as somebody
//! holds its handle: when a Distribution is gone from the table and its last tunnel has ended, its series are
//! gone from the next scrape without anybody removing them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::cells::{Counter, Counters, Entered, Gauge, Histogram};
use crate::object::ObjectKey;

/// From a millisecond to a minute.
const REQUEST_BOUNDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// From a tenth of a millisecond, as within a node, to what `connectionTimeout` allows.
const CONNECT_BOUNDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// From a second to a week: WebSockets live long.
const WEB_SOCKET_BOUNDS: &[f64] =
    &[1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 21_600.0, 86_400.0, 259_200.0, 604_800.0];

/// The metrics of one Distribution, or of the requests that none answers.
#[derive(Debug)]
pub struct DistributionMetrics {
    /// None for requests that no Distribution answers; its labels are then empty.
    pub(super) key: Option<ObjectKey>,
    /// All requests, or those that no behavior's own metrics count.
    requests: Arc<RequestMetrics>,
    detail: Detail,
    behaviors: Mutex<BTreeMap<String, Weak<RequestMetrics>>>,
    /// The requests that Tidegate answered by itself, by status and reason.
    pub(super) own_answers: Counters<(u16, &'static str)>,
    pub(super) web_socket: WebSocketMetrics,
    pub(super) error_pages: Counters<PageOutcome>,
    origins: Mutex<BTreeMap<String, Weak<OriginMetrics>>>,
}

/// How much the metrics of requests tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Detail {
    /// The Distribution.
    #[default]
    Distribution,
    /// The behavior's pattern, too.
    Behavior,
}

/// The requests of a Distribution, or of one of its behaviors.
#[derive(Debug)]
pub struct RequestMetrics {
    /// The pattern, where the metrics tell it.
    pub(super) behavior: Option<String>,
    pub(super) finished: Counters<(u16, &'static str)>,
    pub(super) duration: Histogram,
}

impl RequestMetrics {
    fn new(behavior: Option<String>) -> Self {
        Self { behavior, finished: Counters::default(), duration: Histogram::new(REQUEST_BOUNDS) }
    }

    /// Counts a finished request; `protocol` is `h1` or `h2`. What became a WebSocket took no `duration`: it goes on.
    pub fn count(&self, status: http::StatusCode, protocol: &'static str, duration: Option<Duration>) {
        self.finished.add((status.as_u16(), protocol), 1);
        if let Some(duration) = duration {
            self.duration.observe(duration);
        }
    }
}

/// What is counted of a Distribution's WebSockets beyond those that are open.
#[derive(Debug)]
pub(super) struct WebSocketMetrics {
    pub(super) opened: Counter,
    pub(super) closed: Counters<(&'static str, CloseCode)>,
    pub(super) failures: Counters<&'static str>,
    pub(super) bytes: Counters<Direction>,
    pub(super) messages: Counters<Direction>,
    pub(super) duration: Histogram,
}

/// The metrics of one origin of a Distribution.
#[derive(Debug)]
pub struct OriginMetrics {
    /// Keeps the Distribution's series alive as long as a tunnel to the origin is.
    pub(super) distribution: Arc<DistributionMetrics>,
    /// `origins[].id`.
    pub(super) id: String,
    pub(super) duration: Histogram,
    pub(super) errors: Counters<&'static str>,
    pub(super) failovers: Counters<Failed>,
    pub(super) retries: Counter,
    pub(super) retry_budget_exhausted: Counter,
    pub(super) connect: Histogram,
    pub(super) web_sockets: OpenWebSockets,
}

/// How a member of an origin group failed a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failed {
    /// It answered with one of the statuses that the group lists.
    Status(u16),
    /// It gave no answer; the reason as in `x-tidegate-error`.
    Reason(&'static str),
}

/// The WebSockets that are open, by the HTTP that they were opened over.
#[derive(Debug, Default)]
pub(super) struct OpenWebSockets {
    h1: Gauge,
    h2: Gauge,
}

impl OpenWebSockets {
    fn over(&self, protocol: &'static str) -> &Gauge {
        if protocol == "h2" { &self.h2 } else { &self.h1 }
    }

    /// By the label's value.
    pub(super) fn by_protocol(&self) -> [(&'static str, i64); 2] {
        [("h1", self.h1.value()), ("h2", self.h2.value())]
    }
}

/// Which way bytes and messages went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the viewer to the origin.
    ToOrigin,
    /// From the origin to the viewer.
    ToViewer,
}

impl Direction {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToOrigin => "to_origin",
            Self::ToViewer => "to_viewer",
        }
    }
}

/// What became of the page in place of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageOutcome {
    /// The viewer got it.
    Served,
    /// It could not be had, so the viewer got the error as it is.
    Unavailable,
}

impl PageOutcome {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The code of a WebSocket's end as a label (RFC 6455 section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CloseCode {
    /// One that the protocol or its registry defines, 1000 to 2999.
    Registered(u16),
    /// One that the application chose; one label, since viewers could send any.
    App,
}

impl CloseCode {
    /// The label for a code as it stood in a Close frame, or 1006 where there was none.
    pub(super) fn new(code: u16) -> Self {
        // Of 1016 to 2999 none is registered, but a viewer could still send each of them.
        if (1000..=1015).contains(&code) { Self::Registered(code) } else { Self::App }
    }
}

impl DistributionMetrics {
    pub(super) fn new(key: Option<ObjectKey>, detail: Detail) -> Self {
        let behavior = (detail == Detail::Behavior).then(String::new);
        Self {
            key,
            requests: Arc::new(RequestMetrics::new(behavior)),
            detail,
            behaviors: Mutex::default(),
            own_answers: Counters::default(),
            web_socket: WebSocketMetrics {
                opened: Counter::default(),
                closed: Counters::default(),
                failures: Counters::default(),
                bytes: Counters::default(),
                messages: Counters::default(),
                duration: Histogram::new(WEB_SOCKET_BOUNDS),
            },
            error_pages: Counters::default(),
            origins: Mutex::default(),
        }
    }

    /// Counts an error that has a page.
    pub fn error_page(&self, outcome: PageOutcome) {
        self.error_pages.add(outcome, 1);
    }

    /// The metrics of requests that belong to no behavior.
    pub fn requests(&self) -> &RequestMetrics {
        &self.requests
    }

    /// The metrics of the requests under the behavior with this pattern: its own where metrics tell it, else those
    /// of the Distribution.
    pub fn behavior(&self, pattern: &str) -> Arc<RequestMetrics> {
        if self.detail == Detail::Distribution {
            return Arc::clone(&self.requests);
        }
        let mut behaviors = locked(&self.behaviors);
        if let Some(known) = behaviors.get(pattern).and_then(Weak::upgrade) {
            return known;
        }
        behaviors.retain(|_, behavior| behavior.strong_count() > 0);
        let made = Arc::new(RequestMetrics::new(Some(pattern.to_owned())));
        behaviors.insert(pattern.to_owned(), Arc::downgrade(&made));
        made
    }

    /// What there is to tell of requests: all that is counted in one place has one entry.
    pub(super) fn live_requests(&self) -> Vec<Arc<RequestMetrics>> {
        match (self.detail, &self.key) {
            (Detail::Behavior, Some(_)) => {
                locked(&self.behaviors).values().filter_map(Weak::upgrade).collect()
            }
            _ => vec![Arc::clone(&self.requests)],
        }
    }

    /// Counts a request that Tidegate answered by itself; `reason` as in `x-tidegate-error`.
    pub fn answered_itself(&self, status: http::StatusCode, reason: &'static str) {
        self.own_answers.add((status.as_u16(), reason), 1);
    }

    /// Counts a WebSocket handshake that was refused or failed; `reason` as in `x-tidegate-error`.
    pub fn web_socket_handshake_failed(&self, reason: &'static str) {
        self.web_socket.failures.add(reason, 1);
    }

    /// The metrics of the origin `id`, found or made.
    pub fn origin(self: &Arc<Self>, id: &str) -> Arc<OriginMetrics> {
        let mut origins = locked(&self.origins);
        if let Some(known) = origins.get(id).and_then(Weak::upgrade) {
            return known;
        }
        origins.retain(|_, origin| origin.strong_count() > 0);
        let made = Arc::new(OriginMetrics {
            distribution: Arc::clone(self),
            id: id.to_owned(),
            duration: Histogram::new(REQUEST_BOUNDS),
            errors: Counters::default(),
            failovers: Counters::default(),
            retries: Counter::default(),
            retry_budget_exhausted: Counter::default(),
            connect: Histogram::new(CONNECT_BOUNDS),
            web_sockets: OpenWebSockets::default(),
        });
        origins.insert(id.to_owned(), Arc::downgrade(&made));
        made
    }

    pub(super) fn live_origins(&self) -> Vec<Arc<OriginMetrics>> {
        locked(&self.origins).values().filter_map(Weak::upgrade).collect()
    }
}

impl OriginMetrics {
    /// Counts an answer: the time from the request's head to that of the origin's answer, attempts included.
    pub fn answered(&self, duration: Duration) {
        self.duration.observe(duration);
    }

    /// Counts a request that the origin failed; `reason` as in `x-tidegate-error`.
    pub fn failed(&self, reason: &'static str) {
        self.errors.add(reason, 1);
    }

    /// Counts a request that the next member of the group is asked, since this one failed it.
    pub fn failed_over(&self, failed: Failed) {
        self.failovers.add(failed, 1);
    }

    /// Counts a request that is sent again.
    pub fn retried(&self) {
        self.retries.add(1);
    }

    /// Counts an attempt that was not made because too many were made lately.
    pub fn retry_budget_exhausted(&self) {
        self.retry_budget_exhausted.add(1);
    }

    /// Counts a new connection, and how long it took until it could carry a request.
    pub fn connected(&self, duration: Duration) {
        self.connect.observe(duration);
    }

    /// Counts a tunnel that opened over `protocol`, `h1` or `h2`; what is answered counts the rest of its life.
    pub fn web_socket_opened(self: &Arc<Self>, protocol: &'static str) -> TunnelMetrics {
        self.distribution.web_socket.opened.add(1);
        TunnelMetrics { _entered: self.web_sockets.over(protocol).enter(), origin: Arc::clone(self) }
    }
}

/// The metrics of one open tunnel; dropping it counts it as no longer open.
#[derive(Debug)]
pub struct TunnelMetrics {
    _entered: Entered,
    origin: Arc<OriginMetrics>,
}

impl TunnelMetrics {
    /// Counts bytes that were passed on.
    pub fn bytes(&self, direction: Direction, amount: u64) {
        self.origin.distribution.web_socket.bytes.add(direction, amount);
    }

    /// Counts messages whose last frame was passed on.
    pub fn messages(&self, direction: Direction, amount: u64) {
        self.origin.distribution.web_socket.messages.add(direction, amount);
    }

    /// Counts the end; `closed_by` is one of the closed list, `code` 1006 where no Close was seen.
    pub fn closed(self, closed_by: &'static str, code: u16, duration: Duration) {
        let metrics = &self.origin.distribution.web_socket;
        metrics.closed.add((closed_by, CloseCode::new(code)), 1);
        metrics.duration.observe(duration);
    }
}

/// Every Distribution's metrics, by name.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) unmatched: Arc<DistributionMetrics>,
    detail: Detail,
    distributions: Mutex<BTreeMap<ObjectKey, Weak<DistributionMetrics>>>,
}

impl Traffic {
    pub(super) fn new(detail: Detail) -> Self {
        let unmatched = Arc::new(DistributionMetrics::new(None, detail));
        Self { unmatched, detail, distributions: Mutex::default() }
    }

    pub(super) fn distribution(&self, key: &ObjectKey) -> Arc<DistributionMetrics> {
        let mut distributions = locked(&self.distributions);
        if let Some(known) = distributions.get(key).and_then(Weak::upgrade) {
            return known;
        }
        let made = Arc::new(DistributionMetrics::new(Some(key.clone()), self.detail));
        distributions.insert(key.clone(), Arc::downgrade(&made));
        made
    }

    /// Those that somebody still holds, the nameless one first; the others are forgotten here.
    pub(super) fn live(&self) -> Vec<Arc<DistributionMetrics>> {
        let mut distributions = locked(&self.distributions);
        distributions.retain(|_, metrics| metrics.strong_count() > 0);
        let named = distributions.values().filter_map(Weak::upgrade);
        std::iter::once(Arc::clone(&self.unmatched)).chain(named).collect()
    }
}

impl Traffic {
    /// Over all Distributions.
    pub(super) fn open_web_sockets(&self) -> i64 {
        let origins = self.live().into_iter().flat_map(|metrics| metrics.live_origins());
        origins.flat_map(|origin| origin.web_sockets.by_protocol()).map(|(_, open)| open).sum()
    }
}

/// These maps hold no invariant that a panic elsewhere could have broken.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
