//! What is measured, in the order of the table.

use crate::origin::{LARGE, SMALL};
use crate::viewers::flood::Flood;

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// What `--rows` calls it.
    pub(crate) name: &'static str,
    /// What the table calls it.
    pub(crate) title: &'static str,
    pub(crate) measure: Measure,
    pub(crate) access_log: AccessLog,
    pub(crate) length: Length,
}

/// When a row is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// Always.
    Short,
    /// Where it is asked for by name: each proxy takes a minute a round.
    Long,
}

/// What a row tells.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Measure {
    /// CPU time of the proxy for one unit of this load.
    Cpu(Load),
    /// Memory of the proxy for one connection that has carried a request and idles.
    Idle(Transport),
    /// Memory of the proxy for one of so many WebSockets that have echoed a message and idle.
    IdleWebSockets(Security, usize),
    /// Memory that is still there a minute after so many connections have closed.
    Kept(usize),
    /// Memory of the proxy while so many viewers do not read an answer of 8 MiB.
    SlowReaders(usize),
    /// What viewers that flood cost.
    Flood(Flood, Cost),
}

/// What a flood costs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cost {
    /// Memory of the proxy at its peak, for each connection that floods.
    Memory,
    /// How much longer another viewer waits, at the 99th percentile.
    Wait,
}

/// What keeps a proxy busy, with the unit that is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// Requests on connections that stay open.
    Requests(Transport, &'static str),
    /// Messages that are echoed through WebSockets that stay open; one there and back counts once.
    Messages(Security),
    /// Plaintext connections with one request each.
    Connections,
    /// Full TLS 1.3 handshakes without resumption, and no request.
    Handshakes,
}

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// HTTP/1.1, plaintext.
    Http1,
    /// HTTP/1.1 over TLS.
    Http1Tls,
    /// HTTP/2 over TLS.
    Http2Tls,
}

/// How WebSockets come, over HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    Plain,
    Tls,
}

/// Whether each request has its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessLog {
    Off,
    /// Each proxy's own format, to a file.
    On,
}

/// Every row there is.
pub(crate) const ROWS: &[Row] = &[
    cpu("http1", "HTTP/1.1 request", Load::Requests(Transport::Http1, SMALL)),
    cpu("http1-tls", "the same over TLS", Load::Requests(Transport::Http1Tls, SMALL)),
    cpu("http2-tls", "HTTP/2 request over TLS", Load::Requests(Transport::Http2Tls, SMALL)),
    Row {
        access_log: AccessLog::On,
        ..cpu("logged", "HTTP/1.1 request with an access log", Load::Requests(Transport::Http1, SMALL))
    },
    cpu("body-http1-tls", "64 KiB body, HTTP/1.1 over TLS", Load::Requests(Transport::Http1Tls, LARGE)),
    cpu("body-http2-tls", "64 KiB body, HTTP/2 over TLS", Load::Requests(Transport::Http2Tls, LARGE)),
    cpu("message", "WebSocket message and its echo", Load::Messages(Security::Plain)),
    cpu("message-tls", "the same over TLS", Load::Messages(Security::Tls)),
    cpu("connection", "new connection, one request", Load::Connections),
    cpu("handshake", "full TLS 1.3 handshake", Load::Handshakes),
    idle("idle-http1", "idle keep-alive connection", Transport::Http1),
    idle("idle-http1-tls", "the same over TLS", Transport::Http1Tls),
    idle("idle-http2-tls", "idle HTTP/2 connection over TLS", Transport::Http2Tls),
    long("idle-websocket", "one of 10,000 idle WebSockets", Measure::IdleWebSockets(Security::Plain, 10_000)),
    long("idle-websocket-tls", "the same over TLS", Measure::IdleWebSockets(Security::Tls, 10_000)),
    long("kept", "kept of 10,000 closed connections", Measure::Kept(10_000)),
    flood("flood-memory-resets", "a flood of resets, memory a connection", Flood::Resets, Cost::Memory),
    flood("flood-memory-made", "of resets that we are made to send", Flood::MadeResets, Cost::Memory),
    flood("flood-memory-continuation", "of CONTINUATION", Flood::Continuation, Cost::Memory),
    flood("flood-memory-pings", "of PING", Flood::Pings, Cost::Memory),
    flood("flood-memory-settings", "of SETTINGS", Flood::Settings, Cost::Memory),
    flood("flood-memory-empty", "of empty DATA", Flood::EmptyData, Cost::Memory),
    flood("flood-memory-window", "of answers without a window", Flood::ZeroWindow, Cost::Memory),
    flood("flood-wait-resets", "a flood of resets, p99 of another viewer", Flood::Resets, Cost::Wait),
    flood("flood-wait-made", "of resets that we are made to send", Flood::MadeResets, Cost::Wait),
    flood("flood-wait-continuation", "of CONTINUATION", Flood::Continuation, Cost::Wait),
    flood("flood-wait-pings", "of PING", Flood::Pings, Cost::Wait),
    flood("flood-wait-settings", "of SETTINGS", Flood::Settings, Cost::Wait),
    flood("flood-wait-empty", "of empty DATA", Flood::EmptyData, Cost::Wait),
    flood("flood-wait-window", "of answers without a window", Flood::ZeroWindow, Cost::Wait),
    long("slow-readers", "2,000 viewers that read nothing of 8 MiB", Measure::SlowReaders(2_000)),
];

const fn cpu(name: &'static str, title: &'static str, load: Load) -> Row {
    row(name, title, Measure::Cpu(load))
}

const fn idle(name: &'static str, title: &'static str, transport: Transport) -> Row {
    row(name, title, Measure::Idle(transport))
}

const fn long(name: &'static str, title: &'static str, measure: Measure) -> Row {
    Row { length: Length::Long, ..row(name, title, measure) }
}

const fn flood(name: &'static str, title: &'static str, flood: Flood, cost: Cost) -> Row {
    long(name, title, Measure::Flood(flood, cost))
}

const fn row(name: &'static str, title: &'static str, measure: Measure) -> Row {
    Row { name, title, measure, access_log: AccessLog::Off, length: Length::Short }
}

impl Measure {
    /// What a sample's value is counted in.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Cpu(_) => "CPU µs",
            Self::Idle(_) | Self::IdleWebSockets(..) => "KiB",
            Self::Kept(_) | Self::SlowReaders(_) | Self::Flood(_, Cost::Memory) => "MiB",
            Self::Flood(_, Cost::Wait) => "ms",
        }
    }
}
