//! Every tunnel of one worker, from its handshake to its end, and the orders that reach them.
//!
//! It closes nothing itself: an order says when and why, and the tunnel obeys (see `closing`). A handshake is
//! admitted before it is forwarded, so that no order can miss what is between the request and the 101.
//! Start at [`Registry::admit`].

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Waits;
use super::buffers::Buffers;
use super::closing::{Cause, Closed, ClosedBy, Verdict};
use super::life::Life;
use super::places::Place;
use super::rebalance::ScaleOut;
use super::tunnel::Terms;
use crate::dataplane::origin::{Loaded, Moving};
use crate::object::ObjectKey;
use crate::table::reason::Reason;
use crate::table::web_socket::{OnOriginTerminating, Rebalance};
use crate::telemetry::Address;
use crate::telemetry::metrics::Direction;

/// Numbers handshakes over all workers of the process.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// The tunnels of one worker; cheap to clone, and at home on its thread.
#[derive(Clone, Debug)]
pub(crate) struct Registry(pub(super) Rc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) waits: Waits,
    buffers: Buffers,
    pub(super) doors: Cell<Doors>,
    /// By number, so the oldest comes first.
    pub(super) tunnels: RefCell<BTreeMap<u64, Rc<Entry>>>,
    /// Origins to which endpoints were added, by number.
    pub(super) scale_outs: RefCell<BTreeMap<u64, Arc<ScaleOut>>>,
    /// Somebody gave its place up.
    left: Notify,
}

/// Whether handshakes are admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doors {
    Open,
    Closed,
}

/// What a tunnel is called in logs, metrics and the live view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// The behavior's pattern, `*` for the default one.
    pub behavior: String,
    /// `origins[].id`.
    pub origin: String,
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// The viewer's address.
    pub viewer: Address,
    /// The HTTP that it was opened over, `h1` or `h2`.
    pub protocol: &'static str,
    /// The viewer's connection, as the access log numbers it.
    pub connection: u64,
    /// What the origin agreed to in `Sec-WebSocket-Protocol`.
    pub subprotocol: Option<Box<str>>,
    /// The same in `Sec-WebSocket-Extensions`.
    pub extensions: Option<Box<str>>,
}

/// Who wants to know what happens to one tunnel: its metrics and its log lines.
pub(crate) trait Witness {
    /// Bytes were passed on, and with them the ends of messages.
    fn passed(&self, direction: Direction, bytes: u64, messages: u64);

    /// The tunnel has ended; called once.
    fn closed(&self, closed: &Closed);
}

/// An open tunnel, as the live view shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number, unique within the process.
    pub number: u64,
    /// Whose it is.
    pub distribution: ObjectKey,
    /// Its names.
    pub labels: Labels,
    /// How long it has been open.
    pub age: Duration,
    /// How long nothing has passed.
    pub idle: Duration,
    /// What was passed on to the origin.
    pub to_origin: Tally,
    /// What was passed on to the viewer.
    pub to_viewer: Tally,
}

/// Which of a worker's tunnels the live view asks for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// Those of this Distribution; none asks for all.
    pub(crate) distribution: Option<ObjectKey>,
    /// From this number on.
    pub(crate) from: u64,
    /// How many are looked at, whether they are asked for or not.
    pub(crate) at_most: usize,
}

/// A part of a worker's tunnels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Portion {
    /// Oldest first.
    pub(crate) tunnels: Vec<Listed>,
    /// The number from which on there are more; none after the last.
    pub(crate) next: Option<u64>,
}

/// What has passed in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Bytes, frame headers included.
    pub bytes: u64,
    /// Frames, with their end.
    pub frames: u64,
    /// Messages, with that of their last frame.
    pub messages: u64,
}

/// What a worker wants of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Say goodbye, at this time.
    Close { at: Instant, cause: Cause },
    /// End at once.
    Cut,
}

/// What the registry knows of one handshake or tunnel.
#[derive(Debug)]
pub(super) struct Entry {
    number: u64,
    pub(super) distribution: ObjectKey,
    order: Cell<Option<Order>>,
    /// Where it was told to move.
    pub(super) moving: RefCell<Option<Moving>>,
    ordered: Notify,
    last_activity: Cell<Instant>,
    to_origin: Cell<Tally>,
    to_viewer: Cell<Tally>,
    /// None while it is a handshake.
    pub(super) opened: OnceCell<Opened>,
}

pub(super) struct Opened {
    at: Instant,
    labels: Labels,
    /// Counts it on its endpoint.
    pub(super) loaded: Loaded,
    pub(super) on_origin_terminating: OnOriginTerminating,
    pub(super) rebalance: Option<Rebalance>,
    witness: Box<dyn Witness>,
}

