//! A worker's connections to endpoints: the idle ones of HTTP/1.1, the shared ones of HTTP/2.
//!
//! Last in, first out: the warm ones stay warm and the others age out. A connection is never used for another
//! [`Key`] than the one that it was opened for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::connect::Destination;
use super::http1::OriginConnection;
use super::http2::Lanes;
use crate::dataplane::live::Reachable;
use crate::table::origin::HttpVersion;

/// What a connection is good for: exchanges with the same endpoint, over the same HTTP and with the same TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    endpoint: SocketAddr,
    version: HttpVersion,
    /// The client whose settings the handshake was made with.
    tls: Option<u64>,
    /// The origin, where exchanges share the connection: what one tenant's do to it must not hit another's.
    sharing: Option<u64>,
}

impl Key {
    pub(crate) fn of(destination: &Destination) -> Self {
        let Destination { endpoint, tls, version, origin } = destination;
        Self {
            endpoint: *endpoint,
            version: *version,
            tls: tls.as_ref().map(|client| client.id),
            sharing: (*version == HttpVersion::Http2).then_some(*origin),
        }
    }

    fn is_in(&self, reachable: &Reachable) -> bool {
        reachable.endpoints.contains(&self.endpoint)
            && self.tls.is_none_or(|client| reachable.clients.contains(&client))
    }
}

/// The connections of one worker.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<Key, Vec<Idle>>>,
    per_endpoint: usize,
    pub(super) http2: Lanes,
}

#[derive(Debug)]
struct Idle {
    connection: OriginConnection,
    until: Instant,
}

impl Pool {
    /// An empty pool that keeps at most so many connections to one endpoint.
    pub(crate) fn new(per_endpoint: usize) -> Self {
        Self { idle: RefCell::default(), per_endpoint, http2: Lanes::default() }
    }

    /// The connection that idles shortest and is fit for a request; those on the way to it that are not are closed.
    pub(crate) fn take(&self, key: &Key) -> Option<OriginConnection> {
        let mut idle = self.idle.borrow_mut();
        let stack = idle.get_mut(key)?;
        let now = Instant::now();
        while let Some(last) = stack.pop() {
            if last.until > now && last.connection.is_alive() {
                return Some(last.connection);
            }
        }
        None
    }

    /// Keeps a connection for `keepalive`, unless there are enough.
    pub(crate) fn put(&self, key: Key, connection: OriginConnection, keepalive: Duration) {
        if keepalive.is_zero() || !connection.rests() {
            return;
        }
        connection.lay_down();
        let mut idle = self.idle.borrow_mut();
        let stack = idle.entry(key).or_default();
        if stack.len() < self.per_endpoint {
            stack.push(Idle { connection, until: Instant::now() + keepalive });
        }
    }

    /// Closes what has idled long enough, what the other side has closed, and what is not reachable any more.
    pub(crate) fn sweep(&self, reachable: &Reachable) {
        let now = Instant::now();
        self.http2.sweep(|key| key.is_in(reachable));
        self.idle.borrow_mut().retain(|key, stack| {
            let stays = key.is_in(reachable);
            stack.retain(|idle| stays && idle.until > now && idle.connection.is_alive());
            !stack.is_empty()
        });
    }
}
