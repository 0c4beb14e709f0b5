//! How the metrics of traffic are told to a scraper: one family after the other, over all that live.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

use super::cells::HistogramReading;
use super::traffic::{CloseCode, DistributionMetrics, Failed, OriginMetrics, RequestMetrics, Traffic};
use crate::object::ObjectKey;

/// Labels in the order in which they are printed.
pub(super) struct Labels<'l>(pub(super) Vec<(&'static str, &'l str)>);

impl<'l> Labels<'l> {
    pub(super) fn of(key: Option<&'l ObjectKey>) -> Self {
        let (namespace, distribution) =
            key.map_or(("", ""), |key| (key.namespace.as_str(), key.name.as_str()));
        Self(vec![("namespace", namespace), ("distribution", distribution)])
    }

    pub(super) fn with(mut self, name: &'static str, value: &'l str) -> Self {
        self.0.push((name, value));
        self
    }
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> fmt::Result {
        self.0.as_slice().encode(encoder)
    }
}

/// One family that is being written.
pub(super) struct Family<'e>(MetricEncoder<'e>);

impl<'e> Family<'e> {
    pub(super) fn begin(
        encoder: &'e mut DescriptorEncoder<'_>,
        name: &'e str,
        help: &str,
        kind: MetricType,
    ) -> Result<Self, fmt::Error> {
        encoder.encode_descriptor(name, help, None, kind).map(Self)
    }

    pub(super) fn counter(&mut self, labels: &Labels<'_>, value: u64) -> fmt::Result {
        self.series(labels, |series| series.encode_counter::<NoLabelSet, u64, f64>(&value, None))
    }

    pub(super) fn gauge(&mut self, labels: &Labels<'_>, value: f64) -> fmt::Result {
        self.series(labels, |series| series.encode_gauge(&value))
    }

    pub(super) fn histogram(&mut self, labels: &Labels<'_>, reading: &HistogramReading) -> fmt::Result {
        let HistogramReading { sum, count, buckets } = reading;
        self.series(labels, |series| series.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None))
    }

    /// Without labels the encoder would print `{}`, which few readers of metrics expect.
    fn series(
        &mut self,
        labels: &Labels<'_>,
        write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        if labels.0.is_empty() { write(&mut self.0) } else { write(&mut self.0.encode_family(labels)?) }
    }
}

impl Collector for Traffic {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let distributions = self.live();
        requests(&mut encoder, &distributions)?;
        own_answers(&mut encoder, &distributions)?;
        web_sockets(&mut encoder, &distributions)?;
        let origins: Vec<_> = distributions.iter().flat_map(|metrics| metrics.live_origins()).collect();
        self::origins(&mut encoder, &origins)
    }
}

type Distributions = [std::sync::Arc<DistributionMetrics>];

fn requests(encoder: &mut DescriptorEncoder<'_>, distributions: &Distributions) -> fmt::Result {
    let mut family = Family::begin(encoder, "requests", "Finished requests", MetricType::Counter)?;
    let all: Vec<_> = distributions
        .iter()
        .flat_map(|metrics| metrics.live_requests().into_iter().map(move |requests| (metrics, requests)))
        .collect();
    for (metrics, requests) in &all {
        for ((code, protocol), sum) in requests.finished.values() {
            let code = code.to_string();
            let labels = labels(metrics).with("code", &code).with("protocol", protocol);
            family.counter(&with_behavior(labels, requests), sum)?;
        }
    }
    let help = "From the request head to the last byte of the answer, upgrades excluded";
    let mut family = Family::begin(encoder, "request_duration_seconds", help, MetricType::Histogram)?;
    for (metrics, requests) in &all {
        family.histogram(&with_behavior(labels(metrics), requests), &requests.duration.read())?;
    }
    let help = "Errors that have a page, by whether it could be had";
    let mut family = Family::begin(encoder, "error_pages", help, MetricType::Counter)?;
    for metrics in distributions {
        for (outcome, sum) in metrics.error_pages.values() {
            family.counter(&labels(metrics).with("result", outcome.as_str()), sum)?;
        }
    }
    Ok(())
}

fn own_answers(encoder: &mut DescriptorEncoder<'_>, all: &Distributions) -> fmt::Result {
    let help = "Requests that Tidegate answered by itself";
    let mut family = Family::begin(encoder, "own_answers", help, MetricType::Counter)?;
    for metrics in all {
        for ((code, reason), sum) in metrics.own_answers.values() {
            let code = code.to_string();
            family.counter(&labels(metrics).with("code", &code).with("reason", reason), sum)?;
        }
    }
    Ok(())
}

fn with_behavior<'l>(labels: Labels<'l>, requests: &'l RequestMetrics) -> Labels<'l> {
    match &requests.behavior {
        Some(pattern) => labels.with("behavior", pattern),
        None => labels,
    }
}

