//! Whose turn it is on an HTTP/1.1 connection, which carries one exchange at a time.
//!
//! There is one deadline and one phase per connection, not a timer per wait; the exchange moves the phase, and
//! the loop in [`super::http1`] holds it against the clock.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use tokio::time::Instant;

use crate::dataplane::account::RequestBody;
use crate::dataplane::exchange::Opened;
use crate::dataplane::guarded_io::Meter;
use crate::dataplane::limits::Limits;

/// What the connection is doing, shared with the exchange under way.
pub(crate) struct Turn {
    phase: Cell<Phase>,
    since: Cell<Instant>,
    /// Whether the last request's body was left unread.
    unread: Cell<bool>,
    /// Whether it was we who closed behind the last answer.
    closes: Cell<bool>,
    /// Requests that may still come, and until when: the next answer says that it was the last.
    requests_left: Cell<u32>,
    retires: Instant,
    /// A tunnel that the last exchange opened: the connection becomes it when the 101 is written.
    pub(super) opened: RefCell<Option<Box<Opened>>>,
}

/// What an HTTP/1.1 connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing came yet.
    New,
    /// A part of a head came.
    Head,
    /// A request is being served.
    Exchange,
    /// Between two requests.
    Idle,
}

impl Turn {
    /// The turn of a connection on which nothing has happened.
    pub(super) fn new(limits: &Limits) -> Rc<Self> {
        let now = Instant::now();
        // Up to a tenth less, so that those that came together do not leave together.
        let age = limits.connection_age.mul_f64(1.0 - fastrand::f64() / 10.0);
        Rc::new(Self {
            phase: Cell::new(Phase::New),
            since: Cell::new(now),
            unread: Cell::new(false),
            closes: Cell::new(false),
            requests_left: Cell::new(limits.connection_requests),
            retires: now + age,
            opened: RefCell::new(None),
        })
    }

    /// A request's head is complete.
    pub(crate) fn exchange_began(&self, now: Instant) {
        self.enter(Phase::Exchange, now);
    }

    /// The last byte of an answer was handed over, or there will be none.
    pub(crate) fn exchange_ended(&self, body: RequestBody, now: Instant) {
        self.enter(Phase::Idle, now);
        self.unread.set(body == RequestBody::Unread);
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Since when the present phase lasts.
    pub(super) fn since(&self) -> Instant {
        self.since.get()
    }

    /// Whether no request is under way, and nothing came of the next one.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase.get(), Phase::New | Phase::Idle)
    }

    /// Counts an answer; says whether it is to be the last, since the connection is old enough.
    pub(super) fn retires(&self) -> bool {
        let left = self.requests_left.get().saturating_sub(1);
        self.requests_left.set(left);
        left == 0 || self.retires <= Instant::now()
    }

    /// The answer that goes out now says that we close behind it.
    pub(super) fn note_close(&self) {
        self.closes.set(true);
    }

    /// Whether the viewer may still be sending what nobody will read.
    pub(super) fn left_something_unread(&self) -> bool {
        self.unread.get() || self.closes.get()
    }

    /// A part of a head is there already.
    pub(super) fn head_began(&self) {
        self.enter(Phase::Head, Instant::now());
    }

    /// Sees the first byte of a head; `idle_at` is what had been read when the connection fell idle.
    pub(super) fn notice_head(&self, meter: &Meter, idle_at: u64) {
        if self.is_idle() && meter.read() > idle_at {
            self.enter(Phase::Head, Instant::now());
        }
    }

    /// Until when the present phase may last; none while it is the origin that everybody waits for.
    pub(super) fn phase_ends(&self, limits: &Limits) -> Option<Instant> {
        let limit = match self.phase.get() {
            Phase::New | Phase::Head => limits.request_head,
            Phase::Idle => limits.viewer_idle,
            Phase::Exchange => return None,
        };
        Some(self.since.get() + limit)
    }

    fn enter(&self, phase: Phase, now: Instant) {
        self.phase.set(phase);
        self.since.set(now);
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("phase", &self.phase.get()).finish_non_exhaustive()
    }
}
