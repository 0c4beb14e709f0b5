//! The graceful end, as one value that everybody watches: `Serving → Draining → Terminating`, never backwards.
//!
//! It knows nothing of connections; who holds one selects on a [`Drain`] and decides what its end means.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Business as usual.
    Serving,
    /// SIGTERM came: everything goes on, but answers ask viewers to leave (`Connection: close`),
    /// while load balancers learn that this replica goes.
    Leaving,
    /// The delay is over: new WebSockets are refused, open ones are closed in pace.
    Draining(Schedule),
    /// The deadline passed, or a second signal came: what is still open is cut.
    Terminating,
}

/// When a drain's closes happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Schedule {
    /// When the pacing began.
    pub start: Instant,
    /// The time over which WebSockets are closed, counted from `start`.
    pub spread: Duration,
    /// When what is left is cut.
    pub deadline: Instant,
}

/// The side that decides; one per process (and per test).
#[derive(Debug)]
pub struct Controller(watch::Sender<Phase>);

/// The side that watches; cheap to clone.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<Phase>);

/// A drain that has not begun.
pub fn channel() -> (Controller, Drain) {
    let (sender, receiver) = watch::channel(Phase::Serving);
    (Controller(sender), Drain(receiver))
}

impl Controller {
    /// Goes on to `phase`; a phase that is already behind us is ignored, so the order can never turn back.
    pub fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let forward = phase > *current;
            if forward {
                *current = phase;
            }
            forward
        });
    }

    /// Another watching side.
    pub fn subscribe(&self) -> Drain {
        Drain(self.0.subscribe())
    }
}

impl Drain {
    /// The phase right now.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits until `reached` holds; a controller that was dropped counts as [`Phase::Terminating`].
    pub async fn until(&mut self, reached: impl Fn(Phase) -> bool) -> Phase {
        match self.0.wait_for(|phase| reached(*phase)).await {
            Ok(phase) => *phase,
            Err(_) => Phase::Terminating,
        }
    }

    /// Waits for the first phase after [`Phase::Serving`].
    pub async fn leaving(&mut self) -> Phase {
        self.until(|phase| phase > Phase::Serving).await
    }

    /// Waits for [`Phase::Draining`] or later.
    pub async fn draining(&mut self) -> Phase {
        self.until(|phase| phase > Phase::Leaving).await
    }

    /// Waits for [`Phase::Terminating`].
    pub async fn terminating(&mut self) {
        self.until(|phase| phase == Phase::Terminating).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_phase_never_goes_back() {
        let (controller, drain) = channel();
        controller.advance(Phase::Terminating);
        controller.advance(Phase::Leaving);
        assert_eq!(drain.phase(), Phase::Terminating);
    }

    #[tokio::test]
    async fn a_dropped_controller_ends_every_wait() {
        let (controller, mut drain) = channel();
        drop(controller);
        drain.terminating().await;
    }
}
