//! WebSockets: from the handshake to the last byte of the tunnel.
//!
//! The data plane has [`handshake`] judge both heads, forwards them itself, takes both connections apart and
//! hands the streams over.
//! Nothing here holds a routing table: what happens to a tunnel is decided by what passes through it, its idle
//! timeout and the orders of its worker.

pub mod handshake;
pub mod side;
