//! Walks a value along an OpenAPI schema and says what the API server would refuse.
//!
//! It knows the keywords that the CustomResourceDefinition uses, and nothing of Distributions: the rules of the schema (`x-kubernetes-validations`) are looked up in what it is given.
//! The sentences are those of the API server (kube-openapi's validator), so that both say the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::rule::Rule;

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The path of the field, such as `spec.origins[0].httpPort`.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// How the walk asks about what JSON Schema cannot say.
pub(super) struct Vocabulary {
    /// The rules by their CEL expression and message.
    pub(super) rules: BTreeMap<(&'static str, &'static str), &'static Rule>,
    /// The patterns by their regular expression.
    pub(super) patterns: BTreeMap<&'static str, fn(&str) -> bool>,
}

/// Everything about `value` that `schema` refuses, in the order of the fields' names.
pub(super) fn check(vocabulary: &Vocabulary, schema: &Value, path: &str, value: &Value) -> Vec<Violation> {
    let mut walk = Walk { vocabulary, found: Vec::new() };
    walk.value(schema, path, value);
    walk.found
}

struct Walk<'a> {
    vocabulary: &'a Vocabulary,
    found: Vec<Violation>,
}

impl Walk<'_> {
    fn say(&mut self, path: &str, message: impl Into<String>) {
        self.found.push(Violation { field: path.to_owned(), message: message.into() });
    }

    fn value(&mut self, schema: &Value, path: &str, value: &Value) {
        if let Some(expected) = expected_type(schema).filter(|expected| !is_of_type(value, expected)) {
            return self.say(path, format!("must be of type {expected}: \"{}\"", type_of(value)));
        }
        self.choice(schema, path, value);
        match value {
            Value::String(text) => self.text(schema, path, text),
            Value::Number(_) => self.number(schema, path, value),
            Value::Array(items) => self.list(schema, path, items),
            Value::Object(fields) => self.object(schema, path, fields),
            Value::Null | Value::Bool(_) => {}
        }
        self.rules(schema, path, value);
    }

    fn choice(&mut self, schema: &Value, path: &str, value: &Value) {
        let Some(choices) = schema["enum"].as_array() else { return };
        if !choices.contains(value) {
            let choices: Vec<String> = choices.iter().map(Value::to_string).collect();
            self.say(path, format!("Unsupported value: {value}: supported values: {}", choices.join(", ")));
        }
    }

    fn text(&mut self, schema: &Value, path: &str, text: &str) {
        // Lengths count characters, although the API server's sentence says bytes.
        let length = text.chars().count();
        if let Some(most) = limit(schema, "maxLength").filter(|most| length > *most) {
            self.say(path, format!("may not be more than {most} bytes"));
        }
        if let Some(least) = limit(schema, "minLength").filter(|least| length < *least) {
            self.say(path, format!("should be at least {least} chars long"));
        }
        let Some(pattern) = schema["pattern"].as_str() else { return };
        if self.vocabulary.patterns.get(pattern).is_some_and(|holds| !holds(text)) {
            self.say(path, format!("should match '{pattern}'"));
        }
    }

    fn number(&mut self, schema: &Value, path: &str, value: &Value) {
        if let Some(format) = schema["format"].as_str().filter(|format| !fits(value, format)) {
            return self.say(path, format!("must be of type integer with format {format}"));
        }
        let Some(number) = value.as_f64() else { return };
        if let Some(least) = schema["minimum"].as_f64().filter(|least| number < *least) {
            self.say(path, format!("should be greater than or equal to {least}"));
        }
        if let Some(most) = schema["maximum"].as_f64().filter(|most| number > *most) {
            self.say(path, format!("should be less than or equal to {most}"));
        }
    }

    fn list(&mut self, schema: &Value, path: &str, items: &[Value]) {
        if let Some(most) = limit(schema, "maxItems").filter(|most| items.len() > *most) {
            self.say(path, format!("must have at most {most} items"));
        }
        if let Some(least) = limit(schema, "minItems").filter(|least| items.len() < *least) {
            self.say(path, format!("should have at least {least} items"));
        }
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if let Some(key) = item_key(schema, item).filter(|key| !seen.insert(key.clone())) {
                self.say(&path, format!("Duplicate value: {key}"));
            }
            self.value(&schema["items"], &path, item);
        }
    }

    fn object(&mut self, schema: &Value, path: &str, fields: &serde_json::Map<String, Value>) {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            // The API server drops an explicit null before it looks.
            if fields.get(name).is_none_or(Value::is_null) {
                self.say(&join(path, name), "Required value");
            }
        }
        for (name, value) in fields {
            let schema = &schema["properties"][name.as_str()];
            if !value.is_null() && !schema.is_null() {
                self.value(schema, &join(path, name), value);
            }
        }
    }

    fn rules(&mut self, schema: &Value, path: &str, value: &Value) {
        for validation in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let Some(rule) = self.vocabulary.rule(validation) else { continue };
            if let Some(message) = rule.broken_by(value) {
                self.say(&format!("{path}{}", rule.field()), message);
            }
        }
    }
}

