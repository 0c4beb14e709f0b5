//! The live table: the routing table with what outlives tables.
//!
//! [`Linker::link`] joins a pure table with the counters of its endpoints and the TLS configurations of its
//! certificates. What did not change is taken from the table before by pointer, so one change among 5,000
//! Distributions costs 5,000 comparisons of pointers. Linking runs on the publisher's thread, never on a worker.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::origin::tls::{OriginClient, OriginClients};
use super::origin::{Candidates, EndpointCell, Load, OriginCell};
use super::targets::LiveTarget;
use super::tls::configs::{ConfigMaker, Offers};
use super::websocket::places::{Place, Room, Rooms};
use super::websocket::rebalance::ScaleOut;
use crate::object::ObjectKey;
use crate::table::RoutingTable;
use crate::table::certificate::Certificates;
use crate::table::origin::{Endpoint, Origin, OriginKey};
use crate::table::reason::Reason;
use crate::table::route::{Route, Routes, ServingState, ViewerProtocols};
use crate::telemetry::metrics::{
    DistributionMetrics, Metrics, OriginEndpoints, OriginMetrics, RequestMetrics,
};

/// A table with what requests and handshakes need beside it.
#[derive(Debug, Default)]
pub(crate) struct LiveTable {
    /// How many tables were published up to this one; 0 is what stands in for the first.
    pub(crate) generation: u64,
    /// The pure table.
    pub(crate) table: RoutingTable,
    /// By position, those of [`crate::table::Hosts::routes`].
    distributions: Vec<Arc<LiveDistribution>>,
    /// Where connections may lead.
    pub(crate) reachable: Reachable,
    /// How handshakes go for names that nobody owns.
    pub(crate) unowned: Arc<Offers>,
}

impl LiveTable {
    /// The Distribution at a position of [`crate::table::decide::Match::host_position`].
    pub(crate) fn distribution(&self, host_position: usize) -> Option<&Arc<LiveDistribution>> {
        self.distributions.get(host_position)
    }

    /// How many endpoints each origin has, and how many of them are left out.
    pub(crate) fn endpoints_by_origin(&self) -> Vec<OriginEndpoints> {
        self.distributions.iter().flat_map(|live| live.endpoints_by_origin()).collect()
    }
}

/// Where connections may lead: what idles elsewhere is of no use any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reachable {
    /// Every endpoint, whichever origin it serves.
    pub(crate) endpoints: Arc<HashSet<SocketAddr>>,
    /// Every [`OriginClient::id`] that TLS is spoken with.
    pub(crate) clients: Arc<HashSet<u64>>,
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
    targets: Vec<LiveTarget>,
    /// What logs call its behaviors, by the same positions.
    labels: Vec<String>,
    /// Who counts their requests, by the same positions.
    requests: Vec<Arc<RequestMetrics>>,
    /// The places of their WebSockets, by the same positions.
    rooms: Vec<Arc<Room>>,
    /// How handshakes with its viewers go.
    pub(crate) tls: Offers,
}

impl LiveDistribution {
    /// Where the requests of the route at a position of [`crate::table::decide::Match::route_position`] go.
    pub(crate) fn target(&self, route_position: usize) -> Option<&LiveTarget> {
        self.targets.get(route_position)
    }

    /// All that requests may go to; some come more than once.
    fn origins(&self) -> impl Iterator<Item = &Arc<LiveOrigin>> {
        self.targets.iter().flat_map(LiveTarget::origins)
    }

    fn endpoints_by_origin(&self) -> Vec<OriginEndpoints> {
        // Several routes may go to one origin, and one that matches its viewers has endpoints for both schemes.
        let linked: BTreeMap<_, _> =
            self.origins().map(|origin| (&origin.origin.key, &origin.candidates)).collect();
        let mut told: Vec<OriginEndpoints> = Vec::new();
        for (key, candidates) in linked {
            let (all, ejected) = (candidates.cells().len(), candidates.ejected());
            let serving = all - ejected;
            match told.last_mut().filter(|last| last.origin == key.id) {
                Some(last) => (last.serving, last.ejected) = (last.serving + serving, last.ejected + ejected),
                None => told.push(OriginEndpoints {
                    distribution: key.distribution.clone(),
                    origin: key.id.clone(),
                    serving,
                    ejected,
                }),
            }
        }
        told
    }

