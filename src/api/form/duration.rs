//! How long the waits of the API may be.
//!
//! The form itself is read by [`Duration`]; what no Rust value can hold is refused by the same rule.

use serde_json::Value;

use super::super::Duration;
use super::super::rule::Rule;
use super::Form;

/// Characters of the longest form: four parts of five digits and two letters.
const LONGEST: u32 = 28;

/// A duration that may be nothing.
pub(in crate::api) struct AnyDuration;

impl Form for AnyDuration {
    const LONGEST: u32 = LONGEST;
    const RULES: &'static [Rule] = &[Rule::new(
        "self.matches(r'^([0-9]{1,5}(ms|s|m|h)){1,4}$') && duration(self) <= duration('99999h')",
        "must be a duration such as 500ms, 30s or 1h30m, with the units ms, s, m and h",
        |value| lasts(value, Duration::ZERO, Duration::LONGEST),
    )];
}

/// A duration that is not nothing.
pub(in crate::api) struct MoreThanZero;

impl Form for MoreThanZero {
    const LONGEST: u32 = LONGEST;
    const RULES: &'static [Rule] = &[Rule::new(
        "self.matches(r'^([0-9]{1,5}(ms|s|m|h)){1,4}$') && duration(self) > duration('0s') && duration(self) <= duration('99999h')",
        "must be a duration such as 500ms, 30s or 1h30m, with the units ms, s, m and h, and more than 0s",
        |value| lasts(value, Duration::from_millis(1), Duration::LONGEST),
    )];
}

/// A duration of a second or more.
pub(in crate::api) struct AtLeastASecond;

impl Form for AtLeastASecond {
    const LONGEST: u32 = LONGEST;
    const RULES: &'static [Rule] = &[Rule::new(
        "self.matches(r'^([0-9]{1,5}(ms|s|m|h)){1,4}$') && duration(self) >= duration('1s') && duration(self) <= duration('99999h')",
        "must be a duration such as 30s, 10m or 1h30m, with the units ms, s, m and h, and at least 1s",
        |value| lasts(value, Duration::from_secs(1), Duration::LONGEST),
    )];
}

/// How long one attempt to connect may take.
pub(in crate::api) struct ConnectionTimeout;

impl Form for ConnectionTimeout {
    const LONGEST: u32 = LONGEST;
    const RULES: &'static [Rule] = &[Rule::new(
        "self.matches(r'^([0-9]{1,5}(ms|s|m|h)){1,4}$') && duration(self) >= duration('10ms') && duration(self) <= duration('10s')",
        "must be a duration such as 500ms or 2s, from 10ms to 10s",
        |value| lasts(value, Duration::from_millis(10), Duration::from_secs(10)),
    )];
}

pub(super) fn rules() -> Vec<&'static [Rule]> {
    vec![AnyDuration::RULES, MoreThanZero::RULES, AtLeastASecond::RULES, ConnectionTimeout::RULES]
}

fn lasts(value: &Value, shortest: Duration, longest: Duration) -> bool {
    let duration = value.as_str().and_then(|text| text.parse::<Duration>().ok());
    duration.is_some_and(|duration| (shortest..=longest).contains(&duration))
}
