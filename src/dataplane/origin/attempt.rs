//! One attempt on one endpoint: on a connection that is there, else on a fresh one.

use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use http::Response;
use tokio::time::Instant;

use super::body::Body;
use super::connect::Destination;
use super::failure::Failure;
use super::http1::{AnswerBody, OriginConnection};
use super::http2::{self, Seat};
use super::pool::Key;
use super::stream::OriginStream;
use super::{Incomings, Load, Loaded, Outgoing, Report, Retries};
use crate::dataplane::live::LiveOrigin;
use crate::dataplane::viewer::body::ViewerBody;
use crate::dataplane::websocket::side::Upgraded;
use crate::dataplane::worker::Worker;
use crate::table::origin::{HttpVersion, Origin};
use crate::table::reason::Reason;

/// How an attempt ended without an answer.
pub(super) enum Attempt {
    /// There was no connection, so nothing was sent: another endpoint may be tried.
    NotConnected(Reason),
    /// Something may have been sent.
    Failed(Reason),
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        match failure.nothing_was_sent() {
            true => Self::NotConnected(failure.reason),
            false => Self::Failed(failure.reason),
        }
    }
}

/// The HTTP that an origin is spoken to: a WebSocket needs a connection for itself.
pub(super) fn version(origin: &Origin, load: Load) -> HttpVersion {
    match load {
        Load::Tunnel => HttpVersion::Http1,
        Load::Exchange => origin.http_version,
    }
}

pub(super) async fn on_endpoint(
    worker: &Rc<Worker>,
    origin: &LiveOrigin,
    loaded: Loaded,
    outgoing: &Outgoing,
    retries: &Retries<'_>,
    report: &mut Report,
) -> Result<Incomings, Attempt> {
    let attempt = OnEndpoint { worker, origin, outgoing, retries };
    let destination = Destination {
        endpoint: loaded.endpoint(),
        tls: origin.tls.clone(),
        version: version(&origin.origin, outgoing.load),
        origin: loaded.origin(),
    };
    let (response, carrier) = match destination.version {
        HttpVersion::Http1 => attempt.over_http1(destination, report).await?,
        HttpVersion::Http2 => Box::pin(attempt.over_http2(destination, report)).await?,
    };
    Ok(Incomings { response, returning: Returning::new(worker, origin, carrier, loaded, outgoing) })
}

/// An attempt, as both kinds of HTTP make it.
#[derive(Clone, Copy)]
struct OnEndpoint<'a> {
    worker: &'a Rc<Worker>,
    origin: &'a LiveOrigin,
    outgoing: &'a Outgoing,
    retries: &'a Retries<'a>,
}

