//! One timer for one deadline that moves all the time.
//!
//! Waits begin and end with every read and write, and nearly all of them in time. So the timer is made by the
//! first wait, and moved only when it would ring too late or has rung.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that many waits share.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready when `deadline` is over. To be polled again whenever the deadline has changed.
    pub(crate) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.is_elapsed() || deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_the_deadline_of_the_last_poll() {
        let second = Duration::from_secs(1);
        let mut alarm = Alarm::default();
        let start = Instant::now();
        for deadlines in [[3, 5], [9, 6], [7, 7]] {
            let [first, last] = deadlines.map(|seconds| start + seconds * second);
            poll_fn(|cx| {
                assert!(alarm.poll(first, cx).is_pending());
                Poll::Ready(())
            })
            .await;
            poll_fn(|cx| alarm.poll(last, cx)).await;
            assert_eq!(Instant::now(), last);
        }
    }
}
