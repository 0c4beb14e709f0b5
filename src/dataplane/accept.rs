//! From a listener to the first byte of HTTP: who is let in, in which order, and how a listener ends.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::{Viewer, http1, http2};
use super::entrance::Entrance;
use super::listener::{Kind, Listener};
use super::places::{Place, TooMany};
use super::proxy_protocol::{self, Failure, For};
use super::tls::{self, Encrypted, Protocol};
use super::viewer::address::{Peer, Trust};
use super::worker::Worker;
use crate::settings::ProxyProtocol;
use crate::telemetry::metrics::Entered;

/// How many viewers are let in before the others of the worker have their turn.
const IN_A_ROW: usize = 16;

/// Why a connection is closed before anything is served on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rejected {
    /// There are as many connections as there may be.
    Crowded,
    /// The viewer's address has as many as it may have.
    TooManyOfOne,
    /// PROXY headers are required, and the peer is not one whose word is taken.
    Untrusted,
    /// There is no PROXY header where one is required.
    NoHeader,
    /// The PROXY header is malformed, too long or cut off.
    BadHeader,
    /// The PROXY header, or the first byte instead of it, did not come in time.
    LateHeader,
}

impl Rejected {
    /// The label of the metric.
    fn as_str(self) -> &'static str {
        match self {
            Self::Crowded => "max_connections",
            Self::TooManyOfOne => "max_connections_per_ip",
            Self::Untrusted => "proxy_untrusted",
            Self::NoHeader => "proxy_missing",
            Self::BadHeader => "proxy_malformed",
            Self::LateHeader => "proxy_timeout",
        }
    }
}

/// One listener of a worker.
#[derive(Clone)]
struct Door {
    worker: Rc<Worker>,
    kind: Kind,
    local: SocketAddr,
}

/// Accepts viewers until `closing`, and then those who are in the queue already: a listener that closes resets
/// whoever it leaves there.
pub(crate) async fn run(
    worker: Rc<Worker>,
    listener: Listener,
    closing: CancellationToken,
) -> io::Result<()> {
    let socket = TcpListener::from_std(listener.socket)?;
    let door = Door { worker, kind: listener.kind, local: listener.local };
    tokio::select! {
        // 1. Never.
        never = door.accept(&socket) => match never {},
        // 2. The worker needs no more viewers.
        () = closing.cancelled() => {}
    }
    // The runtime learns of a newcomer only with its next turn; the socket knows now.
    let socket = socket.into_std()?;
    loop {
        match socket.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                door.admit(TcpStream::from_std(stream)?, peer);
            }
            Err(error) if concerns_one_viewer(&error) => {}
            // The queue is empty, or it cannot be had.
            Err(_) => return Ok(()),
        }
    }
}

/// Errors of a connection that was gone before it was accepted (accept(2)); others are ours, as EMFILE is.
fn concerns_one_viewer(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted,
    };
    let gone = [ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted];
    gone.contains(&error.kind())
}

impl Door {
    async fn accept(&self, socket: &TcpListener) -> Infallible {
        let Self { worker, local, .. } = self;
        let mut in_a_row = 0;
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) if concerns_one_viewer(&error) => {}
                Err(error) => {
                    worker.metrics.accept_failed();
                    if worker.places.trouble_is_new() {
                        tracing::warn!(event = "accept.failed", listener = %local, %error, "cannot accept; will try again");
                    }
                    sleep(worker.limits.accept_pause).await;
                }
            }
            in_a_row += 1;
            if in_a_row % IN_A_ROW == 0 {
                yield_now().await;
            }
        }
    }

    /// Takes a viewer in. Meeting it is large and soon over, while the task that serves it stays as long as the
    /// viewer does: so the one is boxed, and the other keeps no room for it.
    fn admit(&self, stream: TcpStream, address: SocketAddr) {
        let Some(place) = self.worker.places.take() else {
            return self.reject(address, Rejected::Crowded);
        };
        let open = self.worker.metrics.connections(self.kind.as_str(), "h1").enter();
        let arrival = Arrival { door: self.clone(), stream, address, place, open };
        match self.kind {
            Kind::Http => {
                let met = Box::pin(arrival.meet());
                self.worker.serve(async move {
                    if let Some((viewer, stream)) = met.await {
                        http1::serve(viewer, stream).await;
                    }
                });
            }
            Kind::Https => {
                let met = Box::pin(arrival.meet_over_tls());
                self.worker.serve(async move {
                    match met.await {
                        Some((viewer, stream, Protocol::Http1)) => http1::serve(viewer, stream).await,
                        Some((viewer, stream, Protocol::Http2)) => http2::serve(viewer, stream).await,
                        None => {}
                    }
                });
            }
        }
    }

    fn reject(&self, peer: SocketAddr, rejected: Rejected) {
        let reason = rejected.as_str();
        self.worker.metrics.connection_rejected(reason);
        tracing::debug!(event = "accept.rejected", listener = %self.local, %peer, reason);
    }
}

/// A viewer that was let in and is not known yet.
struct Arrival {
    door: Door,
    stream: TcpStream,
    address: SocketAddr,
    place: Place,
    open: Entered,
}

impl Arrival {
    /// Finds out who it is; none where it left, or may not stay.
    async fn meet(self) -> Option<(Rc<Viewer>, TcpStream)> {
        let (peer, Self { door, stream, place, open, .. }) = self.introduced().await?;
        Some((Viewer::new(door.worker, peer, door.local, None, open, place), stream))
    }

