//! One status write: a server-side apply, and what its failure means.
//!
//! It does not know when a write is due, nor when to try again.

use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Client, Resource};
use serde_json::json;
use tokio::time::timeout;

use super::ledger::Write;
use crate::api::Distribution;

/// Owns every field that we write. It never changes: fields of another manager's would stay for ever.
pub(super) const FIELD_MANAGER: &str = "tidegate";

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The object is gone; nothing is lost.
    #[error("the object is gone")]
    Gone,
    /// The object was deleted and made anew, or changed underneath.
    #[error("the object changed meanwhile")]
    Conflict,
    /// The API server takes no status of this object, as it does after a change of the schema.
    #[error("the API server takes no status of this object ({code}: {message}); apply the object again")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// What the API server says.
        message: String,
    },
    /// RBAC does not allow it.
    #[error(
        "the API server forbids to write statuses: the controller's role needs a rule with apiGroups \
         [\"tidegate.io\"], resources [\"distributions/status\"], verbs [patch]"
    )]
    Forbidden,
    /// The API server cannot be reached, or has too much to do.
    #[error("the API server does not take statuses now: {0}")]
    Unavailable(String),
}

impl Failure {
    /// The word for the metric.
    pub(super) fn result(&self) -> &'static str {
        match self {
            Self::Gone | Self::Conflict => "conflict",
            Self::Refused { .. } | Self::Forbidden | Self::Unavailable(_) => "error",
        }
    }

    fn of(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                404 => Self::Gone,
                409 => Self::Conflict,
                403 => Self::Forbidden,
                // No role would help against 401: a token has expired and is renewed, or nobody knows it.
                401 | 429 | 502..=504 => Self::Unavailable(status.message),
                code => Self::Refused { code, message: status.message },
            },
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// Writes one status; `limit` bounds the whole call.
pub(super) async fn apply(client: Client, write: &Write, limit: Duration) -> Result<(), Failure> {
    let kind = ApiResource::erase::<Distribution>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client, &write.key.namespace, &kind);
    // The uid keeps a status from landing on a namesake that was made meanwhile.
    let mut metadata = json!({"name": write.key.name, "namespace": write.key.namespace});
    if let (Some(metadata), Some(uid)) = (metadata.as_object_mut(), &write.uid) {
        metadata.insert("uid".to_owned(), json!(uid));
    }
    let object = json!({
        "apiVersion": Distribution::api_version(&()),
        "kind": Distribution::kind(&()),
        "metadata": metadata,
        "status": write.status,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(&object);
    match timeout(limit, api.patch_status(&write.key.name, &parameters, &patch)).await {
        Ok(written) => written.map(drop).map_err(Failure::of),
        Err(_) => Err(Failure::Unavailable(format!("no answer within {} s", limit.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn only_a_403_asks_for_a_rule() {
        let answer = |code| {
            let status = Status { code, message: "said".to_owned(), ..Status::default() };
            Failure::of(kube::Error::Api(status.into())).to_string()
        };
        assert!(answer(403).contains("needs a rule"), "{}", answer(403));
        for code in [401, 429, 503] {
            assert_eq!(answer(code), "the API server does not take statuses now: said", "{code}");
        }
        assert!(answer(422).contains("takes no status of this object (422: said)"), "{}", answer(422));
    }
}
