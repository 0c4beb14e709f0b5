//! The other replicas as their Leases show them: who lives, what each has judged, and who is behind.
//!
//! Pure bookkeeping: time comes in as a parameter. Start at [`Peers::roster`].

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};

use super::{DIGEST, Limits};
use crate::conditions::digest::{Bucket, Digest};
use crate::conditions::roster::{Peer, Roster};

/// What is known of the others.
#[derive(Debug)]
pub(super) struct Peers {
    /// The name of our own Lease.
    own: String,
    limits: Limits,
    /// What we have judged ourselves; none before the first table.
    judged: Option<Digest>,
    /// When we last heard of ourselves. What is seen comes in order, so this tells how fresh the view is.
    heard: Option<Duration>,
    others: BTreeMap<String, Other>,
    is_listed: bool,
}

#[derive(Debug)]
struct Other {
    record: Option<LeaseSpec>,
    digest: Option<Digest>,
    /// When the record was last seen to change.
    seen: Duration,
    /// Where it has not judged what we have, and since when.
    differs: BTreeMap<Bucket, Duration>,
}

impl Peers {
    /// Nobody yet, beside the replica that is called `own`.
    pub(super) fn new(own: String, limits: Limits) -> Self {
        Self { own, limits, judged: None, heard: None, others: BTreeMap::new(), is_listed: false }
    }

    /// Takes a complete list. Nobody is gone because of what was missed before it: the others may have been as
    /// unable to renew as we were to look.
    pub(super) fn list(&mut self, leases: Vec<Lease>, now: Duration) {
        let listed = |name: &String| leases.iter().any(|lease| lease.metadata.name.as_ref() == Some(name));
        self.others.retain(|name, _| listed(name));
        for lease in leases {
            self.apply(lease, now);
        }
        for other in self.others.values_mut() {
            other.seen = now;
        }
        self.is_listed = true;
    }

    /// Whether there was a list; before, nobody knows who is missing.
    pub(super) fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// Takes the present version of a Lease.
    pub(super) fn apply(&mut self, lease: Lease, now: Duration) {
        let Some(name) = lease.metadata.name else { return };
        if name == self.own {
            self.heard = Some(now);
            return;
        }
        let annotations = lease.metadata.annotations.unwrap_or_default();
        let digest = annotations.get(DIGEST).and_then(|text| text.parse().ok());
        let other = self.others.entry(name).or_insert_with(|| Other {
            record: None,
            digest: None,
            seen: now,
            differs: BTreeMap::new(),
        });
        if other.record != lease.spec {
            other.seen = now;
        }
        other.record = lease.spec;
        let before = std::mem::replace(&mut other.digest, digest);
        other.compare(before.as_ref(), self.judged.as_ref(), now);
    }

    /// Forgets a replica that left.
    pub(super) fn delete(&mut self, lease: &Lease) {
        if let Some(name) = &lease.metadata.name {
            self.others.remove(name);
        }
    }

    /// Takes what we have judged ourselves.
    pub(super) fn judge(&mut self, judged: Digest, now: Duration) {
        for other in self.others.values_mut() {
            let unmoved = other.digest.clone();
            other.compare(unmoved.as_ref(), Some(&judged), now);
        }
        self.judged = Some(judged);
    }

    /// Who lives, and who of them is behind.
    pub(super) fn roster(&self, leader: Option<String>, now: Duration) -> Roster {
        let live = self.others.iter().filter(|(_, other)| !self.is_gone(other, now));
        let peer = |(name, other): (&String, &Other)| Peer {
            name: name.clone(),
            digest: other.digest.clone(),
            lagging: other
                .differs
                .iter()
                .filter(|(_, since)| **since + self.limits.lagging <= now)
                .map(|(bucket, _)| *bucket)
                .collect(),
        };
        Roster { own: self.own.clone(), leader, peers: live.map(peer).collect() }
    }

    /// How long until the roster is another one though nothing is heard.
    pub(super) fn next_change(&self, now: Duration) -> Option<Duration> {
        let others = self.others.values();
        let times = others.flat_map(|other| {
            let behind = other.differs.values().map(|since| *since + self.limits.lagging);
            behind.chain([other.seen + self.limits.gone])
        });
        times.filter(|at| *at > now).min().map(|at| at.saturating_sub(now))
    }

    /// It has not renewed for long, by our clock and by what we heard of ourselves the same way meanwhile: when
    /// nothing at all is heard, or we stood still, that says nothing of the others.
    fn is_gone(&self, other: &Other, now: Duration) -> bool {
        let heard_after = self.limits.gone.saturating_sub(self.limits.renew);
        other.seen + self.limits.gone <= now
            && self.heard.is_some_and(|heard| heard >= other.seen + heard_after)
    }
}

