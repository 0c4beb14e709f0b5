//! How long the parts of the end may take.

use std::time::Duration;

use clap::Args;

use super::duration::duration;

/// The end of the process.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Ending")]
pub struct Ending {
    /// After SIGTERM: how long everything goes on, while answers ask viewers to leave (`Connection: close`)
    #[arg(
        long,
        env = "TIDEGATE_DRAIN_DELAY",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration
    )]
    pub drain_delay: Duration,

    /// Then: how long requests are still served and WebSockets closed in pace, before the rest is cut
    #[arg(
        long,
        env = "TIDEGATE_DRAIN_TIMEOUT",
        value_name = "DURATION",
        default_value = "45s",
        value_parser = duration
    )]
    pub drain_timeout: Duration,

    /// The time over which those closes of WebSockets are spread, so that clients do not come back as one wave
    #[arg(
        long,
        env = "TIDEGATE_WEBSOCKET_DRAIN_SPREAD",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration
    )]
    pub websocket_drain_spread: Duration,
}
