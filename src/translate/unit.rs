//! One Distribution: the passes over it in their order, and what they found put together.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Options;
use super::aliases::{Claim, Loss};
use super::certificates::Loaded;
use super::inputs::{Inputs, NamedSecret};
use super::lookup::{Trouble, did_you_mean};
use super::unserved::{self, Effect};
use super::{behaviors, origins};
use crate::api::{Distribution, DistributionSpec};
use crate::conditions::facts::{AliasFact, AliasHolder, CertificateFact, DistributionFacts, Finding, Served};
use crate::conditions::reasons::Reason;
use crate::snapshot::Undecodable;
use crate::table::certificate::OwnCertificate;
use crate::table::host::HostPattern;
use crate::table::origin::{Endpoint, OriginKey};
use crate::table::route::{Route, RouteTarget, Routes, ServingState};

/// What one Distribution contributes.
pub(super) struct Unit {
    /// What it was made from.
    pub inputs: Inputs,
    /// Its behaviors, and the aliases that it holds.
    pub routes: Arc<Routes>,
    /// The endpoints of the origins that its routes go to.
    pub endpoints: BTreeMap<OriginKey, Arc<[Endpoint]>>,
    /// What its `viewerCertificate` gave.
    pub certificate: Option<OwnCertificate>,
    /// What was found.
    pub facts: Arc<DistributionFacts>,
}

impl Unit {
    /// Runs the passes. What comes out as it was in `previous` is the very same `Arc`.
    pub(super) fn compile(inputs: Inputs, options: &Options, previous: Option<&Self>) -> Self {
        let distribution = &*inputs.distribution;
        let mut findings = Vec::new();
        let acceptance = accept(&inputs, &mut findings);
        let aliases = held_aliases(&inputs, &mut findings);
        let mut compiled: Vec<_> = distribution
            .spec
            .origins
            .iter()
            .enumerate()
            .map(|origin| origins::compile(&inputs, origin, options.endpoint_addresses, &mut findings))
            .collect();
        let (certificate, certificate_fact) = certificate(&inputs, &aliases, &mut findings);

        let usable =
            compiled.iter().map(|origin| origin.usable.as_ref().map(|usable| Arc::clone(&usable.origin)));
        let by_id = distribution.spec.origins.iter().map(|origin| origin.id.as_str()).zip(usable).collect();
        let (mut ordered, mut default) = behaviors::compile(&distribution.spec, &by_id, &mut findings);
        if acceptance == Acceptance::Withheld {
            ordered.iter_mut().chain([&mut default]).for_each(|route| route.target = RouteTarget::Broken);
        }

        let facts = DistributionFacts {
            served: served(&inputs, acceptance, &aliases),
            aliases: alias_facts(&inputs),
            origins: compiled.iter().map(|origin| origin.fact.clone()).collect(),
            certificate: certificate_fact,
            findings,
            ..unjudged(&inputs)
        };
        let routes = routes(&inputs, aliases, ordered, default);
        let endpoints = compiled
            .drain(..)
            .filter_map(|origin| origin.usable)
            .filter(|usable| routes.iter().any(|route| goes_to(route, &usable.origin.key)))
            .map(|usable| (usable.origin.key.clone(), usable.endpoints))
            .collect();
        Self {
            routes: keep_equal(routes, previous.map(|unit| &unit.routes)),
            endpoints,
            certificate,
            facts: keep_equal(facts, previous.map(|unit| &unit.facts)),
            inputs,
        }
    }
}

/// Whether a spec may be served at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Acceptance {
    Served,
    Withheld,
}

/// Looks at the object as a whole: whether it is understood, and whether all that it demands is served.
fn accept(inputs: &Inputs, findings: &mut Vec<Finding>) -> Acceptance {
    let mut acceptance = Acceptance::Served;
    if let Some(Undecodable { message, .. }) = &inputs.undecodable {
        let kept = generation(&inputs.distribution);
        findings.push(Finding {
            reason: Reason::Invalid,
            message: format!("KeptLastGood: {message}. Generation {kept} is still served."),
        });
    }
    for found in unserved::of_distribution(&inputs.distribution.spec, &inputs.key.namespace) {
        let field = format!("spec.{}", found.field);
        findings.push(match found.effect {
            Effect::Withheld => {
                acceptance = Acceptance::Withheld;
                let message = format!("{field} is not served by this version. All requests get 503.");
                Finding { reason: Reason::UnsupportedValue, message }
            }
            Effect::ServedWithout => Finding::served_without(&field),
        });
    }
    acceptance
}

fn generation(distribution: &Distribution) -> i64 {
    distribution.metadata.generation.unwrap_or_default()
}

fn held_aliases(inputs: &Inputs, findings: &mut Vec<Finding>) -> Vec<HostPattern> {
    let aliases = &inputs.distribution.spec.aliases;
    if aliases.is_empty() {
        findings.push(Finding {
            reason: Reason::NoAliases,
            message: "spec.aliases is empty; add a host name. No request reaches this Distribution."
                .to_owned(),
        });
    }
    let mut held = Vec::new();
    for (alias, claim) in aliases.iter().zip(&inputs.claims) {
        match claim {
            Claim::Held(pattern) if !held.contains(pattern) => held.push(pattern.clone()),
            Claim::Held(_) => {}
            Claim::Lost(loss) => {
                findings.push(Finding { reason: Reason::AliasConflict, message: lost(alias, loss) });
            }
            Claim::Malformed => findings.push(Finding {
                reason: Reason::Invalid,
                message: format!("spec.aliases: {alias:?} is not a host name; it is not served."),
            }),
        }
    }
    held
}

