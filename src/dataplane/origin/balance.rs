//! Which endpoint is next.
//!
//! Of those hinted for our zone first, then of the others: the one that the request's affinity cookie names, else
//! by the origin's rule. An ejected endpoint is asked when there is no other left.
//!
//! An open socket stays where it is for hours, so for WebSockets a chance imbalance would last; for requests,
//! the better of two is nearly as good as the best of all and does not make every worker run to the same endpoint
//! at once.

use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use super::affinity::Token;
use super::endpoint::{EndpointCell, Load, Loaded, OriginCell};
use super::hash::{self, Seed};
use super::outlier::{self, Trial};
use crate::table::balancing::Algorithm;
use crate::table::origin::{Endpoint, Origin, Zone};
use crate::table::reason::Reason;

/// Of two endpoints with equally much in flight the other one is taken when this one is slower by this factor and
/// margin (microseconds): less is noise, and would send everything to one of them.
const SLOWER: (u64, u64) = (2, 1000);

/// With `hash`, an endpoint takes up to this share of the mean load, in percent...
const BOUND_PERCENT: u64 = 125;

/// ...and always this much, or few requests would be spread like many.
const BOUND_AT_LEAST: u64 = 8;

/// The endpoints of an origin, and what choosing among them needs; made when a table is linked.
#[derive(Debug)]
pub(crate) struct Candidates {
    origin: Arc<Origin>,
    shared: Arc<OriginCell>,
    /// Those of our own zone first, each part in address order.
    cells: Vec<Arc<EndpointCell>>,
    /// How many are of our own zone.
    own_zone: usize,
    /// With `hash`, one for each of them.
    seeds: Vec<Seed>,
    /// With `sessionAffinity`, one for each of them.
    tokens: Vec<Token>,
}

/// What a request says about the endpoint that it should go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// The position that its affinity cookie names.
    pub(super) pinned: Option<usize>,
    /// The hash of what `hashOn` names.
    pub(super) hash: Option<u64>,
}

/// An endpoint that was chosen, and entered.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) position: usize,
    pub(super) loaded: Loaded,
    pub(super) trial: Trial,
}

/// Whom to look among, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    OwnZone,
    AnyZone,
    Ejected,
}

impl Candidates {
    /// Links the endpoints of an origin to what is known of them.
    pub(crate) fn new(
        origin: &Arc<Origin>,
        shared: Arc<OriginCell>,
        listed: &[Endpoint],
        now: Instant,
    ) -> Self {
        let of = |zone| listed.iter().filter(move |endpoint| endpoint.zone == zone);
        let ordered = of(Zone::Own).chain(of(Zone::Any));
        let cells = shared.endpoints(ordered.map(|endpoint| endpoint.address));
        outlier::keep_share(&origin.outlier_detection, &cells, now);
        let seeds = match &origin.balancing.algorithm {
            Algorithm::Hash(_) => cells.iter().map(|cell| Seed::new(cell.address)).collect(),
            Algorithm::LeastRequest | Algorithm::RoundRobin => Vec::new(),
        };
        let affinity = origin.balancing.affinity.iter();
        let tokens = affinity
            .flat_map(|affinity| cells.iter().map(|cell| Token::new(affinity, &origin.key, cell.address)))
            .collect();
        Self { origin: Arc::clone(origin), shared, own_zone: of(Zone::Own).count(), cells, seeds, tokens }
    }

    /// All of them.
    pub(crate) fn cells(&self) -> &[Arc<EndpointCell>] {
        &self.cells
    }

    /// How many are left out for a while.
    pub(crate) fn ejected(&self) -> usize {
        outlier::ejected(&self.cells)
    }

    /// What all workers know together of the origin.
    pub(crate) fn shared(&self) -> &Arc<OriginCell> {
        &self.shared
    }

