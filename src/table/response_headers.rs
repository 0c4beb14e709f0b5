//! `responseHeadersPolicy`: what the heads of a behavior's answers lose and gain, as names and values that are ready.
//!
//! First out with what viewers are not to get, then in with what they are, so that a field which is on both lists is
//! there in the end (CloudFront Developer Guide, "Understand response headers policies").

use http::{HeaderName, HeaderValue};

use super::cors::Cors;

/// What becomes of the heads of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHeaders {
    /// Fields of the origin's that viewers do not get.
    pub removed: Vec<HeaderName>,
    /// Who of other web origins may read.
    pub cors: Option<Cors>,
    /// Fields that viewers get, in their order.
    pub added: Vec<Added>,
    /// Whether viewers are told where the time went.
    pub server_timing: ServerTiming,
}

/// A field that answers get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its name.
    pub name: HeaderName,
    /// Its value.
    pub value: HeaderValue,
    /// Whose value stands where the origin has one, too.
    pub precedence: Precedence,
    /// Which answers get it.
    pub over: Over,
}

/// Who has the last word on a field that both the origin and a policy have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precedence {
    /// The policy (`override: true`).
    Policy,
    /// The origin.
    Origin,
}

/// How a viewer must have come to get a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// In any way.
    Any,
    /// Over HTTPS, as far as policies are concerned.
    Https,
}

/// Whether `Server-Timing` is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTiming {
    /// It is.
    Told,
    /// It is not.
    Untold,
}
