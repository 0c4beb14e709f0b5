//! Who the viewer is, where others may stand between: the address and the scheme that policies, balancing,
//! logs and origins are told.
//!
//! What a peer says of others is believed only where the operator named it (`--trusted-proxies`), and then only
//! as far as the chain of those who are trusted goes.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use crate::table::decide::Scheme;
use crate::telemetry::Address;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The networks of those who stand between the viewers and us, and whose word is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// These networks; none trusts nobody.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What an address is worth.
    pub(crate) fn judge(&self, address: IpAddr) -> Trust {
        let address = address.to_canonical();
        let trusted = self.0.iter().any(|network| network.contains(&address));
        if trusted { Trust::Proxy } else { Trust::Stranger }
    }
}

/// Whether somebody's word on others is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It is: a proxy of the operator's.
    Proxy,
    /// It is not.
    Stranger,
    /// It is not, and whose it is is not known: the address is that of a proxy that did not say.
    Hidden,
}

/// The other end of a connection: of the socket, or as a PROXY header names it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) trust: Trust,
    /// The address without its port as header fields carry it; made once a connection.
    pub(super) value: HeaderValue,
}

impl Peer {
    /// A listener on `[::]` sees IPv4 viewers as `::ffff:192.0.2.1`, which no log and no policy should.
    pub(crate) fn new(address: SocketAddr, proxies: &TrustedProxies) -> Self {
        let ip = address.ip().to_canonical();
        Self {
            address: SocketAddr::new(ip, address.port()),
            trust: proxies.judge(ip),
            value: super::forwarded::value(ip.to_string()),
        }
    }

    /// The same where the address is not that of whoever is there.
    pub(crate) fn hidden(self) -> Self {
        Self { trust: Trust::Hidden, ..self }
    }

    /// Who sent a request that came from this peer over a connection of this scheme.
    pub(crate) fn sender(&self, headers: &HeaderMap, scheme: Scheme, proxies: &TrustedProxies) -> Sender {
        match self.trust {
            Trust::Stranger | Trust::Hidden => Sender { address: self.address.into(), scheme },
            Trust::Proxy => Sender {
                address: first_stranger(headers, proxies).unwrap_or_else(|| self.address.into()),
                scheme: announced_scheme(headers).unwrap_or(scheme),
            },
        }
    }
}

/// Who sent a request, and how: the viewer's own address and scheme as far as they can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) address: Address,
    pub(crate) scheme: Scheme,
}

/// `X-Forwarded-For` as it came, several lines as one (RFC 9110 section 5.3).
pub(crate) fn forwarded_for(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(X_FORWARDED_FOR).iter();
    let first = lines.next()?;
    lines.try_fold(first.clone(), |joined, line| appended(&joined, line.as_bytes()))
}

/// A list with one more element.
pub(super) fn appended(list: &HeaderValue, element: &[u8]) -> Option<HeaderValue> {
    let joined = [list.as_bytes(), element].join(b", ".as_slice());
    HeaderValue::from_maybe_shared(Bytes::from(joined)).ok()
}

