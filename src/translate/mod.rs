//! From a snapshot to the routing table and the facts, as one pure and total function.
//!
//! It knows no clock, no I/O and no fleet; it cannot fail, since what is wrong becomes a [`Finding`] and costs
//! exactly its own share. A Distribution is a *unit*: [`inputs`] gathers everything that one may look at, and a
//! unit whose inputs are the very same objects as last time is reused.
//! Start with [`translate`], then `unit`, which runs the passes over one Distribution.
//!
//! [`Finding`]: crate::conditions::facts::Finding

mod acceptance;
mod aliases;
mod balancing;
mod base_domain;
mod behaviors;
mod certificates;
mod challenges;
mod endpoints;
mod error_pages;
mod grants;
mod groups;
mod header_values;
mod inputs;
mod lookup;
mod memory;
mod origin_tls;
mod origins;
mod response_headers;
mod secrets;
mod services;
mod traffic;
mod unit;
mod unserved;
mod viewer_certificate;
mod viewer_mtls;
mod warnings;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use base_domain::{BaseDomain, NotABaseDomain};
pub use endpoints::EndpointAddresses;
pub use memory::Memory;

use crate::conditions::facts::{CertificateFact, DistributionFacts, Facts};
use crate::object::ObjectKey;
use crate::snapshot::{Kind, Snapshot};
use crate::table::RoutingTable;
use crate::table::certificate::Certificates;
use crate::table::host::HostName;
use crate::table::origin::{Endpoints, Staying};
use crate::table::{Hosts, route::Routes};
use certificates::{Audience, LoadedSecret};
use grants::Grants;
use inputs::{Cluster, Inputs};
use lookup::nearest_in_namespace;
use unit::Unit;

/// What a process decides about translation, the same for its whole life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The Secret for Distributions without `viewerCertificate` and for names that nobody owns.
    pub default_certificate: Option<ObjectKey>,
    /// The domain below which every Distribution has a name of its own.
    pub base_domain: Option<BaseDomain>,
    /// Which addresses endpoints may have.
    pub endpoint_addresses: EndpointAddresses,
    /// The zone that this replica is in: endpoints that are hinted for it come first.
    pub zone: Option<String>,
    /// Whether ACME challenges are answered for hosts that no Distribution has.
    pub acme_unclaimed_hosts: bool,
}

/// What one translation gives.
#[derive(Clone, Debug)]
pub struct Translation {
    /// What requests are served from. A part that did not change is the very same `Arc` as in the table before.
    pub table: RoutingTable,
    /// What was found about each Distribution.
    pub facts: Facts,
    /// What the next translation may reuse.
    pub memory: Memory,
    /// How many units were compiled and not reused.
    pub rebuilt: usize,
    /// The default certificate, where there is one to show.
    pub default_certificate: Option<CertificateFact>,
    /// What is wrong with it, which no Distribution's conditions could say.
    pub default_certificate_problem: Option<String>,
}

/// Compiles a snapshot.
///
/// Equal arguments give an equal result. `memory` is that of the translation before, with the same options; from
/// an empty one the result depends on nothing but the snapshot.
pub fn translate(snapshot: &Snapshot, options: &Options, memory: Memory) -> Translation {
    let claims = aliases::claim(&snapshot.distributions, options.base_domain.as_ref());
    let grants = Grants::of(snapshot);
    let named = named_secrets(snapshot, &grants, options);
    let secrets = certificates::load(named, snapshot, &memory.secrets);
    let header_values = header_values::load(named_values(snapshot), snapshot, &memory.header_values);
    let authorities =
        certificates::load_authorities(named_authorities(snapshot), snapshot, &memory.authorities);
    let cluster = Cluster::new(snapshot, &claims, &grants, &secrets, &header_values, &authorities);

    let mut rebuilt = 0;
    let mut units = BTreeMap::new();
    for (key, distribution) in &snapshot.distributions {
        let inputs = Inputs::gather(key, distribution, &cluster);
        let previous = memory.units.get(key);
        let unit = match previous {
            Some(unit) if unit.inputs == inputs => Arc::clone(unit),
            _ => {
                rebuilt += 1;
                Arc::new(Unit::compile(inputs, options, previous.map(Arc::as_ref)))
            }
        };
        units.insert(key.clone(), unit);
    }

    let default = options.default_certificate.clone().and_then(|key| secrets.get(&(Audience::Viewers, key)));
    let mut table = assemble(&units, default.map(Arc::as_ref), options, &memory.table);
    let challenges = challenges::compile(snapshot, &table.hosts, options);
    table.challenges = unless_equal(challenges, &memory.table.challenges);
    let facts = facts(snapshot, &units, &memory.facts);
    let default_certificate_problem =
        default_certificate_problem(snapshot, options, default.map(Arc::as_ref));
    let default_certificate = default
        .and_then(|loaded| loaded.usable())
        .zip(options.default_certificate.clone())
        .map(|(loaded, key)| loaded.fact(key));
    let memory =
        Memory { units, secrets, header_values, authorities, table: table.clone(), facts: facts.clone() };
    Translation { table, facts, memory, rebuilt, default_certificate, default_certificate_problem }
}