impl Vocabulary {
    /// The rule that a schema means.
    pub(super) fn rule(&self, validation: &Value) -> Option<&'static Rule> {
        let key = (validation["rule"].as_str()?, validation["message"].as_str()?);
        self.rules.get(&key).copied()
    }
}

/// A field's path within the object at `path`.
fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn limit(schema: &Value, keyword: &str) -> Option<usize> {
    schema[keyword].as_u64().and_then(|limit| usize::try_from(limit).ok())
}

/// What must differ between the items of a list that is a set or a map.
fn item_key(schema: &Value, item: &Value) -> Option<String> {
    match schema["x-kubernetes-list-type"].as_str()? {
        "set" => Some(item.to_string()),
        "map" => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array()?.iter().filter_map(Value::as_str);
            let key: serde_json::Map<String, Value> =
                keys.map(|key| (key.to_owned(), item[key].clone())).collect();
            Some(Value::Object(key).to_string())
        }
        _ => None,
    }
}

fn expected_type(schema: &Value) -> Option<&str> {
    if schema["x-kubernetes-int-or-string"] == true {
        Some("integer,string")
    } else {
        schema["type"].as_str()
    }
}

fn is_of_type(value: &Value, expected: &str) -> bool {
    expected.split(',').any(|expected| match expected {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    })
}

/// Whether a number is within the bounds of its format; without it, a value of Rust could not hold it.
fn fits(value: &Value, format: &str) -> bool {
    match format {
        "int32" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        "int64" => value.is_i64(),
        _ => true,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(schema: &Value, value: &Value) -> Vec<String> {
        let vocabulary = Vocabulary { rules: BTreeMap::new(), patterns: BTreeMap::new() };
        check(&vocabulary, schema, "", value).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_number_that_its_format_cannot_hold_is_refused() {
        let schema = json!({"properties": {
            "short": {"type": "integer", "format": "int32"},
            "long": {"type": "integer", "format": "int64"},
        }});
        assert!(found(&schema, &json!({"short": i32::MAX, "long": i64::MAX})).is_empty());
        assert_eq!(
            found(&schema, &json!({"short": 1_i64 << 31, "long": 1_u64 << 63})),
            [
                "long: must be of type integer with format int64",
                "short: must be of type integer with format int32"
            ]
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_not_looked_into() {
        let schema =
            json!({"properties": {"list": {"type": "array", "minItems": 1, "items": {"type": "string"}}}});
        assert_eq!(found(&schema, &json!({"list": {}})), ["list: must be of type array: \"object\""]);
        assert_eq!(found(&schema, &json!({"list": [1]})), ["list[0]: must be of type string: \"integer\""]);
    }

    #[test]
    fn a_null_is_an_absent_field_but_not_an_absent_item() {
        let schema = json!({"required": ["a"], "properties": {
            "a": {"type": "string"}, "b": {"type": "array", "items": {"type": "string"}},
        }});
        assert_eq!(found(&schema, &json!({"a": null, "b": null})), ["a: Required value"]);
        assert_eq!(
            found(&schema, &json!({"a": "", "b": [null]})),
            ["b[0]: must be of type string: \"null\""]
        );
    }
}
