//! Answers that nobody gets.

use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::answer::announced_timeout;
use crate::dataplane::limits::Limits;
use crate::dataplane::origin::Incomings;

/// Reads what is left of an answer that nobody gets, so that its connection can carry other requests. Where that is
/// much or takes long the connection is closed instead, over HTTP/2 the stream.
pub(super) async fn discard(unwanted: Incomings, limits: &Limits) {
    let Incomings { response, mut returning } = unwanted;
    if let Some(timeout) = announced_timeout(response.headers()) {
        returning.announced_timeout(timeout);
    }
    let mut body = response.into_body();
    let most = limits.discarded_bytes as u64;
    if body.size_hint().lower() > most {
        return;
    }
    let read = async {
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            read += frame.ok()?.data_ref().map_or(0, |data| data.len() as u64);
            if read > most {
                return None;
            }
        }
        Some(())
    };
    if let Ok(Some(())) = timeout(limits.discard, read).await {
        returning.give_back();
    }
}
