//! What a behavior says about WebSockets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Duration,
    defaults::{self, is_default},
    form::{self, Text},
};

/// How the WebSockets of a behavior are treated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WebSocket {
    /// When false, a handshake is answered with 403.
    pub enabled: bool,

    /// How long a socket may stay without a byte in either direction; `0s` means for ever.
    #[schemars(with = "Text<form::AnyDuration>")]
    pub idle_timeout: Duration,

    /// How long a socket may live at all; without it there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::AtLeastASecond>")]
    pub max_duration: Option<Duration>,

    /// By how much of `maxDuration` its ends are spread.
    #[schemars(range(min = 0, max = 100))]
    pub max_duration_jitter_percent: i32,

    /// How often the proxy pings the viewer; two missed answers close the socket, and without it there are no pings.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Text<form::AtLeastASecond>")]
    pub ping_interval: Option<Duration>,

    /// Values of `Origin` that may connect, such as `https://app.example.com` or `https://*.example.com`; others get 403, and empty means any. A handshake without `Origin` passes, since only browsers send it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Text<form::WebOrigin>>", length(max = 50), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_origins: Vec<String>,

    /// Limits on sockets and on what viewers send over them, for each replica.
    #[serde(skip_serializing_if = "is_default")]
    pub limits: WebSocketLimits,

    /// What happens to a pod's sockets when the pod terminates: `keep` (they stay until the pod ends them) or `drain` (they get a paced Close 1012 at once).
    pub on_origin_terminating: OnOriginTerminating,

    /// Moves sockets off overloaded pods after a scale-out; without it none is moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<Rebalance>,
}

impl Default for WebSocket {
    fn default() -> Self {
        Self {
            enabled: defaults::enabled(),
            idle_timeout: defaults::web_socket_idle_timeout(),
            max_duration: None,
            max_duration_jitter_percent: defaults::max_duration_jitter_percent(),
            ping_interval: None,
            allowed_origins: Vec::new(),
            limits: WebSocketLimits::default(),
            on_origin_terminating: OnOriginTerminating::default(),
            rebalance: None,
        }
    }
}

/// Limits on WebSockets, for each replica; what is absent is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WebSocketLimits {
    /// Open sockets; a handshake past it is answered with 503.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_connections: Option<i32>,

    /// Open sockets of one viewer address; a handshake past it is answered with 429.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_connections_per_client: Option<i32>,

    /// The longest message a viewer may send, in bytes; a longer one closes the socket with 1009.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_message_bytes: Option<i64>,

    /// How many messages a viewer may send in a second; more close the socket with 1008.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub messages_per_second: Option<i32>,
}

/// What happens to a pod's sockets when the pod terminates.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum OnOriginTerminating {
    /// They stay until the pod ends them.
    #[default]
    Keep,
    /// They get a paced Close 1012 at once.
    Drain,
}

/// Moves sockets off overloaded pods after a scale-out, by Close 1012.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rebalance {
    /// By how much the busiest pod may exceed the mean.
    #[schemars(range(min = 1))]
    pub max_imbalance_percent: i32,

    /// How many sockets are closed in a second.
    #[schemars(range(min = 1))]
    pub closes_per_second: i32,
}