    /// With `sessionAffinity`, what stands for each of them in cookies.
    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Chooses the endpoint to try next, and counts the request on it. Positions in `excluded` are not chosen, and
    /// those that turn out to be full are added to it.
    ///
    /// # Errors
    /// [`Reason::ConnectionLimit`] where all that are left are full, else [`Reason::NoEndpoints`].
    pub(super) fn pick(
        &self,
        wish: Wish,
        load: Load,
        excluded: &mut Vec<usize>,
        now: Instant,
    ) -> Result<Choice, Reason> {
        let mut none = Reason::NoEndpoints;
        for tier in [Tier::OwnZone, Tier::AnyZone, Tier::Ejected] {
            while let Some(position) = self.choose(tier, wish, load, excluded, now) {
                match self.enter(position, tier, load, now) {
                    Ok(choice) => return Ok(choice),
                    Err(Refused::Full) => {
                        none = Reason::ConnectionLimit;
                        excluded.push(position);
                    }
                    // The next look sees that it is on trial.
                    Err(Refused::OnTrial) => {}
                }
            }
        }
        Err(none)
    }

    fn enter(&self, position: usize, tier: Tier, load: Load, now: Instant) -> Result<Choice, Refused> {
        let cell = self.cells.get(position).ok_or(Refused::Full)?;
        let loaded = cell.enter(load, self.origin.max_connections_per_endpoint).ok_or(Refused::Full)?;
        let trial = match tier {
            Tier::Ejected => Trial::last_resort(cell),
            Tier::OwnZone | Tier::AnyZone => Trial::begin(cell, now).ok_or(Refused::OnTrial)?,
        };
        Ok(Choice { position, loaded, trial })
    }

    fn choose(&self, tier: Tier, wish: Wish, load: Load, excluded: &[usize], now: Instant) -> Option<usize> {
        let range = match tier {
            Tier::OwnZone => 0..self.own_zone,
            Tier::AnyZone | Tier::Ejected => 0..self.cells.len(),
        };
        let is_eligible = |position: usize| {
            let admits = |cell: &Arc<EndpointCell>| tier == Tier::Ejected || cell.health.admits(now);
            !excluded.contains(&position) && self.cells.get(position).is_some_and(admits)
        };
        // It is kept to whatever its zone, but not while it is ejected.
        if let Some(pinned) = wish.pinned.filter(|pinned| tier != Tier::Ejected && is_eligible(*pinned)) {
            return Some(pinned);
        }
        match (&self.origin.balancing.algorithm, wish.hash, load) {
            (Algorithm::Hash(_), Some(key), _) => self.by_hash(key, range, load, is_eligible),
            (Algorithm::RoundRobin, ..) => self.in_turn(range, excluded, is_eligible),
            (_, _, Load::Exchange) => self.better_of_two(range, is_eligible, now),
            (_, _, Load::Tunnel) => self.least(range, is_eligible),
        }
    }

