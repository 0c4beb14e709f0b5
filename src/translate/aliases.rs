//! Who gets a host: every alias is claimed in the order of age, and the older claim holds its ground.
//!
//! - The oldest `creationTimestamp` wins an alias, then namespace and name; an object without timestamp is newer
//!   than any that has one.
//! - Between namespaces, a younger claim below an older wildcard of another namespace is refused: nobody can
//!   take a part of what is already answered. The wildcard that counts is the one which answers for the name so
//!   far, the longest above it.
//! - Within a namespace the more specific name simply wins.
//!
//! Nothing here depends on whether a Distribution is served: a disabled one keeps its aliases.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::inputs::Inputs;
use crate::api::Distribution;
use crate::conditions::facts::{AliasFact, AliasHolder, Finding};
use crate::conditions::reasons::Reason;
use crate::object::ObjectKey;
use crate::table::host::{HostName, HostPattern};

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

/// Why a claim was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    /// The pattern of the older claim: the alias itself or a wildcard above it.
    pub held: HostPattern,
    /// Who holds it, where that is in the loser's namespace: other namespaces' names are not told.
    pub winner: Option<ObjectKey>,
}

/// The claims of each Distribution, in the order of its `aliases`.
pub(super) fn claim(
    distributions: &BTreeMap<ObjectKey, Arc<Distribution>>,
) -> BTreeMap<ObjectKey, Vec<Claim>> {
    let mut by_age: Vec<_> = distributions.iter().collect();
    by_age.sort_by(|one, other| compare_age(*one, *other));
    let mut held = Held::default();
    by_age
        .into_iter()
        .map(|(key, distribution)| {
            let claims = distribution.spec.aliases.iter().map(|alias| held.claim(key, alias)).collect();
            (key.clone(), claims)
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

/// The aliases that are taken, each by the oldest that asked for it.
#[derive(Default)]
struct Held<'a>(BTreeMap<HostPattern, &'a ObjectKey>);

impl<'a> Held<'a> {
    fn claim(&mut self, claimant: &'a ObjectKey, alias: &str) -> Claim {
        let Ok(pattern) = HostPattern::parse(alias) else {
            return Claim::Malformed;
        };
        match self.holder(claimant, &pattern) {
            Some((_, holder)) if holder == claimant => Claim::Held(pattern),
            Some((held, holder)) => {
                let winner = (holder.namespace == claimant.namespace).then(|| holder.clone());
                Claim::Lost(Loss { held, winner })
            }
            None => {
                self.0.insert(pattern.clone(), claimant);
                Claim::Held(pattern)
            }
        }
    }

    /// The older claim that stands against `claimant` having `pattern`, if there is one.
    fn holder(&self, claimant: &ObjectKey, pattern: &HostPattern) -> Option<(HostPattern, &'a ObjectKey)> {
        if let Some(holder) = self.0.get(pattern) {
            return Some((pattern.clone(), holder));
        }
        let (HostPattern::Exact(name) | HostPattern::Wildcard(name)) = pattern;
        self.longest_above(name).filter(|(_, holder)| holder.namespace != claimant.namespace)
    }

    /// The wildcard that answers so far for the names of a pattern with this name or base.
    fn longest_above(&self, name: &HostName) -> Option<(HostPattern, &'a ObjectKey)> {
        name.parents().find_map(|parent| {
            let wildcard = HostPattern::Wildcard(HostName::parse(parent).ok()?);
            let holder = self.0.get(&wildcard)?;
            Some((wildcard, *holder))
        })
    }
}

/// The aliases that a Distribution holds; the others are reported.
pub(super) fn held(inputs: &Inputs, findings: &mut Vec<Finding>) -> Vec<HostPattern> {
    let aliases = &inputs.distribution.spec.aliases;
    if aliases.is_empty() {
        findings.push(Finding {
            reason: Reason::NoAliases,
            field: "spec.aliases".to_owned(),
            message: "spec.aliases is empty; add a host name. No request reaches this Distribution."
                .to_owned(),
        });
    }
    let mut held = Vec::new();
    for (position, (alias, claim)) in aliases.iter().zip(&inputs.claims).enumerate() {
        match claim {
            Claim::Held(pattern) if !held.contains(pattern) => held.push(pattern.clone()),
            Claim::Lost(loss) => {
                findings.push(Finding {
                    reason: Reason::AliasConflict,
                    field: format!("spec.aliases[{position}]"),
                    message: lost(alias, loss),
                });
            }
            // Written twice, or no host name: both were refused with the object.
            Claim::Held(_) | Claim::Malformed => {}
        }
    }
    held
}

fn lost(alias: &str, loss: &Loss) -> String {
    let who = match &loss.winner {
        Some(winner) => format!("Distribution {winner}"),
        None => "a Distribution of another namespace".to_owned(),
    };
    let wildcard = if loss.held.to_string() == alias { String::new() } else { format!(" of {}", loss.held) };
    format!(
        "spec.aliases: {alias:?} is held by {who}, whose claim{wildcard} came first; this Distribution does not \
         answer for it, and takes over when it is given up."
    )
}

/// Who answers for each alias, in the order of the spec.
pub(super) fn facts(inputs: &Inputs) -> Vec<AliasFact> {
    let holder = |claim: &Claim| match claim {
        Claim::Held(_) => AliasHolder::Ours,
        Claim::Lost(_) | Claim::Malformed => AliasHolder::Another,
    };
    let aliases = inputs.distribution.spec.aliases.iter().zip(&inputs.claims);
    aliases.map(|(name, claim)| AliasFact { name: name.clone(), holder: holder(claim) }).collect()
}
