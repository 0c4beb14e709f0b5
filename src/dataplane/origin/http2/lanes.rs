//! A worker's HTTP/2 connections to endpoints, and which of them has room for one more exchange.
//!
//! A connection is listed from the moment somebody wants it, so that a hundred exchanges that come at once wait
//! for one handshake and do not make a hundred.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use tokio::time::Instant;

use super::Connection;
use crate::dataplane::limits::Limits;
use crate::dataplane::origin::pool::Key;
use crate::table::reason::Reason;

/// A connection, or its handshake, as everybody who waits for it holds it.
pub(crate) type Opening = Shared<LocalBoxFuture<'static, Result<Connection, Reason>>>;

/// The connections of one worker.
#[derive(Debug, Default)]
pub(crate) struct Lanes(RefCell<HashMap<Key, Vec<Listed>>>);

#[derive(Debug)]
struct Listed {
    opening: Opening,
    lane: Rc<Lane>,
}

/// How much there is on one connection.
#[derive(Debug)]
pub(crate) struct Lane {
    exchanges: Cell<usize>,
    /// How many we allow, and how many the origin does, too.
    limit: usize,
    most: Cell<usize>,
    closed: Cell<bool>,
    /// Whether the handshake is over.
    open: Cell<bool>,
    /// Since when there is no exchange on it, where there is none.
    idle_since: Cell<Instant>,
    keepalive: Cell<Duration>,
}

/// One exchange's place on a connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat(Rc<Lane>);

impl Lanes {
    /// A place on the first connection with room, else on one that `open` makes; none where there are as many as
    /// there may be. A connection is kept for `keepalive` after its last exchange.
    pub(crate) fn join(
        &self,
        key: &Key,
        limits: &Limits,
        keepalive: Duration,
        open: impl FnOnce(Rc<Lane>) -> LocalBoxFuture<'static, Result<Connection, Reason>>,
    ) -> Option<(Seat, Opening)> {
        let mut lanes = self.0.borrow_mut();
        let listed = lanes.entry(key.clone()).or_default();
        listed.retain(|listed| !listed.lane.closed.get());
        if let Some(Listed { opening, lane }) = listed.iter().find(|listed| listed.lane.has_room()) {
            return Some((lane.enter(keepalive), opening.clone()));
        }
        if listed.len() >= limits.origin_connections {
            return None;
        }
        let lane = Rc::new(Lane::new(limits.origin_streams));
        let opening = open(Rc::clone(&lane)).shared();
        let seat = lane.enter(keepalive);
        listed.push(Listed { opening: opening.clone(), lane });
        Some((seat, opening))
    }

    /// Lets go of what failed or has idled long enough, and of what leads to where `stays` says no; exchanges on
    /// it go on to their end.
    pub(crate) fn sweep(&self, stays: impl Fn(&Key) -> bool) {
        let now = Instant::now();
        self.0.borrow_mut().retain(|key, listed| {
            let stays = stays(key);
            listed.retain(|listed| stays && !listed.lane.is_over(now));
            !listed.is_empty()
        });
    }
}

impl Lane {
    fn new(limit: usize) -> Self {
        Self {
            exchanges: Cell::new(0),
            limit,
            most: Cell::new(limit),
            closed: Cell::new(false),
            open: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            keepalive: Cell::new(Duration::ZERO),
        }
    }

    fn enter(self: &Rc<Self>, keepalive: Duration) -> Seat {
        self.exchanges.set(self.exchanges.get() + 1);
        self.keepalive.set(keepalive);
        Seat(Rc::clone(self))
    }

    fn has_room(&self) -> bool {
        !self.closed.get() && self.exchanges.get() < self.most.get()
    }

    /// Notes that the handshake is over.
    pub(super) fn opened(&self) {
        self.open.set(true);
    }

    /// Notes how many exchanges the origin allows at once. Where it says none for now (RFC 9113 section 6.5.2) one
    /// waits for more, or each would make a connection of its own.
    pub(super) fn allow(&self, most: usize) {
        self.most.set(self.limit.min(most.max(1)));
    }

    /// Nobody else gets a place.
    pub(super) fn close(&self) {
        self.closed.set(true);
    }

    /// Whether there is no exchange on it.
    pub(super) fn is_idle(&self) -> bool {
        self.exchanges.get() == 0
    }

    fn is_over(&self, now: Instant) -> bool {
        self.closed.get() || (self.is_idle() && self.idle_since.get() + self.keepalive.get() <= now)
    }
}

impl Seat {
    /// Nobody else gets a place beside this one.
    pub(crate) fn close(&self) {
        self.0.close();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let lane = &self.0;
        lane.exchanges.set(lane.exchanges.get().saturating_sub(1));
        lane.idle_since.set(Instant::now());
        // A handshake goes on while somebody waits for it: one that nobody waits for would be found late.
        if lane.is_idle() && !lane.open.get() {
            lane.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_that_allows_nothing_gets_one_exchange_on_a_connection() {
        let lane = Rc::new(Lane::new(2));
        lane.opened();
        lane.allow(0);
        assert!(lane.has_room());
        let seat = lane.enter(Duration::ZERO);
        assert!(!lane.has_room());
        drop(seat);
        assert!(lane.has_room());
    }
}
