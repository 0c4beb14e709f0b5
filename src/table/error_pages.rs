//! `customErrorResponses`: pages in place of errors (CloudFront Developer Guide, "Generate custom error responses").

use std::collections::BTreeMap;

use http::StatusCode;

use super::reason::Reason;
use super::target::Target;

/// The pages of a Distribution, by the status that each stands in for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorPages(BTreeMap<StatusCode, ErrorPage>);

/// A page, and how its viewers get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    /// Where it is, within the same Distribution.
    pub target: Target,
    /// The status that viewers get with it.
    pub status: StatusCode,
}

impl ErrorPages {
    /// These pages, by the status that each stands in for.
    pub fn new(pages: impl IntoIterator<Item = (StatusCode, ErrorPage)>) -> Self {
        Self(pages.into_iter().collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The page in place of an origin's answer with this status.
    pub fn of_status(&self, status: StatusCode) -> Option<&ErrorPage> {
        self.0.get(&status)
    }

    /// The page in place of an error of the proxy itself.
    ///
    /// There is none while this replica is short of memory or leaves, since a page would be one request more; as
    /// CloudFront has it with the 503 of its own limits.
    pub fn of_reason(&self, reason: Reason) -> Option<&ErrorPage> {
        match reason {
            Reason::ProxyOverloaded | Reason::Draining => None,
            _ => self.of_status(reason.status()),
        }
    }

    /// Each page, with the status that it stands in for, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (StatusCode, &ErrorPage)> {
        self.0.iter().map(|(status, page)| (*status, page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_the_page_of_its_status_unless_a_page_would_make_it_worse() {
        let page = |path| ErrorPage { target: Target::parse(path).unwrap(), status: StatusCode::OK };
        let pages = ErrorPages::new([
            (StatusCode::SERVICE_UNAVAILABLE, page("/503")),
            (StatusCode::FORBIDDEN, page("/403")),
        ]);
        let of = |reason| pages.of_reason(reason).map(|page| page.target.path());
        assert_eq!(of(Reason::NoEndpoints), Some("/503"));
        assert_eq!(of(Reason::ConnectionLimit), Some("/503"));
        assert_eq!(of(Reason::HttpsOnly), Some("/403"));
        assert_eq!(of(Reason::OriginRefused), None);
        assert_eq!(of(Reason::ProxyOverloaded), None);
        assert_eq!(of(Reason::Draining), None);
    }
}
