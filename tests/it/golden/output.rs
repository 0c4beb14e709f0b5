//! Golden outputs: the table and the statuses, without what is at its default.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use serde_saphyr::LitString;
use tidegate::conditions::facts::DistributionFacts;
use tidegate::conditions::{Fleet, finish};
use tidegate::table::explain::{self, Question};
use tidegate::translate::Translation;

/// What a golden output holds.
pub(super) fn tell(translation: &Translation, now: Timestamp) -> String {
    let statuses: Map<String, Value> =
        translation.facts.0.iter().map(|(key, facts)| (key.to_string(), status(facts, now))).collect();
    let mut table = translation.table.dump();
    prune(&mut table);
    let told = json!({
        "defaultCertificateProblem": translation.default_certificate_problem,
        "statuses": statuses,
        "table": table,
    });
    let mut told = told;
    prune(&mut told);
    serde_saphyr::to_string(&told).unwrap()
}

/// What `explain` says to each question, line by line.
pub(super) fn explain(translation: &Translation, questions: &[Question]) -> String {
    let told = questions.iter().map(|question| {
        let explanation = explain::explain(&translation.table, question, 443);
        let explanation = explanation.with_findings(|key| translation.facts.told(key));
        LitString(explanation.to_string())
    });
    serde_saphyr::to_string(&told.collect::<Vec<_>>()).unwrap()
}

/// The status, each condition as one line; those that simply hold are left out.
fn status(facts: &DistributionFacts, now: Timestamp) -> Value {
    let judgement = finish(facts, Fleet::ALONE, now);
    let mut status = serde_json::to_value(&judgement.status).unwrap();
    let conditions =
        judgement.status.conditions.iter().filter(|condition| condition.reason != condition.type_);
    let lines: Map<String, Value> = conditions
        .map(|condition| {
            let summary = format!("{} {}", condition.status, condition.reason);
            // These repeat the message of the condition that decided.
            let line = match condition.type_.as_str() {
                "Ready" | "Reconciling" | "Stalled" => summary,
                _ => format!("{summary}: {}", condition.message),
            };
            (condition.type_.clone(), line.into())
        })
        .collect();
    status["conditions"] = lines.into();
    let warnings = facts.warnings.iter().map(|warning| format!("{}: {}", warning.kind, warning.message));
    status["warnings"] = warnings.collect::<Vec<_>>().into();
    status["lookAgainAt"] = json!(judgement.look_again_at);
    status
}

/// Takes out what says nothing: absent and empty values, and the defaults of the API.
fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|name, value| !is_empty(value) && !is_default(name, value));
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_default(name: &str, value: &Value) -> bool {
    let default = match name {
        "allowedMethods" => json!(["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]),
        "alpn" => json!(["h2", "http/1.1"]),
        "enabled" => json!(true),
        "generation" | "observedGeneration" => json!(0),
        "minimumProtocolVersion" => json!("TLSv1.2_2021"),
        "onOriginTerminating" => json!("keep"),
        "viewerProtocolPolicy" => json!("allow-all"),
        "hostHeader" => json!("viewer"),
        "connectionAttempts" => json!(3),
        "connectionTimeout" => json!("2s"),
        "originReadTimeout" => json!("30s"),
        "idleTimeout" | "responseIdleTimeout" => json!("600s"),
        "originKeepaliveTimeout" => json!("60s"),
        "httpVersion" => json!("http1.1"),
        "algorithm" => json!("least-request"),
        "compress" => json!(false),
        "consecutiveFailures" => json!(5),
        "ejectionTime" => json!("10s"),
        "maxEjectedPercent" => json!(50),
        "replicas" => json!("1/1"),
        _ => return false,
    };
    *value == default
}