fn web_sockets(encoder: &mut DescriptorEncoder<'_>, all: &Distributions) -> fmt::Result {
    let mut family = Family::begin(encoder, "websocket_opened", "WebSockets opened", MetricType::Counter)?;
    for metrics in all.iter().filter(|metrics| metrics.key.is_some()) {
        family.counter(&labels(metrics), metrics.web_socket.opened.value())?;
    }
    let help = "WebSockets closed, by who closed and with which code";
    let mut family = Family::begin(encoder, "websocket_closed", help, MetricType::Counter)?;
    for metrics in all {
        for ((closed_by, code), sum) in metrics.web_socket.closed.values() {
            let code = match code {
                CloseCode::Registered(code) => code.to_string(),
                CloseCode::App => "app".to_owned(),
            };
            family.counter(&labels(metrics).with("closed_by", closed_by).with("code", &code), sum)?;
        }
    }
    let help = "WebSocket handshakes that were refused or failed";
    let mut family = Family::begin(encoder, "websocket_handshake_failures", help, MetricType::Counter)?;
    for metrics in all {
        for (reason, sum) in metrics.web_socket.failures.values() {
            family.counter(&labels(metrics).with("reason", reason), sum)?;
        }
    }
    let mut family =
        Family::begin(encoder, "websocket_bytes", "Bytes through WebSockets", MetricType::Counter)?;
    for metrics in all {
        for (direction, sum) in metrics.web_socket.bytes.values() {
            family.counter(&labels(metrics).with("direction", direction.as_str()), sum)?;
        }
    }
    let help = "Messages through WebSockets";
    let mut family = Family::begin(encoder, "websocket_messages", help, MetricType::Counter)?;
    for metrics in all {
        for (direction, sum) in metrics.web_socket.messages.values() {
            family.counter(&labels(metrics).with("direction", direction.as_str()), sum)?;
        }
    }
    let help = "How long WebSockets were open";
    let mut family = Family::begin(encoder, "websocket_duration_seconds", help, MetricType::Histogram)?;
    for metrics in all.iter().filter(|metrics| metrics.key.is_some()) {
        family.histogram(&labels(metrics), &metrics.web_socket.duration.read())?;
    }
    Ok(())
}

fn origins(encoder: &mut DescriptorEncoder<'_>, all: &[std::sync::Arc<OriginMetrics>]) -> fmt::Result {
    let help = "From the request head to the head of the origin's answer, attempts included";
    let mut family = Family::begin(encoder, "origin_duration_seconds", help, MetricType::Histogram)?;
    for metrics in all {
        family.histogram(&origin_labels(metrics), &metrics.duration.read())?;
    }
    let mut family =
        Family::begin(encoder, "origin_errors", "Requests that an origin failed", MetricType::Counter)?;
    for metrics in all {
        for (reason, sum) in metrics.errors.values() {
            family.counter(&origin_labels(metrics).with("reason", reason), sum)?;
        }
    }
    let help = "Requests that the next member of an origin group was asked, since this one failed them";
    let mut family = Family::begin(encoder, "origin_failovers", help, MetricType::Counter)?;
    for metrics in all {
        for (failed, sum) in metrics.failovers.values() {
            let reason = match failed {
                Failed::Status(status) => status.to_string(),
                Failed::Reason(reason) => reason.to_owned(),
            };
            family.counter(&origin_labels(metrics).with("reason", &reason), sum)?;
        }
    }
    let help = "Requests that were sent again";
    let mut family = Family::begin(encoder, "origin_retries", help, MetricType::Counter)?;
    for metrics in all {
        family.counter(&origin_labels(metrics), metrics.retries.value())?;
    }
    let help = "Attempts that were not made because too many were made lately";
    let mut family = Family::begin(encoder, "retry_budget_exhausted", help, MetricType::Counter)?;
    for metrics in all {
        family.counter(&origin_labels(metrics), metrics.retry_budget_exhausted.value())?;
    }
    let help = "How long it took to open a connection to an origin";
    let mut family = Family::begin(encoder, "origin_connect_seconds", help, MetricType::Histogram)?;
    for metrics in all {
        family.histogram(&origin_labels(metrics), &metrics.connect.read())?;
    }
    let mut family =
        Family::begin(encoder, "websocket_connections", "WebSockets that are open", MetricType::Gauge)?;
    for metrics in all {
        for (protocol, open) in metrics.web_sockets.by_protocol() {
            family.gauge(&origin_labels(metrics).with("protocol", protocol), open as f64)?;
        }
    }
    Ok(())
}

fn labels(metrics: &DistributionMetrics) -> Labels<'_> {
    Labels::of(metrics.key.as_ref())
}

fn origin_labels(metrics: &OriginMetrics) -> Labels<'_> {
    labels(&metrics.distribution).with("origin", &metrics.id)
}
