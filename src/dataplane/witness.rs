//! What is told of a tunnel while it lives and when it ends.

use std::cell::RefCell;

use super::account::Record;
use super::live::Loaded;
use super::websocket::closing::Closed;
use super::websocket::registry::Witness;
use crate::telemetry::access_log::{Event, Line};
use crate::telemetry::metrics::{Direction, TunnelMetrics};

/// Tells the metrics and the access log of one tunnel.
#[derive(Debug)]
pub(crate) struct TunnelWitness {
    /// The record of the exchange that opened it.
    record: Record,
    /// None after the end.
    metrics: RefCell<Option<TunnelMetrics>>,
    /// Counts the tunnel on its endpoint.
    _loaded: Loaded,
}

impl TunnelWitness {
    /// A witness of the tunnel that the exchange of `record` opened.
    pub(crate) fn new(record: Record, metrics: TunnelMetrics, loaded: Loaded) -> Self {
        Self { record, metrics: RefCell::new(Some(metrics)), _loaded: loaded }
    }
}

impl Witness for TunnelWitness {
    fn passed(&self, direction: Direction, bytes: u64, messages: u64) {
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
            ..self.record.line()
        });
    }
}
