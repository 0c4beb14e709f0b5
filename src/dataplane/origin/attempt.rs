//! One attempt on one endpoint: on a pooled connection, else on a fresh one.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::http1::{self, Failure, OriginConnection};
use super::{Incomings, Outgoing, Report, connect};
use crate::dataplane::live::{EndpointCell, LiveOrigin, Loaded};
use crate::dataplane::viewer::body::ViewerBody;
use crate::dataplane::websocket::side::Upgraded;
use crate::dataplane::worker::Worker;
use crate::table::reason::Reason;

/// How an attempt ended without an answer.
pub(super) enum Attempt {
    /// There was no connection, so nothing was sent: another endpoint may be tried.
    NotConnected(Reason),
    /// Something may have been sent.
    Failed(Reason),
}

pub(super) async fn on_endpoint(
    worker: &Rc<Worker>,
    origin: &LiveOrigin,
    cell: &Arc<EndpointCell>,
    outgoing: &Outgoing,
    report: &mut Report,
) -> Result<Incomings, Attempt> {
    let loaded = cell.enter(outgoing.load);
    if let Some(connection) = worker.pool.take(cell.address) {
        match exchange_on(connection, origin, outgoing).await {
            Ok((response, connection)) => {
                return Ok(Incomings {
                    response,
                    returning: Returning::new(worker, origin, connection, loaded, outgoing),
                });
            }
            Err(failure) if failure.may_be_sent_again(&outgoing.head.method, &outgoing.body) => {
                // The pooled connection was dead: the endpoint is not to blame, so a fresh one goes there.
            }
            Err(failure) => return Err(Attempt::Failed(failure.reason)),
        }
    }
    let began = Instant::now();
    let connected = connect::connect(cell.address, origin.origin.connection_timeout).await;
    report.connect = Some(began.elapsed());
    let stream = connected.map_err(|failure| Attempt::NotConnected(failure.reason()))?;
    let connection = http1::open(worker, stream).await.map_err(|_| Attempt::Failed(Reason::Internal))?;
    match exchange_on(connection, origin, outgoing).await {
        Ok((response, connection)) => Ok(Incomings {
            response,
            returning: Returning::new(worker, origin, connection, loaded, outgoing),
        }),
        Err(failure) if failure.nothing_was_sent() => Err(Attempt::NotConnected(failure.reason)),
        Err(failure) => Err(Attempt::Failed(failure.reason)),
    }
}

async fn exchange_on(
    mut connection: OriginConnection,
    origin: &LiveOrigin,
    outgoing: &Outgoing,
) -> Result<(Response<Incoming>, OriginConnection), Failure> {
    // The head is copied, since another connection may need it; its values are shared, not copied.
    let request = Request::from_parts(outgoing.head.clone(), outgoing.body.clone());
    let response = connection.exchange(request, &outgoing.body, origin.origin.read_timeout).await?;
    Ok((response, connection))
}

/// A connection in the middle of an exchange, on its way back to the pool.
///
/// Dropped instead of given back, it closes the connection: after any doubt it is not used again.
#[derive(Debug)]
pub(crate) struct Returning {
    connection: OriginConnection,
    worker: Rc<Worker>,
    keepalive: Duration,
    request_body: ViewerBody,
    loaded: Loaded,
}

impl Returning {
    pub(super) fn new(
        worker: &Rc<Worker>,
        origin: &LiveOrigin,
        connection: OriginConnection,
        loaded: Loaded,
        outgoing: &Outgoing,
    ) -> Self {
        Self {
            connection,
            worker: Rc::clone(worker),
            keepalive: origin.origin.keepalive_timeout,
            request_body: outgoing.body.clone(),
            loaded,
        }
    }

    /// Shortens the time for which the connection may idle to what the origin announced (`Keep-Alive:
    /// timeout=N`), less a second for the way.
    pub(crate) fn announced_timeout(&mut self, timeout: Duration) {
        self.keepalive = self.keepalive.min(timeout.saturating_sub(Duration::from_secs(1)));
    }

    /// Pools the connection, where both messages have passed completely.
    pub(crate) fn give_back(self) {
        if self.request_body.has_ended() {
            self.worker.pool.put(self.loaded.endpoint(), self.connection, self.keepalive);
        }
    }

    /// Takes the connection apart after a 101, for a tunnel that counts on the endpoint until its guard is
    /// dropped.
    pub(crate) async fn into_tunnel(self) -> Option<(Upgraded<TcpStream>, Loaded)> {
        Some((self.connection.into_upgraded().await?, self.loaded))
    }
}