/// A handshake's place in the registry, and later its tunnel's; dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct Admission {
    registry: Rc<Shared>,
    entry: Rc<Entry>,
    /// Its place in its behavior, kept to its end.
    place: Option<Place>,
    /// Whether its end was told.
    told: Cell<bool>,
}

impl Registry {
    /// A worker's registry, empty.
    pub(crate) fn new(waits: Waits) -> Self {
        Self(Rc::new(Shared {
            waits,
            buffers: Buffers::default(),
            doors: Cell::new(Doors::Open),
            tunnels: RefCell::default(),
            scale_outs: RefCell::default(),
            left: Notify::new(),
        }))
    }

    /// Admits a handshake, to be called before it is forwarded.
    ///
    /// # Errors
    /// [`Reason::Draining`] from the beginning of a drain on. What was admitted before is closed in the drain's
    /// pace once it is a tunnel.
    pub(crate) fn admit(&self, distribution: &ObjectKey) -> Result<Admission, Reason> {
        if self.0.doors.get() == Doors::Closed {
            return Err(Reason::Draining);
        }
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let entry = Rc::new(Entry {
            number,
            distribution: distribution.clone(),
            order: Cell::new(None),
            moving: RefCell::default(),
            ordered: Notify::new(),
            last_activity: Cell::new(Instant::now()),
            to_origin: Cell::default(),
            to_viewer: Cell::default(),
            opened: OnceCell::new(),
        });
        self.0.tunnels.borrow_mut().insert(number, Rc::clone(&entry));
        Ok(Admission { registry: Rc::clone(&self.0), entry, place: None, told: Cell::new(false) })
    }

    /// Cuts what is still open, admits nothing more, and waits until every tunnel has told its end, which waits for
    /// nobody; says how many there were. Handshakes end with their exchanges.
    pub(crate) async fn terminate(&self) -> usize {
        self.0.doors.set(Doors::Closed);
        self.0.tunnels.borrow().values().for_each(|entry| entry.order(Order::Cut));
        let cut = self.open();
        while self.open() > 0 {
            self.0.left.notified().await;
        }
        cut
    }

    fn open(&self) -> usize {
        self.0.tunnels.borrow().values().filter(|entry| entry.opened.get().is_some()).count()
    }

    /// Those open tunnels that are asked for.
    pub(crate) fn list(&self, ask: &Ask) -> Portion {
        let entries = self.0.tunnels.borrow();
        let mut entries = entries.range(ask.from..);
        let looked_at = entries.by_ref().take(ask.at_most).map(|(_, entry)| entry);
        let asked_for = |entry: &&Rc<Entry>| {
            ask.distribution.as_ref().is_none_or(|distribution| entry.distribution == *distribution)
        };
        let tunnels = looked_at.filter(asked_for).filter_map(|entry| entry.listed()).collect();
        Portion { tunnels, next: entries.next().map(|(number, _)| *number) }
    }

    /// How many handshakes are in flight and tunnels open.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.tunnels.borrow().len()
    }

    /// How many of the worker's buffers lie free.
    #[cfg(test)]
    pub(super) fn free_buffers(&self) -> usize {
        self.0.buffers.free()
    }
}

impl Admission {
    /// The same, with a place in its behavior.
    pub(crate) fn keeping(self, place: Place) -> Self {
        let mut admission = self;
        admission.place = Some(place);
        admission
    }

    /// From now on it is a tunnel.
    pub(super) fn open(&self, terms: Terms) {
        let Terms { labels, life: Life { on_origin_terminating, rebalance, .. }, loaded, witness } = terms;
        let now = Instant::now();
        self.entry.last_activity.set(now);
        if on_origin_terminating == OnOriginTerminating::Drain && loaded.departed_meanwhile() {
            // Its worker was told before there was a tunnel.
            self.entry.order(Order::Close { at: now, cause: Cause::OriginTerminating });
        }
        // It is opened by `tunnel::run` alone, which takes the admission with it: never twice.
        let _first = self.entry.opened.set(Opened {
            at: now,
            labels,
            loaded,
            on_origin_terminating,
            rebalance,
            witness,
        });
    }

    /// Reports the end and gives the place up.
    pub(super) fn close(self, verdict: Verdict) {
        self.tell(Closed { closed_by: verdict.closed_by, code: verdict.code, ..self.end() });
    }

    /// The end of a tunnel that was dropped without a verdict: by a fault of ours, or with its worker.
    fn end(&self) -> Closed {
        Closed {
            duration: self.entry.opened.get().map_or(Duration::ZERO, |opened| opened.at.elapsed()),
            to_origin: self.entry.to_origin.get(),
            to_viewer: self.entry.to_viewer.get(),
            ..Closed::without_verdict(ClosedBy::ShutdownDeadline)
        }
    }

