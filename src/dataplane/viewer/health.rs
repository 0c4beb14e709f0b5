//! What load balancers get that probe the port of the traffic (`--viewer-health-path`).

use bytes::Bytes;
use http::{Method, Response};

use crate::dataplane::worker::Worker;
use crate::drain::Phase;
use crate::table::host::HostName;
use crate::table::reason::Reason;
use crate::table::target::Target;

/// The answer to a probe; none for what is not one, or where a Distribution owns the host: its paths are its own.
///
/// There is none either before the first table, since a balancer would send viewers to whom nothing is served.
pub(crate) fn answer(
    worker: &Worker,
    method: &Method,
    host: &HostName,
    target: &Target,
) -> Option<Result<Response<Bytes>, Reason>> {
    let probed = worker.entrance.health_path.as_deref() == Some(target.path());
    if !probed || !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let live = worker.tables.current();
    if live.generation == 0 || live.table.hosts.find(host).is_some() {
        return None;
    }
    Some(if worker.drain.phase() > Phase::Serving {
        Err(Reason::Draining)
    } else {
        Ok(Response::new(Bytes::from_static(b"ok\n")))
    })
}
