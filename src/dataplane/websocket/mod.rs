//! WebSockets: from the handshake to the last byte of the tunnel.
//!
//! The data plane has [`handshake`] judge both heads and forwards them itself. Before it does, it is admitted by
//! its worker's [`registry`]; after the 101 it takes both connections apart and gives the streams to
//! [`tunnel::run`].
//! Nothing here holds a routing table: what happens to a tunnel is decided by what passes through it, its idle
//! timeout and the orders of its worker.

mod buffers;
mod chunk;
pub(crate) mod closing;
mod flow;
pub(crate) mod frames;
pub(crate) mod handshake;
pub(crate) mod life;
mod messages;
mod pace;
mod pings;
pub(crate) mod places;
pub(crate) mod rebalance;
pub(crate) mod registry;
pub(crate) mod side;
#[cfg(test)]
mod tests;
pub(crate) mod tunnel;

use std::time::Duration;

pub use registry::{Labels, Listed, Tally};

/// The waits of tunnels; what a Distribution sets itself stands in its behavior.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// From the decision to close, for a frame under way to end, the Close frames to be answered and both
    /// connections to end; what is left is reset.
    pub goodbye: Duration,
    /// From the end of one direction to that of the other.
    pub half_closed: Duration,
    /// Over how long at most a worker spreads the closes when a Distribution or an endpoint goes.
    pub spread: Duration,
    /// The same for an endpoint that terminates: pods are killed after 30 s, where they do not say otherwise, and
    /// their sockets should have been closed politely before that.
    pub termination: Duration,
    /// Between two of those closes, where they are so few that the spread has room for more.
    pub pace: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            goodbye: Duration::from_secs(5),
            half_closed: Duration::from_secs(10),
            spread: Duration::from_secs(30),
            termination: Duration::from_secs(20),
            pace: Duration::from_millis(10),
        }
    }
}
