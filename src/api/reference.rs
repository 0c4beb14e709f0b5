//! The reference of the API as a page of Markdown, out of the schema: `docs/reference.md`.
//!
//! Everything it says stands in the schema, so that it cannot drift from what the API server checks and
//! `kubectl explain` tells. Start with [`reference()`].

use std::fmt::Write;

use serde_json::Value;

use super::validate::SCHEMA;

/// What stands above the tables.
const HEAD: &str = "\
# The fields of a Distribution

Generated from the schema of `tidegate.io/v1alpha1`; change the comments in `src/api` and run `make crd`.
`kubectl explain distributions.tidegate.io.spec` says the same.
[served.md](served.md) says what of it this version serves.
";

/// The page.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for part in ["spec", "status"] {
        section(&mut page, part, &SCHEMA["properties"][part]);
    }
    page
}

/// A table of the fields of one mapping, then those of what its fields hold.
fn section(page: &mut String, path: &str, schema: &Value) {
    let Some(fields) = schema["properties"].as_object() else { return };
    // Writing to a String does not fail.
    let _written = write!(page, "\n## `{path}`\n\n| field | type | what it says |\n|---|---|---|\n");
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in fields {
        let needed = if required.contains(&name.as_str()) { ", required" } else { "" };
        let _written = writeln!(page, "| `{name}` | {}{needed} | {} |", kind(field), cell(&told(field)));
    }
    for (name, field) in fields {
        section(page, &format!("{path}.{name}"), field);
        section(page, &format!("{path}.{name}[]"), &field["items"]);
    }
}

/// The type in a word or two.
fn kind(field: &Value) -> String {
    if field["x-kubernetes-int-or-string"] == true {
        return "number or text".to_owned();
    }
    match field["type"].as_str() {
        Some("string") if field["format"] == "date-time" => "time".to_owned(),
        Some("string") => "text".to_owned(),
        Some("integer") => "whole number".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("array") => format!("list of {}", kind(&field["items"])),
        Some("object") => "mapping".to_owned(),
        other => other.unwrap_or("any").to_owned(),
    }
}

/// The description, with the default and the bounds that the schema knows.
fn told(field: &Value) -> String {
    let mut told = field["description"].as_str().unwrap_or_default().replace('\n', " ");
    let default = &field["default"];
    // Defaults of whole mappings and lists are told where their fields are.
    if !default.is_null() && !default.is_object() && !default.is_array() {
        told.push_str(&format!(
            " Default: `{}`.",
            default.as_str().map_or_else(|| default.to_string(), str::to_owned)
        ));
    }
    if let Some(methods) = default.as_array().filter(|items| !items.is_empty()) {
        let names: Vec<&str> = methods.iter().filter_map(Value::as_str).collect();
        told.push_str(&format!(" Default: {}.", names.join(", ")));
    }
    match (field["minimum"].as_i64(), field["maximum"].as_i64()) {
        (Some(least), Some(most)) => told.push_str(&format!(" From {least} to {most}.")),
        (Some(least), None) => told.push_str(&format!(" At least {least}.")),
        (None, Some(most)) => told.push_str(&format!(" At most {most}.")),
        (None, None) => {}
    }
    match (field["maxItems"].as_u64(), field["maxLength"].as_u64()) {
        (Some(most), _) => told.push_str(&format!(" Up to {most}.")),
        (None, Some(most)) if field["enum"].is_null() => told.push_str(&format!(" Up to {most} characters.")),
        (None, _) => {}
    }
    told.trim().to_owned()
}

/// What would end a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
