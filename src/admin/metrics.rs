//! The page that Prometheus scrapes.

use http::StatusCode;

use super::{Page, known, page, text};
use crate::telemetry::metrics::{CONTENT_TYPE, Metrics};

/// All metrics as OpenMetrics text.
pub(super) fn page_of(metrics: &Metrics) -> Page {
    match metrics.encode() {
        Ok(body) => page(StatusCode::OK, CONTENT_TYPE, known(body)),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "a metric contradicts itself\n"),
    }
}