/// The right-most address of `X-Forwarded-For` that is not a trusted proxy's: each proxy appends whom it saw, so
/// what stands left of a stranger is only that stranger's word. An entry that is no address ends the chain, too.
fn first_stranger(headers: &HeaderMap, proxies: &TrustedProxies) -> Option<Address> {
    // The map's iterator runs backwards, and so the lines are read in the order in which they came last.
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    // An empty list element means nothing (RFC 9110 section 5.6.1.2).
    for entry in entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty()) {
        let address = address(entry)?;
        if proxies.judge(address.ip) == Trust::Stranger {
            return Some(address);
        }
    }
    None
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`: all are in use.
fn address(entry: &[u8]) -> Option<Address> {
    let text = std::str::from_utf8(entry).ok()?;
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.into());
    }
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match bracketed {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().ok().map(|ip| IpAddr::from(ip).into()),
        None => text.parse::<SocketAddr>().ok().map(Address::from),
    }
}

/// `X-Forwarded-Proto`, of several the last one, which the peer itself wrote. Some proxies name the schemes of
/// WebSockets (RFC 6455 section 3).
fn announced_scheme(headers: &HeaderMap) -> Option<Scheme> {
    let line = headers.get_all(X_FORWARDED_PROTO).iter().next_back()?;
    let last = line.as_bytes().rsplit(|byte| *byte == b',').next()?.trim_ascii();
    let is = |names: [&str; 2]| names.iter().any(|name| last.eq_ignore_ascii_case(name.as_bytes()));
    match () {
        () if is(["https", "wss"]) => Some(Scheme::Https),
        () if is(["http", "ws"]) => Some(Scheme::Http),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> TrustedProxies {
        TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:a::/48".parse().unwrap()])
    }

    fn sender(peer: &str, lines: &[(&'static str, &'static str)]) -> (String, &'static str) {
        let peer = Peer::new(peer.parse().unwrap(), &proxies());
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let sender = peer.sender(&headers, Scheme::Http, &proxies());
        (sender.address.to_string(), sender.scheme.as_str())
    }

    #[test]
    fn of_a_trusted_peer_the_right_most_stranger_is_the_viewer() {
        let rows: [(&[&'static str], &str); 19] = [
            (&["192.0.2.7"], "192.0.2.7"),
            (&["6.6.6.6, 192.0.2.7"], "192.0.2.7"),
            (&["6.6.6.6", "192.0.2.7"], "192.0.2.7"),
            (&["192.0.2.7", "10.2.2.2"], "192.0.2.7"),
            (&["6.6.6.6, 192.0.2.7, 10.2.2.2,10.3.3.3"], "192.0.2.7"),
            (&["192.0.2.7:4711"], "192.0.2.7:4711"),
            (&["2001:db8::7"], "2001:db8::7"),
            (&["[2001:db8::7]"], "2001:db8::7"),
            (&["[2001:db8::7]:4711, [2001:db8:a::1]:80"], "[2001:db8::7]:4711"),
            (&["::ffff:192.0.2.7"], "192.0.2.7"),
            (&["192.0.2.7, ,"], "192.0.2.7"),
            // An entry that is no address: nobody knows who wrote what stands before it.
            (&["192.0.2.7, unknown"], "10.1.1.1:5"),
            (&["192.0.2.7, unknown, 10.2.2.2"], "10.1.1.1:5"),
            (&["192.0.2.07"], "10.1.1.1:5"),
            (&["192.0.2.7:99999"], "10.1.1.1:5"),
            (&["[192.0.2.7]"], "10.1.1.1:5"),
            (&["fe80::1%eth0"], "10.1.1.1:5"),
            // Only trusted ones.
            (&["10.2.2.2, 10.3.3.3"], "10.1.1.1:5"),
            (&[""], "10.1.1.1:5"),
        ];
        for (lines, expected) in rows {
            let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            assert_eq!(sender("10.1.1.1:5", &lines).0, expected, "{lines:?}");
            assert_eq!(sender("[::ffff:10.1.1.1]:5", &lines).0, expected, "{lines:?}");
            assert_eq!(sender("192.0.2.99:5", &lines).0, "192.0.2.99:5", "{lines:?}");
        }
    }

    #[test]
    fn of_a_trusted_peer_the_scheme_is_believed() {
        let rows: [(&[&'static str], &str); 8] = [
            (&["https"], "https"),
            (&["HTTPS"], "https"),
            (&["wss"], "https"),
            (&["http, https"], "https"),
            (&["http", "https"], "https"),
            (&["https, http"], "http"),
            (&["gopher"], "http"),
            (&[""], "http"),
        ];
        for (lines, expected) in rows {
            let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-proto", *line)).collect();
            assert_eq!(sender("10.1.1.1:5", &lines).1, expected, "{lines:?}");
            assert_eq!(sender("192.0.2.99:5", &lines).1, "http", "{lines:?}");
        }
    }
}
