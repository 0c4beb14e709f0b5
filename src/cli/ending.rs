//! The end of `serve`: leaving, draining, terminating, and how that is told.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, interval, sleep, sleep_until, timeout};

use super::End;
use super::signals::Signals;
use crate::dataplane::WorkerLost;
use crate::drain::{Controller, Phase, Schedule};
use crate::settings::{Ending, Settings};
use crate::telemetry::metrics::Metrics;

/// How long workers have to close what is cut.
const CUT: Duration = Duration::from_secs(5);

/// How often the log says what a drain still waits for.
const PROGRESS: Duration = Duration::from_secs(5);

/// Drains after a first signal; `workers` is the wait for the data plane's end, with the number of exchanges and
/// tunnels that were cut.
///
/// # Errors
/// When a worker is lost on the way.
pub(super) async fn drain(
    controller: &Controller,
    mut workers: Pin<&mut impl Future<Output = Result<usize, WorkerLost>>>,
    signals: &mut Signals,
    settings: &Settings,
    metrics: &Metrics,
) -> Result<End, WorkerLost> {
    metrics.drain_began();
    tokio::select! {
        // 1. Nothing is open any more.
        cut = &mut workers => return cut.map(told),
        // 2. The time is over.
        () = pace(controller, settings) => {}
        // 3. Somebody is in a hurry.
        signal = signals.next() => tracing::info!(event = "drain.cut", signal, "a second signal ends the drain"),
        never = tell_progress(metrics) => match never {},
    }
    controller.advance(Phase::Terminating);
    match timeout(CUT, workers).await {
        Ok(cut) => cut.map(told),
        Err(_) => {
            tracing::warn!(event = "drain.done", "workers do not end; the process ends without them");
            Ok(End::Cut)
        }
    }
}

/// Goes through the phases in their time, until the deadline.
async fn pace(controller: &Controller, settings: &Settings) {
    let Ending { drain_delay, drain_timeout, websocket_drain_spread } = &settings.ending;
    controller.advance(Phase::Leaving);
    sleep(*drain_delay).await;
    let start = Instant::now();
    let deadline = start + *drain_timeout;
    controller.advance(Phase::Draining(Schedule { start, spread: *websocket_drain_spread, deadline }));
    sleep_until(deadline).await;
}

async fn tell_progress(metrics: &Metrics) -> std::convert::Infallible {
    let mut ticks = interval(PROGRESS);
    loop {
        ticks.tick().await;
        let open = metrics.remaining();
        tracing::info!(
            event = "drain.progress",
            connections = open.connections,
            websockets = open.web_sockets
        );
    }
}

fn told(cut: usize) -> End {
    if cut == 0 {
        tracing::info!(event = "drain.done", "everything that was open has ended");
        End::Well
    } else {
        tracing::warn!(event = "drain.done", cut, "the deadline cut what was still open");
        End::Cut
    }
}