    fn clients(&self) -> impl Iterator<Item = u64> {
        self.origins().filter_map(|origin| origin.tls.as_ref()).map(|client| client.id)
    }

    /// Who counts the requests of the route at that position.
    pub(crate) fn requests(&self, route_position: usize) -> &RequestMetrics {
        self.requests.get(route_position).map_or(self.metrics.requests(), |own| own)
    }

    /// A place for a viewer's WebSocket, where the route at that position has one.
    pub(crate) fn web_socket_place(&self, route_position: usize, viewer: IpAddr) -> Result<Place, Reason> {
        let (room, route) = (self.rooms.get(route_position), self.routes.at(route_position));
        let (room, route) = room.zip(route).ok_or(Reason::Internal)?;
        room.take(viewer, &route.web_socket.limits)
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
    /// Its endpoints.
    pub(crate) candidates: Candidates,
    /// How TLS is spoken to them; none in plaintext.
    pub(crate) tls: Option<Arc<OriginClient>>,
    /// What `candidates` was made from.
    source: Option<Arc<[Endpoint]>>,
}

/// Links tables, and remembers what outlives them.
#[derive(Debug)]
pub(crate) struct Linker {
    metrics: Metrics,
    tls: ConfigMaker,
    clients: OriginClients,
    rooms: Rooms,
    origins: HashMap<OriginKey, Weak<OriginCell>>,
    /// When there are so many, those that nobody uses any more are forgotten.
    origins_most: usize,
}

impl Linker {
    /// A linker that has linked nothing yet.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn new(metrics: Metrics) -> Result<Self, rustls::Error> {
        let (tls, clients) = (ConfigMaker::new()?, OriginClients::new());
        let rooms = Rooms::new();
        Ok(Self { metrics, tls, clients, rooms, origins: HashMap::new(), origins_most: 64 })
    }

    /// Links `table`, reusing what `before` has for the same objects.
    pub(crate) fn link(&mut self, table: RoutingTable, before: &LiveTable) -> LiveTable {
        let now = Instant::now();
        let mut earlier = before.distributions.iter().peekable();
        let mut listed = table.endpoints.0.iter().peekable();
        let certificates = &table.certificates;
        let same_certificates = Arc::ptr_eq(certificates, &before.table.certificates);
        let mut of_distribution = Vec::new();
        let mut distributions = Vec::with_capacity(table.hosts.routes().len());
        for routes in table.hosts.routes() {
            let key = &routes.distribution;
            // All sides are in key order, so one walk finds each Distribution's earlier self and its endpoints.
            while earlier.next_if(|old| old.routes.distribution < *key).is_some() {}
            let old = earlier.next_if(|old| old.routes.distribution == *key);
            while listed.next_if(|(origin, _)| origin.distribution < *key).is_some() {}
            of_distribution.clear();
            while let Some((origin, endpoints)) = listed.next_if(|(origin, _)| origin.distribution == *key) {
                of_distribution.push((origin, endpoints));
            }
            let now_listed = Listed(&of_distribution);
            let shows_them = |old: &LiveDistribution| same_certificates || old.tls.show(certificates.of(key));
            let is_same = |old: &&Arc<LiveDistribution>| {
                Arc::ptr_eq(&old.routes, routes) && is_current(old, now_listed) && shows_them(old)
            };
            let live = match old.filter(is_same) {
                Some(old) => Arc::clone(old),
                None => self.distribution(routes, now_listed, certificates, now),
            };
            distributions.push(live);
        }
        let endpoints = if Arc::ptr_eq(&table.endpoints, &before.table.endpoints) {
            Arc::clone(&before.reachable.endpoints)
        } else {
            Arc::new(table.endpoints.0.values().flat_map(|of| of.iter()).map(|one| one.address).collect())
        };
        // Settings of TLS stand in routes.
        let clients = if Arc::ptr_eq(&table.hosts, &before.table.hosts) {
            Arc::clone(&before.reachable.clients)
        } else {
            Arc::new(distributions.iter().flat_map(|live| live.clients()).collect())
        };
        self.clients.tidy();
        let unowned = if same_certificates {
            Arc::clone(&before.unowned)
        } else {
            let default = certificates.default.iter();
            Arc::new(self.tls.offer(default, &Arc::default(), ViewerProtocols::Http2))
        };
        self.tls.tidy();
        let generation = before.generation + 1;
        let reachable = Reachable { endpoints, clients };
        LiveTable { generation, table, distributions, reachable, unowned }
    }

