//! What fuzzing reaches of the inside, and the way in for viewers who come through memory instead of a socket.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;

use super::connection::{Viewer, http1};
pub(crate) use super::origin::http1 as origin_http1;
pub(crate) use super::proxy_protocol;
use super::viewer::address::Peer;
pub(crate) use super::viewer::headers;
pub(crate) use super::websocket::frames;
pub(crate) use super::websocket::side::Side;
use super::worker::Worker;
use super::{Config, Entrance, Handle, Limits, prepare};
use crate::drain::{self, Controller};
use crate::overload;
use crate::table::RoutingTable;
use crate::telemetry::access_log::{self, Scope};
use crate::telemetry::metrics::{Build, Metrics};

/// A worker without listeners and without a thread of its own. It needs the local runtime of whoever drives it.
#[derive(Debug)]
pub(crate) struct Interior {
    worker: Rc<Worker>,
    /// Only held, like who could end or slow it: they would be missed.
    _handle: Handle,
    _controllers: (Controller, overload::Controller),
}

impl Interior {
    /// One that serves this table.
    pub(crate) fn new(table: RoutingTable, limits: Limits) -> Self {
        let (controller, drain) = drain::channel();
        let (pressure, overload) = overload::channel();
        let metrics = Metrics::new(Build { version: "0", commit: "0" });
        let (access_log, _writer) = access_log::start(Scope::Off, "one", std::io::sink(), metrics.clone())
            .expect("a log that is off needs nothing of the system");
        let config = Config {
            http: Vec::new(),
            https: Vec::new(),
            workers: NonZeroUsize::MIN,
            limits,
            https_redirect_port: 443,
            entrance: Entrance::default(),
            overload,
        };
        let (inner, seeds) =
            prepare(&config, &drain, &metrics, &access_log).expect("no address is listened on");
        let handle = Handle(Arc::new(inner));
        handle.publish(table);
        let seed = seeds.into_iter().next().expect("one worker was asked for");
        let (worker, _listeners, _letters) = Worker::new(seed);
        Self { worker, _handle: handle, _controllers: (controller, pressure) }
    }

    /// Serves a plaintext HTTP/1.1 connection to its end.
    pub(crate) async fn serve(&self, peer: SocketAddr, stream: impl Side) {
        if let Some(viewer) = self.meet(peer, "h1") {
            http1::serve(viewer, stream).await;
        }
    }

    /// The same over HTTP/2, which nobody speaks in plaintext but a test.
    #[cfg(test)]
    pub(crate) async fn serve_http2(&self, peer: SocketAddr, stream: impl Side) {
        if let Some(viewer) = self.meet(peer, "h2") {
            super::connection::http2::serve(viewer, stream).await;
        }
    }

    fn meet(&self, peer: SocketAddr, protocol: &'static str) -> Option<Rc<Viewer>> {
        let peer = Peer::new(peer, &self.worker.entrance.trusted_proxies);
        let open = self.worker.metrics.connections("http", protocol).enter();
        let local = ([192, 0, 2, 80], 80).into();
        let place = self.worker.places.take()?;
        Some(Viewer::new(Rc::clone(&self.worker), peer, local, None, open, place))
    }
}
