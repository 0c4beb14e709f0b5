//! What the API server would refuse, said without an API server: for manifests from a folder, and as a guard in
//! front of translation, since an object may be older than a rule.
//!
//! Start with [`validate`] for a decoded spec, or [`validate_object`] for a document as it was written, which also
//! names what cannot be decoded.

use std::sync::LazyLock;

use serde_json::Value;

use super::schema::{Violation, Vocabulary, check};
use super::{DistributionSpec, crd, form, rules};

/// Everything about a spec that its schema or one of its rules refuses; empty for a good one.
pub fn validate(spec: &DistributionSpec) -> Vec<Violation> {
    match serde_json::to_value(spec) {
        Ok(spec) => check(&VOCABULARY, &SCHEMA["properties"]["spec"], "spec", &spec),
        Err(error) => vec![Violation { field: "spec".to_owned(), message: error.to_string() }],
    }
}

/// Everything about a document that the schema of Distributions or one of its rules refuses; empty for a good one.
///
/// An explicit null counts as an absent field, as it does for the API server.
/// A document that is refused may not decode; one that is not refused does, but for its nulls.
pub fn validate_object(distribution: &Value) -> Vec<Violation> {
    check(&VOCABULARY, &SCHEMA, "", distribution)
}

/// The schema of a Distribution.
pub(super) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let versions = crd().spec.versions;
    let schema = versions.into_iter().next().and_then(|version| version.schema?.open_api_v3_schema);
    serde_json::to_value(schema).unwrap_or_default()
});

static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| Vocabulary {
    rules: form::rules().chain(rules::all()).map(|rule| (rule.key(), rule)).collect(),
    patterns: [(form::HEADER_VALUE, form::is_header_value as fn(&str) -> bool)].into(),
});

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `look` with every schema within `schema`.
    fn each(schema: &Value, path: &str, look: &mut impl FnMut(&str, &Value)) {
        look(path, schema);
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            each(property, &format!("{path}.{name}"), look);
        }
        if let items @ Value::Object(_) = &schema["items"] {
            each(items, &format!("{path}[]"), look);
        }
    }

    #[test]
    fn every_rule_and_pattern_of_the_schema_has_its_twin_and_every_twin_its_place() {
        let mut unused: std::collections::BTreeSet<_> = VOCABULARY.rules.keys().copied().collect();
        each(&SCHEMA, "", &mut |path, schema| {
            for validation in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let rule =
                    VOCABULARY.rule(validation).unwrap_or_else(|| panic!("{path}: no twin of {validation}"));
                unused.remove(&rule.key());
            }
            let pattern = schema["pattern"].as_str();
            assert!(pattern.is_none_or(|pattern| VOCABULARY.patterns.contains_key(pattern)), "{path}");
        });
        assert!(unused.is_empty(), "{unused:#?}");
    }

    #[test]
    fn every_text_and_list_of_the_spec_is_bounded_or_the_cost_of_a_rule_could_not_be_estimated() {
        each(&SCHEMA["properties"]["spec"], "spec", &mut |path, schema| match schema["type"].as_str() {
            Some("string") => {
                assert!(schema["maxLength"].is_u64() || schema["enum"].is_array(), "{path}");
            }
            Some("array") => assert!(schema["maxItems"].is_u64(), "{path}"),
            _ => {}
        });
    }

    #[test]
    fn every_field_of_the_spec_is_documented() {
        each(&SCHEMA["properties"]["spec"], "spec", &mut |path, schema| {
            assert!(path.ends_with("[]") || schema["description"].is_string(), "{path}");
        });
    }

    #[test]
    fn every_word_that_a_field_takes_is_explained_where_the_field_is() {
        each(&SCHEMA, "", &mut |path, schema| {
            let description = schema["description"].as_str().unwrap_or_default();
            // The eight values of this header are its standard's.
            let words = schema["enum"].as_array().filter(|_| !path.ends_with(".referrerPolicy"));
            for word in words.into_iter().flatten().filter_map(Value::as_str) {
                assert!(description.contains(&format!("`{word}`")), "{path}: {word} in {description:?}");
            }
        });
    }

    #[test]
    fn the_schema_has_nothing_that_the_api_server_warns_about_or_answers_badly() {
        each(&SCHEMA, "", &mut |path, schema| {
            for keyword in ["oneOf", "anyOf", "allOf", "nullable"] {
                assert!(schema[keyword].is_null(), "{path}: {keyword}");
            }
            let format = schema["format"].as_str().unwrap_or_default();
            assert!(!format.starts_with("uint"), "{path}: {format}");
        });
    }
}
