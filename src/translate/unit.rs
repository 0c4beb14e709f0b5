//! One Distribution: the passes over it in their order, and what they found put together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::acceptance::{self, Acceptance};
use super::inputs::Inputs;
use super::lookup::clause;
use super::origins::CompiledOrigin;
use super::{
    Options, aliases, behaviors, error_pages, groups, origins, viewer_certificate, viewer_mtls, warnings,
};
use crate::api::{Distribution, DistributionSpec, HttpVersion};
use crate::conditions::facts::{DistributionFacts, Finding, Served};
use crate::conditions::reasons::Reason;
use crate::snapshot::Undecodable;
use crate::table::certificate::OwnCertificates;
use crate::table::error_pages::ErrorPages;
use crate::table::host::HostPattern;
use crate::table::origin::{Endpoint, OriginKey};
use crate::table::route::{Route, RouteTarget, Routes, ServingState, ViewerProtocols};

/// What one Distribution contributes.
pub(super) struct Unit {
    /// What it was made from.
    pub inputs: Inputs,
    /// Its behaviors, and the aliases that it holds.
    pub routes: Arc<Routes>,
    /// The endpoints of the origins that its routes go to.
    pub endpoints: BTreeMap<OriginKey, Arc<[Endpoint]>>,
    /// Which of their endpoints stay.
    pub staying: BTreeMap<OriginKey, Arc<[SocketAddr]>>,
    /// What its `viewerCertificate` gave.
    pub certificates: Option<OwnCertificates>,
    /// What was found.
    pub facts: Arc<DistributionFacts>,
}

impl Unit {
    /// Runs the passes. What comes out as it was in `previous` is the very same `Arc`.
    pub(super) fn compile(inputs: Inputs, options: &Options, previous: Option<&Self>) -> Self {
        let distribution = &*inputs.distribution;
        let mut findings = Vec::new();
        let acceptance = acceptance::judge(&inputs, &mut findings);
        let mut held = aliases::held(&inputs, &mut findings);
        let (certificates, certificate_facts) = viewer_certificate::collect(&inputs, &held, &mut findings);
        let tls = viewer_mtls::policy(&inputs, &mut findings);
        let domain_name = inputs.claims.domain_name.clone().map(HostPattern::Exact);
        held.extend(domain_name.filter(|name| !held.contains(name)));
        origins::report_unreadable_slices(&inputs, &mut findings);
        origins::report_unreadable_grants(&inputs, &mut findings);
        let compiled: Vec<_> = distribution
            .spec
            .origins
            .iter()
            .enumerate()
            .map(|origin| origins::compile(&inputs, origin, options, &mut findings))
            .collect();

        let ids = distribution.spec.origins.iter().map(|origin| origin.id.as_str());
        let by_id: BTreeMap<&str, &CompiledOrigin> = ids.zip(&compiled).collect();
        let mut targets: BTreeMap<&str, RouteTarget> =
            by_id.iter().map(|(id, origin)| (*id, origin.target.clone())).collect();
        targets.extend(groups::compile(&distribution.spec, &by_id, &mut findings));
        let (mut ordered, mut default) = behaviors::compile(&distribution.spec, &targets);
        if acceptance == Acceptance::Withheld {
            for route in ordered.iter_mut().chain([&mut default]) {
                (route.target, route.response_headers) = (RouteTarget::Broken, None);
            }
        }

        let error_pages = error_pages::compile(&distribution.spec, &mut findings);
        let facts = DistributionFacts {
            served: served(&inputs, acceptance, &held),
            aliases: aliases::facts(&inputs),
            domain_name: inputs.claims.domain_name.as_ref().map(ToString::to_string),
            origins: compiled.iter().map(|origin| origin.fact.clone()).collect(),
            certificates: certificate_facts,
            findings,
            warnings: warnings::of(&inputs, (&ordered, &default), certificates.as_ref()),
            ..unjudged(&inputs)
        };
        let routes = Routes { error_pages, tls: Arc::new(tls), ..routes(&inputs, held, ordered, default) };
        let (endpoints, staying) = compiled
            .into_iter()
            .flat_map(|origin| origin.endpoints)
            .filter(|(key, _)| routes.iter().any(|route| goes_to(route, key)))
            .map(|(key, collected)| ((key.clone(), collected.serving), (key, collected.staying)))
            .unzip();
        Self {
            routes: keep_equal(routes, previous.map(|unit| &unit.routes)),
            endpoints,
            staying,
            certificates,
            facts: keep_equal(facts, previous.map(|unit| &unit.facts)),
            inputs,
        }
    }
}

fn generation(distribution: &Distribution) -> i64 {
    distribution.metadata.generation.unwrap_or_default()
}

fn served(inputs: &Inputs, acceptance: Acceptance, aliases: &[HostPattern]) -> Served {
    let withheld = acceptance == Acceptance::Withheld || inputs.undecodable.is_some() || aliases.is_empty();
    if withheld { Served::Nothing } else { Served::Yes }
}

fn routes(inputs: &Inputs, aliases: Vec<HostPattern>, ordered: Vec<Route>, default: Route) -> Routes {
    let DistributionSpec { enabled, default_root_object, http_version, .. } = &inputs.distribution.spec;
    Routes {
        distribution: inputs.key.clone(),
        generation: generation(&inputs.distribution),
        state: if *enabled { ServingState::Enabled } else { ServingState::Disabled },
        aliases,
        viewer_protocols: match http_version {
            HttpVersion::Http2 => ViewerProtocols::Http2,
            HttpVersion::Http11 => ViewerProtocols::Http1,
        },
        tls: Arc::default(),
        error_pages: ErrorPages::default(),
        default_root_object: default_root_object.as_ref().map(|object| format!("/{object}")),
        ordered,
        default,
    }
}

fn goes_to(route: &Route, key: &OriginKey) -> bool {
    route.target.origins().any(|origin| origin.key == *key)
}

/// Whom facts are about, before anything is found.
fn unjudged(inputs: &Inputs) -> DistributionFacts {
    let distribution = &*inputs.distribution;
    let newest = inputs.undecodable.as_ref();
    DistributionFacts {
        uid: distribution.metadata.uid.clone().or_else(|| newest?.uid.clone()),
        generation: newest.and_then(|newest| newest.generation).unwrap_or_else(|| generation(distribution)),
        enabled: distribution.spec.enabled,
        served: Served::Nothing,
        aliases: Vec::new(),
        domain_name: None,
        origins: Vec::new(),
        certificates: Vec::new(),
        findings: Vec::new(),
        warnings: Vec::new(),
    }
}

/// The facts of a Distribution of which no version decodes.
pub(super) fn facts_of_unread(problem: &Undecodable) -> DistributionFacts {
    DistributionFacts {
        uid: problem.uid.clone(),
        generation: problem.generation.unwrap_or_default(),
        enabled: true,
        served: Served::Nothing,
        aliases: Vec::new(),
        domain_name: None,
        origins: Vec::new(),
        certificates: Vec::new(),
        findings: vec![Finding {
            reason: Reason::Invalid,
            field: String::new(),
            message: format!("{}. Nothing of it is served.", clause(&problem.message)),
        }],
        warnings: Vec::new(),
    }
}

fn keep_equal<T: PartialEq>(value: T, previous: Option<&Arc<T>>) -> Arc<T> {
    match previous {
        Some(previous) if **previous == value => Arc::clone(previous),
        _ => Arc::new(value),
    }
}
