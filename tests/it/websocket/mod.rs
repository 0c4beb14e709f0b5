//! WebSockets through the real data plane: what both endpoints see of a handshake, a tunnel and its end.

mod closing;
mod handshake;
pub(crate) mod peers;
mod tunnel;
