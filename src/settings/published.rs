//! Where viewers reach us, as the status of each Distribution tells it.

use std::net::IpAddr;
use std::str::FromStr;

use clap::Args;

use crate::object::ObjectKey;

/// Where viewers reach us.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What statuses tell")]
pub struct Published {
    /// Tell the addresses of this Service in `status.loadBalancer` of each Distribution, as an Ingress has it
    ///
    /// Those of its load balancer and its externalIPs. external-dns makes DNS records of them.
    #[arg(long, env = "TIDEGATE_PUBLISH_SERVICE", value_name = "NAMESPACE/NAME")]
    pub publish_service: Option<ObjectKey>,

    /// Tell these addresses or host names there, before those of the Service
    #[arg(long, env = "TIDEGATE_PUBLISH_ADDRESS", value_name = "ADDR,...", value_delimiter = ',')]
    pub publish_address: Vec<PublishedAddress>,
}

/// Where viewers reach us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishedAddress {
    /// An address.
    Ip(IpAddr),
    /// A host name, in lower case.
    HostName(String),
}

/// Neither an address nor a host name.
#[derive(Debug, thiserror::Error)]
#[error("write an address such as 192.0.2.7, or a host name such as gate.example.com")]
pub struct NotAnAddress;

impl FromStr for PublishedAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_label = |label: &str| {
            let hyphen = label.starts_with('-') || label.ends_with('-');
            !hyphen && (1..=63).contains(&label.len()) && label.bytes().all(is_inner)
        };
        // A last label of digits alone is a slip in an address: no such top-level domain exists.
        let digits = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if text.len() > 253 || digits || !text.split('.').all(is_label) {
            return Err(NotAnAddress);
        }
        Ok(Self::HostName(text.to_ascii_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_an_address_or_a_host_name() {
        let host = |name: &str| Some(PublishedAddress::HostName(name.to_owned()));
        let ip = |text: &str| Some(PublishedAddress::Ip(text.parse().unwrap()));
        let rows = [
            ("192.0.2.7", ip("192.0.2.7")),
            ("2001:db8::7", ip("2001:db8::7")),
            ("Gate.example.com", host("gate.example.com")),
            ("localhost", host("localhost")),
            ("192.0.2", None),
            ("192.0.2.300", None),
            ("gate.example.com:443", None),
            ("https://gate.example.com", None),
            ("-gate.example.com", None),
            ("gate..example.com", None),
            ("*.example.com", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }
}
