//! The hashes of consistent hashing: the same on every worker and every replica.
//!
//! They need not withstand anybody who looks for collisions: whoever sends everything to one endpoint meets the
//! bound on its load.

use std::net::{IpAddr, SocketAddr};

/// What stands for an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seed(u64);

impl Seed {
    pub(super) fn new(endpoint: SocketAddr) -> Self {
        let address = of_address(endpoint.ip());
        Self(mix(address ^ u64::from(endpoint.port())))
    }
}

/// How much an endpoint is wanted for a key.
pub(super) fn score(key: u64, seed: Seed) -> u64 {
    mix(key ^ seed.0)
}

/// The key of a viewer.
pub(super) fn of_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => of_bytes(&v4.octets()),
        IpAddr::V6(v6) => of_bytes(&v6.octets()),
    }
}

/// The key of a value: FNV-1a, then mixed, since its upper bits alone say little of short values.
pub(super) fn of_bytes(bytes: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    mix(bytes.iter().fold(BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME)))
}

/// Every bit of the input concerns every bit of the output (the finalizer of SplitMix64).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_the_same_key_on_every_replica() {
        assert_eq!(of_bytes(b"user-1"), of_bytes(b"user-1"));
        assert_ne!(of_bytes(b"user-1"), of_bytes(b"user-2"));
        assert_eq!(of_address("::ffff:192.0.2.1".parse().unwrap()), of_address("192.0.2.1".parse().unwrap()));
        // A release that computed another one would send every viewer elsewhere.
        assert_eq!(of_bytes(b"user-1"), 14_166_554_182_431_137_624);
    }
}
