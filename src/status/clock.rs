//! The two clocks of what replicas agree on: the calendar, which is only told to others, and the time since the
//! machine started, by which terms are judged.
//!
//! Clocks of different machines are never compared.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

/// Where the time comes from; cheap to clone.
#[derive(Clone)]
pub struct Clock {
    uptime: Arc<dyn Fn() -> Duration + Send + Sync>,
    calendar: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Clock {
    /// The clocks of the machine.
    pub fn system() -> Self {
        Self::of(uptime, Timestamp::now)
    }

    /// Clocks of somebody's own.
    pub fn of(
        uptime: impl Fn() -> Duration + Send + Sync + 'static,
        calendar: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        Self { uptime: Arc::new(uptime), calendar: Arc::new(calendar) }
    }

    /// The time since the machine started. It never jumps, and goes on while the process or the machine sleeps.
    pub(super) fn uptime(&self) -> Duration {
        (self.uptime)()
    }

    /// What the calendar says, for others to read.
    pub(super) fn calendar(&self) -> MicroTime {
        MicroTime((self.calendar)())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("uptime", &self.uptime()).finish_non_exhaustive()
    }
}

/// Not tokio's and not the library's clock: those stand still while the machine is suspended, others' do not.
fn uptime() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}
