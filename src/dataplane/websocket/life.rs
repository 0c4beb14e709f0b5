//! What the life of one tunnel is held to: drawn from its behavior when it opens, so that no later table changes it.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use crate::table::web_socket::{OnOriginTerminating, Rebalance, WebSocketPolicy};

/// The times and limits of one tunnel; the default sets it none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    /// After how long without a byte in either direction it is closed.
    pub(crate) idle_timeout: Option<Duration>,
    /// After how long it is closed at all, jitter taken off.
    pub(crate) max_duration: Option<Duration>,
    /// How often the viewer is pinged.
    pub(crate) ping_interval: Option<Duration>,
    /// What becomes of it when its endpoint terminates.
    pub(crate) on_origin_terminating: OnOriginTerminating,
    /// Whether it moves when endpoints are added.
    pub(crate) rebalance: Option<Rebalance>,
    /// How long a message of the viewer may be, in bytes.
    pub(crate) max_message_bytes: Option<NonZeroU64>,
    /// How many messages the viewer may send.
    pub(crate) messages_per_second: Option<NonZeroU32>,
}

impl Life {
    /// That of a tunnel which opens now.
    pub(crate) fn of(policy: &WebSocketPolicy) -> Self {
        let max_duration = policy.max_duration.map(|max| {
            let most = f64::from(max.jitter_percent.min(100)) / 100.0;
            max.longest.mul_f64(1.0 - most * fastrand::f64())
        });
        Self {
            idle_timeout: policy.idle_timeout,
            max_duration,
            ping_interval: policy.ping_interval,
            on_origin_terminating: policy.on_origin_terminating,
            rebalance: policy.rebalance,
            max_message_bytes: policy.limits.max_message_bytes,
            messages_per_second: policy.limits.messages_per_second,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::web_socket::MaxDuration;

    #[test]
    fn jitter_shortens_a_life_by_up_to_its_share() {
        let of = |jitter_percent| {
            let max_duration = Some(MaxDuration { longest: Duration::from_secs(100), jitter_percent });
            let policy = WebSocketPolicy { max_duration, ..WebSocketPolicy::default() };
            (0..1000).map(|_| Life::of(&policy).max_duration.unwrap().as_secs_f64()).collect::<Vec<_>>()
        };
        assert!(of(0).iter().all(|seconds| *seconds == 100.0));
        let spread = of(10);
        assert!(spread.iter().all(|seconds| (90.0..=100.0).contains(seconds)), "{spread:?}");
        assert!(spread.iter().any(|seconds| *seconds < 92.0) && spread.iter().any(|seconds| *seconds > 98.0));
    }
}
