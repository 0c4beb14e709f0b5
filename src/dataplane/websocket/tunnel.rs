//! The life of one tunnel, as one task on its worker.
//!
//! It passes bytes both ways until a side ends, the clock strikes or an order comes, and then ends with exactly one
//! verdict. What a side is made of is `side`'s business, how a direction passes `flow`'s, how the proxy says
//! goodbye `closing`'s. Start at [`run`].

use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::time::{Instant, sleep_until};

use super::buffers::Buffers;
use super::closing::{Cause, ClosedBy, NO_CLOSE, Verdict, say_goodbye};
use super::flow::{Flow, Stop};
use super::life::Life;
use super::messages::MessageLimits;
use super::pings::Pings;
use super::registry::{Admission, Labels, Order, Witness};
use super::side::{Side, Upgraded};
use crate::dataplane::origin::Loaded;
use crate::telemetry::metrics::Direction;

/// What a tunnel keeps of its handshake; no table.
pub(crate) struct Terms {
    /// Its names.
    pub(crate) labels: Labels,
    /// What it is held to.
    pub(crate) life: Life,
    /// Counts it on its endpoint.
    pub(crate) loaded: Loaded,
    /// Who is told what happens to it.
    pub(crate) witness: Box<dyn Witness>,
}

/// Passes frames between both sides until the tunnel ends. To be spawned after the 101 was sent.
pub(crate) async fn run<V: Side, O: Side>(
    admission: Admission,
    terms: Terms,
    viewer: Upgraded<V>,
    origin: Upgraded<O>,
) {
    let life = terms.life;
    admission.open(terms);
    let mut tunnel = Tunnel::new(&admission, life, viewer, origin);
    let ending = tunnel.pass(&admission, life).await;
    let first = tunnel.first_end.or(tunnel.gone);
    let verdict = match ending {
        Ending::Over => first,
        Ending::Reset => {
            tunnel.viewer.reset_when_dropped();
            tunnel.origin.reset_when_dropped();
            first
        }
        Ending::Goodbye(cause) => {
            let sent = say_goodbye(&mut tunnel, cause, &admission).await;
            let ours = Verdict { closed_by: cause.closed_by(), code: sent.unwrap_or(NO_CLOSE) };
            Some(first.unwrap_or(ours))
        }
    };
    drop(tunnel);
    // Only an order to cut ends a tunnel of which no side has begun to.
    admission.close(verdict.unwrap_or(Verdict { closed_by: ClosedBy::ShutdownDeadline, code: NO_CLOSE }));
}

/// Both sides and both directions.
#[derive(Debug)]
pub(super) struct Tunnel<V, O> {
    pub(super) viewer: V,
    pub(super) origin: O,
    pub(super) to_viewer: Flow,
    pub(super) to_origin: Flow,
    pings: Option<Pings>,
    /// The first Close, FIN or RST of a side.
    first_end: Option<Verdict>,
    /// Who did not take what was written to it, unless it still says itself why.
    gone: Option<Verdict>,
}

/// What the clock strikes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    End(Ending),
    Ping,
}

/// How a tunnel ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Both directions have ended, or the second one did not in time.
    Over,
    /// A side was reset, or the worker cuts: so is the other.
    Reset,
    /// The proxy says goodbye.
    Goodbye(Cause),
}

impl<V: Side, O: Side> Tunnel<V, O> {
    fn new(admission: &Admission, life: Life, viewer: Upgraded<V>, origin: Upgraded<O>) -> Self {
        let flow = |direction, early| Flow::new(direction, Rc::clone(admission.entry()), early);
        let mut to_origin = flow(Direction::ToOrigin, viewer.early);
        to_origin.limit(MessageLimits::of(&life));
        let pings = life.ping_interval.map(Pings::new);
        if let Some(pings) = &pings {
            to_origin.expect_pongs(pings.mark());
        }
        Self {
            to_viewer: flow(Direction::ToViewer, origin.early),
            to_origin,
            pings,
            viewer: viewer.stream,
            origin: origin.stream,
            first_end: None,
            gone: None,
        }
    }

