//! Who gets a host: every alias is claimed in the order of age, and the older claim holds its ground.
//!
//! - The oldest `creationTimestamp` wins an alias, then namespace and name; an object without timestamp is newer
//!   than any that has one.
//! - Between namespaces, a younger claim below an older wildcard of another namespace is refused: nobody can
//!   take a part of what is already answered. The wildcard that counts is the one which answers for the name so
//!   far, the longest above it.
//!   The one who holds it may delegate to namespaces (`delegateAliasesTo`): their claims stand, and from then on
//!   it is their wildcard that counts for what lies under it.
//! - Within a namespace the more specific name simply wins.
//! - What lies under the base domain is nobody's to claim: there every Distribution has its own name.
//!
//! Nothing here depends on whether a Distribution is served: a disabled one keeps its aliases.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::base_domain::BaseDomain;
use super::inputs::Inputs;
use crate::api::Distribution;
use crate::conditions::facts::{AliasFact, AliasHolder, Finding};
use crate::conditions::reasons::Reason;
use crate::object::ObjectKey;
use crate::table::host::{HostName, HostPattern};

/// What came of what a Distribution claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// Its aliases, in the order of the spec.
    pub aliases: Vec<Claim>,
    /// Its name under the base domain.
    pub domain_name: Option<HostName>,
}

/// What came of one alias of a Distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is this Distribution's.
    Held(HostPattern),
    /// Another Distribution was first.
    Lost(Loss),
    /// It is no host name.
    Malformed,
}

/// Why a claim was lost. What is another namespace's is not told: neither its names nor its wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The alias is held; by whom, where that is in the loser's namespace.
    Held(Option<ObjectKey>),
    /// It lies under the older wildcard of another namespace, which delegates nothing to this one.
    Covered,
    /// It lies under the base domain, where every Distribution has one name.
    Reserved,
}

/// The claims of each Distribution.
pub(super) fn claim(
    distributions: &BTreeMap<ObjectKey, Arc<Distribution>>,
    base_domain: Option<&BaseDomain>,
) -> BTreeMap<ObjectKey, Claims> {
    let mut by_age: Vec<_> = distributions.iter().collect();
    by_age.sort_by(|one, other| compare_age(*one, *other));
    let names = base_domain.map(|domain| domain.names(by_age.iter().map(|(key, _)| *key)));
    let names = names.unwrap_or_default();
    let mut held = Held { base_domain, patterns: BTreeMap::new() };
    by_age
        .into_iter()
        .map(|(key, distribution)| {
            let domain_name = names.get(key).cloned();
            let claimant = Claimant { key, delegates_to: &distribution.spec.delegate_aliases_to };
            let aliases = distribution.spec.aliases.iter();
            let aliases = aliases.map(|alias| held.claim(claimant, domain_name.as_ref(), alias)).collect();
            (key.clone(), Claims { aliases, domain_name })
        })
        .collect()
}

fn compare_age(
    (one_key, one): (&ObjectKey, &Arc<Distribution>),
    (other_key, other): (&ObjectKey, &Arc<Distribution>),
) -> Ordering {
    let age = |distribution: &Distribution| {
        let created = distribution.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created.is_none(), created)
    };
    age(one).cmp(&age(other)).then_with(|| one_key.cmp(other_key))
}

/// Who claims, and whom it lets claim under its wildcards.
#[derive(Clone, Copy)]
struct Claimant<'a> {
    key: &'a ObjectKey,
    delegates_to: &'a [String],
}

impl Claimant<'_> {
    /// Whether names under its wildcards are open to a namespace: its own always.
    fn delegates_to(&self, namespace: &str) -> bool {
        self.key.namespace == namespace
            || self.delegates_to.iter().any(|named| named == "*" || named == namespace)
    }
}

/// The aliases that are taken, each by the oldest that asked for it.
struct Held<'a> {
    base_domain: Option<&'a BaseDomain>,
    patterns: BTreeMap<HostPattern, Claimant<'a>>,
}

