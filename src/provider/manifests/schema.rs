//! Holds a tree against a JSON schema: unknown fields, wrong types, missing fields, values outside an enum.
//!
//! It reads the part of JSON Schema that the schemas of our kinds use, and leaves what it does not know to the
//! typed decoding that follows. It does not know which kind a schema describes. Start with [`check`].

use serde_json::{Map, Value};

use super::yaml::{Content, Node, Position};
use crate::nearest::nearest;

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// Where it stands.
    pub(crate) position: Position,
    /// The field's path within the document; empty for the document as a whole.
    pub(crate) field: String,
    /// What is wrong and what to write instead.
    pub(crate) message: String,
}

/// All that a schema refuses in a tree, in the order of the file.
pub(crate) fn check(node: &Node, schema: &Value) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    value(node, schema, "", &mut flaws);
    flaws
}

fn value(node: &Node, schema: &Value, field: &str, flaws: &mut Vec<Flaw>) {
    let Some(schema) = schema.as_object().and_then(described) else { return };
    let mut refuse = |message: String| {
        flaws.push(Flaw { position: node.position, field: field.to_owned(), message });
    };
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        if !matches!(&node.content, Content::Scalar(value) if value.is_i64() || value.is_u64() || value.is_string())
        {
            refuse(format!("expected a number or a name, found {}", described_content(node)));
        }
        return;
    }
    let Some(expected) = expected_type(schema) else { return };
    if !is_of_type(node, expected) {
        return refuse(mismatch(node, expected));
    }
    if let (Some(allowed), Some(text)) = (schema.get("enum").and_then(Value::as_array), node.text())
        && !allowed.iter().any(|one| one == text)
    {
        return refuse(outside_enum(text, allowed));
    }
    match &node.content {
        Content::Map(_) => mapping(node, schema, field, flaws),
        Content::List(items) => {
            let Some(schema) = schema.get("items") else { return };
            for (index, item) in items.iter().enumerate() {
                value(item, schema, &format!("{field}[{index}]"), flaws);
            }
        }
        Content::Scalar(_) => {}
    }
}

fn mapping(node: &Node, schema: &Map<String, Value>, field: &str, flaws: &mut Vec<Flaw>) {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let others = schema.get("additionalProperties").filter(|others| **others != Value::Bool(false));
    let open = properties.is_empty() || schema.get("x-kubernetes-preserve-unknown-fields").is_some();
    for entry in node.entries() {
        let path = join(field, &entry.name);
        match properties.get(&entry.name).or(others) {
            // Null in a mapping is the same as no entry.
            _ if entry.value.is_null() && properties.contains_key(&entry.name) => {}
            Some(schema) => value(&entry.value, schema, &path, flaws),
            None if open => {}
            None => {
                let names = properties.keys().map(String::as_str);
                let message = unknown(&entry.name, names);
                flaws.push(Flaw { position: entry.position, field: path, message });
            }
        }
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if node.field(name).is_none_or(Node::is_null) {
            let message = format!("`{name}` is required here");
            flaws.push(Flaw { position: node.position, field: join(field, name), message });
        }
    }
}

/// What is wrong with a name that a mapping does not have.
fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(candidate) => format!("unknown field `{name}`; did you mean `{candidate}`?"),
        None => format!("unknown field `{name}`; known here: {}", known.collect::<Vec<_>>().join(", ")),
    }
}

fn outside_enum(text: &str, allowed: &[Value]) -> String {
    let names = allowed.iter().filter_map(Value::as_str);
    let list = names.clone().collect::<Vec<_>>().join(", ");
    match nearest(text, names) {
        Some(candidate) => format!("`{text}` is none of {list}; did you mean `{candidate}`?"),
        None => format!("`{text}` is none of {list}"),
    }
}

/// The path of a field of a mapping.
pub(crate) fn join(field: &str, name: &str) -> String {
    if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") }
}

/// The schema itself, or the only one of its alternatives that is not null (which is how an `Option` looks).
fn described(schema: &Map<String, Value>) -> Option<&Map<String, Value>> {
    let Some(alternatives) =
        ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema.get(*key)).and_then(Value::as_array)
    else {
        return Some(schema);
    };
    if schema.contains_key("type") || schema.contains_key("properties") {
        return Some(schema);
    }
    let mut described_ones = alternatives
        .iter()
        .filter_map(Value::as_object)
        .filter(|alternative| alternative.get("type").and_then(Value::as_str) != Some("null"));
    match (described_ones.next(), described_ones.next()) {
        (Some(only), None) => described(only),
        _ => None,
    }
}

