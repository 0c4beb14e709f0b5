//! The cookie that keeps a viewer on one endpoint.

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::cookie;
use crate::table::balancing::Affinity;
use crate::table::decide::Scheme;
use crate::table::origin::OriginKey;

/// What stands for an endpoint in a cookie: a salted hash, so that no viewer learns an address from it, and every
/// replica reads it alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token([u8; Self::LENGTH]);

impl Token {
    /// 64 bits in hexadecimal.
    const LENGTH: usize = 16;

    pub(super) fn new(affinity: &Affinity, origin: &OriginKey, endpoint: SocketAddr) -> Self {
        let mut hash = Context::new(&SHA256);
        let OriginKey { distribution, id, scheme: _ } = origin;
        for part in [&affinity.salt, &distribution.namespace, &distribution.name, id] {
            hash.update(part.as_bytes());
            hash.update(&[0]);
        }
        match endpoint.ip() {
            IpAddr::V4(v4) => hash.update(&v4.octets()),
            IpAddr::V6(v6) => hash.update(&v6.octets()),
        }
        hash.update(&endpoint.port().to_be_bytes());
        let hash = hash.finish();
        let digits = hash.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 0xf]).map(|digit| match digit {
            0..=9 => b'0' + digit,
            _ => b'a' + digit - 10,
        });
        let mut token = [b'0'; Self::LENGTH];
        token.iter_mut().zip(digits).for_each(|(place, digit)| *place = digit);
        Self(token)
    }
}

/// The position of the endpoint that a request's cookie names.
pub(super) fn pinned(affinity: &Affinity, tokens: &[Token], headers: &HeaderMap) -> Option<usize> {
    let value = cookie::value(headers, &affinity.cookie)?;
    tokens.iter().position(|token| token.0 == value)
}

/// The `Set-Cookie` that keeps a viewer where it is.
pub(super) fn set_cookie(affinity: &Affinity, token: Token, scheme: Scheme) -> Option<HeaderValue> {
    let Affinity { cookie, ttl, .. } = affinity;
    let token = std::str::from_utf8(&token.0).ok()?;
    let age = ttl.map_or_else(String::new, |ttl| format!("; Max-Age={}", ttl.as_secs()));
    let secure = match scheme {
        Scheme::Http => "",
        Scheme::Https => "; Secure",
    };
    let text = format!("{cookie}={token}; Path=/{age}{secure}; HttpOnly; SameSite=Lax");
    HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
}
