//! How long an HTTP/2 connection lives, and what ends it.
//!
//! It judges and does nothing itself: the connection's loop asks what is next, and until when that holds.

use std::time::Duration;

use h2::Reason;
use tokio::time::Instant;

use super::End;
use super::watch::Watch;
use crate::dataplane::guarded_io::Meter;
use crate::dataplane::limits::Limits;
use crate::drain::Phase;

/// A connection's age and what it waits for.
#[derive(Debug)]
pub(super) struct Life {
    waits: Waits,
    /// Requests that it may still carry.
    requests_left: u32,
    /// Whether it carried one.
    used: bool,
    /// From when on it is too old.
    old_at: Instant,
    /// Since when no stream is open.
    idle_since: Option<Instant>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
struct Waits {
    idle: Duration,
    head: Duration,
    stall: Duration,
    goodbye: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// New streams are welcome.
    Serving,
    /// A GOAWAY was sent, and open streams are served to their end.
    Leaving { since: Instant },
    /// A GOAWAY with an error was sent, and everything is dropped.
    Refusing { since: Instant },
}

/// Whether a stream is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streams {
    /// No stream is.
    None,
    /// At least one is.
    Open,
    /// At least one is a tunnel: it is its own business how long nothing moves, and nobody is waited for.
    Tunnels,
}

/// What the connection does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It goes on until then, unless something happens.
    Wait(Instant),
    /// It sends a GOAWAY and serves what is open.
    Leave,
    /// It sends a GOAWAY with this error, and serves nothing more.
    Refuse(Reason),
    /// It ends now.
    End(End),
}

impl Life {
    pub(super) fn new(limits: &Limits) -> Self {
        // Connections that came together do not leave together.
        let age = limits.connection_age.mul_f64(0.9 + 0.1 * fastrand::f64());
        Self {
            waits: Waits {
                idle: limits.viewer_idle,
                head: limits.request_head,
                stall: limits.answer_stall,
                goodbye: limits.linger,
            },
            requests_left: limits.connection_requests,
            used: false,
            old_at: Instant::now() + age,
            idle_since: None,
            stage: Stage::Serving,
        }
    }

    /// A stream begins.
    pub(super) fn request_came(&mut self) {
        self.requests_left = self.requests_left.saturating_sub(1);
        self.used = true;
    }

    /// Whether new streams are refused: who was told to go, and had the time to hear it, opens none.
    ///
    /// `h2` itself takes them until its PING after the GOAWAY is answered, which a viewer may never do.
    pub(super) fn is_closed_to_streams(&self) -> bool {
        matches!(self.stage, Stage::Leaving { since } if since + self.waits.goodbye <= Instant::now())
    }

    /// What is next.
    pub(super) fn next(&mut self, streams: Streams, phase: Phase, meter: &Meter, watch: &Watch) -> Next {
        let now = Instant::now();
        let idle_since = match streams {
            Streams::None => Some(*self.idle_since.get_or_insert(now)),
            Streams::Open | Streams::Tunnels => None,
        };
        self.idle_since = idle_since;
        let blocked_since = meter.write_blocked_since().filter(|_| streams != Streams::Tunnels);
        let stalled = blocked_since.map(|since| since + self.waits.stall);
        if stalled.is_some_and(|at| at <= now) {
            return Next::End(End::Stalled);
        }
        let own = match self.stage {
            Stage::Refusing { since } => {
                let end = since + self.waits.goodbye;
                if end <= now {
                    return Next::End(End::Finished);
                }
                end
            }
            Stage::Serving | Stage::Leaving { .. } => {
                let unfinished = watch.unfinished_since().map(|since| since + self.waits.head);
                if watch.is_flooded() || unfinished.is_some_and(|at| at <= now) {
                    self.stage = Stage::Refusing { since: now };
                    return Next::Refuse(Reason::ENHANCE_YOUR_CALM);
                }
                let end = match self.stage {
                    Stage::Leaving { since } => match idle_since {
                        // The viewer closes, unless it is not there any more.
                        Some(idle) => since.max(idle) + self.waits.goodbye,
                        None => now + self.waits.stall,
                    },
                    _ => idle_since.map_or(self.old_at, |since| self.old_at.min(since + self.waits.idle)),
                };
                let over = end <= now;
                match self.stage {
                    Stage::Leaving { .. } if over => return Next::End(End::Finished),
                    Stage::Serving if over || self.is_to_leave(phase) => {
                        self.stage = Stage::Leaving { since: now };
                        return Next::Leave;
                    }
                    _ => unfinished.map_or(end, |unfinished| unfinished.min(end)),
                }
            }
        };
        Next::Wait(stalled.map_or(own, |stalled| stalled.min(own)))
    }

    /// A viewer that has not been served here yet, while load balancers still send us viewers, is served first.
    fn is_to_leave(&self, phase: Phase) -> bool {
        self.requests_left == 0 || phase > Phase::Leaving || (phase == Phase::Leaving && self.used)
    }
}
