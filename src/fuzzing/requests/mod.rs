//! Whole connections: arbitrary bytes of a viewer, served by the real connection code before a real origin.
//!
//! The viewer's bytes come through a [`pipe`], the [`origin`] stands on loopback and reads as [`strict`] as it can,
//! and a [`reading`] of the same bytes that shares no code with the product says which requests there were. Whatever
//! the origin saw must be one of them, in their order, to the last byte of its body: nothing smuggled.

mod origin;
mod pipe;
mod reading;
mod strict;

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::yield_now;

use self::origin::{Log, Seen};
use self::pipe::Pipe;
use super::manifests::{options, snapshot};
use crate::dataplane::Limits;
use crate::dataplane::inside::Interior;
use crate::translate::{Memory, translate};

/// Where every viewer comes from.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)), 4711);

/// After so many turns of the runtime in which nobody moved a byte, nobody will.
const QUIET: usize = 64;

/// How long one connection may take in all, in real time.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection's bytes, behind which the viewer falls silent and then leaves.
///
/// # Panics
/// Where the origin saw what no request of the viewer says, or what two parties could read differently.
pub fn requests(input: &[u8]) {
    STAGE.with(|stage| stage.play(input));
}

/// What outlives an input: an origin, and a worker that serves from it.
struct Stage {
    runtime: LocalRuntime,
    interior: Interior,
    log: Rc<Log>,
}

thread_local! {
    // Leaked: a runtime must not be dropped with the thread's other variables, which it uses itself.
    static STAGE: &'static Stage = Box::leak(Box::new(Stage::new()));
}

impl Stage {
    fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .expect("the system gives an event queue");
        let log = Rc::<Log>::default();
        let address = runtime.block_on(origin::start(Rc::clone(&log)));
        let snapshot = snapshot(site(address).as_bytes());
        let table = translate(&snapshot, &options(), Memory::default()).table;
        assert!(table.endpoints.0.values().any(|endpoints| endpoints.len() == 1), "the site is served");
        let interior = Interior::new(table, Limits::default());
        Self { runtime, interior, log }
    }

    fn play(&self, input: &[u8]) {
        let seen = self.runtime.block_on(async {
            self.serve(Pipe::new(input, Rc::clone(&self.log))).await;
            // The origin may not have read everything that was sent to it.
            self.quiet().await;
            self.log.take()
        });
        let shown = || String::from_utf8_lossy(input).into_owned();
        assert!(seen.is_ok(), "{seen:?}\n{}", shown());
        let mut asked = reading::read(input).into_iter();
        for request in &seen.unwrap_or_default() {
            assert!(
                asked.any(|asked| is_the_same(request, &asked)),
                "nobody asked for {request:?}\n{}",
                shown()
            );
        }
    }

    /// Serves a connection; where everybody is quiet, the viewer leaves, and that must be the end.
    async fn serve(&self, pipe: Pipe) {
        let mut served = pin!(self.interior.serve(PEER, pipe.clone()));
        let begun = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = &mut served => return,
                () = self.quiet() => pipe.leave(),
            }
            assert!(begun.elapsed() < PATIENCE, "the viewer has left, and its connection does not end");
        }
    }

    /// Waits until nobody moves a byte any more.
    async fn quiet(&self) {
        let (mut moved, mut turns) = (self.log.moved(), 0);
        while turns < QUIET {
            yield_now().await;
            turns = if self.log.moved() == moved { turns + 1 } else { 0 };
            moved = self.log.moved();
        }
    }
}

/// One Distribution with a name of its own and names below one.
fn site(origin: SocketAddr) -> String {
    let (ip, port) = (origin.ip(), origin.port());
    format!(
        "apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {{name: site}}
spec:
  enabled: true
  aliases: [a.example, '*.b.example']
  origins: [{{id: web, service: {{name: web}}}}]
  defaultCacheBehavior:
    targetOriginId: web
    allowedMethods: [GET, HEAD, OPTIONS, PUT, POST, PATCH, DELETE]
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{ports: [{{port: 80, targetPort: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
ports: [{{port: {port}}}]
endpoints: [{{addresses: [{ip}]}}]
"
    )
}

/// Whether what the origin saw is what the viewer asked for. A body may have been cut, never changed.
fn is_the_same(seen: &Seen, asked: &reading::Asked) -> bool {
    let same_body =
        if seen.whole { asked.whole && seen.body == asked.body } else { asked.body.starts_with(&seen.body) };
    seen.method == asked.method && seen.target == asked.target && same_body
}
