//! `customErrorResponses`: pages in place of errors.

use http::StatusCode;

use crate::api::{CustomErrorResponse, DistributionSpec};
use crate::conditions::facts::Finding;
use crate::conditions::reasons::Reason;
use crate::table::error_pages::{ErrorPage, ErrorPages};
use crate::table::target::Target;

/// The pages of a Distribution. One whose path no request can have is left out, so that its errors stay as they are.
pub(super) fn compile(spec: &DistributionSpec, findings: &mut Vec<Finding>) -> ErrorPages {
    let pages = spec.custom_error_responses.iter().enumerate().filter_map(|(position, response)| {
        let CustomErrorResponse { error_code, response_page_path, response_code } = response;
        let target = match Target::parse(response_page_path) {
            Ok(target) => target,
            Err(why) => {
                let field = format!("spec.customErrorResponses[{position}].responsePagePath");
                let message = format!(
                    "{field}: no request can be made for {response_page_path:?}: {why}. \
                     Viewers get the {error_code} as it is."
                );
                findings.push(Finding { reason: Reason::Invalid, field, message });
                return None;
            }
        };
        let replaced = status(*error_code)?;
        Some((replaced, ErrorPage { target, status: response_code.map_or(Some(replaced), status)? }))
    });
    ErrorPages::new(pages)
}

/// Another number was refused with the object.
fn status(code: i32) -> Option<StatusCode> {
    StatusCode::from_u16(code.try_into().ok()?).ok()
}