impl Other {
    /// Notes where it differs from what we have judged; a difference counts anew when it has moved in that bucket.
    fn compare(&mut self, before: Option<&Digest>, judged: Option<&Digest>, now: Duration) {
        let Some(judged) = judged else { return };
        let Some(digest) = &self.digest else {
            // What cannot be read differs as a whole.
            for bucket in Bucket::MIN..=Bucket::MAX {
                self.differs.entry(bucket).or_insert(now);
            }
            return;
        };
        self.differs = digest
            .differing(judged)
            .map(|bucket| {
                let unmoved = before.is_some_and(|before| before.agrees(digest, bucket));
                let since = self.differs.get(&bucket).copied().filter(|_| unmoved);
                (bucket, since.unwrap_or(now))
            })
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

    use super::*;
    use crate::conditions::digest::bucket;
    use crate::conditions::facts::{DistributionFacts, Facts, Served};
    use crate::object::ObjectKey;

    const SECOND: Duration = Duration::from_secs(1);

    fn judged(generation: i64) -> Digest {
        let facts = DistributionFacts {
            uid: Some("a".to_owned()),
            generation,
            enabled: true,
            served: Served::Yes,
            domain_name: None,
            aliases: Vec::new(),
            origins: Vec::new(),
            certificates: Vec::new(),
            findings: Vec::new(),
            warnings: Vec::new(),
        };
        Digest::of(&Facts([(ObjectKey::new("shop", "a"), Arc::new(facts))].into()))
    }

    /// The `renewal`th version of a replica's Lease.
    fn lease(name: &str, renewal: i64, digest: &str) -> Lease {
        let renew_time = jiff::Timestamp::from_second(renewal).ok().map(MicroTime);
        Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                annotations: Some([(DIGEST.to_owned(), digest.to_owned())].into()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec { renew_time, ..LeaseSpec::default() }),
        }
    }

    struct Rig {
        peers: Peers,
        now: Duration,
    }

    impl Rig {
        fn new() -> Self {
            let mut rig = Self { peers: Peers::new("own".to_owned(), Limits::default()), now: SECOND * 1000 };
            rig.peers.judge(judged(1), rig.now);
            rig
        }

        fn hear(&mut self, name: &str, generation: i64) {
            let renewal = i64::try_from(self.now.as_millis()).unwrap();
            self.peers.apply(lease(name, renewal, &judged(generation).to_string()), self.now);
        }

        /// Some seconds, in which those named renew every five.
        fn pass(&mut self, seconds: u32, renewing: &[&str]) {
            for second in 0..seconds {
                self.now += SECOND;
                for name in renewing.iter().filter(|_| second % 5 == 0) {
                    self.hear(name, 1);
                }
            }
        }

        fn live(&self) -> Vec<String> {
            self.peers.roster(None, self.now).peers.into_iter().map(|peer| peer.name).collect()
        }

        fn lagging(&self) -> Vec<Bucket> {
            let peers = self.peers.roster(None, self.now).peers;
            peers.into_iter().flat_map(|peer| peer.lagging).collect()
        }
    }

    #[test]
    fn a_replica_that_does_not_renew_is_gone_after_15_seconds_and_others_are_not() {
        let mut rig = Rig::new();
        rig.hear("silent", 1);
        rig.hear("lively", 1);
        rig.pass(14, &["own", "lively"]);
        assert_eq!(rig.live(), ["lively", "silent"]);
        rig.pass(1, &["own", "lively"]);
        assert_eq!(rig.live(), ["lively"]);
        rig.hear("silent", 1);
        assert_eq!(rig.live(), ["lively", "silent"], "it may come again");
    }

    #[test]
    fn nobody_is_gone_while_nothing_is_heard_nor_when_we_go_on_after_a_stop() {
        let mut rig = Rig::new();
        rig.pass(6, &["own", "other"]);
        rig.pass(3600, &[]);
        assert_eq!(rig.live(), ["other"], "the API server may be away");
        // What was in the sockets comes first, and in order.
        rig.hear("other", 1);
        rig.hear("own", 1);
        assert_eq!(rig.live(), ["other"]);
        rig.pass(20, &["own"]);
        assert!(rig.live().is_empty());
    }

    #[test]
    fn a_fresh_list_gives_everybody_time_and_ends_who_is_not_in_it() {
        let mut rig = Rig::new();
        rig.hear("other", 1);
        rig.hear("left", 1);
        rig.pass(100, &[]);
        let unchanged = lease("other", 1_000_000, &judged(1).to_string());
        rig.peers.list(vec![unchanged], rig.now);
        rig.hear("own", 1);
        assert_eq!(rig.live(), ["other"]);
        rig.pass(16, &["own"]);
        assert!(rig.live().is_empty());
    }

    #[test]
    fn who_does_not_move_lags_after_10_seconds_and_who_moves_does_not() {
        let mut rig = Rig::new();
        rig.hear("other", 1);
        rig.peers.judge(judged(2), rig.now);
        rig.pass(9, &["own", "other"]);
        assert!(rig.lagging().is_empty());
        rig.peers.judge(judged(3), rig.now); // A further edit is no excuse.
        rig.pass(1, &["own", "other"]);
        assert_eq!(rig.lagging(), [bucket("a")]);
        rig.hear("other", 2);
        assert!(rig.lagging().is_empty(), "it moves");
        rig.hear("other", 3);
        rig.pass(100, &["own"]);
        assert!(rig.lagging().is_empty());
    }

    #[test]
    fn a_digest_that_cannot_be_read_lags_as_a_whole_and_one_that_can_heals_it() {
        let mut rig = Rig::new();
        rig.peers.apply(lease("older", 0, "v0:AAAA"), rig.now);
        assert_eq!(rig.peers.roster(None, rig.now).peers[0].digest, None);
        rig.now += SECOND * 10;
        assert_eq!(rig.lagging().len(), 256);
        rig.hear("older", 1);
        assert!(rig.lagging().is_empty());
    }

    #[test]
    fn the_next_change_is_when_somebody_is_gone_or_behind() {
        let mut rig = Rig::new();
        assert_eq!(rig.peers.next_change(rig.now), None);
        rig.hear("other", 1);
        assert_eq!(rig.peers.next_change(rig.now), Some(SECOND * 15));
        rig.peers.judge(judged(2), rig.now);
        assert_eq!(rig.peers.next_change(rig.now), Some(SECOND * 10));
    }
}