    fn distribution(
        &mut self,
        routes: &Arc<Routes>,
        listed: Listed<'_>,
        certificates: &Certificates,
        now: Instant,
    ) -> Arc<LiveDistribution> {
        let metrics = self.metrics.distribution(&routes.distribution);
        let mut linked: Vec<Arc<LiveOrigin>> = Vec::new();
        let mut link = |origin: &Arc<Origin>| {
            if let Some(live) = linked.iter().find(|live| live.origin.key == origin.key) {
                return Arc::clone(live);
            }
            let source = listed.of(&origin.key).cloned();
            let candidates = Candidates::new(
                origin,
                self.origin_cell(&origin.key),
                source.as_deref().unwrap_or_default(),
                now,
            );
            let metrics = metrics.origin(&origin.key.id);
            let tls = origin.tls.as_ref().map(|settings| self.clients.of(settings));
            let live = Arc::new(LiveOrigin { origin: Arc::clone(origin), metrics, candidates, tls, source });
            linked.push(Arc::clone(&live));
            live
        };
        let link = |target| LiveTarget::new(target, &metrics, &mut link);
        let targets = routes.iter().map(|route| &route.target).map(link).collect();
        let labels: Vec<_> = routes.iter().map(Route::label).collect();
        let requests = labels.iter().map(|label| metrics.behavior(label)).collect();
        let rooms = labels.iter().map(|label| self.rooms.of(&routes.distribution, label)).collect();
        let shown = certificates.of(&routes.distribution);
        let tls = self.tls.offer(shown, &routes.tls, routes.viewer_protocols);
        let routes = Arc::clone(routes);
        Arc::new(LiveDistribution { routes, metrics, targets, labels, requests, rooms, tls })
    }

    /// The endpoints with open WebSockets that stayed before and do so no more, each noted as departed. An origin that
    /// a Distribution no longer names departs with nobody: that is an edit.
    pub(crate) fn departed(&self, before: &RoutingTable, after: &RoutingTable) -> Vec<Arc<EndpointCell>> {
        if Arc::ptr_eq(&before.staying, &after.staying) {
            return Vec::new();
        }
        let mut departed = Vec::new();
        for (key, now) in &after.staying.0 {
            let gone = before.staying.of(key).iter().filter(|address| !now.contains(address));
            let cell = self.origins.get(key).and_then(Weak::upgrade);
            departed.extend(gone.filter_map(|address| cell.as_ref()?.used(*address)));
        }
        departed.retain(|cell| cell.loaded_with(Load::Tunnel) > 0);
        departed.iter().for_each(|cell| cell.depart());
        departed
    }

