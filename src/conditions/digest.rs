//! What a replica has judged, in so few bytes that it can tell others: 256 buckets over the uids of Distributions,
//! each a hash of the generations in it.
//!
//! Two replicas have judged the same generation of a Distribution where its bucket is equal. No order, no history:
//! a digest is made of facts alone. Its text is read by replicas of neighbouring releases, so it carries a version,
//! and what `v1` says never changes.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use super::facts::Facts;

/// How many buckets there are; one for each value of a byte.
const BUCKETS: usize = 256;

/// The version of the text.
const VERSION: &str = "v1";

/// The part of a digest that a Distribution is in.
pub type Bucket = u8;

/// The bucket of a Distribution.
pub fn bucket(uid: &str) -> Bucket {
    digest(&SHA256, uid.as_bytes()).as_ref().first().copied().unwrap_or_default()
}

/// What a replica has judged.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest(Box<[u64; BUCKETS]>);

impl Digest {
    /// The digest of what was found; Distributions of files have no uid and are in none.
    pub fn of(facts: &Facts) -> Self {
        let mut buckets: [Vec<(&str, i64)>; BUCKETS] = std::array::from_fn(|_| Vec::new());
        for facts in facts.0.values() {
            let Some(uid) = &facts.uid else { continue };
            if let Some(bucket) = buckets.get_mut(usize::from(bucket(uid))) {
                bucket.push((uid, facts.generation));
            }
        }
        Self(Box::new(buckets.map(hash)))
    }

    /// The buckets in which another digest says something else.
    pub fn differing<'d>(&'d self, other: &'d Self) -> impl Iterator<Item = Bucket> + 'd {
        (0..=Bucket::MAX).filter(move |bucket| !self.agrees(other, *bucket))
    }

    /// Whether both have judged the same of a bucket.
    pub fn agrees(&self, other: &Self, bucket: Bucket) -> bool {
        self.0.get(usize::from(bucket)) == other.0.get(usize::from(bucket))
    }
}

/// Zero for an empty bucket, else the first eight bytes of SHA-256 over the sorted pairs, each as uid, 0, generation.
fn hash(mut pairs: Vec<(&str, i64)>) -> u64 {
    if pairs.is_empty() {
        return 0;
    }
    pairs.sort_unstable();
    let mut bytes = Vec::with_capacity(pairs.len() * 48);
    for (uid, generation) in pairs {
        bytes.extend_from_slice(uid.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&generation.to_be_bytes());
    }
    let hash = digest(&SHA256, &bytes);
    hash.as_ref().first_chunk().copied().map(u64::from_be_bytes).unwrap_or_default()
}

/// As it stands in a Lease.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<u8> = self.0.iter().flat_map(|bucket| bucket.to_be_bytes()).collect();
        write!(f, "{VERSION}:{}", BASE64.encode(bytes))
    }
}

/// Without its two thousand bytes.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filled = self.0.iter().filter(|bucket| **bucket != 0).count();
        write!(f, "Digest({filled} filled buckets)")
    }
}

/// A text that this version cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest of version {VERSION}")]
pub struct Unreadable;

impl FromStr for Digest {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let (version, encoded) = text.split_once(':').ok_or(Unreadable)?;
        let bytes = BASE64.decode(encoded).map_err(|_| Unreadable)?;
        let (hashes, rest) = bytes.as_chunks();
        if version != VERSION || !rest.is_empty() {
            return Err(Unreadable);
        }
        let buckets: Vec<u64> = hashes.iter().copied().map(u64::from_be_bytes).collect();
        let buckets: [u64; BUCKETS] = buckets.try_into().map_err(|_| Unreadable)?;
        Ok(Self(Box::new(buckets)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::conditions::facts::{DistributionFacts, Served};
    use crate::object::ObjectKey;

    fn facts(judged: &[(&str, i64)]) -> Facts {
        let one = |(uid, generation): &(&str, i64)| {
            let facts = DistributionFacts {
                uid: Some((*uid).to_owned()),
                generation: *generation,
                enabled: true,
                served: Served::Yes,
                domain_name: None,
                aliases: Vec::new(),
                origins: Vec::new(),
                certificates: Vec::new(),
                findings: Vec::new(),
                warnings: Vec::new(),
            };
            (ObjectKey::new("shop", *uid), Arc::new(facts))
        };
        Facts(judged.iter().map(one).collect())
    }

    fn digest_of(judged: &[(&str, i64)]) -> Digest {
        Digest::of(&facts(judged))
    }

    #[test]
    fn another_generation_shows_in_its_own_bucket_alone() {
        let (before, after) = (digest_of(&[("a", 1), ("b", 7)]), digest_of(&[("a", 2), ("b", 7)]));
        assert_eq!(before.differing(&after).collect::<Vec<_>>(), [bucket("a")]);
        assert!(before.agrees(&after, bucket("b")));
        let without = digest_of(&[("b", 7)]);
        assert_eq!(before.differing(&without).collect::<Vec<_>>(), [bucket("a")]);
    }

    #[test]
    fn neighbours_in_a_bucket_are_told_apart() {
        let uids: Vec<String> = (0..2000).map(|number| format!("uid-{number}")).collect();
        let mates: Vec<&str> = uids.iter().map(String::as_str).filter(|uid| bucket(uid) == 0).collect();
        let [one, two] = mates[..2] else { panic!("two in a bucket") };
        let told = [
            digest_of(&[(one, 1)]),
            digest_of(&[(two, 1)]),
            digest_of(&[(one, 1), (two, 1)]),
            digest_of(&[(one, 2), (two, 1)]),
            digest_of(&[(one, 1), (two, 2)]),
        ];
        for (at, digest) in told.iter().enumerate() {
            for other in &told[at + 1..] {
                assert!(!digest.agrees(other, 0));
            }
        }
    }

    #[test]
    fn a_digest_is_read_as_it_was_written() {
        let digest = digest_of(&[("a", 1), ("b", 7)]);
        let text = digest.to_string();
        assert!(text.len() < 3000, "{} bytes in each Lease", text.len());
        assert_eq!(text.parse(), Ok(digest));
    }

    #[test]
    fn a_digest_of_another_version_or_of_no_version_is_not_read() {
        let text = digest_of(&[("a", 1)]).to_string();
        let (_, encoded) = text.split_once(':').unwrap();
        let cut = &text[..text.len() - 12];
        for other in [&format!("v2:{encoded}"), encoded, cut, "v1:", "v1", "", "v1:%"] {
            assert_eq!(other.parse::<Digest>(), Err(Unreadable), "{other}");
        }
    }

    /// What the release 0.1.0 wrote. A later release that reads it otherwise breaks rollouts.
    #[test]
    fn the_digest_of_the_first_release_is_still_understood() {
        let judged =
            [("0b5c6f1e-6a1c-4a9e-9d0e-000000000001", 3), ("0b5c6f1e-6a1c-4a9e-9d0e-000000000002", 1)];
        let recorded = include_str!("../../tests/recorded/digest-v1.txt").trim_end();
        assert_eq!(recorded.parse(), Ok(digest_of(&judged)));
        assert_eq!(digest_of(&judged).to_string(), recorded);
    }
}
