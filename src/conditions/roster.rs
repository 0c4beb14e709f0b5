//! The live replicas as one of them sees the others, and how many of them serve what it judged.
//!
//! It does not know how replicas hear of each other, nor when one counts as gone.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::Fleet;
use super::digest::{Bucket, Digest, bucket};
use super::facts::{DistributionFacts, Facts};
use crate::api::DistributionStatus;

/// The live replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// What the replica that looks is called.
    pub own: String,
    /// Who writes status, as it was last seen; none without an election, or while nobody does.
    pub leader: Option<String>,
    /// The others, by name.
    pub peers: Vec<Peer>,
}

/// Another live replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What it is called.
    pub name: String,
    /// What it has judged; none where that cannot be read, as of a release that is far from ours.
    pub digest: Option<Digest>,
    /// In which buckets it has long not judged what we have.
    pub lagging: BTreeSet<Bucket>,
}

impl Roster {
    /// A replica that has no others.
    pub fn alone(own: impl Into<String>) -> Self {
        Self { own: own.into(), leader: None, peers: Vec::new() }
    }

    /// How many replicas have judged the generation of a Distribution that `own` tells.
    fn fleet(&self, uid: Option<&str>, own: &Digest) -> Fleet {
        let Some(bucket) = uid.filter(|_| !self.peers.is_empty()).map(bucket) else { return Fleet::ALONE };
        let mut fleet = Fleet::ALONE;
        for peer in &self.peers {
            fleet.alive += 1;
            if peer.digest.as_ref().is_some_and(|digest| digest.agrees(own, bucket)) {
                fleet.serving += 1;
            } else if fleet.lagging.is_none() && peer.lagging.contains(&bucket) {
                fleet.lagging = Some(peer.name.clone());
            }
        }
        fleet
    }
}

/// Counts, for one round, how many replicas serve what it judged.
#[derive(Debug, Default)]
pub struct Tally {
    roster: Arc<Roster>,
    facts: Arc<Facts>,
    /// What the facts are to the others: made when it is first asked for, since mostly nothing is awaited.
    own: OnceCell<Digest>,
}

impl Tally {
    /// A count of those on the roster for these facts: both of one moment, or it would tell of a generation that
    /// the others took that they have not seen.
    pub fn new(roster: Arc<Roster>, facts: Arc<Facts>) -> Self {
        Self { roster, facts, own: OnceCell::new() }
    }

    /// The fleet of one Distribution. Where its status already says that all served this generation, that stays so.
    pub fn fleet(&self, facts: &DistributionFacts, status: Option<&DistributionStatus>) -> Fleet {
        let kept = status.and_then(|status| Fleet::kept(status, facts.generation));
        kept.unwrap_or_else(|| {
            let own = self.own.get_or_init(|| Digest::of(&self.facts));
            self.roster.fleet(facts.uid.as_deref(), own)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, digest: Option<Digest>, lagging: &[Bucket]) -> Peer {
        Peer { name: name.to_owned(), digest, lagging: lagging.iter().copied().collect() }
    }

    fn fleet(peers: Vec<Peer>) -> Fleet {
        let own = Digest::of(&Facts::default());
        Roster { peers, ..Roster::alone("own") }.fleet(Some("a"), &own)
    }

    #[test]
    fn a_replica_without_others_counts_itself() {
        assert_eq!(fleet(Vec::new()), Fleet::ALONE);
    }

    #[test]
    fn what_a_peer_tells_in_words_that_nobody_knows_is_no_agreement() {
        let own = Digest::of(&Facts::default());
        let peers = vec![peer("b", Some(own), &[]), peer("c", None, &[])];
        assert_eq!(fleet(peers), Fleet { serving: 2, alive: 3, lagging: None });
    }

    #[test]
    fn who_lags_is_named_only_where_it_does() {
        let (here, elsewhere) = (bucket("a"), bucket("a").wrapping_add(1));
        assert_eq!(fleet(vec![peer("b", None, &[elsewhere])]).lagging, None);
        assert_eq!(fleet(vec![peer("b", None, &[here])]).lagging.as_deref(), Some("b"));
    }
}
