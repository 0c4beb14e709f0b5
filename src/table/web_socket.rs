//! What a behavior says about WebSockets: which handshakes pass, and what a tunnel's life is held to.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use super::web_origin::AllowedOrigins;

/// `webSocket`; the default accepts every handshake and holds its tunnel to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSocketPolicy {
    /// Whether handshakes pass.
    pub handshakes: Handshakes,
    /// From which web origins they pass.
    pub allowed_origins: AllowedOrigins,
    /// A tunnel without a byte in either direction for this long is closed; none never.
    pub idle_timeout: Option<Duration>,
    /// When a tunnel is closed whatever passes; none never.
    pub max_duration: Option<MaxDuration>,
    /// How often viewers are pinged; none never.
    pub ping_interval: Option<Duration>,
    /// What becomes of the tunnels on an endpoint that terminates.
    pub on_origin_terminating: OnOriginTerminating,
    /// Whether tunnels move to endpoints that were added.
    pub rebalance: Option<Rebalance>,
    /// What is limited.
    pub limits: WebSocketLimits,
}

/// What becomes of the tunnels on an endpoint that terminates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOriginTerminating {
    /// They stay until the endpoint ends them.
    #[default]
    Keep,
    /// They are asked to come back, in pace.
    Drain,
}

/// How tunnels move off the busiest endpoint after others were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebalance {
    /// By how much of the mean it may be above the mean, in percent.
    pub max_imbalance_percent: NonZeroU32,
    /// How many of its tunnels are closed, over all workers.
    pub closes_per_second: NonZeroU32,
}

/// `limits`, over all workers; what is none is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebSocketLimits {
    /// Handshakes in flight and open tunnels of the behavior.
    pub max_connections: Option<NonZeroU32>,
    /// Those of one viewer.
    pub max_connections_per_client: Option<NonZeroU32>,
    /// How long a message of the viewer may be, in bytes.
    pub max_message_bytes: Option<NonZeroU64>,
    /// How many messages the viewer may send.
    pub messages_per_second: Option<NonZeroU32>,
}

/// How long a tunnel may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxDuration {
    /// No longer than this.
    pub longest: Duration,
    /// By up to this share less, so that those that came together do not leave together; 0 to 100.
    pub jitter_percent: u8,
}

/// Whether WebSocket handshakes pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handshakes {
    /// They do.
    #[default]
    Accepted,
    /// They get 403.
    Refused,
}
