//! A page in place of an error (`customErrorResponses`): fetched through whichever behavior matches its path.
//!
//! What failed is kept until the head of the page is there: where the page cannot be had, its viewer gets what it would
//! have got without. A page is asked for once, with a request of our own that carries nothing of the viewer's but what
//! a page may depend on; what becomes of that request is never replaced in its turn.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{Either, LocalBoxFuture, Ready, ready};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ALLOW, CACHE_CONTROL, CONTENT_RANGE, EXPIRES, FORWARDED,
    HeaderName, RETRY_AFTER, USER_AGENT, VIA,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use tokio::time::{Instant, timeout};

use super::answer::{close, must_close, set_cookie};
use super::discard::discard;
use super::{Exchange, Forward, Outcome};
use crate::dataplane::live::LiveDistribution;
use crate::dataplane::origin::{Incomings, Report};
use crate::dataplane::response::errors::{self, Format};
use crate::dataplane::viewer::body::ViewerBody;
use crate::dataplane::viewer::forwarded::X_REQUEST_ID;
use crate::overload::Level;
use crate::table::decide::{self, RequestKind, decide_page};
use crate::table::error_pages::ErrorPage;
use crate::table::host::Authority;
use crate::table::reason::Reason;
use crate::telemetry::metrics::PageOutcome;

/// What of a viewer's request its page may depend on, and what tells its way. Cookies and credentials are for the
/// origin of the request and for no other; a range or a condition would be about another thing. What we verified of the
/// viewer ourselves is told of the request for the page, too.
const KEPT: [HeaderName; 10] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    USER_AGENT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    VIA,
    FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    X_REQUEST_ID,
];

/// What an answer with such a status has to say beside its status, whatever its page (RFC 9110 sections 10.2.1, 10.2.3
/// and 14.4).
const OF_STATUS: [HeaderName; 3] = [ALLOW, RETRY_AFTER, CONTENT_RANGE];

/// What a request for a page is made from, kept while the viewer's own request is on its way.
pub(super) struct Kept {
    authority: Authority,
    headers: HeaderMap,
}

/// What failed.
pub(super) enum Failed {
    /// The proxy answers itself.
    Here(Reason),
    /// An origin gave an answer with a status that has a page.
    Origin(Box<FromOrigin>),
}

/// An origin's answer, as it would be passed on.
pub(super) struct FromOrigin {
    incomings: Incomings,
    report: Report,
    forward: Box<Forward>,
}

/// How an exchange ends: mostly at once, so that only what has to wait for a page is paid for.
pub(super) type Settled = Either<Ready<Outcome>, LocalBoxFuture<'static, Outcome>>;

