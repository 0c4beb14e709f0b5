//! Fields that a schema does not know: most often typing errors, which would otherwise be ignored in silence.
//!
//! Nothing here is about Distributions; the schema is a parameter.

use serde_json::Value;

use super::schema::join;

/// A field that the schema does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// The path of the field, such as `spec.origins[0].htpPort`.
    pub path: String,
    /// Its name alone.
    pub name: String,
    /// The known field of the same object that looks most like it.
    pub nearest: Option<String>,
}

/// The fields of `value` that `schema` does not know, in the order of their names.
///
/// What stands below an unknown field is not looked at, and neither is an object whose schema names no fields, such
/// as `metadata` and maps.
pub fn unknown_fields(schema: &Value, value: &Value) -> Vec<UnknownField> {
    let mut found = Vec::new();
    walk(schema, "", value, &mut found);
    found
}

fn walk(schema: &Value, path: &str, value: &Value, found: &mut Vec<UnknownField>) {
    match value {
        Value::Object(fields) => {
            let Some(known) = schema["properties"].as_object() else { return };
            for (name, value) in fields {
                match known.get(name) {
                    Some(schema) => walk(schema, &join(path, name), value, found),
                    None if path.is_empty() && OF_EVERY_OBJECT.contains(&name.as_str()) => {}
                    None => found.push(unknown(path, name, known.keys())),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(&schema["items"], &format!("{path}[{index}]"), item, found);
            }
        }
        _ => {}
    }
}

/// Fields that every Kubernetes object has, whether its schema names them or not.
const OF_EVERY_OBJECT: [&str; 3] = ["apiVersion", "kind", "metadata"];

fn unknown<'a>(path: &str, name: &str, known: impl Iterator<Item = &'a String>) -> UnknownField {
    UnknownField { path: join(path, name), name: name.to_owned(), nearest: nearest(name, known) }
}

/// The known name with the fewest edits, if they are few enough for a typing error: a third of its length.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<String> {
    let lower = name.to_lowercase();
    known
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(edits, candidate)| edits * 3 <= candidate.chars().count().max(3))
        .min()
        .map(|(_, candidate)| candidate.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({"type": "object", "properties": {
            "metadata": {"type": "object"},
            "spec": {"type": "object", "properties": {
                "enabled": {"type": "boolean"},
                "origins": {"type": "array", "items": {"type": "object", "properties": {
                    "httpPort": {"x-kubernetes-int-or-string": true},
                    "httpsPort": {"x-kubernetes-int-or-string": true},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                }}},
            }},
        }})
    }

    fn found(value: &Value) -> Vec<(String, Option<String>)> {
        let unknown = unknown_fields(&schema(), value);
        unknown.into_iter().map(|field| (field.path, field.nearest)).collect()
    }

    #[test]
    fn a_misspelt_field_is_found_with_its_path_and_the_nearest_name() {
        let value = json!({"spec": {"origins": [{"httpPort": 80}, {"htpPort": 80}]}});
        assert_eq!(found(&value), [("spec.origins[1].htpPort".to_owned(), Some("httpPort".to_owned()))]);
    }

    #[test]
    fn wrong_case_is_near_and_another_word_is_not() {
        let value = json!({"spec": {"Enabled": true, "rules": []}, "sepc": {}});
        let expected = [
            ("sepc".to_owned(), Some("spec".to_owned())),
            ("spec.Enabled".to_owned(), Some("enabled".to_owned())),
            ("spec.rules".to_owned(), None),
        ];
        assert_eq!(found(&value), expected);
    }

    #[test]
    fn what_the_schema_knows_or_leaves_open_is_not_reported() {
        let value = json!({
            "apiVersion": "v1", "kind": "Thing", "metadata": {"name": "a", "labels": {"b": "c"}},
            "spec": {"enabled": true, "origins": [{"labels": {"any": "thing"}}]},
        });
        assert_eq!(found(&value), []);
    }
}