fn expected_type(schema: &Map<String, Value>) -> Option<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => Some(name),
        Some(Value::Array(names)) => {
            let mut names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            names.next().filter(|_| names.next().is_none())
        }
        _ => schema.contains_key("properties").then_some("object"),
    }
}

fn is_of_type(node: &Node, expected: &str) -> bool {
    match (&node.content, expected) {
        (Content::Map(_), "object") | (Content::List(_), "array") => true,
        (Content::Scalar(value), "string") => value.is_string(),
        (Content::Scalar(value), "boolean") => value.is_boolean(),
        (Content::Scalar(value), "integer") => value.is_i64() || value.is_u64(),
        (Content::Scalar(value), "number") => value.is_number(),
        (_, "object" | "array" | "string" | "boolean" | "integer" | "number") => false,
        _ => true,
    }
}

/// The sentence about a value of the wrong type. It never repeats the value, which may be a secret.
fn mismatch(node: &Node, expected: &str) -> String {
    let wanted = match expected {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "a text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        _ => "a number",
    };
    let found = described_content(node);
    let remedy = match (expected, &node.content) {
        ("integer" | "number" | "boolean", Content::Scalar(Value::String(_))) => "; remove the quotes",
        ("string", Content::Scalar(Value::Number(_) | Value::Bool(_))) => "; put it in quotes",
        ("array", Content::Scalar(_)) => "; write it as [value]",
        _ => "",
    };
    format!("expected {wanted}, found {found}{remedy}")
}

fn described_content(node: &Node) -> &'static str {
    match &node.content {
        Content::Map(_) => "a mapping",
        Content::List(_) => "a list",
        Content::Scalar(Value::Null) => "nothing",
        Content::Scalar(Value::Bool(_)) => "true or false",
        Content::Scalar(Value::Number(_)) => "a number",
        Content::Scalar(_) => "a text",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::yaml::documents;
    use super::*;

    fn flaws(schema: &Value, text: &str) -> Vec<String> {
        let node = documents(text.as_bytes()).remove(0).expect("a tree");
        check(&node, schema).into_iter().map(|flaw| format!("{}: {}", flaw.field, flaw.message)).collect()
    }

    fn schema() -> Value {
        json!({"type": "object", "required": ["id"], "properties": {
            "id": {"type": "string"},
            "httpPort": {"x-kubernetes-int-or-string": true},
            "attempts": {"type": ["integer", "null"]},
            "policy": {"anyOf": [{"type": "string", "enum": ["http-only", "https-only"]}, {"type": "null"}]},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "list": {"type": "array", "items": {"type": "string"}},
        }})
    }

    #[test]
    fn a_good_value_has_no_flaw() {
        let text = "id: a\nhttpPort: web\nattempts: 3\npolicy: http-only\nlabels: {x.y/z: v}\nlist: [a]\n";
        assert!(flaws(&schema(), text).is_empty());
        assert!(flaws(&schema(), "id: a\nattempts: ~\npolicy:\n").is_empty(), "null is absent");
    }

    #[test]
    fn an_unknown_field_names_the_nearest() {
        assert_eq!(
            flaws(&schema(), "id: a\nhtpPort: 80\n"),
            ["htpPort: unknown field `htpPort`; did you mean `httpPort`?"]
        );
        assert_eq!(
            flaws(&schema(), "id: a\nnothingAlike: 80\n"),
            [
                "nothingAlike: unknown field `nothingAlike`; known here: attempts, httpPort, id, labels, list, policy"
            ]
        );
    }

    #[test]
    fn wrong_types_say_the_remedy() {
        assert_eq!(
            flaws(&schema(), "id: 7\nattempts: \"3\"\nlist: a\nlabels: {a: 1}\nhttpPort: 1.5\n"),
            [
                "id: expected a text, found a number; put it in quotes",
                "attempts: expected a whole number, found a text; remove the quotes",
                "list: expected a list, found a text; write it as [value]",
                "labels.a: expected a text, found a number; put it in quotes",
                "httpPort: expected a number or a name, found a number",
            ]
        );
    }

    #[test]
    fn missing_fields_and_enums() {
        assert_eq!(
            flaws(&schema(), "policy: http-onyl\n"),
            [
                "policy: `http-onyl` is none of http-only, https-only; did you mean `http-only`?",
                "id: `id` is required here",
            ]
        );
    }
}