/// The Secrets whose certificate somebody is to be shown. Of one that may not be named nothing is remembered.
fn named_secrets(
    snapshot: &Snapshot,
    grants: &Grants<'_>,
    options: &Options,
) -> BTreeSet<(Audience, ObjectKey)> {
    let viewers = snapshot.distributions.iter().flat_map(|(key, distribution)| {
        let named = certificates::shown_to_viewers(key, &distribution.spec);
        named.filter(|secret| grants.permit(key, Kind::Secret, secret))
    });
    let viewers = viewers.chain(options.default_certificate.clone()).map(|key| (Audience::Viewers, key));
    let origins = snapshot
        .distributions
        .iter()
        .flat_map(|(key, distribution)| certificates::shown_to_origins(key, &distribution.spec));
    viewers.chain(origins.map(|key| (Audience::Origins, key))).collect()
}

/// The keys of Secrets whose values origins are sent.
fn named_values(snapshot: &Snapshot) -> BTreeSet<header_values::Place> {
    let all = snapshot.distributions.iter();
    all.flat_map(|(key, distribution)| header_values::named(key, &distribution.spec)).collect()
}

/// The Secrets that hold the authorities of viewers.
fn named_authorities(snapshot: &Snapshot) -> BTreeSet<ObjectKey> {
    let named = snapshot.distributions.iter();
    named
        .filter_map(|(key, distribution)| certificates::trusted_of_viewers(key, &distribution.spec))
        .collect()
}

/// Puts the units' shares together, and keeps each part of the last table that is still right.
fn assemble(
    units: &BTreeMap<ObjectKey, Arc<Unit>>,
    default: Option<&LoadedSecret>,
    options: &Options,
    last: &RoutingTable,
) -> RoutingTable {
    let mut routes: BTreeMap<ObjectKey, Arc<Routes>> = BTreeMap::new();
    let (mut endpoints, mut staying) = (Endpoints::default(), Staying::default());
    let default = default.and_then(LoadedSecret::usable);
    let default = default.map(|usable| Arc::clone(&usable.certificate));
    let base_domain = options.base_domain.as_ref().map(|base| base.domain().clone());
    let mut certificates = Certificates { default, base_domain, ..Certificates::default() };
    // A Distribution that holds no alias is never asked for.
    for (key, unit) in units.iter().filter(|(_, unit)| !unit.routes.aliases.is_empty()) {
        routes.insert(key.clone(), Arc::clone(&unit.routes));
        endpoints.0.extend(unit.endpoints.clone());
        staying.0.extend(unit.staying.clone());
        certificates.by_distribution.extend(unit.certificates.clone().map(|own| (key.clone(), own)));
    }
    RoutingTable {
        hosts: unless_equal(Hosts::new(routes), &last.hosts),
        endpoints: unless_equal(endpoints, &last.endpoints),
        staying: unless_equal(staying, &last.staying),
        certificates: unless_equal(certificates, &last.certificates),
        // Whose hosts they are for is told by the ones above.
        challenges: Arc::default(),
    }
}

/// The facts of the units, and of objects that never decoded: those have a status, too.
fn facts(snapshot: &Snapshot, units: &BTreeMap<ObjectKey, Arc<Unit>>, last: &Facts) -> Facts {
    let mut facts: BTreeMap<ObjectKey, Arc<DistributionFacts>> =
        units.iter().map(|(key, unit)| (key.clone(), Arc::clone(&unit.facts))).collect();
    for ((kind, key), problem) in &snapshot.problems.undecodable {
        if *kind == Kind::Distribution && !facts.contains_key(key) {
            let unread = unit::facts_of_unread(problem);
            let kept = last.0.get(key).filter(|last| ***last == unread).cloned();
            facts.insert(key.clone(), kept.unwrap_or_else(|| Arc::new(unread)));
        }
    }
    Facts(facts)
}

fn default_certificate_problem(
    snapshot: &Snapshot,
    options: &Options,
    loaded: Option<&LoadedSecret>,
) -> Option<String> {
    let key = options.default_certificate.as_ref()?;
    let consequence = "TLS is refused for Distributions without viewerCertificate and for unknown names";
    match loaded {
        None => {
            let nearest = nearest_in_namespace(key, &snapshot.secrets);
            let nearest = nearest.map(|name| format!("; did you mean {name:?}?")).unwrap_or(";".to_owned());
            Some(format!(
                "default certificate: Secret {key} of type kubernetes.io/tls not found{nearest} {consequence}"
            ))
        }
        Some(loaded) if loaded.problem().is_none() => {
            let certificate = &loaded.usable()?.certificate;
            let domain = options.base_domain.as_ref()?.domain();
            let name = HostName::parse(&format!("any.{domain}")).ok()?;
            (!certificate.covers(&name)).then(|| {
                format!(
                    "default certificate: Secret {key} does not name *.{domain}; TLS is refused for the names under \
                     the base domain"
                )
            })
        }
        Some(loaded) => {
            let problem = loaded.problem()?;
            let meanwhile = loaded.usable().map_or(consequence, |_| "its last good version is still shown");
            Some(format!("default certificate: Secret {key} {problem}; {meanwhile}"))
        }
    }
}

/// The last value where it is equal, so that whoever compares by pointer sees that nothing changed.
fn unless_equal<T: PartialEq>(value: T, last: &Arc<T>) -> Arc<T> {
    if value == **last { Arc::clone(last) } else { Arc::new(value) }
}
