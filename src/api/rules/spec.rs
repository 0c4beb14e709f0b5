//! Rules between the parts of a spec: who refers to whom.

use serde_json::Value;

use super::super::rule::Rule;
use super::{has, items, list, text};

/// On the spec.
pub(in crate::api) const SPEC: &[Rule] = &[DEFAULT_TARGET, TARGETS, GROUP_IDS, GROUP_MEMBERS, MUTUAL_TLS];

const DEFAULT_TARGET: Rule = Rule::naming(
    "self.origins.exists(o, o.id == self.defaultCacheBehavior.targetOriginId) || (has(self.originGroups) && self.originGroups.exists(g, g.id == self.defaultCacheBehavior.targetOriginId))",
    "must be the id of an origin or an origin group",
    "'must be the id of an origin or an origin group, unlike %s; the origins are %s'.format([[self.defaultCacheBehavior.targetOriginId], self.origins.map(o, o.id)])",
    |spec| {
        let target = text(&spec["defaultCacheBehavior"], "targetOriginId");
        (!is_target(spec, target)).then(|| {
            let (lost, origins) = (list([target]), list(ids(spec, "origins")));
            format!("must be the id of an origin or an origin group, unlike {lost}; the origins are {origins}")
        })
    },
)
.at(".defaultCacheBehavior.targetOriginId");

const TARGETS: Rule = Rule::naming(
    "!has(self.cacheBehaviors) || [self.origins.map(o, o.id)].all(ids, self.cacheBehaviors.all(b, b.targetOriginId in ids || (has(self.originGroups) && self.originGroups.exists(g, g.id == b.targetOriginId))))",
    "must have as targetOriginId the id of an origin or an origin group",
    "'must have as targetOriginId the id of an origin or an origin group, unlike %s; the origins are %s'.format([self.cacheBehaviors.map(b, !self.origins.exists(o, o.id == b.targetOriginId) && !(has(self.originGroups) && self.originGroups.exists(g, g.id == b.targetOriginId)), b.targetOriginId), self.origins.map(o, o.id)])",
    |spec| {
        let targets = items(spec, "cacheBehaviors").map(|behavior| text(behavior, "targetOriginId"));
        let lost: Vec<&str> = targets.filter(|target| !is_target(spec, target)).collect();
        (!lost.is_empty()).then(|| {
            let (lost, origins) = (list(lost), list(ids(spec, "origins")));
            format!("must have as targetOriginId the id of an origin or an origin group, unlike {lost}; the origins are {origins}")
        })
    },
)
.at(".cacheBehaviors");

const GROUP_IDS: Rule = Rule::naming(
    "!has(self.originGroups) || !self.originGroups.exists(g, self.origins.exists(o, o.id == g.id))",
    "must have other ids than the origins",
    "'must have other ids than the origins, unlike %s'.format([self.originGroups.map(g, self.origins.exists(o, o.id == g.id), g.id)])",
    |spec| {
        let both: Vec<&str> = ids(spec, "originGroups").filter(|id| is_origin(spec, id)).collect();
        (!both.is_empty()).then(|| format!("must have other ids than the origins, unlike {}", list(both)))
    },
)
.at(".originGroups");

/// Names the lost members of the first group that has any.
const GROUP_MEMBERS: Rule = Rule::naming(
    "!has(self.originGroups) || [self.origins.map(o, o.id)].all(ids, self.originGroups.all(g, g.members.all(m, m in ids)))",
    "must have ids of origins as members",
    "'must have ids of origins as members, unlike %s; the origins are %s'.format([self.originGroups.map(g, g.members.filter(m, !self.origins.exists(o, o.id == m))).filter(l, size(l) > 0)[0], self.origins.map(o, o.id)])",
    |spec| {
        let lost = items(spec, "originGroups").map(|group| {
            let members = items(group, "members").filter_map(Value::as_str);
            members.filter(|member| !is_origin(spec, member)).collect::<Vec<_>>()
        });
        lost.into_iter().find(|lost| !lost.is_empty()).map(|lost| {
            let (lost, origins) = (list(lost), list(ids(spec, "origins")));
            format!("must have ids of origins as members, unlike {lost}; the origins are {origins}")
        })
    },
)
.at(".originGroups");

/// A viewer without TLS has no certificate, so a behavior for everybody would let in whom `required` keeps out.
const MUTUAL_TLS: Rule = Rule::new(
    "!has(self.viewerMtls) || self.viewerMtls.mode != 'required' || ((has(self.defaultCacheBehavior.viewerProtocolPolicy) ? self.defaultCacheBehavior.viewerProtocolPolicy != 'allow-all' : has(self.viewerCertificate)) && (!has(self.cacheBehaviors) || self.cacheBehaviors.all(b, has(b.viewerProtocolPolicy) ? b.viewerProtocolPolicy != 'allow-all' : has(self.viewerCertificate))))",
    "must not be required while a behavior has the viewerProtocolPolicy allow-all, which is the default without viewerCertificate: set https-only or redirect-to-https in every behavior",
    |spec| {
        let tls_only = |behavior: &Value| match text(behavior, "viewerProtocolPolicy") {
            "" => has(spec, "viewerCertificate"),
            policy => policy != "allow-all",
        };
        text(&spec["viewerMtls"], "mode") != "required"
            || (tls_only(&spec["defaultCacheBehavior"]) && items(spec, "cacheBehaviors").all(tls_only))
    },
)
.at(".viewerMtls.mode");

fn is_target(spec: &Value, id: &str) -> bool {
    is_origin(spec, id) || ids(spec, "originGroups").any(|known| known == id)
}

fn is_origin(spec: &Value, id: &str) -> bool {
    ids(spec, "origins").any(|known| known == id)
}

fn ids<'a>(spec: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    items(spec, field).map(|item| text(item, "id"))
}