    /// The origins whose endpoints changed while some of their WebSockets have to move, for whom endpoints were added.
    pub(crate) fn scaled_out(before: &LiveTable, after: &LiveTable) -> Vec<Arc<ScaleOut>> {
        let mut scaled_out = Vec::new();
        if Arc::ptr_eq(&before.table.endpoints, &after.table.endpoints) {
            return scaled_out;
        }
        for live in &after.distributions {
            let moves = |(route, target): (&Route, _)| route.web_socket.rebalance.map(|_| target);
            let origins = live.routes.iter().zip(&live.targets).filter_map(moves);
            let origins = origins.flat_map(LiveTarget::origins);
            let by_key: BTreeMap<_, _> = origins.map(|origin| (&origin.origin.key, origin)).collect();
            for (key, origin) in by_key {
                let cells = origin.candidates.cells();
                let was = before.table.endpoints.of(key).map_or(&[][..], |listed| listed);
                let is_new = |cell: &Arc<EndpointCell>| !was.iter().any(|old| old.address == cell.address);
                let moves = &origin.candidates.shared().moves;
                if !was.is_empty() && cells.iter().any(is_new) {
                    moves.begin(cells);
                } else if was.len() == cells.len() {
                    continue;
                }
                if moves.go_on() {
                    let origin = Arc::clone(origin.candidates.shared());
                    scaled_out.push(Arc::new(ScaleOut { origin, cells: cells.to_vec() }));
                }
            }
        }
        scaled_out
    }

    /// What is known of an origin since somebody began to use it.
    fn origin_cell(&mut self, key: &OriginKey) -> Arc<OriginCell> {
        if let Some(known) = self.origins.get(key).and_then(Weak::upgrade) {
            return known;
        }
        if self.origins.len() >= self.origins_most {
            self.origins.retain(|_, cell| cell.strong_count() > 0);
            // Looking through all of them again is paid for by as many new ones.
            self.origins_most = 2 * self.origins.len() + 64;
        }
        let cell = OriginCell::new();
        self.origins.insert(key.clone(), Arc::downgrade(&cell));
        cell
    }
}

/// The endpoints of one Distribution's origins.
#[derive(Clone, Copy)]
struct Listed<'t>(&'t [(&'t OriginKey, &'t Arc<[Endpoint]>)]);

impl<'t> Listed<'t> {
    fn of(self, origin: &OriginKey) -> Option<&'t Arc<[Endpoint]>> {
        self.0.iter().find(|(key, _)| *key == origin).map(|(_, endpoints)| *endpoints)
    }
}

