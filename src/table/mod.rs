//! The routing table: the compiled, immutable answer to every request, and the judgement of one request.
//!
//! Pure values: comparable, printable with secrets redacted, free of I/O and clocks. It knows neither the API
//! types that it was compiled from nor the connections that are served from it.
//! Start at [`decide::decide`].

pub mod balancing;
pub mod certificate;
pub mod challenges;
pub mod cors;
pub mod decide;
mod dump;
pub mod error_pages;
pub mod explain;
pub mod group;
pub mod host;
pub mod origin;
pub mod path_pattern;
pub mod reason;
pub mod response_headers;
pub mod route;
pub mod source_ranges;
pub mod target;
pub mod viewer_tls;
pub mod web_origin;
pub mod web_socket;

use std::collections::BTreeMap;
use std::sync::Arc;

use certificate::Certificates;
use challenges::Challenges;
use host::{HostName, HostPattern};
use origin::{Endpoints, Staying};
use route::Routes;

use crate::object::ObjectKey;

/// Everything that requests are served from. Its parts are shared, so that a change of one copies no other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutingTable {
    /// Virtual hosts and their routes.
    pub hosts: Arc<Hosts>,
    /// The endpoints of each origin.
    pub endpoints: Arc<Endpoints>,
    /// Which of them, and of those that do not serve, stay.
    pub staying: Arc<Staying>,
    /// The certificates of each Distribution.
    pub certificates: Arc<Certificates>,
    /// What ACME servers are answered.
    pub challenges: Arc<Challenges>,
}

/// The virtual hosts: which Distribution's routes answer for which name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    /// By Distribution, in key order; a position here names them in a [`decide::Match`].
    routes: Vec<Arc<Routes>>,
    exact: BTreeMap<HostName, usize>,
    wildcard: BTreeMap<HostName, usize>,
}

impl Hosts {
    /// Indexes the routes by the aliases they hold. An alias must be held once; of two holders the first one in
    /// key order keeps it.
    pub fn new(routes: BTreeMap<ObjectKey, Arc<Routes>>) -> Self {
        let mut hosts = Self { routes: routes.into_values().collect(), ..Self::default() };
        for (position, routes) in hosts.routes.iter().enumerate() {
            for alias in &routes.aliases {
                let (index, name) = match alias {
                    HostPattern::Exact(name) => (&mut hosts.exact, name),
                    HostPattern::Wildcard(base) => (&mut hosts.wildcard, base),
                };
                index.entry(name.clone()).or_insert(position);
            }
        }
        hosts
    }

    /// Who answers for `name`: the exact alias beats the longer wildcard, which beats the shorter.
    pub fn find(&self, name: &HostName) -> Option<(usize, &Arc<Routes>)> {
        let above = || name.parents().find_map(|parent| self.wildcard.get(parent));
        let position = *self.exact.get(name).or_else(above)?;
        self.routes.get(position).map(|routes| (position, routes))
    }

    /// The routes of every Distribution; their positions are those of [`Hosts::find`].
    pub fn routes(&self) -> &[Arc<Routes>] {
        &self.routes
    }

    /// How many virtual hosts there are.
    pub fn len(&self) -> usize {
        self.exact.len() + self.wildcard.len()
    }

    /// Whether no name is answered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
