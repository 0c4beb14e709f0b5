//! What is told of a tunnel while it lives and when it ends, which is told once, whatever happens.

use std::cell::RefCell;

use http::HeaderValue;

use super::account::Record;
use super::websocket::closing::{Closed, ClosedBy};
use super::websocket::registry::Witness;
use crate::telemetry::access_log::{Event, Line};
use crate::telemetry::metrics::{Direction, TunnelMetrics};

/// Tells the metrics and the access log of one tunnel.
#[derive(Debug)]
pub(crate) struct TunnelWitness {
    /// The record of the exchange that opened it, without what it matched: that is a part of a table, which a
    /// tunnel would keep for days.
    record: Record,
    matched: Matched,
    /// None after the end.
    metrics: RefCell<Option<TunnelMetrics>>,
}

/// What the exchange matched, by name; none where there is none.
#[derive(Debug)]
struct Matched {
    namespace: Option<String>,
    distribution: Option<String>,
    behavior: Option<String>,
    origin: Option<String>,
}

impl TunnelWitness {
    /// A witness of the tunnel that the exchange of `record` opened.
    pub(crate) fn new(mut record: Record, metrics: TunnelMetrics) -> Self {
        let line = record.line();
        let own = |name: Option<&str>| name.map(str::to_owned);
        let matched = Matched {
            namespace: own(line.namespace),
            distribution: own(line.distribution),
            behavior: own(line.behavior),
            origin: own(line.origin),
        };
        record.matched = None;
        let Record { request_id, traceparent, user_agent, referer, x_forwarded_for, .. } = &mut record;
        for value in [request_id, traceparent, user_agent, referer, x_forwarded_for].into_iter().flatten() {
            detach(value);
        }
        Self { record, matched, metrics: RefCell::new(Some(metrics)) }
    }
}

/// Copies a value that came in a head: it is a part of the buffer that the whole head was read into, which a tunnel
/// would keep for days.
fn detach(value: &mut HeaderValue) {
    if let Ok(own) = HeaderValue::from_bytes(value.as_bytes()) {
        *value = own;
    }
}

impl Witness for TunnelWitness {
    fn passed(&self, direction: Direction, bytes: u64, messages: u64) {
        #[cfg(test)]
        super::fault::strike("frames", self.record.path.as_deref());
        if let Some(metrics) = &*self.metrics.borrow() {
            metrics.bytes(direction, bytes);
            metrics.messages(direction, messages);
        }
    }

    fn closed(&self, closed: &Closed) {
        let closed_by = closed.closed_by.as_str();
        if let Some(metrics) = self.metrics.take() {
            metrics.closed(closed_by, closed.code, closed.duration);
        }
        self.record.viewer.worker.access_log.write(&Line {
            event: Event::WebsocketClose,
            duration: Some(closed.duration),
            bytes_in: Some(closed.to_origin.bytes),
            bytes_out: Some(closed.to_viewer.bytes),
            closed_by: Some(closed_by),
            close_code: Some(closed.code),
            frames_in: Some(closed.to_origin.frames),
            frames_out: Some(closed.to_viewer.frames),
            namespace: self.matched.namespace.as_deref(),
            distribution: self.matched.distribution.as_deref(),
            behavior: self.matched.behavior.as_deref(),
            origin: self.matched.origin.as_deref(),
            ..self.record.line()
        });
    }
}

impl Drop for TunnelWitness {
    /// What was counted as opened is counted as closed: this one never began, since its viewer could not be told.
    fn drop(&mut self) {
        if self.metrics.get_mut().is_some() {
            self.closed(&Closed::without_verdict(ClosedBy::ViewerReset));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_value_that_is_kept_lets_go_of_the_head_that_it_came_in() {
        struct Buffer(Arc<[u8]>);
        impl AsRef<[u8]> for Buffer {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let buffer: Arc<[u8]> = Arc::from(&b"GET / HTTP/1.1\r\nuser-agent: browser\r\n\r\n"[..]);
        let head = Bytes::from_owner(Buffer(Arc::clone(&buffer)));
        let mut value = HeaderValue::from_maybe_shared(head.slice(28..35)).unwrap();
        drop(head);
        assert_eq!((&value, Arc::strong_count(&buffer)), (&HeaderValue::from_static("browser"), 2));
        detach(&mut value);
        assert_eq!((&value, Arc::strong_count(&buffer)), (&HeaderValue::from_static("browser"), 1));
    }
}
