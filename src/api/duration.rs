//! Durations as the API writes them: `500ms`, `30s`, `10m`, `1h`, `1h30m`.
//!
//! Start with [`Duration`].

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// At most this many numbers with units stand in one duration.
const MOST_PARTS: usize = 4;

/// At most this many digits stand before a unit.
const MOST_DIGITS: usize = 5;

/// A length of time in whole milliseconds, written as one to four numbers with the units `ms`, `s`, `m` and `h`.
///
/// The form is `^([0-9]{1,5}(ms|s|m|h)){1,4}$`, a subset of what Go and CEL call a duration.
/// It is written back with the largest units first, so `90s` becomes `1m30s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(std::time::Duration);

/// What is wrong with a text that should have been a duration, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text does not have the form of a duration.
    #[error(
        "{0:?} is not a duration; write one to four numbers with a unit (ms, s, m, h), such as 500ms, 30s or 1h30m"
    )]
    Form(String),
    /// The text has the form, but means more than 99,999 hours.
    #[error("{0:?} is too long a duration; write at most 99999h")]
    TooLong(String),
}

impl Duration {
    /// No time at all, which some fields read as "never".
    pub const ZERO: Self = Self(std::time::Duration::ZERO);

    /// The longest duration there is: more could not be written with five digits of hours again.
    pub const LONGEST: Self = Self::from_secs(99_999 * 3600);

    /// A duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// A duration of whole milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(std::time::Duration::from_millis(milliseconds))
    }

    /// The same length of time as the standard library has it.
    pub const fn as_std(self) -> std::time::Duration {
        self.0
    }

    /// Whether this is `0s`.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let milliseconds = milliseconds(text).ok_or_else(|| DurationError::Form(text.to_owned()))?;
        let duration = Self::from_millis(milliseconds);
        if duration > Self::LONGEST { Err(DurationError::TooLong(text.to_owned())) } else { Ok(duration) }
    }
}

/// The sum of the parts, or nothing if the text does not have the form.
///
/// Four parts of five digits of hours stay far below what a `u64` holds.
fn milliseconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > MOST_DIGITS || parts == MOST_PARTS {
            return None;
        }
        let (number, after) = rest.split_at_checked(digits)?;
        let (unit, after) = unit(after)?;
        total += number.parse::<u64>().ok()? * unit;
        parts += 1;
        rest = after;
    }
    (parts > 0).then_some(total)
}

/// The milliseconds of the unit that the text begins with, and what follows it.
fn unit(text: &str) -> Option<(u64, &str)> {
    // `ms` stands before `m`: the longer unit is tried first.
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]
        .into_iter()
        .find_map(|(name, factor)| text.strip_prefix(name).map(|rest| (factor, rest)))
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0s");
        }
        let seconds = self.0.as_secs();
        let parts = [
            (seconds / 3600, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (u64::from(self.0.subsec_millis()), "ms"),
        ];
        for (number, unit) in parts {
            if number > 0 {
                write!(f, "{number}{unit}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<String, DurationError> {
        text.parse::<Duration>().map(|duration| duration.to_string())
    }

    #[test]
    fn every_unit_and_every_sum_of_them_is_read() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("10m", 600_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("1h2m3s4ms", 3_723_004),
            ("0s", 0),
        ] {
            assert_eq!(text.parse(), Ok(Duration::from_millis(milliseconds)), "{text}");
            assert_eq!(written(text), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_duration_is_written_with_the_largest_units_first() {
        assert_eq!(written("90s"), Ok("1m30s".to_owned()));
        assert_eq!(written("1500ms"), Ok("1s500ms".to_owned()));
        assert_eq!(written("30m1h"), Ok("1h30m".to_owned()));
        assert_eq!(written("0h0ms"), Ok("0s".to_owned()));
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write_instead() {
        for text in ["", "30", "s", "1d", "-1s", "1.5s", "1 s", "123456s", "1s1s1s1s1s", "1S", "١s"] {
            let error = written(text);
            assert_eq!(error, Err(DurationError::Form(text.to_owned())), "{text}");
        }
        assert_eq!(
            DurationError::Form("30".to_owned()).to_string(),
            "\"30\" is not a duration; write one to four numbers with a unit (ms, s, m, h), such as 500ms, 30s or 1h30m"
        );
    }

    #[test]
    fn what_could_not_be_written_back_is_too_long() {
        assert_eq!(written("99999h"), Ok("99999h".to_owned()));
        assert_eq!(written("99999h1ms"), Err(DurationError::TooLong("99999h1ms".to_owned())));
    }

    #[test]
    fn a_bad_duration_is_a_decoding_error_that_names_the_remedy() {
        let error = serde_json::from_str::<Duration>("\"soon\"").expect_err("not a duration");
        assert!(error.to_string().contains("such as 500ms, 30s or 1h30m"), "{error}");
    }
}
