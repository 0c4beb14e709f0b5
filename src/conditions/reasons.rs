//! The closed lists: condition types, their reasons, and what a reason asks of whom.

use std::fmt;

/// The conditions of a Distribution, in the order in which `Ready` looks at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The spec is served.
    Accepted,
    /// Every Service, port, Secret and CA exists, parses and is allowed.
    ResolvedRefs,
    /// The certificate covers every alias and has not expired.
    CertificateValid,
    /// Every used origin has a serving endpoint.
    OriginsAvailable,
    /// Every live replica served this generation.
    Deployed,
    /// The summary; always present.
    Ready,
    /// Waiting for what may heal by itself; present only then.
    Reconciling,
    /// A person must edit the spec; present only then.
    Stalled,
}

/// Why a condition is not simply true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The spec contradicts the API's rules, or does not decode.
    Invalid,
    /// Another Distribution holds the alias.
    AliasConflict,
    /// There is no alias and no base domain.
    NoAliases,
    /// A field that this version does not serve.
    UnsupportedValue,
    /// The controller has not looked yet.
    Pending,
    /// A Service does not exist.
    BackendNotFound,
    /// A Service does not have the port.
    PortNotFound,
    /// A Secret does not exist, or a ConfigMap that holds authorities in place of one; or a Secret holds no value of a
    /// header under the key that is named.
    SecretNotFound,
    /// A Secret holds no usable certificate and key, or what holds authorities holds none.
    InvalidCertificate,
    /// A reference into another namespace without a grant, or a kind that we may not read.
    RefNotPermitted,
    /// The Service is of type ExternalName.
    ExternalNameForbidden,
    /// The certificate does not name an alias.
    AliasNotCovered,
    /// The certificate has expired; it is still served.
    Expired,
    /// Less than a fifth of the certificate's lifetime is left; the condition stays true.
    ExpiringSoon,
    /// No endpoint serves.
    NoEndpoints,
    /// Replicas have not taken the generation yet.
    InProgress,
    /// A replica does not take the generation.
    ReplicaLagging,
    /// `enabled: false`; `Ready` is true.
    Disabled,
}

/// Who can heal a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// It may heal by itself, or by another object: `Reconciling`.
    Wait,
    /// A person must edit the spec: `Stalled`.
    Edit,
}

impl Reason {
    /// The condition that it belongs to.
    pub fn condition(self) -> ConditionType {
        match self {
            Self::Invalid
            | Self::AliasConflict
            | Self::NoAliases
            | Self::UnsupportedValue
            | Self::Pending => ConditionType::Accepted,
            Self::BackendNotFound
            | Self::PortNotFound
            | Self::SecretNotFound
            | Self::InvalidCertificate
            | Self::RefNotPermitted
            | Self::ExternalNameForbidden => ConditionType::ResolvedRefs,
            Self::AliasNotCovered | Self::Expired | Self::ExpiringSoon => ConditionType::CertificateValid,
            Self::NoEndpoints => ConditionType::OriginsAvailable,
            Self::InProgress | Self::ReplicaLagging => ConditionType::Deployed,
            Self::Disabled => ConditionType::Ready,
        }
    }

    /// Who can heal it; none for what leaves `Ready` true.
    pub fn remedy(self) -> Option<Remedy> {
        match self {
            Self::Invalid | Self::NoAliases | Self::UnsupportedValue | Self::ExternalNameForbidden => {
                Some(Remedy::Edit)
            }
            Self::AliasConflict
            | Self::Pending
            | Self::BackendNotFound
            | Self::PortNotFound
            | Self::SecretNotFound
            | Self::InvalidCertificate
            | Self::RefNotPermitted
            | Self::AliasNotCovered
            | Self::Expired
            | Self::InProgress
            | Self::ReplicaLagging => Some(Remedy::Wait),
            Self::ExpiringSoon | Self::NoEndpoints | Self::Disabled => None,
        }
    }
}

/// What is odd about a Distribution that is served all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WarningKind {
    /// No path reaches a behavior, since those before it match all that it does.
    UnreachableBehavior,
    /// A wildcard alias is for any depth, its certificate for one label.
    WildcardCertificateDepth,
    /// A behavior that is meant for WebSockets redirects those without TLS, which browsers do not follow.
    PlainWebSocketRedirected,
}

// The variants are spelt as the API spells them.
macro_rules! display_as_variant {
    ($($name:ty),*) => {
        $(impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        })*
    };
}

display_as_variant!(ConditionType, Reason, WarningKind);
