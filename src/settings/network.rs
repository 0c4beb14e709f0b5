//! A network as flags write it.

use std::net::IpAddr;

use ipnet::IpNet;

/// A network, or an address, which stands for itself.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let single = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse()
        .or_else(|_| single())
        .map_err(|_| "write a network such as 10.0.0.0/8, or an address".to_owned())
}
