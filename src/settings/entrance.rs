//! Who is let in, and what is believed of them.

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::network::network;

/// The way from an accepted connection to a request that is judged.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Who is let in")]
pub struct Entrance {
    /// Peers that stand between viewers and us, and whose `X-Forwarded-*` is believed: networks, or addresses
    ///
    /// The viewer is then the right-most address in `X-Forwarded-For` that is not one of these, and
    /// `X-Forwarded-Proto` is its scheme for every policy.
    #[arg(
        long,
        env = "TIDEGATE_TRUSTED_PROXIES",
        value_name = "CIDR,...",
        value_delimiter = ',',
        value_parser = network
    )]
    pub trusted_proxies: Vec<IpNet>,

    /// Whether these send PROXY protocol headers, version 1 or 2, that say who the viewer is
    ///
    /// `accept` also serves them without a header; `require` serves nobody without one.
    /// From then on it is the viewer named there whose `X-Forwarded-*` is believed, or not.
    #[arg(
        long,
        env = "TIDEGATE_PROXY_PROTOCOL",
        value_name = "off|accept|require",
        default_value = "off",
        value_enum,
        hide_possible_values = true
    )]
    pub proxy_protocol: ProxyProtocol,

    /// What happens to header fields with `_` in their names, which many origins take for `-`
    ///
    /// `drop` leaves them out and counts them, `refuse` answers 400.
    #[arg(
        long,
        env = "TIDEGATE_UNDERSCORE_HEADERS",
        value_name = "drop|refuse",
        default_value = "drop",
        value_enum,
        hide_possible_values = true
    )]
    pub underscore_headers: UnderscoreHeaders,

    /// Viewer connections that may be open; past it new ones are closed at once
    ///
    /// Without this flag 80 % of the file descriptors that the process may have.
    #[arg(long, env = "TIDEGATE_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<NonZeroUsize>,

    /// How many of them one viewer's address may have; 0 for any number
    ///
    /// Over IPv6 it is the /64 that counts. A trusted proxy may have any number, since its viewers are many.
    #[arg(long, env = "TIDEGATE_MAX_CONNECTIONS_PER_IP", value_name = "N", default_value_t = 0)]
    max_connections_per_ip: usize,

    /// A path that answers 200 for hosts that no Distribution owns, and 503 from SIGTERM on
    ///
    /// For load balancers that probe the port of the traffic.
    #[arg(long, env = "TIDEGATE_VIEWER_HEALTH_PATH", value_name = "PATH", value_parser = path)]
    pub viewer_health_path: Option<String>,
}

impl Entrance {
    /// How many connections one viewer's address may have; none for any number.
    pub fn max_connections_per_ip(&self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(self.max_connections_per_ip)
    }
}

/// Whether PROXY headers are read from trusted peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProxyProtocol {
    /// They are not: the first bytes are TLS or HTTP.
    Off,
    /// They are, where a connection begins with one.
    Accept,
    /// They are, and a connection without one is closed.
    Require,
}

/// What happens to header fields with `_` in their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UnderscoreHeaders {
    /// They are left out and counted.
    Drop,
    /// The request is refused.
    Refuse,
}

/// A path as requests have it, without a query.
fn path(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\');
    if text.starts_with('/') && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err("write a path that begins with `/`, such as /healthz, without a query".to_owned())
}
