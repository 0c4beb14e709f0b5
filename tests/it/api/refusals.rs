//! The table of what the API refuses, `refusals.yaml`.
//!
//! Here it is asked of the Rust rules; the cluster suite asks the same of a real API server.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tidegate::api::{Distribution, DistributionSpec, crd, validate, validate_object};

/// One rule: what breaks it, and what keeps it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    /// The rule as a sentence.
    pub(crate) claim: String,
    bad: Map<String, Value>,
    /// The field that is blamed.
    pub(crate) field: String,
    /// The beginning of the sentence.
    pub(crate) says: String,
    good: Map<String, Value>,
}

impl Refusal {
    /// The Distribution that breaks the rule.
    pub(crate) fn bad(&self) -> Value {
        distribution(&self.bad)
    }

    /// The nearest Distribution that keeps it.
    pub(crate) fn good(&self) -> Value {
        distribution(&self.good)
    }
}

/// The whole table.
pub(crate) fn refusals() -> Vec<Refusal> {
    serde_saphyr::from_str(include_str!("refusals.yaml")).unwrap()
}

fn distribution(fields: &Map<String, Value>) -> Value {
    let mut spec = json!({
        "origins": [{"id": "app", "service": {"name": "app"}}],
        "defaultCacheBehavior": {"targetOriginId": "app"},
    });
    spec.as_object_mut().unwrap().extend(fields.clone());
    json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "Distribution", "metadata": {"name": "it"}, "spec": spec})
}

#[test]
fn what_breaks_a_rule_is_refused_with_the_field_and_the_sentence_and_nothing_else() {
    for refusal in refusals() {
        let violations = validate_object(&refusal.bad());
        let [violation] = violations.as_slice() else {
            panic!("{}: {violations:#?}", refusal.claim);
        };
        assert_eq!(violation.field, refusal.field, "{}", refusal.claim);
        assert!(violation.message.contains(&refusal.says), "{}: {}", refusal.claim, violation.message);
    }
}

#[test]
fn what_decodes_is_refused_alike_after_decoding() {
    for refusal in refusals() {
        // A fraction where a number is wanted, for one, does not decode at all.
        let Ok(spec) = serde_json::from_value::<DistributionSpec>(refusal.bad()["spec"].clone()) else {
            continue;
        };
        assert_eq!(validate(&spec), validate_object(&refusal.bad()), "{}", refusal.claim);
    }
}

#[test]
fn the_nearest_that_keeps_a_rule_is_accepted_and_decodes() {
    for refusal in refusals() {
        let good = refusal.good();
        assert_eq!(validate_object(&good), [], "{}", refusal.claim);
        let decoded: Distribution = serde_json::from_value(good).unwrap();
        assert_eq!(validate(&decoded.spec), [], "{}", refusal.claim);
    }
}

#[test]
fn every_rule_of_the_schema_has_its_row() {
    let refusals = refusals();
    let schema = serde_json::to_value(crd()).unwrap();
    let mut messages = BTreeMap::new();
    collect_messages(&schema, &mut messages);
    messages.retain(|message, _| !refusals.iter().any(|refusal| refusal.says.starts_with(message.as_str())));
    assert!(messages.is_empty(), "no row breaks: {messages:#?}");
}

fn collect_messages(schema: &Value, messages: &mut BTreeMap<String, String>) {
    for validation in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let text = |key: &str| validation[key].as_str().unwrap().to_owned();
        messages.insert(text("message"), text("rule"));
    }
    match schema {
        Value::Object(fields) => fields.values().for_each(|schema| collect_messages(schema, messages)),
        Value::Array(items) => items.iter().for_each(|schema| collect_messages(schema, messages)),
        _ => {}
    }
}
