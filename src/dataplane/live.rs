//! The live table: the routing table with what outlives tables.
//!
//! [`Linker::link`] joins a pure table with the counters of its endpoints and the TLS configurations of its
//! certificates. What did not change is taken from the table before by pointer, so one change among 5,000
//! Distributions costs 5,000 comparisons of pointers. Linking runs on the publisher's thread, never on a worker.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use super::tls::{ConfigMaker, Configs};
use crate::object::ObjectKey;
use crate::table::RoutingTable;
use crate::table::origin::{Endpoint, Origin};
use crate::table::route::{Route, RouteTarget, Routes, ServingState};
use crate::telemetry::metrics::{DistributionMetrics, Metrics, OriginMetrics};

/// A table with what requests and handshakes need beside it.
#[derive(Debug, Default)]
pub(crate) struct LiveTable {
    /// The pure table.
    pub(crate) table: RoutingTable,
    /// By position, those of [`crate::table::Hosts::routes`].
    distributions: Vec<Arc<LiveDistribution>>,
    /// Every endpoint, whichever origin it serves.
    pub(crate) endpoints: Arc<HashSet<SocketAddr>>,
    /// How handshakes are answered.
    pub(crate) tls: Arc<Configs>,
}

impl LiveTable {
    /// The Distribution at a position of [`crate::table::decide::Match::host_position`].
    pub(crate) fn distribution(&self, host_position: usize) -> Option<&Arc<LiveDistribution>> {
        self.distributions.get(host_position)
    }
}

/// The Distributions that `before` served and `after` does not, because they were removed or disabled.
pub(crate) fn gone(before: &LiveTable, after: &LiveTable) -> BTreeSet<ObjectKey> {
    let serves = |routes: &Routes| routes.state == ServingState::Enabled;
    let mut later = after.table.hosts.routes().iter().peekable();
    let mut gone = BTreeSet::new();
    for old in before.table.hosts.routes().iter().filter(|old| serves(old)) {
        // Both sides are in key order.
        while later.next_if(|new| new.distribution < old.distribution).is_some() {}
        let new = later.next_if(|new| new.distribution == old.distribution);
        if !new.is_some_and(|new| serves(new)) {
            gone.insert(old.distribution.clone());
        }
    }
    gone
}

/// One Distribution, linked.
#[derive(Debug)]
pub(crate) struct LiveDistribution {
    /// Its compiled behaviors.
    pub(crate) routes: Arc<Routes>,
    pub(crate) metrics: Arc<DistributionMetrics>,
    /// By position, those of [`Routes::iter`].
    origins: Vec<Option<Arc<LiveOrigin>>>,
    /// What logs call its behaviors, by the same positions.
    labels: Vec<String>,
}

impl LiveDistribution {
    /// The origin of the route at a position of [`crate::table::decide::Match::route_position`].
    pub(crate) fn origin(&self, route_position: usize) -> Option<&Arc<LiveOrigin>> {
        self.origins.get(route_position)?.as_ref()
    }

    /// What logs call the route at that position: its pattern.
    pub(crate) fn label(&self, route_position: usize) -> Option<&str> {
        self.labels.get(route_position).map(String::as_str)
    }
}

/// One origin, linked.
#[derive(Debug)]
pub(crate) struct LiveOrigin {
    /// Its settings.
    pub(crate) origin: Arc<Origin>,
    pub(crate) metrics: Arc<OriginMetrics>,
    /// Those that serve, in address order.
    pub(crate) endpoints: Vec<Arc<EndpointCell>>,
    /// What `endpoints` was made from.
    source: Option<Arc<[Endpoint]>>,
}

/// What all workers know together of one endpoint; it outlives tables, and lives as long as somebody uses it.
#[derive(Debug)]
#[repr(align(128))] // its own cache line: workers count up and down all the time
pub(crate) struct EndpointCell {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    exchanges: AtomicUsize,
    tunnels: AtomicUsize,
}

/// What somebody does with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// A request and its response.
    Exchange,
    /// An open WebSocket.
    Tunnel,
}

impl EndpointCell {
    fn new(address: SocketAddr) -> Self {
        Self { address, exchanges: AtomicUsize::new(0), tunnels: AtomicUsize::new(0) }
    }

    /// How much of `load` there is on it right now.
    pub(crate) fn loaded_with(&self, load: Load) -> usize {
        self.counter(load).load(Ordering::Relaxed)
    }

