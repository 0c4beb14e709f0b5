//! The pages that a viewer may get in place of an error.

use http::Method;

use super::ErrorPage;
use crate::table::decide::{self, Match, Request, RequestKind, decide_page};

/// Those of what an origin may answer, where the request goes to one; else that of the refusal.
pub(super) fn may_stand_in(
    matched: Option<Match<'_>>,
    request: Request<'_>,
    outcome: &decide::Outcome,
) -> Vec<ErrorPage> {
    let Some(Match { routes, .. }) = matched.filter(|_| request.kind == RequestKind::Http) else {
        return Vec::new();
    };
    let refusal = match outcome {
        decide::Outcome::Forward { .. } => None,
        decide::Outcome::Refuse(reason) => Some(reason),
        decide::Outcome::RedirectToHttps(_)
        | decide::Outcome::AnswerPreflight
        | decide::Outcome::AnswerChallenge(_) => return Vec::new(),
    };
    let pages = routes.error_pages.iter();
    pages
        .filter(|(status, _)| {
            let has_it =
                |reason| routes.error_pages.of_reason(reason).is_some() && reason.status() == *status;
            refusal.is_none_or(|reason| has_it(*reason))
        })
        .map(|(status, page)| {
            let request = Request { method: &Method::GET, target: &page.target, ..request };
            let (position, outcome) = decide_page(routes, request);
            ErrorPage {
                error_code: status.as_u16(),
                page: page.target.to_string(),
                response_code: page.status.as_u16(),
                path_pattern: routes.at(position).map(|route| route.label()).unwrap_or_default(),
                unavailable: match outcome {
                    // A page is got with GET, which is no preflight.
                    decide::Outcome::Forward { .. }
                    | decide::Outcome::AnswerPreflight
                    | decide::Outcome::AnswerChallenge(_) => None,
                    decide::Outcome::RedirectToHttps(_) => Some("it is redirected to HTTPS".to_owned()),
                    decide::Outcome::Refuse(reason) => Some(reason.as_str().to_owned()),
                },
            }
        })
        .collect()
}
