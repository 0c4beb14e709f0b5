//! Closing many tunnels politely: one after the other, so that their viewers do not come back as one wave.
//!
//! The drain, the removal of a Distribution and the end of an endpoint share this pace; what each of them chooses and
//! for how long it may spread its closes is all that differs. Start at [`Registry::drain`].

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::closing::Cause;
use super::registry::{Doors, Entry, Order, Registry};
use crate::dataplane::origin::EndpointCell;
use crate::drain::Schedule;
use crate::object::ObjectKey;
use crate::table::web_socket::OnOriginTerminating;

impl Registry {
    /// Begins the drain: admits nothing more, and closes what there is with 1012, oldest first and evenly over the
    /// spread with jitter, or over as much of it as leaves the last one its goodbye before the deadline.
    pub(crate) fn drain(&self, schedule: Schedule) {
        self.0.doors.set(Doors::Closed);
        let latest = schedule.deadline.saturating_duration_since(schedule.start + self.0.waits.goodbye);
        let spread = schedule.spread.min(latest);
        self.close_in_pace(schedule.start, |_| spread, Cause::Drain, |_| true);
    }

    /// Closes the tunnels of a Distribution that was removed or disabled, with 1001.
    pub(crate) fn remove(&self, distribution: &ObjectKey) {
        let theirs = |entry: &Entry| entry.distribution == *distribution;
        self.close_soon(self.0.waits.spread, Cause::DistributionRemoved, theirs);
    }

    /// Closes the tunnels on endpoints that left or terminate, with 1012, where their behavior wanted that.
    pub(crate) fn leave(&self, endpoints: &[Arc<EndpointCell>]) {
        let leaves = |entry: &Entry| {
            entry.opened.get().is_some_and(|opened| {
                opened.on_origin_terminating == OnOriginTerminating::Drain
                    && endpoints.iter().any(|cell| Arc::ptr_eq(cell, opened.loaded.cell()))
            })
        };
        self.close_soon(self.0.waits.spread.min(self.0.waits.termination), Cause::OriginTerminating, leaves);
    }

    /// Closes the chosen ones from now on, no slower than is needed for so few.
    fn close_soon(&self, longest: Duration, cause: Cause, chosen: impl Fn(&Entry) -> bool) {
        let pace = self.0.waits.pace;
        let spread = |count| longest.min(pace.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)));
        self.close_in_pace(Instant::now(), spread, cause, chosen);
    }

    /// One close in each of as many equal parts of the spread, anywhere in its part.
    fn close_in_pace(
        &self,
        start: Instant,
        spread: impl Fn(usize) -> Duration,
        cause: Cause,
        chosen: impl Fn(&Entry) -> bool,
    ) {
        let tunnels = self.0.tunnels.borrow();
        let chosen: Vec<_> = tunnels.values().filter(|entry| chosen(entry)).collect();
        let part = spread(chosen.len()).as_secs_f64() / chosen.len().max(1) as f64;
        for (position, entry) in chosen.into_iter().enumerate() {
            let after = Duration::from_secs_f64(part * (position as f64 + fastrand::f64()));
            entry.order(Order::Close { at: start + after, cause });
        }
    }
}