    /// Counts one more of `load` until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>, load: Load) -> Loaded {
        self.counter(load).fetch_add(1, Ordering::Relaxed);
        Loaded { cell: Arc::clone(self), load }
    }

    fn counter(&self, load: Load) -> &AtomicUsize {
        match load {
            Load::Exchange => &self.exchanges,
            Load::Tunnel => &self.tunnels,
        }
    }
}

/// One exchange or tunnel on an endpoint; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Loaded {
    cell: Arc<EndpointCell>,
    load: Load,
}

impl Loaded {
    /// The endpoint.
    pub(crate) fn endpoint(&self) -> SocketAddr {
        self.cell.address
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.cell.counter(self.load).fetch_sub(1, Ordering::Relaxed);
    }
}

/// Links tables, and remembers what outlives them.
#[derive(Debug)]
pub(crate) struct Linker {
    metrics: Metrics,
    tls: ConfigMaker,
    cells: HashMap<SocketAddr, Weak<EndpointCell>>,
}

impl Linker {
    /// A linker that has linked nothing yet.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn new(metrics: Metrics) -> Result<Self, rustls::Error> {
        Ok(Self { metrics, tls: ConfigMaker::new()?, cells: HashMap::new() })
    }

    /// Links `table`, reusing what `before` has for the same objects.
    pub(crate) fn link(&mut self, table: RoutingTable, before: &LiveTable) -> LiveTable {
        let mut earlier = before.distributions.iter().peekable();
        let mut distributions = Vec::with_capacity(table.hosts.routes().len());
        for routes in table.hosts.routes() {
            // Both sides are in key order, so one walk finds each Distribution's earlier self.
            while earlier.next_if(|old| old.routes.distribution < routes.distribution).is_some() {}
            let old = earlier.next_if(|old| old.routes.distribution == routes.distribution);
            distributions.push(self.distribution(&table, routes, old));
        }
        self.cells.retain(|_, cell| cell.strong_count() > 0);
        let endpoints = if Arc::ptr_eq(&table.endpoints, &before.table.endpoints) {
            Arc::clone(&before.endpoints)
        } else {
            Arc::new(table.endpoints.0.values().flat_map(|of| of.iter()).map(|one| one.address).collect())
        };
        let tls = if Arc::ptr_eq(&table.certificates, &before.table.certificates) {
            Arc::clone(&before.tls)
        } else {
            Arc::new(self.tls.link(&table.certificates, &before.tls))
        };
        LiveTable { table, distributions, endpoints, tls }
    }

    fn distribution(
        &mut self,
        table: &RoutingTable,
        routes: &Arc<Routes>,
        old: Option<&Arc<LiveDistribution>>,
    ) -> Arc<LiveDistribution> {
        if let Some(old) = old.filter(|old| Arc::ptr_eq(&old.routes, routes) && is_current(old, table)) {
            return Arc::clone(old);
        }
        let metrics = self.metrics.distribution(&routes.distribution);
        let mut linked: Vec<Arc<LiveOrigin>> = Vec::new();
        let mut link = |origin: &Arc<Origin>| {
            if let Some(live) = linked.iter().find(|live| live.origin.key == origin.key) {
                return Arc::clone(live);
            }
            let live = Arc::new(self.origin(table, origin, &metrics));
            linked.push(Arc::clone(&live));
            live
        };
        let origins = routes
            .iter()
            .map(|route| match &route.target {
                RouteTarget::Origin(origin) => Some(link(origin)),
                RouteTarget::Broken => None,
            })
            .collect();
        let labels = routes.iter().map(Route::label).collect();
        Arc::new(LiveDistribution { routes: Arc::clone(routes), metrics, origins, labels })
    }

    fn origin(
        &mut self,
        table: &RoutingTable,
        origin: &Arc<Origin>,
        metrics: &Arc<DistributionMetrics>,
    ) -> LiveOrigin {
        let source = table.endpoints.of(&origin.key).cloned();
        let listed = source.iter().flat_map(|endpoints| endpoints.iter());
        let endpoints = listed.map(|endpoint| self.cell(endpoint.address)).collect();
        LiveOrigin { origin: Arc::clone(origin), metrics: metrics.origin(&origin.key.id), endpoints, source }
    }

    fn cell(&mut self, address: SocketAddr) -> Arc<EndpointCell> {
        let slot = self.cells.entry(address).or_default();
        slot.upgrade().unwrap_or_else(|| {
            let cell = Arc::new(EndpointCell::new(address));
            *slot = Arc::downgrade(&cell);
            cell
        })
    }
}

