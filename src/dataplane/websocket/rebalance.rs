//! Moves tunnels off the busiest endpoint after others were added, where their behavior wants that.
//!
//! Each worker closes some of its own; how many and when is settled over all of them by what the origin keeps of its
//! scale-out. Start at [`Registry::rebalance`].

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::closing::Cause;
use super::registry::{Entry, Order, Registry};
use crate::dataplane::origin::{EndpointCell, Load, OriginCell, Slot};
use crate::table::web_socket::Rebalance;

/// An origin to which endpoints were added.
#[derive(Debug)]
pub(crate) struct ScaleOut {
    pub(crate) origin: Arc<OriginCell>,
    /// The endpoints that serve now.
    pub(crate) cells: Vec<Arc<EndpointCell>>,
}

/// Whether a scale-out has to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Again,
    NoMore,
}

impl ScaleOut {
    /// The position of the busiest endpoint.
    fn busiest(&self) -> Option<usize> {
        (0..self.cells.len()).max_by_key(|at| self.cells.get(*at).map(|cell| cell.settled()))
    }

    /// Whether an endpoint has so much more than the mean that one of its tunnels should be elsewhere. Those that
    /// move are still counted for the mean, since they come back; and where it would only change places with the
    /// idlest one, nothing is gained.
    fn exceeds(&self, busiest: &EndpointCell, rule: Rebalance) -> bool {
        let total: u64 = self.cells.iter().map(|cell| cell.loaded_with(Load::Tunnel)).sum();
        let count = u64::try_from(self.cells.len()).unwrap_or(u64::MAX);
        let bound = total.saturating_mul(100 + u64::from(rule.max_imbalance_percent.get()));
        let least = self.cells.iter().map(|cell| cell.settled()).min().unwrap_or(0);
        let most = busiest.settled();
        most.saturating_mul(100).saturating_mul(count) > bound && most > least + 1
    }
}

impl Registry {
    /// Begins to look after origins to which endpoints were added, or whose endpoints changed since.
    pub(crate) fn begin_rebalance(&self, scale_outs: impl IntoIterator<Item = Arc<ScaleOut>>) {
        let mut known = self.0.scale_outs.borrow_mut();
        known.extend(scale_outs.into_iter().map(|scale_out| (scale_out.origin.id, scale_out)));
    }

    /// Closes what has to move until `latest`, when this is to be called again.
    pub(crate) fn rebalance(&self, latest: Instant) {
        let mut known = self.0.scale_outs.borrow_mut();
        known.retain(|_, scale_out| self.move_some(scale_out, latest) == Look::Again);
    }

    fn move_some(&self, scale_out: &ScaleOut, latest: Instant) -> Look {
        // Others may have moved all that there was to move.
        if !scale_out.origin.moves.go_on() {
            return Look::NoMore;
        }
        let mut movable = self.movable(scale_out);
        while movable.iter().any(|on_one| !on_one.is_empty()) {
            let Some(busiest) = scale_out.busiest() else { return Look::NoMore };
            let of_others = movable.iter().flatten().map(|(_, rule)| *rule).next();
            let (Some(cell), Some(on_it)) = (scale_out.cells.get(busiest), movable.get_mut(busiest)) else {
                return Look::NoMore;
            };
            let next = on_it.pop_front();
            let rule = next.as_ref().map(|(_, rule)| *rule).or(of_others);
            if !rule.is_some_and(|rule| scale_out.exceeds(cell, rule)) {
                return Look::NoMore;
            }
            // Where there is none, it is the turn of another worker.
            let Some((entry, rule)) = next else { return Look::Again };
            match scale_out.origin.moves.reserve(latest, rule.closes_per_second) {
                Slot::At(at) => {
                    entry.moving.replace(Some(cell.begin_move()));
                    entry.order(Order::Close { at, cause: Cause::Rebalance });
                }
                Slot::Later => return Look::Again,
                Slot::Spent => return Look::NoMore,
            }
        }
        Look::NoMore
    }

    /// The tunnels that may move, by the positions of their endpoints and the oldest first, and by which rule.
    fn movable(&self, scale_out: &ScaleOut) -> Vec<VecDeque<(Rc<Entry>, Rebalance)>> {
        let mut movable = vec![VecDeque::new(); scale_out.cells.len()];
        for entry in self.0.tunnels.borrow().values().filter(|entry| entry.current_order().is_none()) {
            let Some(opened) = entry.opened.get() else { continue };
            let is_its = |cell: &Arc<EndpointCell>| Arc::ptr_eq(cell, opened.loaded.cell());
            let on_one = scale_out.cells.iter().position(is_its).and_then(|place| movable.get_mut(place));
            if let (Some(on_one), Some(rule)) = (on_one, opened.rebalance) {
                on_one.push_back((Rc::clone(entry), rule));
            }
        }
        movable
    }
}
