//! What is told of a tunnel while it lives and when it ends, which is told once, whatever happens.

use std::cell::RefCell;

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
        Self { record, matched, metrics: RefCell::new(Some(metrics)) }
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