impl<'a> Held<'a> {
    /// Claims an alias for `claimant`, whose name under the base domain is `domain_name`.
    fn claim(&mut self, claimant: Claimant<'a>, domain_name: Option<&HostName>, alias: &str) -> Claim {
        let Ok(pattern) = HostPattern::parse(alias) else {
            return Claim::Malformed;
        };
        if self.base_domain.is_some_and(|domain| domain.reserves(&pattern)) {
            let is_own = matches!(&pattern, HostPattern::Exact(name) if Some(name) == domain_name);
            return if is_own { Claim::Held(pattern) } else { Claim::Lost(Loss::Reserved) };
        }
        if let Some(holder) = self.patterns.get(&pattern) {
            if holder.key == claimant.key {
                return Claim::Held(pattern);
            }
            let winner = (holder.key.namespace == claimant.key.namespace).then(|| holder.key.clone());
            return Claim::Lost(Loss::Held(winner));
        }
        let (HostPattern::Exact(name) | HostPattern::Wildcard(name)) = &pattern;
        let above = self.longest_above(name);
        if above.is_some_and(|holder| !holder.delegates_to(&claimant.key.namespace)) {
            return Claim::Lost(Loss::Covered);
        }
        self.patterns.insert(pattern.clone(), claimant);
        Claim::Held(pattern)
    }

    /// Who holds the wildcard that answers so far for the names of a pattern with this name or base.
    fn longest_above(&self, name: &HostName) -> Option<Claimant<'a>> {
        name.parents().find_map(|parent| {
            let wildcard = HostPattern::Wildcard(HostName::parse(parent).ok()?);
            self.patterns.get(&wildcard).copied()
        })
    }
}

/// The aliases that a Distribution holds; the others are reported.
pub(super) fn held(inputs: &Inputs, findings: &mut Vec<Finding>) -> Vec<HostPattern> {
    let aliases = &inputs.distribution.spec.aliases;
    if aliases.is_empty() && inputs.claims.domain_name.is_none() {
        findings.push(Finding {
            reason: Reason::NoAliases,
            field: "spec.aliases".to_owned(),
            message: "spec.aliases is empty; add a host name. No request reaches this Distribution."
                .to_owned(),
        });
    }
    let mut held = Vec::new();
    for (position, (alias, claim)) in aliases.iter().zip(&inputs.claims.aliases).enumerate() {
        match claim {
            Claim::Held(pattern) if !held.contains(pattern) => held.push(pattern.clone()),
            Claim::Lost(loss) => {
                findings.push(Finding {
                    reason: Reason::AliasConflict,
                    field: format!("spec.aliases[{position}]"),
                    message: lost(alias, loss, inputs),
                });
            }
            // Written twice, or no host name: both were refused with the object.
            Claim::Held(_) | Claim::Malformed => {}
        }
    }
    held
}

fn lost(alias: &str, loss: &Loss, inputs: &Inputs) -> String {
    let why = match loss {
        Loss::Held(Some(winner)) => {
            format!("is held by Distribution {winner}, whose claim came first; {TAKES_OVER}")
        }
        Loss::Held(None) => {
            format!("is held by a Distribution of another namespace, whose claim came first; {TAKES_OVER}")
        }
        Loss::Covered => format!(
            "lies under a wildcard that a Distribution of another namespace claimed first; {TAKES_OVER}, or when \
             that one names namespace {:?} in delegateAliasesTo",
            inputs.key.namespace
        ),
        Loss::Reserved => match &inputs.claims.domain_name {
            Some(name) => format!("lies under the base domain, where this Distribution is {name}; remove it"),
            None => {
                "lies under the base domain, whose names are given by the controller; remove it".to_owned()
            }
        },
    };
    format!("spec.aliases: {alias:?} {why}.")
}

/// What comes of a claim that was lost to another.
const TAKES_OVER: &str = "this Distribution does not answer for it, and takes over when it is given up";

/// Who answers for each alias, in the order of the spec.
pub(super) fn facts(inputs: &Inputs) -> Vec<AliasFact> {
    let holder = |claim: &Claim| match claim {
        Claim::Held(_) => AliasHolder::Ours,
        Claim::Lost(_) | Claim::Malformed => AliasHolder::Another,
    };
    let aliases = inputs.distribution.spec.aliases.iter().zip(&inputs.claims.aliases);
    aliases.map(|(name, claim)| AliasFact { name: name.clone(), holder: holder(claim) }).collect()
}