fn lost(alias: &str, loss: &Loss) -> String {
    let who = match &loss.winner {
        Some(winner) => format!("Distribution {winner}"),
        None => "a Distribution of another namespace".to_owned(),
    };
    let under = if loss.held.to_string() == alias { String::new() } else { format!(" under {}", loss.held) };
    format!(
        "spec.aliases: {alias:?} belongs to {who}, which is older and holds it{under}; this Distribution does not \
         answer for it and takes over when it is given up."
    )
}

fn alias_facts(inputs: &Inputs) -> Vec<AliasFact> {
    let holder = |claim: &Claim| match claim {
        Claim::Held(_) => AliasHolder::Ours,
        Claim::Lost(_) | Claim::Malformed => AliasHolder::Another,
    };
    let aliases = inputs.distribution.spec.aliases.iter().zip(&inputs.claims);
    aliases.map(|(name, claim)| AliasFact { name: name.clone(), holder: holder(claim) }).collect()
}

fn certificate(
    inputs: &Inputs,
    aliases: &[HostPattern],
    findings: &mut Vec<Finding>,
) -> (Option<OwnCertificate>, Option<CertificateFact>) {
    const REFUSED: &str = "TLS is refused for its aliases.";
    if inputs.distribution.spec.viewer_certificate.is_none() {
        return (None, None);
    }
    let loaded = inputs.certificate.as_ref().and_then(|named| {
        report_secret(named, REFUSED, findings);
        Some((named, named.lookup.found.as_ref()?.usable()?))
    });
    let Some((named, loaded)) = loaded else {
        let message = format!("no certificate could be loaded, so no alias is covered. {REFUSED}");
        findings.push(Finding { reason: Reason::AliasNotCovered, message });
        return (Some(OwnCertificate::Unusable), None);
    };
    for alias in aliases.iter().filter(|alias| !covers(loaded, alias)) {
        let secret = &named.key;
        let message = format!(
            "the certificate in Secret {secret} does not name {:?}; viewers refuse it there. Add the name.",
            alias.to_string()
        );
        findings.push(Finding { reason: Reason::AliasNotCovered, message });
    }
    let Loaded { certificate, not_before, not_after } = &**loaded;
    let fact = CertificateFact { secret: named.key.clone(), not_before: *not_before, not_after: *not_after };
    (Some(OwnCertificate::Usable(Arc::clone(certificate))), Some(fact))
}

/// What is wrong with the Secret itself.
fn report_secret(named: &NamedSecret, refused: &str, findings: &mut Vec<Finding>) {
    let (key, lookup) = (&named.key, &named.lookup);
    let usable = lookup.found.as_ref().is_some_and(|found| found.usable().is_some());
    let mut report = |reason, problem: &str| {
        let problem = format!("viewerCertificate.secretName: Secret {key} {problem}");
        let message = if usable {
            format!("KeptLastGood: {problem}. Its last good certificate is still shown.")
        } else {
            format!("{problem}. {refused}")
        };
        findings.push(Finding { reason, message });
    };
    match &lookup.trouble {
        Some(Trouble::KindUnreadable(sentence)) => {
            report(Reason::RefNotPermitted, &format!("cannot be read: {sentence}"));
        }
        Some(Trouble::Undecodable(sentence)) => {
            report(Reason::InvalidCertificate, &format!("does not decode: {sentence}"));
        }
        None => match &lookup.found {
            Some(found) => {
                if let Some(problem) = found.problem() {
                    report(Reason::InvalidCertificate, problem);
                }
            }
            None => findings.push(Finding {
                reason: Reason::SecretNotFound,
                message: format!(
                    "viewerCertificate.secretName: Secret {key} not found{} {refused}",
                    did_you_mean(lookup.nearest.as_deref())
                ),
            }),
        },
    }
}

/// Whether the certificate names an alias. That of `*.example.com` is for one label more only, while the alias is
/// for any depth; it is the best that a certificate can say.
fn covers(loaded: &Loaded, alias: &HostPattern) -> bool {
    match alias {
        HostPattern::Exact(name) => loaded.certificate.covers(name),
        HostPattern::Wildcard(_) => loaded.certificate.names.contains(alias),
    }
}

fn served(inputs: &Inputs, acceptance: Acceptance, aliases: &[HostPattern]) -> Served {
    let withheld = acceptance == Acceptance::Withheld || inputs.undecodable.is_some() || aliases.is_empty();
    if withheld { Served::Nothing } else { Served::Yes }
}

fn routes(inputs: &Inputs, aliases: Vec<HostPattern>, ordered: Vec<Route>, default: Route) -> Routes {
    let DistributionSpec { enabled, default_root_object, .. } = &inputs.distribution.spec;
    Routes {
        distribution: inputs.key.clone(),
        generation: generation(&inputs.distribution),
        state: if *enabled { ServingState::Enabled } else { ServingState::Disabled },
        aliases,
        default_root_object: default_root_object.as_ref().map(|object| format!("/{object}")),
        ordered,
        default,
    }
}

fn goes_to(route: &Route, key: &OriginKey) -> bool {
    matches!(&route.target, RouteTarget::Origin(origin) if origin.key == *key)
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
        origins: Vec::new(),
        certificate: None,
        findings: Vec::new(),
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
        origins: Vec::new(),
        certificate: None,
        findings: vec![Finding {
            reason: Reason::Invalid,
            message: format!("{}. Nothing of it is served.", problem.message),
        }],
    }
}

fn keep_equal<T: PartialEq>(value: T, previous: Option<&Arc<T>>) -> Arc<T> {
    match previous {
        Some(previous) if **previous == value => Arc::clone(previous),
        _ => Arc::new(value),
    }
}
