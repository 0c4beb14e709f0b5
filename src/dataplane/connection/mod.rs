//! A viewer's connection: who is there.
//!
//! A connection carries one exchange after another over HTTP/1.1 ([`http1`], whose phases are in [`turn`]), and
//! many at once over HTTP/2 ([`http2`]). All that its exchanges share is who the viewer is.

mod ending;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod turn;

pub(crate) use ending::linger;

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use http::HeaderMap;

use super::places::Place;
use super::tls::Session;
use super::viewer::address::{Peer, Sender};
use super::viewer::client_certificate::Told;
use super::worker::Worker;
use crate::table::decide::{Scheme, Transport};
use crate::table::route::Routes;
use crate::telemetry::metrics::Entered;

/// One viewer's connection, as everything that happens on it sees it.
pub(crate) struct Viewer {
    pub(crate) worker: Rc<Worker>,
    /// Unique in this process.
    pub(crate) id: u64,
    pub(crate) peer: Peer,
    /// The listener's address.
    pub(crate) local: SocketAddr,
    /// What the TLS handshake settled; none on plaintext.
    pub(crate) session: Option<Session>,
    /// Counts it as an open connection.
    _open: Entered,
    /// Its place among them.
    _place: Place,
}

impl Viewer {
    pub(crate) fn new(
        worker: Rc<Worker>,
        peer: Peer,
        local: SocketAddr,
        session: Option<Session>,
        open: Entered,
        place: Place,
    ) -> Rc<Self> {
        Rc::new(Self {
            id: worker.next_connection_id(),
            worker,
            peer,
            local,
            session,
            _open: open,
            _place: place,
        })
    }

    /// What the connection is, for the judgement.
    pub(crate) fn transport(&self) -> Transport<'_> {
        match &self.session {
            Some(session) => Transport::Tls(&session.identity),
            None => Transport::Plain,
        }
    }

    /// What an origin of `routes` is told of the viewer's certificate. Without TLS nobody shows one.
    pub(crate) fn certificate_told(&self, routes: &Routes) -> Told<'_> {
        match (&self.session, &routes.tls.clients) {
            (_, None) => Told::Nothing,
            (None, Some(_)) => Told::Absent,
            (Some(session), Some(_)) => session.certificate_told(),
        }
    }

    /// Who sent a request with these fields.
    pub(crate) fn sender(&self, headers: &HeaderMap) -> Sender {
        let scheme = if self.session.is_some() { Scheme::Https } else { Scheme::Http };
        self.peer.sender(headers, scheme, &self.worker.entrance.trusted_proxies)
    }
}

impl fmt::Debug for Viewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Viewer")
            .field("id", &self.id)
            .field("peer", &self.peer.address)
            .finish_non_exhaustive()
    }
}