    /// Passes bytes until something ends it.
    async fn pass(&mut self, admission: &Admission, life: Life) -> Ending {
        let entry = admission.entry();
        let ends = life.max_duration.and_then(|longest| Instant::now().checked_add(longest));
        let mut half_closed_until = None;
        loop {
            let ordered = match entry.current_order() {
                Some(Order::Cut) => return Ending::Reset,
                Some(Order::Close { at, cause }) => Some((at, Due::End(Ending::Goodbye(cause)))),
                None => None,
            };
            let idle = life.idle_timeout.and_then(|idle| entry.last_activity().checked_add(idle));
            let due = [
                ordered,
                idle.map(|at| (at, Due::End(Ending::Goodbye(Cause::Idle)))),
                ends.map(|at| (at, Due::End(Ending::Goodbye(Cause::MaxDuration)))),
                half_closed_until.map(|at| (at, Due::End(Ending::Over))),
                self.pings.as_ref().map(|pings| (pings.due(), Due::Ping)),
            ];
            let next = due.into_iter().flatten().min_by_key(|(at, _)| *at);
            match next {
                Some((at, Due::End(ending))) if at <= Instant::now() => return ending,
                Some((at, Due::Ping)) if at <= Instant::now() => {
                    if let Some(ending) = self.ping() {
                        return ending;
                    }
                    continue;
                }
                _ => {}
            }
            tokio::select! {
                biased;
                // 1. A direction has ended or broken.
                (direction, stop) = poll_fn(|cx| self.poll_pass(cx, admission.buffers())) => {
                    if let Some(ending) = self.stopped(direction, stop) {
                        return ending;
                    }
                    half_closed_until = Instant::now().checked_add(admission.waits().half_closed);
                }
                // 2. An order came; it is read above.
                () = entry.ordered() => {}
                // 3. The clock has struck, unless something passed meanwhile.
                () = reach(next.map(|(at, _)| at)) => {}
            }
        }
    }

    /// Pings the viewer, or leaves it out inside a frame in either direction: the ping would not find a place, or its
    /// answer could not come.
    fn ping(&mut self) -> Option<Ending> {
        let pings = self.pings.as_mut()?;
        match self.to_origin.pongs().filter(|_| self.to_viewer.has_place()) {
            None => pings.skip(),
            Some(pongs) => match pings.next(pongs) {
                Some(ping) => self.to_viewer.interject(ping),
                None => return Some(Ending::Goodbye(Cause::PingTimeout)),
            },
        }
        None
    }

    fn poll_pass(&mut self, cx: &mut Context<'_>, buffers: &Buffers) -> Poll<(Direction, Stop)> {
        let Self { viewer, origin, to_viewer, to_origin, first_end, .. } = self;
        if !to_origin.is_over() {
            let stop = to_origin.poll_pass(cx, &mut *viewer, &mut *origin, buffers);
            note_close(first_end, ClosedBy::Viewer, to_origin);
            if let Poll::Ready(stop) = stop {
                return Poll::Ready((Direction::ToOrigin, stop));
            }
            // It may be the origin that is waited for.
            viewer.take_in(cx);
        }
        if !to_viewer.is_over() {
            let stop = to_viewer.poll_pass(cx, &mut *origin, &mut *viewer, buffers);
            note_close(first_end, ClosedBy::Origin, to_viewer);
            if let Poll::Ready(stop) = stop {
                return Poll::Ready((Direction::ToViewer, stop));
            }
        }
        Poll::Pending
    }

    /// Takes note of a direction that stopped; returns the ending where there is nothing left to wait for.
    fn stopped(&mut self, direction: Direction, stop: Stop) -> Option<Ending> {
        let (source_ended, source_reset, destination_reset) = match direction {
            Direction::ToOrigin => (ClosedBy::Viewer, ClosedBy::ViewerReset, ClosedBy::OriginReset),
            Direction::ToViewer => (ClosedBy::Origin, ClosedBy::OriginReset, ClosedBy::ViewerReset),
        };
        let both_over = self.to_viewer.is_over() && self.to_origin.is_over();
        match stop {
            Stop::Violation(fault) => return Some(Ending::Goodbye(fault.into())),
            Stop::SourceReset => {
                blame(&mut self.first_end, source_reset, NO_CLOSE);
                return Some(Ending::Reset);
            }
            Stop::Ended => blame(&mut self.first_end, source_ended, NO_CLOSE),
            Stop::DestinationGone => {
                blame(&mut self.gone, destination_reset, NO_CLOSE);
                if both_over {
                    return Some(Ending::Reset);
                }
            }
        }
        both_over.then_some(Ending::Over)
    }
}

/// The first one to end a tunnel is who closed it.
fn blame(first: &mut Option<Verdict>, closed_by: ClosedBy, code: u16) {
    first.get_or_insert(Verdict { closed_by, code });
}

fn note_close(first_end: &mut Option<Verdict>, source: ClosedBy, flow: &Flow) {
    if let Some(code) = flow.close() {
        blame(first_end, source, code);
    }
}

async fn reach(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
