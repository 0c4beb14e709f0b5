//! Every wait and every bound of the data plane, in one value that tests can shrink.
//!
//! What a Distribution sets itself (an origin's timeouts, a tunnel's idle time) stands in the table, not here.

use std::time::Duration;

use super::websocket::Waits;

/// The waits on viewers, and the bounds on what is buffered or queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the accepted connection to the end of its PROXY header, or to its first byte.
    pub proxy_header: Duration,
    /// From the accepted connection, or its PROXY header, to the end of the TLS handshake.
    pub tls_handshake: Duration,
    /// From the first byte of a request to the end of its head, and to the first byte of a new connection.
    pub request_head: Duration,
    /// Between two reads of a request body, counted only while the origin waits for it.
    pub request_body_gap: Duration,
    /// How fast a request body must come over that much waiting, in bytes a second.
    pub request_body_rate: u32,
    /// How long a viewer may take nothing of an answer.
    pub answer_stall: Duration,
    /// Between two requests of a connection.
    pub viewer_idle: Duration,
    /// How long an HTTP/1.1 connection may do nothing before its HTTP is laid down until the next byte, so that it
    /// costs hardly any memory.
    pub hibernation: Duration,
    /// How long a connection that was closed with something unread goes on being read, so that the viewer sees
    /// the answer and not a reset (RFC 9112 section 9.6).
    pub linger: Duration,
    /// How much is read then, in bytes.
    pub linger_bytes: usize,
    /// How old a connection may get, less up to a tenth so that those that came together do not leave together.
    pub connection_age: Duration,
    /// Requests that one connection carries.
    pub connection_requests: u32,
    /// Streams that an HTTP/2 viewer may have open.
    pub streams: u32,
    /// What an HTTP/2 viewer or origin may send ahead on one stream, in bytes.
    pub stream_window: u32,
    /// What it may send ahead on all streams of a connection, in bytes.
    pub connection_window: u32,
    /// What an HTTP/2 connection holds of its answers beyond what its socket takes, over all streams, in bytes.
    pub answers_unsent: usize,
    /// What is on its way into an HTTP/1.1 viewer's socket before no more is taken from the origin, in bytes, give or
    /// take what is read at once.
    pub unflushed_bytes: usize,
    /// Answers that a worker compresses at once; each may need half a megabyte, and those beyond pass as they came.
    pub compressions: usize,
    /// How long what came of an answer may be held back to be compressed with what comes next.
    pub compression_hold: Duration,
    /// Control frames that an HTTP/2 viewer may send at once; a tenth of it more each second, and more with what
    /// it is sent.
    pub control_frames: u32,
    /// DATA frames of hardly any bytes that an HTTP/2 viewer may have waiting to be read, over all streams; a tunnel
    /// reads them as they come, whether its origin does or not.
    pub small_frames: usize,
    /// Streams that an HTTP/2 viewer may reset, or have reset by mistakes, counted alike.
    pub viewer_resets: u32,
    /// What is buffered of an HTTP/1.1 connection in each direction, and of an HTTP/2 stream on its way out, in
    /// bytes. It is also what is read at once, and no less than [`Self::head_bytes`].
    pub buffer_bytes: usize,
    /// A request's or a response's head, in bytes.
    pub head_bytes: usize,
    /// The fields of a head.
    pub header_count: usize,
    /// One field of a request's head with its line end, in bytes.
    pub field_bytes: usize,
    /// A request target, in bytes.
    pub target_bytes: usize,
    /// The interim responses (1xx) that an origin may send before its answer.
    pub interim_responses: u32,
    /// Exchanges that an HTTP/2 connection to an origin carries at once; the next one gets another connection.
    pub origin_streams: usize,
    /// HTTP/2 connections of one origin that a worker holds to one endpoint; a request beyond what they carry goes
    /// to another endpoint, or is refused with `connection_limit`.
    pub origin_connections: usize,
    /// How long an HTTP/2 connection to an origin may be silent while exchanges wait on it, before it is asked for
    /// a sign of life. Servers of gRPC take more than one question in 5 min for an attack.
    pub origin_silence: Duration,
    /// How long that sign may take.
    pub origin_sign_of_life: Duration,
    /// What is read of an answer that nobody gets, in bytes, so that its connection can carry other requests.
    pub discarded_bytes: usize,
    /// How long that may take.
    pub discard: Duration,
    /// How long the head of an error page may take; then its viewer gets the error as it is.
    pub error_page: Duration,
    /// How often a request may have passed through us.
    pub passes: usize,
    /// Idle connections that a worker keeps to one endpoint.
    pub idle_per_endpoint: usize,
    /// How often a worker looks for connections to origins that have idled long enough, and at how busy it was.
    pub sweep: Duration,
    /// How long accepting rests after an error that a retry meets again (no file descriptors).
    pub accept_pause: Duration,
    /// How long a listener is still read after the last connection of a drain has ended.
    pub accept_tail: Duration,
    /// Questions that wait for one worker.
    pub mailbox: usize,
    /// Tunnels that a worker looks at for one answer to the live view, so that nobody else waits for long.
    pub listed_at_once: usize,
    /// Those of tunnels.
    pub tunnels: Waits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            proxy_header: Duration::from_secs(10),
            tls_handshake: Duration::from_secs(10),
            request_head: Duration::from_secs(10),
            request_body_gap: Duration::from_secs(30),
            request_body_rate: 240,
            answer_stall: Duration::from_secs(30),
            viewer_idle: Duration::from_secs(75),
            hibernation: Duration::from_secs(1),
            linger: Duration::from_secs(2),
            linger_bytes: 256 * 1024,
            connection_age: Duration::from_secs(60 * 60),
            connection_requests: 100_000,
            streams: 100,
            stream_window: 64 * 1024,
            connection_window: 256 * 1024,
            answers_unsent: 256 * 1024,
            unflushed_bytes: 16 * 1024,
            compressions: 128,
            compression_hold: Duration::from_millis(100),
            control_frames: 1000,
            small_frames: 2048,
            viewer_resets: 200,
            buffer_bytes: 32 * 1024,
            head_bytes: 32 * 1024,
            header_count: 100,
            field_bytes: 16 * 1024,
            target_bytes: 8 * 1024,
            interim_responses: 10,
            origin_streams: 100,
            origin_connections: 256,
            origin_silence: Duration::from_secs(6 * 60),
            origin_sign_of_life: Duration::from_secs(10),
            discarded_bytes: 64 * 1024,
            discard: Duration::from_millis(20),
            error_page: Duration::from_secs(5),
            passes: 10,
            idle_per_endpoint: 256,
            sweep: Duration::from_secs(1),
            accept_pause: Duration::from_millis(100),
            accept_tail: Duration::from_millis(100),
            mailbox: 64,
            listed_at_once: 256,
            tunnels: Waits::default(),
        }
    }
}
