//! The endpoints of a Service port: pods' addresses out of EndpointSlices.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::ServicePort;
use k8s_openapi::api::discovery::v1::{Endpoint as Listed, EndpointConditions, EndpointSlice};

use super::Options;
use super::lookup::Object;
use crate::table::origin::{Endpoint, Zone};

/// Which addresses endpoints may have.
///
/// Slices can be written by whoever may write in a namespace: without this rule they could point the proxy at
/// itself or at the node's own services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointAddresses {
    /// Neither loopback, link-local, unspecified nor multicast addresses, as the API server has it.
    Cluster,
    /// Loopback as well, for origins beside a proxy without a cluster.
    Standalone,
}

impl EndpointAddresses {
    fn allow(self, address: IpAddr) -> bool {
        // `::ffff:127.0.0.1` reaches what `127.0.0.1` reaches.
        let address = address.to_canonical();
        let link_local = match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        let loopback = address.is_loopback() && self == Self::Cluster;
        !(link_local || loopback || address.is_unspecified() || address.is_multicast())
    }
}

/// What slices say about one Service port.
pub(super) struct Collected {
    /// The endpoints that serve, each once, in the order of their addresses.
    pub serving: Arc<[Endpoint]>,
    /// Those that are there to stay: all but the terminating ones, also where they are not ready.
    pub staying: Arc<[SocketAddr]>,
    /// What could have served and may not.
    pub ignored: Option<Ignored>,
}

/// The first thing that may not be used.
pub(super) enum Ignored {
    /// An address that no pod can have.
    Address(IpAddr),
    /// A slice of names, by its own name.
    Names(String),
}

/// Collects the ready endpoints of a port; where none is ready, those that still serve while they terminate, so
/// that a rollout of a single pod loses no request (KEP-1669).
pub(super) fn collect(slices: &[Object<EndpointSlice>], port: &ServicePort, options: &Options) -> Collected {
    let (mut ready, mut terminating) = (BTreeMap::new(), BTreeMap::new());
    let (mut staying, mut leaving) = (BTreeSet::new(), BTreeSet::new());
    let mut ignored = None;
    for slice in slices {
        if slice.address_type == FQDN {
            let name = slice.metadata.name.clone().unwrap_or_default();
            ignored.get_or_insert(Ignored::Names(name));
            continue;
        }
        for (listed, address) in endpoints_of(slice, port) {
            if !options.endpoint_addresses.allow(address.ip()) {
                ignored.get_or_insert(Ignored::Address(address.ip()));
                continue;
            }
            let place = if terminates(listed.conditions.as_ref()) { &mut leaving } else { &mut staying };
            place.insert(address);
            let zone = zone(listed, options.zone.as_deref());
            match availability(listed.conditions.as_ref()) {
                Availability::Ready => put(&mut ready, address, zone),
                Availability::ServingUntilGone => put(&mut terminating, address, zone),
                Availability::Unavailable => {}
            }
        }
    }
    let serving = if ready.is_empty() { terminating } else { ready };
    let serving = serving.into_iter().map(|(address, zone)| Endpoint { address, zone });
    // While an endpoint moves from one slice to another, the one that says that it terminates knows more.
    let staying = staying.difference(&leaving).copied();
    Collected { serving: serving.collect(), staying: staying.collect(), ignored }
}

/// The type of slices whose addresses are host names. Whoever may write one could have us look up any name, so
/// they are not used; Kubernetes has deprecated them.
const FQDN: &str = "FQDN";

/// Two slices may list the same endpoint, while it moves from one to the other.
fn put(endpoints: &mut BTreeMap<SocketAddr, Zone>, address: SocketAddr, zone: Zone) {
    match endpoints.entry(address) {
        Entry::Vacant(entry) => drop(entry.insert(zone)),
        Entry::Occupied(mut entry) => *entry.get_mut() = zone.min(*entry.get()),
    }
}

/// Whether the slice hints that viewers of `own` zone are to be sent there.
fn zone(listed: &Listed, own: Option<&str>) -> Zone {
    let zones = listed.hints.iter().flat_map(|hints| hints.for_zones.iter().flatten());
    match own {
        Some(own) if zones.into_iter().any(|zone| zone.name == own) => Zone::Own,
        _ => Zone::Any,
    }
}

#[derive(Clone, Copy)]
enum Availability {
    Ready,
    ServingUntilGone,
    Unavailable,
}

/// What was not said counts as true for `ready`, as `ready` for `serving`, and as false for `terminating`
/// (discovery.k8s.io/v1 EndpointConditions).
fn availability(conditions: Option<&EndpointConditions>) -> Availability {
    let said = |field: fn(&EndpointConditions) -> Option<bool>| conditions.and_then(field);
    let ready = said(|conditions| conditions.ready).unwrap_or(true);
    let serving = said(|conditions| conditions.serving).unwrap_or(ready);
    match (ready, serving && terminates(conditions)) {
        (true, _) => Availability::Ready,
        (false, true) => Availability::ServingUntilGone,
        (false, false) => Availability::Unavailable,
    }
}

fn terminates(conditions: Option<&EndpointConditions>) -> bool {
    conditions.and_then(|conditions| conditions.terminating).unwrap_or(false)
}

/// Every endpoint of a slice that has the Service port, with each of its addresses: slices carry the pods' port
/// under the port's name.
fn endpoints_of<'s>(
    slice: &'s EndpointSlice,
    port: &ServicePort,
) -> impl Iterator<Item = (&'s Listed, SocketAddr)> + use<'s> {
    let name = |name: Option<&String>| name.cloned().unwrap_or_default();
    let wanted = name(port.name.as_ref());
    let ports = slice.ports.iter().flatten().filter(move |port| name(port.name.as_ref()) == wanted);
    ports.filter_map(|port| u16::try_from(port.port?).ok().filter(|port| *port > 0)).flat_map(|port| {
        slice.endpoints.iter().flatten().flat_map(move |listed| {
            let addresses = listed.addresses.iter().filter_map(|address| address.parse().ok());
            addresses.map(move |ip| (listed, SocketAddr::new(ip, port)))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_a_pod_can_have_are_allowed() {
        use EndpointAddresses::{Cluster, Standalone};
        let rows = [
            ("10.0.0.1", true, true),
            ("2001:db8::1", true, true),
            ("127.0.0.1", false, true),
            ("::1", false, true),
            ("::ffff:127.0.0.1", false, true),
            ("169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("224.0.0.1", false, false),
            ("ff02::1", false, false),
        ];
        for (address, in_cluster, standalone) in rows {
            let ip = address.parse().unwrap();
            assert_eq!((Cluster.allow(ip), Standalone.allow(ip)), (in_cluster, standalone), "{address}");
        }
    }
}