    /// The same, and shakes hands.
    async fn meet_over_tls(self) -> Option<(Rc<Viewer>, Encrypted, Protocol)> {
        let (peer, Self { door: Door { worker, kind, local }, stream, place, mut open, .. }) =
            self.introduced().await?;
        let shaken = tls::accept(&worker, stream).await;
        let (stream, session) = shaken
            .inspect_err(|failure| {
                tracing::debug!(event = "tls.failed", viewer = %peer.address, error = %failure, "no TLS session");
            })
            .ok()?;
        let protocol = session.protocol;
        if protocol == Protocol::Http2 {
            open = worker.metrics.connections(kind.as_str(), "h2").enter();
        }
        Some((Viewer::new(worker, peer, local, Some(session), open, place), stream, protocol))
    }

    /// Itself and who it is; none where it left before it said anything, or may not stay.
    async fn introduced(mut self) -> Option<(Peer, Self)> {
        match self.identify().await.and_then(|peer| self.claim(peer)) {
            Ok(peer) => Some((peer?, self)),
            Err(rejected) => {
                self.door.reject(self.address, rejected);
                None
            }
        }
    }

    /// Counts it as one of its address.
    fn claim(&mut self, peer: Option<Peer>) -> Result<Option<Peer>, Rejected> {
        // Behind a proxy are many viewers.
        if let Some(peer) = peer.as_ref().filter(|peer| peer.trust == Trust::Stranger) {
            self.place.claim(peer.address.ip()).map_err(|TooMany| Rejected::TooManyOfOne)?;
        }
        Ok(peer)
    }

    async fn identify(&mut self) -> Result<Option<Peer>, Rejected> {
        let worker = &self.door.worker;
        let Entrance { trusted_proxies: proxies, proxy_protocol, .. } = &worker.entrance;
        let itself = Peer::new(self.address, proxies);
        match (proxy_protocol, itself.trust) {
            (ProxyProtocol::Require, Trust::Proxy) | (ProxyProtocol::Accept, Trust::Proxy) => {}
            (ProxyProtocol::Require, _) => return Err(Rejected::Untrusted),
            (ProxyProtocol::Off | ProxyProtocol::Accept, _) => return Ok(Some(itself)),
        }
        let header = timeout(worker.limits.proxy_header, proxy_protocol::take(&mut self.stream));
        match header.await {
            Ok(Ok(Some(For::Viewer(viewer)))) => Ok(Some(Peer::new(viewer, proxies))),
            Ok(Ok(Some(For::Somebody))) => Ok(Some(itself.hidden())),
            Ok(Ok(Some(For::Itself))) => Ok(Some(itself)),
            Ok(Ok(None)) if *proxy_protocol == ProxyProtocol::Require => Err(Rejected::NoHeader),
            Ok(Ok(None)) => Ok(Some(itself)),
            Ok(Err(Failure::Malformed)) => Err(Rejected::BadHeader),
            Ok(Err(Failure::Gone)) => Ok(None),
            Err(_) => Err(Rejected::LateHeader),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;
    use crate::dataplane::{Config, Limits, prepare};
    use crate::telemetry::access_log::{self, Scope};
    use crate::telemetry::metrics::{Build, Metrics};
    use crate::{drain, overload};

    #[test]
    fn whoever_waits_when_a_listener_closes_is_let_in() {
        let serve = async {
            let (_controller, drain) = drain::channel();
            let metrics = Metrics::new(Build { version: "0", commit: "0" });
            let (log, _writer) = access_log::start(Scope::Off, "0", io::sink(), metrics.clone()).unwrap();
            let config = Config {
                http: vec![([127, 0, 0, 1], 0).into()],
                https: Vec::new(),
                workers: NonZeroUsize::MIN,
                limits: Limits::default(),
                entrance: Entrance::default(),
                https_redirect_port: 443,
                overload: overload::channel().1,
            };
            let (_inner, mut seeds) = prepare(&config, &drain, &metrics, &log).unwrap();
            let (worker, mut listeners, _letters) = Worker::new(seeds.remove(0));
            let listener = listeners.remove(0);
            let mut waiting = Vec::new();
            for _ in 0..20 {
                waiting.push(TcpStream::connect(listener.local).await.unwrap());
            }
            let closing = CancellationToken::new();
            closing.cancel();
            run(worker, listener, closing).await.unwrap();
            for mut viewer in waiting {
                viewer.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
                let mut answer = String::new();
                viewer.read_to_string(&mut answer).await.unwrap();
                assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
            }
        };
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        let limit = std::time::Duration::from_secs(10);
        runtime.block_on(async { timeout(limit, serve).await }).expect("it takes too long");
    }

    #[test]
    fn a_viewer_that_left_is_no_trouble_of_ours() {
        let error = |code| io::Error::from_raw_os_error(code);
        for gone in [rustix::io::Errno::CONNABORTED, rustix::io::Errno::INTR, rustix::io::Errno::HOSTUNREACH]
        {
            assert!(concerns_one_viewer(&error(gone.raw_os_error())), "{gone}");
        }
        for ours in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::NOBUFS] {
            assert!(!concerns_one_viewer(&error(ours.raw_os_error())), "{ours}");
        }
    }
}
