//! Monitors, alerts and the dashboard: they read only metrics and labels that `docs/metrics.md` tells of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use super::{REPOSITORY, of_kind, render};

/// The metrics that exist, with their labels: a test of `telemetry` holds the page to the registry.
fn told() -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let page = std::fs::read_to_string(Path::new(REPOSITORY).join("docs/metrics.md"))?;
    let mut metrics = BTreeMap::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')) {
        let (name, labels) = line.0.split_once('{').unwrap_or((line.0, "}"));
        let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
        metrics.insert(name.to_owned(), labels.map(str::to_owned).collect());
    }
    Ok(metrics)
}

/// What Prometheus adds to a scraped series, and to a histogram's.
const ADDED: [&str; 4] = ["pod", "job", "instance", "le"];

/// The metrics of ours in an expression, each with what stands in its braces.
fn selected(expression: &str) -> Vec<(&str, &str)> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut rest = expression;
    let mut selected = Vec::new();
    while let Some(begin) = rest.find(is_name) {
        let (_, from_name) = rest.split_at(begin);
        let end = from_name.find(|character| !is_name(character)).unwrap_or(from_name.len());
        let (name, behind) = from_name.split_at(end);
        let labels = behind.strip_prefix('{').and_then(|labels| labels.split_once('}'));
        if name.starts_with("tidegate_") || name.starts_with("process_") {
            selected.push((name, labels.map_or("", |(labels, _)| labels)));
        }
        rest = labels.map_or(behind, |(_, behind)| behind);
    }
    selected
}

/// The labels that an expression groups by.
fn grouped(expression: &str) -> impl Iterator<Item = &str> {
    let groups = ["by (", "without ("].into_iter().flat_map(|word| expression.split(word).skip(1));
    groups.filter_map(|group| group.split_once(')')).flat_map(|(group, _)| group.split(", "))
}

/// What is wrong with an expression: a metric that does not exist, or a label that none of its metrics has.
fn faults(expression: &str, told: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut of_all: BTreeSet<&str> = ADDED.into_iter().collect();
    for (name, matchers) in selected(expression) {
        let parts = ["_bucket", "_sum", "_count"].iter().filter_map(|part| name.strip_suffix(part));
        let Some(labels) = std::iter::once(name).chain(parts).find_map(|name| told.get(name)) else {
            faults.push(format!("no metric {name}"));
            continue;
        };
        of_all.extend(labels.iter().map(String::as_str));
        for label in matchers.split(',').filter_map(|matcher| matcher.split(['=', '!']).next()) {
            if !label.is_empty() && !labels.contains(label) && !ADDED.contains(&label) {
                faults.push(format!("{name} has no label {label}"));
            }
        }
    }
    let nobodys = grouped(expression).filter(|label| !of_all.contains(label));
    faults.extend(nobodys.map(|label| format!("no metric of the expression has a label {label}")));
    faults
}

#[test]
fn a_metric_or_a_label_that_does_not_exist_is_found() -> anyhow::Result<()> {
    let told = told()?;
    for (expression, fault) in [
        ("sum by (namespace) (rate(tidegate_requests_total{code=~\"5..\"}[5m]))", ""),
        ("rate(tidegate_request_duration_seconds_bucket[5m])", ""),
        ("tidegate_request_total", "no metric tidegate_request_total"),
        ("tidegate_connections{origin=\"x\"}", "tidegate_connections has no label origin"),
        ("sum by (origin) (tidegate_connections)", "no metric of the expression has a label origin"),
    ] {
        assert_eq!(faults(expression, &told).join(", "), fault, "{expression}");
    }
    Ok(())
}

#[test]
fn the_alerts_read_only_what_exists_and_say_what_is_wrong() -> anyhow::Result<()> {
    let objects = render(&["monitoring.alerts=true", r#"monitoring.labels={"release":"prometheus"}"#])?;
    let rule = of_kind(&objects, "PrometheusRule").context("no PrometheusRule")?;
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
    let told = told()?;
    let rules = rule["spec"]["groups"][0]["rules"].as_array().context("no rules")?;
    for alert in rules {
        let expression = alert["expr"].as_str().context("an alert without expression")?;
        assert_eq!(faults(expression, &told), Vec::<String>::new(), "{}", alert["alert"]);
        for text in ["summary", "description"] {
            assert!(alert["annotations"][text].is_string(), "{} has no {text}", alert["alert"]);
        }
        assert!(["warning", "critical"].map(Value::from).contains(&alert["labels"]["severity"]), "{alert}");
    }
    Ok(())
}

#[test]
fn the_dashboard_reads_only_what_exists() -> anyhow::Result<()> {
    let objects = render(&["monitoring.dashboard=true"])?;
    let map = of_kind(&objects, "ConfigMap").context("no ConfigMap")?;
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    let dashboard: Value =
        serde_json::from_str(map["data"]["tidegate.json"].as_str().context("no dashboard")?)?;
    let told = told()?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let targets: Vec<_> =
        panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten()).collect();
    assert!(!targets.is_empty());
    for target in targets {
        let expression = target["expr"].as_str().context("a target without expression")?;
        assert_eq!(faults(expression, &told), Vec::<String>::new(), "{expression}");
    }
    for variable in dashboard["templating"]["list"].as_array().context("no variables")? {
        assert_eq!(faults(variable["query"].as_str().context("no query")?, &told), Vec::<String>::new());
    }
    Ok(())
}

/// When all sockets were asked to go and had the time to answer.
#[test]
fn the_alert_of_a_drain_follows_the_drain() -> anyhow::Result<()> {
    for (settings, seconds) in [
        (["monitoring.alerts=true"].as_slice(), "260s"),
        (&["monitoring.alerts=true", "drain.delaySeconds=20", "drain.websocketSpreadSeconds=60"], "90s"),
    ] {
        let objects = render(settings)?;
        let rule = of_kind(&objects, "PrometheusRule").context("no PrometheusRule")?;
        let rules = rule["spec"]["groups"][0]["rules"].as_array().context("no rules")?;
        let alert = rules.iter().find(|alert| alert["alert"] == "TidegateDrainIsCut").context("no alert")?;
        assert_eq!(alert["for"], seconds);
    }
    Ok(())
}

#[test]
fn a_monitor_finds_the_admin_port_and_keeps_the_metrics_own_labels() -> anyhow::Result<()> {
    for (kind, endpoints) in [("PodMonitor", "podMetricsEndpoints"), ("ServiceMonitor", "endpoints")] {
        let objects = render(&[&format!("monitoring.monitor={kind:?}")])?;
        let monitor = of_kind(&objects, kind).context("no monitor")?;
        let endpoint = &monitor["spec"][endpoints][0];
        assert_eq!((&endpoint["port"], &endpoint["honorLabels"]), (&json!("admin"), &json!(true)));
        let selected = monitor["spec"]["selector"]["matchLabels"].as_object().context("no selector")?;
        let is_selected = |labels: &Value| selected.iter().all(|(name, value)| &labels[name] == value);
        let template = |object: &&Value| is_selected(&object["spec"]["template"]["metadata"]["labels"]);
        let service =
            |object: &&Value| object["kind"] == "Service" && is_selected(&object["metadata"]["labels"]);
        let (pods, services) =
            (objects.iter().filter(template).count(), objects.iter().filter(service).count());
        // A ServiceMonitor means its own Service and not that of the traffic, which has no such port.
        assert_eq!(if kind == "PodMonitor" { pods } else { services }, 1, "{kind}");
    }
    Ok(())
}
