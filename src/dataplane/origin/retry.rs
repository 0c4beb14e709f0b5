//! How often requests may be sent again.
//!
//! Whether one may be is the question of its attempt; here stands how many, for each origin on each worker: a
//! fifth of the requests of the last ten seconds, and always a few a second, or an origin in trouble would get
//! three times its load.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::endpoint::OriginCell;

/// Retries for each hundred requests.
const PERCENT: u64 = 20;
/// Retries in a second that are always allowed.
const ALWAYS_A_SECOND: u64 = 3;
/// The seconds that are looked back on.
const SECONDS: usize = 10;

/// The budgets of one worker, by origin.
#[derive(Debug)]
pub(crate) struct Budgets {
    began: Instant,
    by_origin: RefCell<HashMap<u64, Rc<Budget>>>,
}

impl Budgets {
    /// None has been used yet.
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), by_origin: RefCell::default() }
    }

    /// The budget of an origin, with one more request in it.
    pub(super) fn of_request(&self, origin: &OriginCell, now: Instant) -> Rc<Budget> {
        let mut by_origin = self.by_origin.borrow_mut();
        let budget = by_origin.entry(origin.id).or_insert_with(|| Rc::new(Budget::new(self.began)));
        budget.0.borrow_mut().at(now).requests += 1;
        Rc::clone(budget)
    }

    /// Forgets the budgets that nobody has used for as long as they look back.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.by_origin.borrow_mut().retain(|_, budget| budget.0.borrow().is_recent(now));
    }
}

/// What one origin may still have sent again.
#[derive(Debug)]
pub(super) struct Budget(RefCell<Window>);

#[derive(Debug)]
struct Window {
    began: Instant,
    /// The second that the newest slot counts.
    newest: u64,
    /// The last seconds, each at its number modulo their count.
    slots: [Slot; SECONDS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u64,
    retries: u64,
}

impl Budget {
    fn new(began: Instant) -> Self {
        Self(RefCell::new(Window { began, newest: 0, slots: [Slot::default(); SECONDS] }))
    }

    /// Whether one more retry is within the budget; it is counted then.
    pub(super) fn allows_another(&self, now: Instant) -> bool {
        let mut window = self.0.borrow_mut();
        let this_second = window.at(now).retries;
        let sum = |of: fn(&Slot) -> u64| window.slots.iter().map(of).sum::<u64>();
        let (requests, retries) = (sum(|slot| slot.requests), sum(|slot| slot.retries));
        let allowed = this_second < ALWAYS_A_SECOND || (retries + 1) * 100 <= requests * PERCENT;
        if allowed {
            window.at(now).retries += 1;
        }
        allowed
    }
}

impl Window {
    /// The slot of this second; those that are too old by now are emptied.
    fn at(&mut self, now: Instant) -> &mut Slot {
        let second = self.second(now);
        let passed = second.saturating_sub(self.newest);
        for ahead in 1..=passed.min(SECONDS as u64) {
            *self.slot(self.newest + ahead) = Slot::default();
        }
        self.newest = self.newest.max(second);
        self.slot(self.newest)
    }

    fn slot(&mut self, second: u64) -> &mut Slot {
        let place = usize::try_from(second % SECONDS as u64).unwrap_or_default();
        &mut self.slots[place]
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs()
    }

    fn is_recent(&self, now: Instant) -> bool {
        let idle = self.second(now).saturating_sub(self.newest);
        Duration::from_secs(idle) < Duration::from_secs(SECONDS as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many retries of so many are allowed at once.
    fn allowed(budget: &Budget, wanted: usize, now: Instant) -> usize {
        (0..wanted).filter(|_| budget.allows_another(now)).count()
    }

    #[test]
    fn a_few_retries_a_second_are_always_allowed() {
        let (budgets, origin, start) = (Budgets::new(), OriginCell::new(), Instant::now());
        let budget = budgets.of_request(&origin, start);
        for second in 0..30 {
            assert_eq!(allowed(&budget, 10, start + Duration::from_secs(second)), 3, "second {second}");
        }
    }

    #[test]
    fn of_many_requests_a_fifth_may_be_sent_again_within_ten_seconds() {
        let (budgets, origin, start) = (Budgets::new(), OriginCell::new(), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        (0..100).for_each(|_| drop(budgets.of_request(&origin, at(0))));
        let budget = budgets.of_request(&origin, at(5));
        assert_eq!(allowed(&budget, 100, at(5)), 20);
        // The hundred are forgotten, the retries are not.
        assert_eq!(allowed(&budget, 100, at(11)), 3);
        (0..1000).for_each(|_| drop(budgets.of_request(&origin, at(12))));
        assert_eq!(allowed(&budget, 1000, at(12)), 1001 / 5 - 23);
    }

    #[test]
    fn each_origin_has_its_own_budget_and_an_unused_one_is_forgotten() {
        let (budgets, now) = (Budgets::new(), Instant::now());
        let (one, other) = (OriginCell::new(), OriginCell::new());
        assert_eq!(allowed(&budgets.of_request(&one, now), 10, now), 3);
        assert_eq!(allowed(&budgets.of_request(&other, now), 10, now), 3);
        budgets.sweep();
        assert_eq!(allowed(&budgets.of_request(&one, now), 10, now), 0);
        budgets.by_origin.borrow().values().for_each(|budget| {
            assert!(budget.0.borrow().is_recent(now + Duration::from_secs(9)));
            assert!(!budget.0.borrow().is_recent(now + Duration::from_secs(10)));
        });
    }
}
