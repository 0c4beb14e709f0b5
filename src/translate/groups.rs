//! Origin groups: the compiled members of each one, and what is told where none of them serves.
//!
//! A member that cannot be used costs only itself: the group asks the next one, as if it had no endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;

use super::origins::CompiledOrigin;
use super::traffic;
use crate::api::{self, Behavior, DistributionSpec};
use crate::conditions::facts::Finding;
use crate::conditions::reasons::Reason;
use crate::table::decide::Scheme;
use crate::table::group::{Member, OriginGroup};
use crate::table::route::RouteTarget;

/// The targets of `originGroups`, by id; `origins` says by id what came of the spec's.
pub(super) fn compile<'s>(
    spec: &'s DistributionSpec,
    origins: &BTreeMap<&str, &CompiledOrigin>,
    findings: &mut Vec<Finding>,
) -> Vec<(&'s str, RouteTarget)> {
    let compile = |(position, group): (usize, &'s api::OriginGroup)| {
        let serves = |id: &String| origins.get(id.as_str()).is_some_and(|origin| origin.serves());
        if !group.members.iter().any(serves) && is_used(spec, group) {
            findings.push(nobody_serves(spec, (position, group)));
        }
        (group.id.as_str(), RouteTarget::Group(Arc::new(compile_one(group, origins))))
    };
    spec.origin_groups.iter().enumerate().map(compile).collect()
}

/// The groups that have the origin as a member, and are a behavior's target.
pub(super) fn used_with<'s>(
    spec: &'s DistributionSpec,
    origin: &str,
) -> impl Iterator<Item = &'s api::OriginGroup> {
    let has = move |group: &&api::OriginGroup| group.members.iter().any(|member| member == origin);
    spec.origin_groups.iter().filter(has).filter(|group| is_used(spec, group))
}

fn compile_one(group: &api::OriginGroup, origins: &BTreeMap<&str, &CompiledOrigin>) -> OriginGroup {
    let member = |id: &String| {
        let target = origins.get(id.as_str()).map(|origin| &origin.target);
        let of = |scheme| target.and_then(|target| target.of(scheme)).cloned();
        Member { id: id.clone(), http: of(Scheme::Http), https: of(Scheme::Https) }
    };
    // What is no status was refused with the object.
    let status =
        |status: &i32| u16::try_from(*status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    OriginGroup {
        id: group.id.clone(),
        members: group.members.iter().map(member).collect(),
        statuses: group.failover_criteria.status_codes.iter().filter_map(status).collect(),
    }
}

fn nobody_serves(spec: &DistributionSpec, (position, group): (usize, &api::OriginGroup)) -> Finding {
    let refused = traffic::refused(spec, None, |behavior| is_target_of(group, behavior));
    Finding {
        reason: Reason::NoEndpoints,
        field: format!("spec.originGroups[{position}].members"),
        message: format!("origin group {:?}: no endpoint of any member is ready. {refused}", group.id),
    }
}

fn is_used(spec: &DistributionSpec, group: &api::OriginGroup) -> bool {
    traffic::behaviors(spec).any(|behavior| is_target_of(group, behavior))
}

fn is_target_of(group: &api::OriginGroup, behavior: &Behavior) -> bool {
    behavior.target_origin_id == group.id
}
