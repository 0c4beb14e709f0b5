//! Bytes on the wire: viewers and origins over loopback, tables made by hand.

mod attempts;
mod http1;
pub(crate) mod rig;
pub(crate) mod tls;
