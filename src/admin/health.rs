//! Health for kubelets and load balancers: alive, and ready to serve.

use http::StatusCode;

use super::{Judgements, Page, text};
use crate::drain::Phase;
use crate::snapshot::Keys;

/// The process works, or it could not answer.
pub(super) fn live() -> Page {
    text(StatusCode::OK, "ok\n")
}

/// Ready once a complete table is in force, an empty one included, and until the listeners close: a draining pod
/// is taken out of its Service by its termination and must still count as serving for local traffic.
pub(super) fn ready(judgements: &Option<Judgements>, phase: Phase) -> Page {
    match (judgements, phase) {
        (_, Phase::Terminating) => text(StatusCode::SERVICE_UNAVAILABLE, "the listeners are closed\n"),
        (None, _) => text(StatusCode::SERVICE_UNAVAILABLE, "no complete table yet\n"),
        (Some(judgements), _) if lacks_keys(judgements) => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "serving from a file without keys until the API server is back\n",
        ),
        (Some(_), _) => text(StatusCode::OK, "ok\n"),
    }
}

/// Whether what is in force comes from a file that lacks what stands in Secrets: no certificate could be shown.
fn lacks_keys(judgements: &Judgements) -> bool {
    judgements.found.snapshot.stored.is_some_and(|stored| stored.keys == Keys::LeftOut)
}
