//! Rules that look at more than one text: at an object, at a list, at a whole spec.
//!
//! The rules of single texts are in `form`.

mod behavior;
mod origin;
mod port;
mod spec;

use serde_json::Value;

use super::rule::Rule;

pub(super) use behavior::{CORS, PATTERNS, RESPONSE_HEADERS};
pub(super) use origin::{
    ERROR_CODE, FAILOVER_STATUS, GROUP, HASH_ON, LOAD_BALANCING, ORIGIN, ORIGIN_HEADER, ORIGIN_HEADERS,
    ORIGIN_TLS, RESPONSE_CODE,
};
pub(super) use port::PORT;
pub(super) use spec::SPEC;

/// All of these rules.
pub(super) fn all() -> impl Iterator<Item = &'static Rule> {
    [
        SPEC,
        ORIGIN,
        ORIGIN_HEADER,
        ORIGIN_HEADERS,
        ORIGIN_TLS,
        LOAD_BALANCING,
        HASH_ON,
        GROUP,
        FAILOVER_STATUS,
        ERROR_CODE,
        RESPONSE_CODE,
        PORT,
        CORS,
        PATTERNS,
    ]
    .into_iter()
    .flatten()
}

/// What CEL's `has` says of a field: an explicit null counts as absent, as it does for the API server.
fn has(value: &Value, field: &str) -> bool {
    !value[field].is_null()
}

/// The items of a list field; none where it is absent.
fn items<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + Clone {
    value[field].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

/// A text field; empty where it is absent.
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// A list of texts as CEL's `format` writes it.
fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| format!("\"{text}\"")).collect();
    format!("[{}]", texts.join(", "))
}
