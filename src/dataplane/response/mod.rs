//! What a viewer gets: an origin's answer or one of our own.

pub(crate) mod body;
pub(crate) mod compression;
pub(crate) mod errors;
pub(crate) mod headers;
