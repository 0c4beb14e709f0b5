//! Pages shown instead of error responses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    form::{self, Text},
    rule::validations,
    rules,
};

/// A page shown instead of an error response of the origin or the proxy; never for a WebSocket handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomErrorResponse {
    /// The status that is replaced.
    #[schemars(extend("x-kubernetes-validations" = validations(rules::ERROR_CODE)))]
    pub error_code: i32,

    /// The path of the page, fetched through whichever behavior matches it.
    #[schemars(with = "Text<form::PagePath>")]
    pub response_page_path: String,

    /// The status that the viewer gets with the page; without it, `errorCode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = validations(rules::RESPONSE_CODE)))]
    pub response_code: Option<i32>,
}