    /// Tells it once.
    fn tell(&self, closed: Closed) {
        if let Some(opened) = self.entry.opened.get()
            && !self.told.replace(true)
        {
            opened.witness.closed(&closed);
        }
    }

    pub(super) fn entry(&self) -> &Rc<Entry> {
        &self.entry
    }

    pub(super) fn buffers(&self) -> &Buffers {
        &self.registry.buffers
    }

    pub(super) fn waits(&self) -> Waits {
        self.registry.waits
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.tell(self.end());
        self.registry.tunnels.borrow_mut().remove(&self.entry.number);
        self.registry.left.notify_waiters();
    }
}

impl Entry {
    /// Gives an order. Of two closes the earlier one holds; a cut beats both.
    pub(super) fn order(&self, order: Order) {
        let holds = match (self.order.get(), order) {
            (None, _) | (Some(Order::Close { .. }), Order::Cut) => true,
            (Some(Order::Close { at: before, .. }), Order::Close { at, .. }) => at < before,
            (Some(Order::Cut), _) => false,
        };
        if holds {
            self.order.set(Some(order));
            self.ordered.notify_one();
        }
    }

    /// The order that holds now.
    pub(super) fn current_order(&self) -> Option<Order> {
        self.order.get()
    }

    /// Waits for the next order.
    pub(super) async fn ordered(&self) {
        self.ordered.notified().await;
    }

    /// Waits for [`Order::Cut`].
    pub(super) async fn cut(&self) {
        while self.order.get() != Some(Order::Cut) {
            self.ordered.notified().await;
        }
    }

    /// Counts what was passed on; the frames and messages are those that ended in it.
    pub(super) fn passed(&self, direction: Direction, passed: Tally) {
        let tally = match direction {
            Direction::ToOrigin => &self.to_origin,
            Direction::ToViewer => &self.to_viewer,
        };
        let before = tally.get();
        tally.set(Tally {
            bytes: before.bytes + passed.bytes,
            frames: before.frames + passed.frames,
            messages: before.messages + passed.messages,
        });
        if let Some(opened) = self.opened.get() {
            opened.witness.passed(direction, passed.bytes, passed.messages);
        }
        self.touch();
    }

    /// Notes that something moves.
    pub(super) fn touch(&self) {
        self.last_activity.set(Instant::now());
    }

    /// When something moved last.
    pub(super) fn last_activity(&self) -> Instant {
        self.last_activity.get()
    }

    fn listed(&self) -> Option<Listed> {
        let opened = self.opened.get()?;
        Some(Listed {
            number: self.number,
            distribution: self.distribution.clone(),
            labels: opened.labels.clone(),
            age: opened.at.elapsed(),
            idle: self.last_activity.get().elapsed(),
            to_origin: self.to_origin.get(),
            to_viewer: self.to_viewer.get(),
        })
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("labels", &self.labels).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::origin::{Load, cells_for_test};

    /// Who is told nothing.
    struct Nobody;

    impl Witness for Nobody {
        fn passed(&self, _: Direction, _: u64, _: u64) {}

        fn closed(&self, _: &Closed) {}
    }

    fn labels() -> Labels {
        let address: SocketAddr = ([192, 0, 2, 1], 80).into();
        Labels {
            behavior: "*".to_owned(),
            origin: "web".to_owned(),
            endpoint: address,
            viewer: address.into(),
            protocol: "h1",
            connection: 1,
            subprotocol: None,
            extensions: None,
        }
    }

    #[tokio::test]
    async fn tunnels_are_told_in_parts_that_look_at_no_more_than_was_asked() {
        let registry = Registry::new(Waits::default());
        let (web, blog) = (ObjectKey::new("shop", "web"), ObjectKey::new("shop", "blog"));
        let admitted = [&web, &blog, &blog, &web, &blog, &blog].map(|key| registry.admit(key).unwrap());
        let [cell] = &cells_for_test(1)[..] else { unreachable!() };
        let terms = || Terms {
            labels: labels(),
            life: Life::default(),
            loaded: cell.enter(Load::Tunnel, None).unwrap(),
            witness: Box::new(Nobody),
        };
        admitted[..5].iter().for_each(|admission| admission.open(terms()));
        let mut ask = Ask { distribution: Some(blog.clone()), from: 0, at_most: 2 };
        let mut parts = Vec::new();
        loop {
            let part = registry.list(&ask);
            assert!(part.tunnels.iter().all(|told| told.distribution == blog && told.number >= ask.from));
            parts.push(part.tunnels.len());
            match part.next {
                Some(next) => ask.from = next,
                None => break,
            }
        }
        assert_eq!(parts, [1, 1, 1], "of two each, and the last one is a handshake");
        let all = registry.list(&Ask { distribution: None, from: 0, at_most: usize::MAX });
        assert_eq!((all.tunnels.len(), all.next), (5, None));
    }
}
