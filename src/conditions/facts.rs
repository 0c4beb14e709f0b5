//! What translation found about each Distribution, without time or fleet.
//!
//! A fact names what is wrong and where; which condition it turns into, and what that means for `Ready`, is
//! decided in [`super::finish`].

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::reasons::{Reason, WarningKind};
use crate::object::ObjectKey;

/// The facts of one translation, by Distribution. Those of an unchanged unit are the very same `Arc`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(pub BTreeMap<ObjectKey, Arc<DistributionFacts>>);

impl Facts {
    /// All that is wrong with one Distribution, in the words of its conditions.
    pub fn told(&self, key: &ObjectKey) -> Vec<String> {
        let findings = self.0.get(key).into_iter().flat_map(|facts| &facts.findings);
        findings.map(|finding| finding.message.clone()).collect()
    }
}

/// What is known of one Distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistributionFacts {
    /// The object's `metadata.uid`; none in files.
    pub uid: Option<String>,
    /// The generation that was judged. With a version that does not decode this is the newest one, though an
    /// older one is served.
    pub generation: i64,
    /// `spec.enabled`.
    pub enabled: bool,
    /// How much of this generation is served.
    pub served: Served,
    /// The aliases in the order of the spec, and who holds each.
    pub aliases: Vec<AliasFact>,
    /// The name under the base domain, where there is one.
    pub domain_name: Option<String>,
    /// The origins in the order of the spec.
    pub origins: Vec<OriginFact>,
    /// The certificates that viewers may be shown, in the order of the spec; none without TLS.
    pub certificates: Vec<CertificateFact>,
    /// What is wrong, in the order in which it was found; the first of a condition gives its reason.
    pub findings: Vec<Finding>,
    /// What is odd but works.
    pub warnings: Vec<Warning>,
}

/// How much of a generation is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// All that it says, or all but what findings name.
    Yes,
    /// Nothing of it: no host at all, or only those of an older generation.
    Nothing,
}

/// One alias of a Distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasFact {
    /// As the spec writes it.
    pub name: String,
    /// Whether this Distribution answers for it.
    pub holder: AliasHolder,
}

/// Who answers for an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AliasHolder {
    /// This Distribution.
    Ours,
    /// Another one; a finding says what may be told of it.
    Another,
}

/// One origin of a Distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginFact {
    /// `origins[].id`.
    pub id: String,
    /// Whether it can be reached; counts would change with every pod.
    pub state: OriginState,
    /// Why not; none where it is available.
    pub reason: Option<Reason>,
}

/// Whether an origin can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginState {
    /// It has at least one endpoint that serves.
    Available,
    /// Its Service and port exist, but no endpoint serves.
    NoEndpoints,
    /// Its Service or port does not exist, or may not be used.
    NotFound,
}

/// A certificate of a Distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFact {
    /// The Secret it comes from.
    pub secret: ObjectKey,
    /// The start of its validity.
    pub not_before: Timestamp,
    /// The end of its validity.
    pub not_after: Timestamp,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Why, from the closed list; the reason says which condition it makes false.
    pub reason: Reason,
    /// The field of the Distribution that it is about, `spec.origins[0].service.name`; empty for the object.
    pub field: String,
    /// Field path, object, what is wrong, the nearest candidate, and what traffic gets meanwhile.
    pub message: String,
}

/// One thing that is odd but works: no condition fails for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Which, from the closed list.
    pub kind: WarningKind,
    /// The field of the Distribution that it is about.
    pub field: String,
    /// Field path, what is odd, and what to do about it.
    pub message: String,
}

impl DistributionFacts {
    /// The certificate that ends first.
    pub(crate) fn first_to_expire(&self) -> Option<&CertificateFact> {
        self.certificates.iter().min_by_key(|certificate| certificate.not_after)
    }
}