    fn better_of_two(
        &self,
        range: Range<usize>,
        is_eligible: impl Fn(usize) -> bool,
        now: Instant,
    ) -> Option<usize> {
        let (first, second) = two_of(range, is_eligible)?;
        let Some(second) = second else { return Some(first) };
        let (one, other) = (self.cells.get(first)?, self.cells.get(second)?);
        let (load, other_load) = (one.loaded_with(Load::Exchange), other.loaded_with(Load::Exchange));
        let other_is_better = match load.cmp(&other_load) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => {
                let (factor, margin) = SLOWER;
                u64::from(one.latency(now)) > u64::from(other.latency(now)) * factor + margin
            }
        };
        Some(if other_is_better { second } else { first })
    }

    /// The endpoint with the fewest tunnels; equals are chosen by chance, or the first would get every first one.
    fn least(&self, range: Range<usize>, is_eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let tunnels = |position: usize| self.cells.get(position).map(|cell| cell.loaded_with(Load::Tunnel));
        range
            .filter(|position| is_eligible(*position))
            .min_by_key(|position| (tunnels(*position), fastrand::u32(..)))
    }

    /// One after the other of those that may be chosen, so that the share of one that may not goes to all others.
    fn in_turn(
        &self,
        range: Range<usize>,
        excluded: &[usize],
        is_eligible: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let eligible = || range.clone().filter(|position| is_eligible(*position));
        match eligible().count() {
            0 => None,
            // Another attempt takes nobody's turn, or each request would meet the same endpoint first.
            count if excluded.is_empty() => eligible().nth(self.shared.take_turn() % count),
            count => eligible().nth(self.shared.next_turn() % count),
        }
    }

    /// The highest score for the key (rendezvous hashing), unless that endpoint has more than its share: so only
    /// the keys of an endpoint that leaves move.
    fn by_hash(
        &self,
        key: u64,
        range: Range<usize>,
        load: Load,
        is_eligible: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let load_of = |position: usize| self.cells.get(position).map_or(0, |cell| cell.loaded_with(load));
        let score = |position: &usize| self.seeds.get(*position).map(|seed| hash::score(key, *seed));
        let eligible = || range.clone().filter(|position| is_eligible(*position));
        let best = eligible().max_by_key(score)?;
        if load_of(best) < BOUND_AT_LEAST {
            return Some(best);
        }
        let (count, total) =
            eligible().fold((0, 1), |(count, total), position| (count + 1, total + load_of(position)));
        let bound = (total * BOUND_PERCENT).div_ceil(count * 100).max(BOUND_AT_LEAST);
        eligible().filter(|position| load_of(*position) < bound).max_by_key(score)
    }
}

/// Why an endpoint that was chosen is not the one.
enum Refused {
    /// It has as many connections as it may have.
    Full,
    /// Another worker was first to find out whether it is well again.
    OnTrial,
}

