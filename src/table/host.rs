//! Host names as a type: lower-cased and checked once, compared as bytes afterwards.
//!
//! It does not know ports: `Host: example.com:8443` is split by [`Authority::parse`] before a name is made.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A DNS name in lower case without a trailing dot, at most 253 octets (RFC 1035, RFC 9110 section 7.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Arc<str>);

/// Why a text is not a host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host name; write lower-case labels of letters, digits and `-`, joined by dots")]
pub struct NotAHostName;

impl HostName {
    /// Reads a name in any case; one trailing dot is dropped.
    ///
    /// # Errors
    /// [`NotAHostName`] for an empty name or label, a label over 63 octets, a name over 253, and any octet
    /// other than letters, digits, `-` and `_` (which some internal names carry).
    pub fn parse(text: &str) -> Result<Self, NotAHostName> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err(NotAHostName);
        }
        Ok(if name.bytes().any(|b| b.is_ascii_uppercase()) {
            Self(name.to_ascii_lowercase().into())
        } else {
            Self(name.into())
        })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names above this one, the longest first: `b.c`, then `c` for `a.b.c`.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.as_str();
        std::iter::from_fn(move || {
            (_, rest) = rest.split_once('.')?;
            Some(rest)
        })
    }
}

fn is_label(label: &str) -> bool {
    let octets = label.as_bytes();
    let inner = octets.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    (1..=63).contains(&octets.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
}

impl Borrow<str> for HostName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An alias: one name, or every name below one, at any depth.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// Exactly this name.
    Exact(HostName),
    /// `*.` and this name: every name that ends in `.` and it.
    Wildcard(HostName),
}

impl HostPattern {
    /// Reads an alias as the API writes it (`www.example.com`, `*.example.com`).
    ///
    /// # Errors
    /// [`NotAHostName`], also for a `*` anywhere but as the first label.
    pub fn parse(alias: &str) -> Result<Self, NotAHostName> {
        match alias.strip_prefix("*.") {
            Some(base) => HostName::parse(base).map(Self::Wildcard),
            None => HostName::parse(alias).map(Self::Exact),
        }
    }

    /// Whether `name` falls under this alias.
    pub fn matches(&self, name: &HostName) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Wildcard(base) => name.parents().any(|parent| parent == base.as_str()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(f, "{name}"),
            Self::Wildcard(base) => write!(f, "*.{base}"),
        }
    }
}

/// The value of a `Host` field: a name and, as it was sent, a port (RFC 9110 section 7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The name, or the IP address in its canonical text, without a port.
    pub host: HostName,
    /// The port, where one was sent.
    pub port: Option<u16>,
}

impl Authority {
    /// Reads `example.com`, `EXAMPLE.com.:8443`, `192.0.2.1`.
    ///
    /// # Errors
    /// [`NotAHostName`] for userinfo, paths, spaces, lists, an empty host, a bad port, and IPv6 literals: no
    /// alias can name them.
    pub fn parse(text: &str) -> Result<Self, NotAHostName> {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(parse_port(port)?)),
            None => (text, None),
        };
        Ok(Self { host: HostName::parse(name)?, port })
    }
}

fn parse_port(text: &str) -> Result<u16, NotAHostName> {
    // A zero in front would be lost on the way to the origin, and there is no port 0.
    let digits = !text.is_empty() && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().map_err(|_| NotAHostName) } else { Err(NotAHostName) }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => write!(f, "{}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_cased_and_lose_one_trailing_dot() {
        assert_eq!(HostName::parse("WWW.Example.com.").unwrap().as_str(), "www.example.com");
        for bad in ["", ".", "a..b", "a b", "-a.b", "a-.b", "a.b..", "a/b", "user@a", "ä.de", "a,b", "[::1]"]
        {
            assert_eq!(HostName::parse(bad), Err(NotAHostName), "{bad:?}");
        }
        assert!(HostName::parse(&"a".repeat(64)).is_err());
    }

    #[test]
    fn a_wildcard_matches_any_depth_but_not_its_own_base() {
        let wildcard = HostPattern::parse("*.example.com").unwrap();
        let host = |text| HostName::parse(text).unwrap();
        assert!(wildcard.matches(&host("a.example.com")));
        assert!(wildcard.matches(&host("a.b.example.com")));
        assert!(!wildcard.matches(&host("example.com")));
        assert!(!wildcard.matches(&host("aexample.com")));
        assert!(HostPattern::parse("a.*.example.com").is_err());
        assert!(HostPattern::parse("*").is_err());
    }

    #[test]
    fn a_port_is_kept_as_sent() {
        let authority = Authority::parse("EXAMPLE.com.:8443").unwrap();
        assert_eq!(authority.to_string(), "example.com:8443");
        for bad in ["a:", "a:b", "a:+1", "a:70000", "a:0", "a:080", "a:1:2", ":80", "u@a:80"] {
            assert!(Authority::parse(bad).is_err(), "{bad:?}");
        }
    }
}
