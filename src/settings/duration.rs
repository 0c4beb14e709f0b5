//! A duration as flags write it.

use std::time::Duration;

use jiff::SignedDuration;

/// A number with a unit, not negative.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Option<SignedDuration> = text.parse().ok();
    let positive = parsed.and_then(|duration| Duration::try_from(duration).ok());
    positive.ok_or_else(|| "write a number with a unit (ms, s, m, h), such as 500ms, 30s or 1h30m".to_owned())
}
