//! `/explain`: what one request would meet by the table in force.

use std::collections::BTreeSet;

use http::StatusCode;

use super::debug::{json, nothing_yet};
use super::judgements::Judgements;
use super::{Page, text};
use crate::table::explain::{Kind, Question, explain};

/// The parameters that there are.
const PARAMETERS: &str = "there are url=..., method=..., websocket=true, origin=..., viewer=... and preflight=METHOD, each once and in URL \
     encoding";

/// The answer to the question that a query asks.
pub(super) fn page_of(judgements: &Option<Judgements>, query: Option<&str>, redirect_port: u16) -> Page {
    let question = match parse(query.unwrap_or_default()) {
        Ok(question) => question,
        Err(complaint) => return text(StatusCode::BAD_REQUEST, format!("{complaint}\n")),
    };
    let Some(judgements) = judgements else { return nothing_yet() };
    let found = &judgements.found;
    json(&explain(&found.table, &question, redirect_port).with_findings(|key| found.facts.told(key)))
}

/// The error is for whoever asked.
fn parse(query: &str) -> Result<Question, String> {
    let (mut url, mut method, mut kind, mut origin) = (None, None, Kind::AsTheUrlSays, None);
    let (mut viewer, mut preflight) = (None, None);
    let mut asked = BTreeSet::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if !asked.insert(name.clone()) {
            return Err(format!("{name} stands there twice; {PARAMETERS}"));
        }
        match (&*name, &*value) {
            ("url", _) => url = Some(value),
            ("method", _) => method = Some(value),
            ("origin", _) => origin = Some(value),
            ("viewer", _) => viewer = Some(value),
            ("preflight", _) => preflight = Some(value),
            ("websocket", "true") => kind = Kind::WebSocket,
            ("websocket", "false") => kind = Kind::AsTheUrlSays,
            _ => return Err(format!("{name:?} with the value {value:?} is unknown; {PARAMETERS}")),
        }
    }
    let url = url.ok_or_else(|| format!("url is missing; {PARAMETERS}"))?;
    let method = method.as_deref().unwrap_or("GET");
    let question = Question::parse(&url, method, kind, origin.as_deref());
    let question = match viewer {
        Some(viewer) => question.and_then(|question| question.of_viewer(&viewer)),
        None => question,
    };
    let question = match preflight {
        Some(method) => question.and_then(|question| question.as_preflight_for(&method)),
        None => question,
    };
    question.map_err(|bad| bad.to_string())
}
