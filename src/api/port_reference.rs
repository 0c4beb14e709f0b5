//! A port of a Service, by number or by name.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::rule::validations;
use super::rules;

/// A port of a Service: its number, or its name as a string.
///
/// A number in quotes is a name, which no Service port can have; validation refuses it and says to remove the quotes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PortReference {
    /// The number of the Service port (not the target port), 1 to 65535.
    Number(i32),
    /// The name of the Service port.
    Name(String),
}

impl fmt::Display for PortReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}

impl JsonSchema for PortReference {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PortReference".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 63,
            "x-kubernetes-validations": validations(rules::PORT),
        })
    }
}