/// Whether each origin still has the very endpoints it was linked with.
fn is_current(old: &LiveDistribution, listed: Listed<'_>) -> bool {
    old.origins().all(|live| match (&live.source, listed.of(&live.origin.key)) {
        (Some(linked), Some(now)) => Arc::ptr_eq(linked, now),
        (None, None) => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::origin::origin_for_test;
    use crate::table::Hosts;
    use crate::table::decide::Scheme;
    use crate::table::error_pages::ErrorPages;
    use crate::table::host::HostPattern;
    use crate::table::origin::{Endpoints, Zone};
    use crate::table::route::{AllowedMethods, Compression, RouteTarget, ViewerProtocolPolicy};
    use crate::table::web_socket::WebSocketPolicy;
    use crate::telemetry::metrics::Build;

    fn routes(name: &str, state: ServingState) -> Arc<Routes> {
        let default = Route {
            pattern: None,
            viewer_protocol_policy: ViewerProtocolPolicy::AllowAll,
            allowed_methods: AllowedMethods::new(vec![]),
            max_request_body_bytes: None,
            response_headers: None,
            source_ranges: Default::default(),
            compression: Compression::Off,
            web_socket: WebSocketPolicy::default(),
            target: RouteTarget::Broken,
        };
        Arc::new(Routes {
            distribution: ObjectKey::new("test", name),
            generation: 1,
            state,
            aliases: vec![HostPattern::parse(&format!("{name}.example")).unwrap()],
            viewer_protocols: ViewerProtocols::Http2,
            tls: Arc::default(),
            default_root_object: None,
            error_pages: ErrorPages::default(),
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

    /// A Distribution whose only route goes to an origin with these endpoints.
    fn with_endpoints(name: &str, addresses: &[SocketAddr]) -> (Arc<Routes>, OriginKey, Arc<[Endpoint]>) {
        let mut routes = Arc::unwrap_or_clone(routes(name, ServingState::Enabled));
        let origin = origin_for_test(name);
        let key = origin.key.clone();
        routes.default.target = RouteTarget::Origin(Arc::new(origin));
        let listed = addresses.iter().map(|address| Endpoint { address: *address, zone: Zone::Any });
        (Arc::new(routes), key, listed.collect())
    }

    fn of_one(linker: &mut Linker, before: &LiveTable, name: &str, addresses: &[SocketAddr]) -> LiveTable {
        let (routes, key, endpoints) = with_endpoints(name, addresses);
        let endpoints = Arc::new(Endpoints([(key, endpoints)].into()));
        linker.link(RoutingTable { endpoints, ..table(&[&routes]) }, before)
    }

    fn cell(live: &LiveTable) -> &Arc<EndpointCell> {
        &live.distributions[0].target(0).unwrap().member(0, Scheme::Http).unwrap().candidates.cells()[0]
    }

    #[test]
    fn the_counters_of_an_endpoint_outlive_tables_as_long_as_somebody_counts() {
        let mut linker = linker();
        let address: SocketAddr = ([192, 0, 2, 1], 80).into();
        let nothing = LiveTable::default();
        let first = of_one(&mut linker, &nothing, "a", &[address]);
        assert!(first.reachable.endpoints.contains(&address));
        let open = cell(&first).enter(Load::Tunnel, None);
        let gone = of_one(&mut linker, &first, "a", &[]);
        drop(first);
        let back = of_one(&mut linker, &gone, "a", &[address]);
        assert_eq!(cell(&back).loaded_with(Load::Tunnel), 1);
        drop(open);
        assert_eq!(cell(&back).loaded_with(Load::Tunnel), 0);
    }

    #[test]
    fn what_one_distribution_does_to_an_endpoint_is_not_another_s() {
        let mut linker = linker();
        let address: SocketAddr = ([192, 0, 2, 1], 80).into();
        let (one, other) = (with_endpoints("a", &[address]), with_endpoints("b", &[address]));
        let endpoints = Arc::new(Endpoints([(one.1, one.2), (other.1, other.2)].into()));
        let live =
            linker.link(RoutingTable { endpoints, ..table(&[&one.0, &other.0]) }, &LiveTable::default());
        let [one, other] = [0, 1].map(|at| {
            let origin = live.distributions[at].target(0).unwrap().member(0, Scheme::Http).unwrap();
            &origin.candidates.cells()[0]
        });
        let _busy = one.enter(Load::Exchange, None);
        assert_eq!((one.address, other.address), (address, address));
        assert_eq!((one.loaded_with(Load::Exchange), other.loaded_with(Load::Exchange)), (1, 0));
    }

    #[test]
    fn endpoints_that_change_touch_their_own_distribution_only() {
        let mut linker = linker();
        let at = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let [a, b] = ["a", "b"].map(|name| with_endpoints(name, &[at(1)]));
        let endpoints =
            |of_a: &[(OriginKey, Arc<[Endpoint]>)]| Arc::new(Endpoints(of_a.iter().cloned().collect()));
        let before = endpoints(&[(a.1.clone(), a.2), (b.1.clone(), Arc::clone(&b.2))]);
        let both = table(&[&a.0, &b.0]);
        let first = linker.link(RoutingTable { endpoints: before, ..both.clone() }, &LiveTable::default());
        let moved = with_endpoints("a", &[at(2)]).2;
        let after = endpoints(&[(a.1, moved), (b.1, b.2)]);
        let second = linker.link(RoutingTable { endpoints: after, ..both }, &first);
        assert!(!Arc::ptr_eq(&first.distributions[0], &second.distributions[0]));
        assert!(Arc::ptr_eq(&first.distributions[1], &second.distributions[1]));
    }
}
