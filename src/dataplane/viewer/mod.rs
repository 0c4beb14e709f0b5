//! The viewer's side of an exchange: what a request must be, and what of it is passed on.

pub(crate) mod address;
pub(crate) mod body;
pub(crate) mod client_certificate;
mod distinguished_name;
pub(crate) mod forwarded;
pub(crate) mod gate;
pub(crate) mod headers;
pub(crate) mod health;
mod pace;
mod trailers;
