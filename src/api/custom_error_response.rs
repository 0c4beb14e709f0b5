//! Pages shown instead of error responses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A page shown instead of an error response of the origin or the proxy; never for a WebSocket handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomErrorResponse {
    /// The status that is replaced.
    pub error_code: i32,

    /// The path of the page, fetched through whichever behavior matches it.
    pub response_page_path: String,

    /// The status that the viewer gets with the page; without it, `errorCode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_code: Option<i32>,
}
