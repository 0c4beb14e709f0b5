//! The `tidegate.io/v1alpha1` Distribution API: what users write and what they read back.
//!
//! `foreign` are the kinds of other APIs that have no types in `k8s_openapi`.
//!
//! These are plain values with serde on them.
//! They do not know whether the objects they name exist, who holds a host, or what time it is: that is for `translate` and `conditions`.
//! Unknown fields are ignored on decoding, so that an older binary can still serve a newer object.
//!
//! Start with [`DistributionSpec`], then [`Origin`] and [`Behavior`].
//! What may stand in a field is in `form` (one text) and `rules` (several); [`crd()`] puts both into the schema, and
//! [`validate()`] asks them without an API server.

mod behavior;
mod crd;
mod custom_error_response;
mod defaults;
mod distribution;
mod duration;
mod foreign;
mod form;
mod load_balancing;
mod origin;
mod port_reference;
mod reference;
mod response_headers;
mod rule;
mod rules;
mod schema;
mod status;
mod validate;
mod viewer;
mod websocket;

pub use behavior::{Behavior, CacheBehavior, SourceRanges, ViewerProtocolPolicy};
pub use crd::{crd, crd_yaml};
pub use custom_error_response::CustomErrorResponse;
pub use distribution::{Distribution, DistributionSpec};
pub use duration::{Duration, DurationError};
pub use foreign::{
    Challenge, ChallengeSpec, ReferenceGrant, ReferenceGrantFrom, ReferenceGrantSpec, ReferenceGrantTo,
};
pub(crate) use form::fits_in_header;
pub use load_balancing::{Algorithm, HashOn, LoadBalancing, OutlierDetection, SessionAffinity};
pub use origin::{
    FailoverCriteria, HostHeader, Origin, OriginCustomHeader, OriginGroup, OriginProtocolPolicy, OriginTls,
    SecretKeyReference, ServiceReference,
};
pub use port_reference::PortReference;
pub use reference::reference;
pub use response_headers::{
    ContentSecurityPolicy, ContentTypeOptions, CorsConfig, FrameOption, FrameOptions, ReferrerPolicy,
    ReferrerPolicyValue, ResponseCustomHeader, ResponseHeadersPolicy, SecurityHeadersConfig, ServerTiming,
    StrictTransportSecurity,
};
pub use schema::Violation;
pub use status::{
    AliasState, AliasStatus, CertificateStatus, DistributionState, DistributionStatus, LoadBalancerIngress,
    LoadBalancerStatus, OriginState, OriginStatus,
};
pub use validate::{validate, validate_object};
pub use viewer::{HttpVersion, MtlsMode, ViewerCertificate, ViewerMtls};
pub use websocket::{OnOriginTerminating, Rebalance, WebSocket, WebSocketLimits};
