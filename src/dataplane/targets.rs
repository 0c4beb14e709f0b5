//! Where the requests of a route go, linked: to an origin, or to the members of a group.

use std::sync::Arc;

use crate::dataplane::live::LiveOrigin;
use crate::table::decide::Scheme;
use crate::table::group::OriginGroup;
use crate::table::origin::Origin;
use crate::table::route::RouteTarget;
use crate::telemetry::metrics::{DistributionMetrics, OriginMetrics};

/// Where a route's requests go.
#[derive(Debug)]
pub(crate) struct LiveTarget {
    /// The origin, or the first member of the group.
    first: Sides,
    /// Boxed: few have one.
    group: Option<Box<LiveGroup>>,
}

/// An origin, by how its viewers came; mostly the same for both.
#[derive(Debug)]
struct Sides {
    http: Option<Arc<LiveOrigin>>,
    https: Option<Arc<LiveOrigin>>,
}

/// An origin group, linked.
#[derive(Debug)]
pub(crate) struct LiveGroup {
    pub(crate) group: Arc<OriginGroup>,
    members: Vec<LiveMember>,
}

/// A member of a group, linked.
#[derive(Debug)]
struct LiveMember {
    sides: Sides,
    /// Held here, too, since a broken one is no origin.
    metrics: Arc<OriginMetrics>,
}

impl LiveTarget {
    /// Links each origin of `target` with `link`.
    pub(super) fn new(
        target: &RouteTarget,
        metrics: &Arc<DistributionMetrics>,
        mut link: impl FnMut(&Arc<Origin>) -> Arc<LiveOrigin>,
    ) -> Self {
        let first = Sides {
            http: target.of(Scheme::Http).map(&mut link),
            https: target.of(Scheme::Https).map(&mut link),
        };
        let group = target.group().map(|group| {
            let members = group.members.iter().map(|member| LiveMember {
                sides: Sides {
                    http: member.http.as_ref().map(&mut link),
                    https: member.https.as_ref().map(&mut link),
                },
                metrics: metrics.origin(&member.id),
            });
            Box::new(LiveGroup { members: members.collect(), group: Arc::clone(group) })
        });
        Self { first, group }
    }

    /// The member at a position, for viewers that came with `scheme`; the only origin is at 0.
    pub(crate) fn member(&self, position: usize, scheme: Scheme) -> Option<&Arc<LiveOrigin>> {
        match (position, &self.group) {
            (0, _) => self.first.of(scheme),
            (_, group) => group.as_ref()?.member(position, scheme),
        }
    }

    pub(crate) fn group(&self) -> Option<&LiveGroup> {
        self.group.as_deref()
    }

    /// All that requests may go to; some come more than once.
    pub(super) fn origins(&self) -> impl Iterator<Item = &Arc<LiveOrigin>> {
        let members = self.group.iter().flat_map(|group| &group.members);
        self.first.iter().chain(members.flat_map(|member| member.sides.iter()))
    }
}

impl LiveGroup {
    /// Where the requests of viewers go that came with `scheme`, of the member at a position.
    pub(crate) fn member(&self, position: usize, scheme: Scheme) -> Option<&Arc<LiveOrigin>> {
        self.members.get(position)?.sides.of(scheme)
    }

    /// Who counts what becomes of requests at the member at a position.
    pub(crate) fn metrics(&self, position: usize) -> Option<&OriginMetrics> {
        self.members.get(position).map(|member| &*member.metrics)
    }

    /// How many members there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }
}

impl Sides {
    fn of(&self, scheme: Scheme) -> Option<&Arc<LiveOrigin>> {
        match scheme {
            Scheme::Http => self.http.as_ref(),
            Scheme::Https => self.https.as_ref(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<LiveOrigin>> {
        self.http.iter().chain(&self.https)
    }
}
