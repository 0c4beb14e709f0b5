//! Status codes as items of lists.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::super::rule::validations;
use super::super::rules::FAILOVER_STATUS;

/// Stands in the schema for a status after which the next member of a group is tried.
pub(in crate::api) struct FailoverStatus;

impl JsonSchema for FailoverStatus {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FailoverStatus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer",
            "format": "int32",
            "x-kubernetes-validations": validations(FAILOVER_STATUS),
        })
    }
}
