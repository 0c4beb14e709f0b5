//! What a behavior says about WebSockets: which handshakes pass, and what a tunnel's life is held to.

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