impl OnEndpoint<'_> {
    async fn over_http1(
        self,
        to: Destination,
        report: &mut Report,
    ) -> Result<(Response<Body>, Carrier), Attempt> {
        let key = Key::of(&to);
        let carried = |(response, connection): (Response<_>, _), key| {
            (response.map(Body::Http1), Carrier::Http1 { connection, key })
        };
        if let Some(connection) = self.worker.pool.take(&key) {
            match self.exchange_http1(connection).await {
                Ok(answer) => return Ok(carried(answer, key)),
                Err(failure) if self.may_go_again(failure) => {
                    // The pooled connection was dead: the endpoint is not to blame, so a fresh one goes there.
                }
                Err(failure) => return Err(Attempt::Failed(failure.reason)),
            }
        }
        let began = Instant::now();
        // Large, and not to be paid for by exchanges that find a connection.
        let connected = Box::pin(to.connect(self.origin.origin.connection_timeout)).await;
        report.connect = Some(began.elapsed());
        let stream = connected.map_err(|failure| Attempt::NotConnected(failure.reason()))?;
        Ok(carried(self.exchange_http1(OriginConnection::new(stream)).await?, key))
    }

    async fn exchange_http1(
        self,
        mut connection: OriginConnection,
    ) -> Result<(Response<AnswerBody>, OriginConnection), Failure> {
        let Outgoing { head, body, .. } = self.outgoing;
        let (limit, limits) = (self.origin.origin.read_timeout, &self.worker.limits);
        let response = connection.exchange(head, body, limit, limits).await?;
        Ok((response, connection))
    }

    async fn over_http2(
        self,
        to: Destination,
        report: &mut Report,
    ) -> Result<(Response<Body>, Carrier), Attempt> {
        match self.join(&to, report).await {
            Ok(answer) => Ok(answer),
            // The connection was going away: the endpoint is not to blame, so another one goes there.
            Err(Joined::Failed(failure, age))
                if (age == Age::Used || failure.nothing_was_sent()) && self.may_go_again(failure) =>
            {
                self.join(&to, report).await.map_err(Attempt::from)
            }
            Err(failed) => Err(failed.into()),
        }
    }

    /// One exchange on a shared connection, which is made where there is none with room.
    async fn join(self, to: &Destination, report: &mut Report) -> Result<(Response<Body>, Carrier), Joined> {
        let Self { worker, origin, outgoing, .. } = self;
        let limits = &worker.limits;
        let settings = &origin.origin;
        let joined = worker.pool.http2.join(&Key::of(to), limits, settings.keepalive_timeout, |lane| {
            let (worker, to) = (Rc::clone(worker), to.clone());
            let limit = settings.connection_timeout;
            let open = async move {
                let stream = to.connect(limit).await.map_err(|failure| failure.reason())?;
                http2::open(&worker, stream, lane).await
            };
            open.boxed_local()
        });
        let (seat, opening) = joined.ok_or(Joined::NotConnected(Reason::ConnectionLimit))?;
        let began = Instant::now();
        let age = if opening.peek().is_none() { Age::Fresh } else { Age::Used };
        let connected = opening.await;
        if age == Age::Fresh {
            report.connect = Some(began.elapsed());
        }
        let connection = connected.map_err(|reason| {
            seat.close();
            Joined::NotConnected(reason)
        })?;
        let head = outgoing.head.clone();
        let answer =
            http2::exchange(connection, &seat, head, &outgoing.body, settings.read_timeout, limits).await;
        let response = answer.map_err(|failure| Joined::Failed(failure, age))?;
        Ok((response.map(Body::Http2), Carrier::Http2 { _seat: seat }))
    }

    /// Whether the request goes to the same endpoint once more; it is counted then.
    fn may_go_again(self, failure: Failure) -> bool {
        failure.may_be_sent_again(&self.outgoing.head.method, &self.outgoing.body)
            && self.retries.allow_another(Instant::now())
    }
}

/// Why an exchange on a shared connection gave no answer.
enum Joined {
    /// There was no connection.
    NotConnected(Reason),
    /// It failed on the connection.
    Failed(Failure, Age),
}

/// Whether a connection had carried something before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Fresh,
    Used,
}

impl From<Joined> for Attempt {
    fn from(joined: Joined) -> Self {
        match joined {
            Joined::NotConnected(reason) => Self::NotConnected(reason),
            Joined::Failed(failure, _) => failure.into(),
        }
    }
}

/// What carries an exchange.
#[derive(Debug)]
enum Carrier {
    /// A connection of its own.
    Http1 { connection: OriginConnection, key: Key },
    /// A place on a connection that others use, too.
    Http2 { _seat: Seat },
}

/// What carries an exchange, on its way back.
///
/// Dropped instead of given back, it ends the exchange: a connection of HTTP/1.1 is closed, since after any doubt
/// it is not used again, and of HTTP/2 only the stream is.
#[derive(Debug)]
pub(crate) struct Returning {
    carrier: Carrier,
    worker: Rc<Worker>,
    keepalive: Duration,
    request_body: ViewerBody,
    loaded: Loaded,
}

impl Returning {
    fn new(
        worker: &Rc<Worker>,
        origin: &LiveOrigin,
        carrier: Carrier,
        loaded: Loaded,
        outgoing: &Outgoing,
    ) -> Self {
        Self {
            carrier,
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
        match self.carrier {
            Carrier::Http1 { connection, key } if self.request_body.has_ended() => {
                self.worker.pool.put(key, connection, self.keepalive);
            }
            Carrier::Http1 { .. } | Carrier::Http2 { .. } => {}
        }
    }

    /// Takes the connection apart after a 101, for a tunnel that counts on the endpoint until its guard is
    /// dropped.
    pub(crate) fn into_tunnel(self) -> Result<(Upgraded<OriginStream>, Loaded), Reason> {
        match self.carrier {
            Carrier::Http1 { connection, .. } => Ok((connection.into_upgraded()?, self.loaded)),
            // No tunnel is asked for there ([`version`]).
            Carrier::Http2 { .. } => Err(Reason::Internal),
        }
    }
}
