//! Who is let in, and what is believed of them: the operator's choices.

use std::num::NonZeroUsize;

use super::viewer::address::TrustedProxies;
use crate::settings::{ProxyProtocol, UnderscoreHeaders};

/// The rules of the way from an accepted connection to a request that is judged; the default asks nothing of
/// anybody and trusts nobody.
#[derive(Clone, Debug)]
pub struct Entrance {
    /// Whose word on others is taken: in `X-Forwarded-*` and in PROXY headers.
    pub trusted_proxies: TrustedProxies,
    /// Whether they send PROXY headers.
    pub proxy_protocol: ProxyProtocol,
    /// How many connections may be open; past it new ones are closed at once.
    pub max_connections: NonZeroUsize,
    /// How many of them one address may have, or one /64 over IPv6. A trusted proxy may have any number.
    pub max_connections_per_ip: Option<NonZeroUsize>,
    /// What happens to header fields with `_` in their names.
    pub underscore_headers: UnderscoreHeaders,
    /// The path of probes at hosts that no Distribution owns.
    pub health_path: Option<String>,
}

impl Default for Entrance {
    fn default() -> Self {
        Self {
            trusted_proxies: TrustedProxies::default(),
            proxy_protocol: ProxyProtocol::Off,
            max_connections: NonZeroUsize::MAX,
            max_connections_per_ip: None,
            underscore_headers: UnderscoreHeaders::Drop,
            health_path: None,
        }
    }
}
