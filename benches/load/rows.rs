//! What is measured, in the order of the table.

use crate::origin::{LARGE, SMALL};

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// What `--rows` calls it.
    pub(crate) name: &'static str,
    /// What the table calls it.
    pub(crate) title: &'static str,
    pub(crate) measure: Measure,
    pub(crate) access_log: AccessLog,
}

/// What a row tells.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Measure {
    /// CPU time of the proxy for one unit of this load.
    Cpu(Load),
    /// Memory of the proxy for one connection that has carried a request and idles.
    Idle(Transport),
}

/// What keeps a proxy busy, with the unit that is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// Requests on connections that stay open.
    Requests(Transport, &'static str),
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
    cpu("connection", "new connection, one request", Load::Connections),
    cpu("handshake", "full TLS 1.3 handshake", Load::Handshakes),
    idle("idle-http1", "idle keep-alive connection", Transport::Http1),
    idle("idle-http1-tls", "the same over TLS", Transport::Http1Tls),
    idle("idle-http2-tls", "idle HTTP/2 connection over TLS", Transport::Http2Tls),
];

const fn cpu(name: &'static str, title: &'static str, load: Load) -> Row {
    Row { name, title, measure: Measure::Cpu(load), access_log: AccessLog::Off }
}

const fn idle(name: &'static str, title: &'static str, transport: Transport) -> Row {
    Row { name, title, measure: Measure::Idle(transport), access_log: AccessLog::Off }
}

impl Measure {
    /// What a sample's value is counted in.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Cpu(_) => "CPU µs",
            Self::Idle(_) => "KiB",
        }
    }
}