/// Whether each origin still has the very endpoints it was linked with.
fn is_current(old: &LiveDistribution, table: &RoutingTable) -> bool {
    old.origins.iter().flatten().all(|live| match (&live.source, table.endpoints.of(&live.origin.key)) {
        (Some(linked), Some(now)) => Arc::ptr_eq(linked, now),
        (None, None) => true,
        _ => false,
    })
}

/// Cells as tables have them, for the tests of who counts on them.
#[cfg(test)]
pub(crate) fn cells_for_test(count: u16) -> Vec<Arc<EndpointCell>> {
    (1..=count).map(|port| Arc::new(EndpointCell::new(([192, 0, 2, 1], port).into()))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::table::Hosts;
    use crate::table::host::HostPattern;
    use crate::table::origin::{Endpoints, OriginKey};
    use crate::table::route::{AllowedMethods, Handshakes, ViewerProtocolPolicy, WebSocketPolicy};
    use crate::telemetry::metrics::Build;

    fn routes(name: &str, state: ServingState) -> Arc<Routes> {
        let default = Route {
            pattern: None,
            viewer_protocol_policy: ViewerProtocolPolicy::AllowAll,
            allowed_methods: AllowedMethods::new(vec![]),
            web_socket: WebSocketPolicy { handshakes: Handshakes::Accepted, idle_timeout: None },
            target: RouteTarget::Broken,
        };
        Arc::new(Routes {
            distribution: ObjectKey::new("test", name),
            generation: 1,
            state,
            aliases: vec![HostPattern::parse(&format!("{name}.example")).unwrap()],
            default_root_object: None,
            ordered: Vec::new(),
            default,
        })
    }

    fn table(all: &[&Arc<Routes>]) -> RoutingTable {
        let by_key = all.iter().map(|routes| (routes.distribution.clone(), Arc::clone(routes)));
        RoutingTable { hosts: Arc::new(Hosts::new(by_key.collect())), ..RoutingTable::default() }
    }

    fn linker() -> Linker {
        Linker::new(Metrics::new(Build { version: "0", commit: "0" })).unwrap()
    }

    #[test]
    fn what_did_not_change_is_taken_from_the_table_before() {
        let mut linker = linker();
        let (a, b) = (routes("a", ServingState::Enabled), routes("b", ServingState::Enabled));
        let before = linker.link(table(&[&a, &b]), &LiveTable::default());
        let changed = routes("a", ServingState::Disabled);
        let after = linker.link(table(&[&changed, &b]), &before);
        assert!(!Arc::ptr_eq(&before.distributions[0], &after.distributions[0]));
        assert!(Arc::ptr_eq(&before.distributions[1], &after.distributions[1]));
    }

    #[test]
    fn a_distribution_is_gone_when_it_is_removed_or_disabled() {
        let mut linker = linker();
        let enabled = ["a", "b", "c", "d"].map(|name| routes(name, ServingState::Enabled));
        let before = linker.link(table(&enabled.each_ref()), &LiveTable::default());
        let disabled = routes("c", ServingState::Disabled);
        let new = routes("bb", ServingState::Enabled);
        let after = linker.link(table(&[&enabled[0], &new, &disabled, &enabled[3]]), &before);
        let gone: Vec<_> = gone(&before, &after).into_iter().map(|key| key.name).collect();
        assert_eq!(gone, ["b", "c"]);
    }

    #[test]
    fn the_counters_of_an_endpoint_outlive_tables_as_long_as_somebody_counts() {
        let mut linker = linker();
        let key = OriginKey { distribution: ObjectKey::new("test", "a"), id: "web".to_owned() };
        let address: SocketAddr = ([192, 0, 2, 1], 80).into();
        let cell = linker.cell(address);
        let open = cell.enter(Load::Tunnel);
        drop(cell);
        let endpoints = BTreeMap::from([(key, Arc::from([Endpoint { address }]))]);
        let next = RoutingTable { endpoints: Arc::new(Endpoints(endpoints)), ..RoutingTable::default() };
        let live = linker.link(next, &LiveTable::default());
        assert!(live.endpoints.contains(&address));
        assert_eq!(linker.cell(address).loaded_with(Load::Tunnel), 1);
        drop(open);
        assert_eq!(linker.cell(address).loaded_with(Load::Tunnel), 0);
    }
}
