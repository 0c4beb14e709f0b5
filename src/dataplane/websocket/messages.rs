//! The limits on what the viewer of one tunnel sends: how long a message may be, and how many may come.
//!
//! They are judged by the headers of frames, before anything of a frame has passed. A compressed message counts as long
//! as it is on the wire.

use std::time::Duration;

use tokio::time::Instant;

use super::frames::{EndOf, Fault};
use super::life::Life;

/// What is left of the limits.
#[derive(Debug)]
pub(super) struct MessageLimits {
    most_bytes: Option<u64>,
    rate: Option<Rate>,
    /// How long the message under way is so far; none between two.
    message: Option<u64>,
}

impl MessageLimits {
    /// Those of a tunnel that opens now; none where it has none.
    pub(super) fn of(life: &Life) -> Option<Self> {
        let rate = life.messages_per_second.map(|most| Rate::new(most.get()));
        let most_bytes = life.max_message_bytes.map(Into::into);
        (rate.is_some() || most_bytes.is_some()).then_some(Self { most_bytes, rate, message: None })
    }

    /// Judges a frame that begins.
    pub(super) fn admit(&mut self, end_of: EndOf, payload: u64) -> Result<(), Fault> {
        if self.message.is_none() && self.rate.as_mut().is_some_and(|rate| !rate.take(Instant::now())) {
            return Err(Fault::MessageRate);
        }
        let bytes = self.message.unwrap_or(0).saturating_add(payload);
        if self.most_bytes.is_some_and(|most| bytes > most) {
            return Err(Fault::MessageSize);
        }
        self.message = (end_of == EndOf::Frame).then_some(bytes);
        Ok(())
    }

    /// The origin does not take what has come, so that nothing more is read.
    pub(super) fn wait(&mut self) {
        if let Some(rate) = &mut self.rate {
            rate.waiting.get_or_insert(Instant::now());
        }
    }

    /// It is read again: what came meanwhile is not to be taken for sent at once.
    pub(super) fn go_on(&mut self) {
        if let Some(rate) = &mut self.rate
            && let Some(since) = rate.waiting.take()
        {
            rate.credit += since.elapsed();
        }
    }

    /// All that came meanwhile was read.
    pub(super) fn caught_up(&mut self) {
        if let Some(rate) = &mut self.rate {
            rate.credit = Duration::ZERO;
        }
    }
}

/// So many in a second at an even pace, and as many at once after a second of silence.
#[derive(Debug)]
struct Rate {
    /// Between two at an even pace.
    pace: Duration,
    /// When the next one would come at that pace.
    next: Instant,
    /// Since when nothing is read.
    waiting: Option<Instant>,
    /// For how long nothing was read.
    credit: Duration,
}

impl Rate {
    const SECOND: Duration = Duration::from_secs(1);

    fn new(per_second: u32) -> Self {
        let pace = Self::SECOND / per_second;
        Self { pace, next: Instant::now(), waiting: None, credit: Duration::ZERO }
    }

    /// Whether one more may come.
    fn take(&mut self, now: Instant) -> bool {
        let next = self.next.max(now);
        if next.duration_since(now) + self.pace <= Self::SECOND {
            self.next = next + self.pace;
            return true;
        }
        let Some(left) = self.credit.checked_sub(self.pace) else { return false };
        self.credit = left;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(rate: &mut Rate, now: Instant) -> usize {
        std::iter::repeat_with(|| rate.take(now)).take(1000).take_while(|taken| *taken).count()
    }

    #[test]
    fn a_rate_allows_a_second_s_worth_at_once_and_then_an_even_pace() {
        for per_second in [1, 3, 7, 100] {
            let mut rate = Rate::new(per_second);
            let begin = rate.next;
            assert_eq!(taken(&mut rate, begin), per_second as usize);
            for step in 1..=20 {
                let now = begin + Duration::from_secs(1) + rate.pace * step;
                assert_eq!(taken(&mut rate, now), if step == 1 { per_second as usize } else { 1 });
            }
        }
    }

    #[test]
    fn what_came_while_nothing_was_read_may_come_at_once() {
        let mut rate = Rate::new(10);
        let now = rate.next;
        rate.credit = Duration::from_secs(2);
        assert_eq!(taken(&mut rate, now), 30);
    }
}
