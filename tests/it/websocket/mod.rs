//! WebSockets through the real data plane: what both endpoints see of a handshake, a tunnel and its end.

mod closing;
mod equality;
mod failover;
mod handshake;
mod lasting;
mod over_http2;
pub(crate) mod peers;
mod scaling;
mod tunnel;
mod vanishing;