/// Why a page cannot be had, as logs name it.
struct Unavailable(&'static str);

impl From<Reason> for Unavailable {
    fn from(reason: Reason) -> Self {
        Self(reason.as_str())
    }
}

impl Kept {
    /// Keeps what a page needs of a request whose Distribution has pages.
    ///
    /// Handshakes have none, and neither have calls of gRPC, whose errors are a status that no page can carry.
    pub(super) fn of(
        head: &Parts,
        authority: &Authority,
        distribution: Option<&LiveDistribution>,
        format: Format,
    ) -> Option<Box<Self>> {
        let distribution = distribution?;
        if distribution.routes.error_pages.is_empty() || format == Format::Grpc {
            return None;
        }
        let mut headers = HeaderMap::new();
        for name in KEPT {
            for value in head.headers.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        Some(Box::new(Self { authority: authority.clone(), headers }))
    }
}

impl Exchange {
    /// An error of ours, or the page that stands in for it.
    pub(super) fn fail(mut self, reason: Reason) -> Settled {
        match self.page(|distribution| distribution.routes.error_pages.of_reason(reason).cloned()) {
            Some((page, kept)) => {
                Either::Right(self.replace(Failed::Here(reason), page, *kept).boxed_local())
            }
            None => Either::Left(ready(self.refuse(reason))),
        }
    }

    /// An origin's answer, or the page that stands in for it.
    pub(super) fn pass_on_or_replace(
        mut self,
        incomings: Incomings,
        report: Report,
        forward: Box<Forward>,
    ) -> Settled {
        let status = incomings.response.status();
        match self.page(|distribution| distribution.routes.error_pages.of_status(status).cloned()) {
            Some((page, kept)) => {
                let failed = Failed::Origin(Box::new(FromOrigin { incomings, report, forward }));
                Either::Right(self.replace(failed, page, *kept).boxed_local())
            }
            None => Either::Left(ready(self.pass_on(incomings, report, &forward))),
        }
    }

    /// Whether an error for this reason has a page.
    pub(super) fn has_page(&self, reason: Reason) -> bool {
        let matched = self.account.record.matched.as_ref().filter(|_| self.may_fetch());
        let page = matched.and_then(|(distribution, _)| distribution.routes.error_pages.of_reason(reason));
        self.asked.kept.is_some() && page.is_some()
    }

    /// A page costs an exchange with an origin, which a refusal alone does not.
    fn may_fetch(&self) -> bool {
        self.viewer.worker.overload.level() != Level::Critical
    }

    fn page(
        &mut self,
        find: impl FnOnce(&LiveDistribution) -> Option<ErrorPage>,
    ) -> Option<(ErrorPage, Box<Kept>)> {
        let (distribution, _) = self.account.record.matched.as_ref().filter(|_| self.may_fetch())?;
        // Only requests that may get a page keep anything for it.
        self.asked.kept.as_ref()?;
        let page = find(distribution)?;
        Some((page, self.asked.kept.take()?))
    }

    async fn replace(mut self, failed: Failed, page: ErrorPage, kept: Kept) -> Outcome {
        let limit = self.viewer.worker.limits.error_page;
        // Who was asked for the page is nothing that the request itself is accounted for.
        let asked = (self.account.record.member, self.account.record.asked_after);
        let began = Instant::now();
        let fetched = match timeout(limit, self.fetch(&page, kept)).await {
            Ok(fetched) => fetched,
            Err(_overdue) => Err(Unavailable("error_page_timeout")),
        };
        (self.account.record.member, self.account.record.asked_after) = asked;
        match fetched {
            Ok((incomings, report, forward)) => {
                self.told(PageOutcome::Served, "served");
                self.answer_with(incomings, report, &forward, failed, page.status).await
            }
            Err(Unavailable(why)) => {
                self.told(PageOutcome::Unavailable, why);
                match failed {
                    Failed::Here(reason) => self.refuse(reason),
                    Failed::Origin(mut answer) => {
                        // The time that the page took is not the origin's.
                        answer.report.deadline = answer.report.deadline.map(|end| end + began.elapsed());
                        self.pass_on(answer.incomings, answer.report, &answer.forward)
                    }
                }
            }
        }
    }

    fn told(&mut self, outcome: PageOutcome, told: &'static str) {
        self.account.record.error_page = Some(told);
        if let Some((distribution, _)) = &self.account.record.matched {
            distribution.metrics.error_page(outcome);
        }
    }

    /// Asks for the page, judged by the same table as the request that failed.
    async fn fetch(
        &mut self,
        page: &ErrorPage,
        kept: Kept,
    ) -> Result<(Incomings, Report, Forward), Unavailable> {
        let mut forward = self.prepare_fetch(page, kept)?;
        let mut report = Report::default();
        let began = Instant::now();
        let incomings = self.send(&mut forward, &mut report).await?;
        forward.origin.metrics.answered(began.elapsed());
        if incomings.response.status() != StatusCode::OK {
            discard(incomings, &self.viewer.worker.limits).await;
            return Err(Unavailable(super::ORIGIN_STATUS));
        }
        Ok((incomings, report, forward))
    }

    fn prepare_fetch(&mut self, page: &ErrorPage, kept: Kept) -> Result<Forward, Unavailable> {
        let Kept { authority, headers } = kept;
        let (distribution, _) = self.account.record.matched.as_ref().ok_or(Reason::Internal)?;
        let distribution = Arc::clone(distribution);
        let mut request = Request::new(());
        *request.uri_mut() = Uri::try_from(page.target.as_str()).map_err(|_| Reason::BadPath)?;
        *request.version_mut() = self.account.record.version;
        *request.headers_mut() = headers;
        let (head, ()) = request.into_parts();
        let judged = decide::Request {
            transport: self.viewer.transport(),
            scheme: self.account.record.sender.scheme,
            viewer: Some(self.account.record.sender.address.ip),
            version: head.version,
            method: &Method::GET,
            host: &authority.host,
            target: &page.target,
            kind: RequestKind::Http,
        };
        let (route_position, outcome) = decide_page(&distribution.routes, judged);
        let (target, failover) = match outcome {
            decide::Outcome::Forward { replaced_target, failover } => {
                (replaced_target.unwrap_or_else(|| page.target.clone()), failover)
            }
            decide::Outcome::RedirectToHttps(_) => return Err(Unavailable("redirect")),
            // A page is got with GET, which is no preflight.
            decide::Outcome::AnswerPreflight | decide::Outcome::AnswerChallenge(_) => {
                return Err(Reason::Internal.into());
            }
            decide::Outcome::Refuse(reason) => return Err(reason.into()),
        };
        let body = ViewerBody::nothing(&self.viewer.worker.limits);
        let id = self.account.record.request_id.clone();
        let mut forward =
            self.prepare((distribution, route_position), &authority, (&target, failover), head, body, None)?;
        // One request has one name, wherever it is told of.
        if let Some(id) = id {
            forward.outgoing.head.headers.insert(X_REQUEST_ID, id.clone());
            self.account.record.request_id = Some(id);
        }
        Ok(forward)
    }

    /// The page as its viewer gets it.
    async fn answer_with(
        mut self,
        incomings: Incomings,
        mut report: Report,
        forward: &Forward,
        failed: Failed,
        status: StatusCode,
    ) -> Outcome {
        // The page's own endpoint is not the one that the viewer is kept on.
        report.set_cookie = None;
        let mut passing = self.passing(incomings, report, forward);
        let head = &mut passing.head;
        head.status = status;
        match failed {
            Failed::Here(reason) => {
                self.account.refused(reason);
                let said = errors::error(reason, self.asked.format);
                stand_in(&mut head.headers, status, said.status(), said.headers());
                let name = HeaderValue::from_static(reason.as_str());
                head.headers.insert(errors::X_TIDEGATE_ERROR, name);
                never_cache(&mut head.headers);
                if must_close(said.status()) {
                    close(&mut head.headers);
                }
            }
            Failed::Origin(answer) => {
                let FromOrigin { incomings, report, .. } = *answer;
                let said = &incomings.response;
                stand_in(&mut head.headers, status, said.status(), said.headers());
                set_cookie(&mut head.headers, report.set_cookie);
                if said.status().is_server_error() {
                    never_cache(&mut head.headers);
                }
                discard(incomings, &self.viewer.worker.limits).await;
            }
        }
        // Nobody reads on what is left of the request.
        if !self.asked.body.has_ended() {
            close(&mut head.headers);
        }
        passing.outcome(self.account)
    }
}

/// Puts in what the answer that failed said because of its status, where the viewer gets that status.
fn stand_in(headers: &mut HeaderMap, status: StatusCode, failed: StatusCode, said: &HeaderMap) {
    if status != failed {
        return;
    }
    for name in OF_STATUS {
        if let Some(value) = said.get(&name) {
            headers.insert(name, value.clone());
        }
    }
}

/// A page in place of a passing fault may say how long it is good itself, but not as the thing that was asked for.
fn never_cache(headers: &mut HeaderMap) {
    headers.remove(EXPIRES);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
