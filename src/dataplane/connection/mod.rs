//! A viewer's connection: who is there, and in which phase it is.
//!
//! There is one deadline and one phase per connection, not a timer per wait; the exchange moves the phase, and
//! the loop in [`http1`] holds it against the clock.

mod ending;
pub(crate) mod http1;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::time::Instant;

use super::account::{Record, RequestBody};
use super::exchange::Opened;
use super::guarded_io::Meter;
use super::tls::Session;
use super::viewer::forwarded::{AddressValue, Scheme};
use super::worker::Worker;
use crate::table::decide::Transport;
use crate::telemetry::metrics::Entered;

/// One viewer's connection, as everything that happens on it sees it.
pub(crate) struct Viewer {
    pub(crate) worker: Rc<Worker>,
    /// Unique in this process.
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    /// The listener's address.
    pub(crate) local: SocketAddr,
    pub(crate) address_value: AddressValue,
    /// What the TLS handshake settled; none on plaintext.
    pub(crate) session: Option<Session>,
    phase: Cell<Phase>,
    since: Cell<Instant>,
    /// Whether the last request's body was left unread.
    unread: Cell<bool>,
    /// A tunnel that the last exchange opened: the connection becomes it when the 101 is written.
    pub(crate) opened: RefCell<Option<Box<Opened>>>,
    /// Counts it as an open connection.
    _open: Entered,
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

impl Viewer {
    pub(crate) fn new(
        worker: Rc<Worker>,
        peer: SocketAddr,
        local: SocketAddr,
        session: Option<Session>,
        open: Entered,
    ) -> Rc<Self> {
        Rc::new(Self {
            id: worker.next_connection_id(),
            worker,
            peer,
            local,
            address_value: AddressValue::new(peer.ip()),
            session,
            phase: Cell::new(Phase::New),
            since: Cell::new(Instant::now()),
            unread: Cell::new(false),
            opened: RefCell::new(None),
            _open: open,
        })
    }

    /// How the viewer came, for the judgement.
    pub(crate) fn transport(&self) -> Transport<'_> {
        match &self.session {
            Some(session) => Transport::Tls(&session.identity),
            None => Transport::Plain,
        }
    }

    /// How the viewer came, for the origin and the log.
    pub(crate) fn scheme(&self) -> Scheme {
        if self.session.is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// A request's head is complete.
    pub(crate) fn exchange_began(&self) {
        self.enter(Phase::Exchange);
        self.worker.exchange_began();
    }

    /// The last byte of an answer was handed over, or there will be none.
    pub(crate) fn exchange_ended(&self, body: RequestBody, record: &Record) {
        self.enter(Phase::Idle);
        self.unread.set(body == RequestBody::Unread);
        self.worker.exchange_ended(record);
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Whether the viewer may still be sending what nobody will read.
    pub(crate) fn left_something_unread(&self) -> bool {
        self.unread.get()
    }

    /// Sees the first byte of a head; `idle_at` is what had been read when the connection fell idle.
    fn notice_head(&self, meter: &Meter, idle_at: u64) {
        if matches!(self.phase.get(), Phase::New | Phase::Idle) && meter.read() > idle_at {
            self.enter(Phase::Head);
        }
    }

    /// Until when the present phase may last; none while it is the origin that everybody waits for.
    fn phase_ends(&self) -> Option<Instant> {
        let limits = &self.worker.limits;
        let limit = match self.phase.get() {
            Phase::New | Phase::Head => limits.request_head,
            Phase::Idle => limits.viewer_idle,
            Phase::Exchange => return None,
        };
        Some(self.since.get() + limit)
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(Instant::now());
    }
}

impl fmt::Debug for Viewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Viewer").field("id", &self.id).field("peer", &self.peer).finish_non_exhaustive()
    }
}