/// Two different positions by chance, or the only one.
fn two_of(range: Range<usize>, is_eligible: impl Fn(usize) -> bool) -> Option<(usize, Option<usize>)> {
    let count = range.len();
    if count >= 2 {
        let first = fastrand::usize(..count);
        // Any of the others: a step of 1 to count - 1 around the ring.
        let second = (first + fastrand::usize(1..count)) % count;
        let (first, second) = (range.start + first, range.start + second);
        if is_eligible(first) && is_eligible(second) {
            return Some((first, Some(second)));
        }
    }
    // Something is left out, so all are looked at; each pair has the same chance (reservoir sampling).
    let mut eligible = range.filter(|position| is_eligible(*position)).enumerate();
    let (_, mut first) = eligible.next()?;
    let Some((_, mut second)) = eligible.next() else { return Some((first, None)) };
    for (seen, position) in eligible {
        match fastrand::usize(..=seen) {
            0 => first = position,
            1 => second = position,
            _ => {}
        }
    }
    if fastrand::bool() {
        std::mem::swap(&mut first, &mut second);
    }
    Some((first, Some(second)))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::num::{NonZeroU8, NonZeroU32};
    use std::time::Duration;

    use super::*;
    use crate::dataplane::origin::origin_for_test;
    use crate::table::balancing::{Balancing, HashOn, OutlierDetection};

    fn candidates(own: u16, any: u16, change: impl FnOnce(&mut Origin)) -> Candidates {
        let mut origin = origin_for_test("web");
        change(&mut origin);
        let endpoint = |zone| move |port| Endpoint { address: ([192, 0, 2, 1], port).into(), zone };
        let own = (1..=own).map(endpoint(Zone::Own));
        let listed: Vec<_> = (101..=100 + any).map(endpoint(Zone::Any)).chain(own).collect();
        Candidates::new(&Arc::new(origin), OriginCell::new(), &listed, Instant::now())
    }

    fn with(algorithm: Algorithm) -> impl FnOnce(&mut Origin) {
        |origin| origin.balancing = Balancing { algorithm, affinity: None }
    }

    fn pick(candidates: &Candidates, wish: Wish, load: Load) -> Choice {
        candidates.pick(wish, load, &mut Vec::new(), Instant::now()).unwrap()
    }

    fn position(candidates: &Candidates, wish: Wish) -> usize {
        pick(candidates, wish, Load::Exchange).position
    }

    fn key(text: &str) -> Wish {
        Wish { hash: Some(hash::of_bytes(text.as_bytes())), pinned: None }
    }

    fn eject(candidates: &Candidates, position: usize) {
        let rules = OutlierDetection { consecutive_failures: NonZeroU32::MIN, ..OutlierDetection::default() };
        let now = Instant::now();
        let trial = Trial::begin(&candidates.cells[position], now).unwrap();
        assert!(trial.failed(&rules, &candidates.cells, now).is_some());
    }

    #[test]
    fn the_less_loaded_of_two_is_taken() {
        let candidates = candidates(0, 2, |_| {});
        let _busy = candidates.cells[0].enter(Load::Exchange, None);
        for _ in 0..20 {
            assert_eq!(position(&candidates, Wish::default()), 1);
        }
    }

    #[test]
    fn of_two_with_equal_load_the_clearly_slower_one_is_left() {
        let candidates = candidates(0, 2, |_| {});
        let answered = |position: usize, ms| {
            candidates.cells[position].answered_after(Duration::from_millis(ms), Instant::now());
        };
        answered(0, 10);
        answered(1, 15);
        let chosen = |candidates: &Candidates| -> BTreeSet<_> {
            (0..100).map(|_| position(candidates, Wish::default())).collect()
        };
        assert_eq!(chosen(&candidates), [0, 1].into(), "that is noise");
        (0..100).for_each(|_| answered(1, 200));
        assert_eq!(chosen(&candidates), [0].into());
    }

    #[test]
    fn equal_endpoints_get_equally_much() {
        let candidates = candidates(0, 10, |_| {});
        let mut counts = BTreeMap::<usize, u32>::new();
        (0..10_000).for_each(|_| *counts.entry(position(&candidates, Wish::default())).or_default() += 1);
        assert!(counts.len() == 10 && counts.values().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_was_tried_is_not_tried_again() {
        for algorithm in
            [Algorithm::LeastRequest, Algorithm::RoundRobin, Algorithm::Hash(HashOn::ViewerAddress)]
        {
            let candidates = candidates(2, 3, with(algorithm.clone()));
            let mut tried = Vec::new();
            while let Ok(choice) =
                candidates.pick(key("a"), Load::Exchange, &mut tried.clone(), Instant::now())
            {
                assert!(!tried.contains(&choice.position), "{algorithm:?}");
                tried.push(choice.position);
            }
            assert_eq!(tried.len(), 5, "{algorithm:?}");
        }
        let none =
            candidates(0, 0, |_| {}).pick(Wish::default(), Load::Tunnel, &mut Vec::new(), Instant::now());
        assert_eq!(none.unwrap_err(), Reason::NoEndpoints);
    }

    #[test]
    fn endpoints_of_the_own_zone_come_first() {
        let candidates = candidates(2, 3, |_| {});
        let chosen: BTreeSet<_> = (0..100).map(|_| position(&candidates, Wish::default())).collect();
        assert_eq!(chosen, [0, 1].into());
        assert!(candidates.cells[0].address.port() < 100);
        let next = candidates.pick(Wish::default(), Load::Exchange, &mut vec![0, 1], Instant::now()).unwrap();
        assert!(next.position >= 2);
        eject(&candidates, 0);
        assert_eq!(position(&candidates, Wish::default()), 1);
        eject(&candidates, 1);
        assert!(position(&candidates, Wish::default()) >= 2);
    }

    #[test]
    fn web_sockets_go_where_the_fewest_are() {
        let candidates = candidates(0, 5, |_| {});
        let mut open = Vec::new();
        for _ in 0..50 {
            open.push(pick(&candidates, Wish::default(), Load::Tunnel));
        }
        assert!(candidates.cells.iter().all(|cell| cell.loaded_with(Load::Tunnel) == 10));
        drop(open);
        assert!(candidates.cells.iter().all(|cell| cell.loaded_with(Load::Tunnel) == 0));
    }

    #[test]
    fn round_robin_takes_one_after_the_other_and_leaves_out_who_is_ejected() {
        let candidates = candidates(0, 4, with(Algorithm::RoundRobin));
        let round = |candidates: &Candidates| -> Vec<_> {
            (0..8).map(|_| position(candidates, Wish::default())).collect()
        };
        assert_eq!(round(&candidates), [0, 1, 2, 3, 0, 1, 2, 3]);
        eject(&candidates, 2);
        assert_eq!(round(&candidates), [3, 0, 1, 3, 0, 1, 3, 0]);
    }

    #[test]
    fn only_the_keys_of_an_endpoint_that_leaves_move() {
        let hash = || with(Algorithm::Hash(HashOn::ViewerAddress));
        let (before, after) = (candidates(0, 10, hash()), candidates(0, 9, hash()));
        let mut moved = 0;
        for number in 0..1000 {
            let wish = key(&format!("user-{number}"));
            let (old, new) = (position(&before, wish), position(&after, wish));
            if before.cells[old].address != after.cells[new].address {
                assert_eq!(old, 9, "a key moved from an endpoint that stayed");
                moved += 1;
            }
        }
        assert!((50..150).contains(&moved), "{moved} of 1000 keys were on one of ten endpoints");
    }

    #[test]
    fn a_key_that_everybody_sends_does_not_overload_its_endpoint() {
        let candidates = candidates(0, 4, with(Algorithm::Hash(HashOn::ViewerAddress)));
        let few: Vec<_> = (0..8).map(|_| pick(&candidates, key("a"), Load::Exchange)).collect();
        assert!(few.iter().all(|choice| choice.position == few[0].position), "few requests stay together");
        let many: Vec<_> = (0..92).map(|_| pick(&candidates, key("a"), Load::Exchange)).collect();
        let most = candidates.cells.iter().map(|cell| cell.loaded_with(Load::Exchange)).max().unwrap();
        assert!(most <= 32, "{most} of 100 are on one of four");
        drop((few, many));
        assert_eq!(position(&candidates, key("a")), position(&candidates, key("a")));
    }

    #[test]
    fn without_a_value_a_hash_is_least_request() {
        let candidates = candidates(0, 4, with(Algorithm::Hash(HashOn::ViewerAddress)));
        let chosen: BTreeSet<_> = (0..200).map(|_| position(&candidates, Wish::default())).collect();
        assert_eq!(chosen.len(), 4);
    }

    #[test]
    fn a_pinned_endpoint_is_kept_to_unless_it_is_out() {
        let candidates = candidates(1, 3, |_| {});
        let pinned = Wish { pinned: Some(2), hash: None };
        assert!((0..20).all(|_| position(&candidates, pinned) == 2));
        eject(&candidates, 2);
        assert_eq!(position(&candidates, pinned), 0);
    }

    #[test]
    fn full_endpoints_are_passed_over_until_all_are_full() {
        let candidates = candidates(0, 3, |origin| {
            origin.max_connections_per_endpoint = NonZeroU32::new(2);
            origin.connection_attempts = NonZeroU8::MIN;
        });
        let open: Vec<_> = (0..6).map(|_| pick(&candidates, Wish::default(), Load::Exchange)).collect();
        assert!(candidates.cells.iter().all(|cell| cell.loaded_with(Load::Exchange) == 2));
        let full = candidates.pick(Wish::default(), Load::Tunnel, &mut Vec::new(), Instant::now());
        assert_eq!(full.unwrap_err(), Reason::ConnectionLimit);
        drop(open);
        pick(&candidates, Wish::default(), Load::Tunnel);
    }

    #[test]
    fn an_ejected_endpoint_is_better_than_none() {
        let candidates = candidates(0, 2, |_| {});
        eject(&candidates, 0);
        assert!((0..20).all(|_| position(&candidates, Wish::default()) == 1));
        let last = candidates.pick(Wish::default(), Load::Exchange, &mut vec![1], Instant::now()).unwrap();
        assert_eq!(last.position, 0);
    }
}
