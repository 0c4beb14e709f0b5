//! The origin's side of an exchange: one endpoint after another until one has answered or nothing may be tried
//! again.
//!
//! [`send`] is the way in. What was sent at most once stays so: another attempt is made only where nothing of
//! the exchange can have happened, or where happening twice does no harm.

mod attempt;
mod balance;
pub(crate) mod body;
mod connect;
mod failure;
pub(crate) mod head;
mod http1;
mod http2;
mod pool;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response};

use crate::dataplane::live::{EndpointCell, LiveOrigin, Load};
use crate::dataplane::viewer::body::ViewerBody;
use crate::dataplane::worker::Worker;
use crate::table::reason::Reason;

pub(crate) use attempt::Returning;
use attempt::{Attempt, on_endpoint};
use body::Body;
pub(crate) use pool::Pool;

/// What goes to an origin.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The head as the origin will read it.
    pub(crate) head: http::request::Parts,
    pub(crate) body: ViewerBody,
    /// What it will be: it decides how endpoints are compared.
    pub(crate) load: Load,
}

/// What an origin answered, and what carries the rest of it.
#[derive(Debug)]
pub(crate) struct Incomings {
    pub(crate) response: Response<Body>,
    pub(crate) returning: Returning,
}

/// What sending came to, told also where it failed.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The last endpoint that was tried.
    pub(crate) endpoint: Option<SocketAddr>,
    /// Endpoints that were tried.
    pub(crate) attempts: u32,
    /// How long the last new connection took; none where a pooled one was used.
    pub(crate) connect: Option<Duration>,
}

/// Sends a request to one of the origin's endpoints and waits for the head of the answer.
pub(crate) async fn send(
    worker: &Rc<Worker>,
    origin: &LiveOrigin,
    outgoing: Outgoing,
    report: &mut Report,
) -> Result<Incomings, Reason> {
    let attempts = u32::from(origin.origin.connection_attempts.get());
    let mut tried: Vec<Arc<EndpointCell>> = Vec::new();
    let mut last = Reason::NoEndpoints;
    while report.attempts < attempts {
        let Some(cell) = balance::pick(&origin.endpoints, &tried, outgoing.load) else { break };
        report.attempts += 1;
        if report.attempts > 1 {
            origin.metrics.retried();
        }
        report.endpoint = Some(cell.address);
        let failed = match on_endpoint(worker, origin, cell, &outgoing, report).await {
            Ok(incomings) => return Ok(incomings),
            Err(failed) => failed,
        };
        let (Attempt::NotConnected(reason) | Attempt::Failed(reason)) = failed;
        // A viewer that broke off is not the origin's failure.
        if !matches!(reason, Reason::ViewerTimeout | Reason::BadRequest) {
            origin.metrics.failed(reason.as_str());
        }
        if let Attempt::Failed(reason) = failed {
            return Err(reason);
        }
        last = reason;
        tried.push(Arc::clone(cell));
    }
    Err(last)
}

/// Methods that do no harm when they happen twice (RFC 9110 section 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}
