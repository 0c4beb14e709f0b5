//! The defaults of the API, each written once: serde fills them in here and the schema states them from here.
//!
//! A field that is absent and has no default in this file means "not set", and is an `Option`.

use super::{Duration, HostHeader};

pub(super) fn enabled() -> bool {
    true
}

pub(super) fn minimum_protocol_version() -> String {
    "TLSv1.2_2021".to_owned()
}

pub(super) fn host_header() -> HostHeader {
    HostHeader::Viewer
}

pub(super) fn connection_attempts() -> i32 {
    3
}

pub(super) fn connection_timeout() -> Duration {
    Duration::from_secs(2)
}

pub(super) fn origin_read_timeout() -> Duration {
    Duration::from_secs(30)
}

pub(super) fn response_idle_timeout() -> Duration {
    Duration::from_secs(10 * 60)
}

pub(super) fn origin_keepalive_timeout() -> Duration {
    Duration::from_secs(60)
}

pub(super) fn consecutive_failures() -> i32 {
    5
}

pub(super) fn ejection_time() -> Duration {
    Duration::from_secs(10)
}

pub(super) fn max_ejected_percent() -> i32 {
    50
}

pub(super) fn allowed_methods() -> Vec<String> {
    ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"].map(str::to_owned).to_vec()
}

pub(super) fn web_socket_idle_timeout() -> Duration {
    Duration::from_secs(10 * 60)
}

pub(super) fn max_duration_jitter_percent() -> i32 {
    10
}

/// Whether a field may be left out when writing, because reading fills it in again.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
