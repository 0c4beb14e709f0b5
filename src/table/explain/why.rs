//! Why a request is refused, as a clause for people: which field of which behavior says so.

use std::net::IpAddr;

use super::super::cors::{Cors, Preflight};
use super::super::group::Failover;
use super::super::reason::Reason;
use super::super::response_headers::Precedence;
use super::super::route::{Route, RouteTarget, Routes, ServingState, ViewerProtocolPolicy};
use super::super::source_ranges::Verdict;
use super::super::viewer_tls::Refused;
use super::question::Question;

/// Why [`decide`] gave this reason.
///
/// [`decide`]: crate::table::decide::decide
pub(super) fn refused(
    reason: Reason,
    owner: Option<&Routes>,
    route: Option<&Route>,
    question: &Question,
) -> String {
    match (reason, owner, route) {
        (Reason::NoDistribution, None, _) => "no Distribution has an alias for the host".to_owned(),
        (Reason::NoDistribution, Some(routes), _) if routes.state == ServingState::Disabled => {
            "spec.enabled is false".to_owned()
        }
        (Reason::Misdirected, ..) => {
            "viewerMtls.mode is required, and without TLS nobody shows a certificate".to_owned()
        }
        (Reason::MethodNotSupported, ..) => format!("no behavior can allow {}", question.method),
        (Reason::HttpsOnly, _, Some(route))
            if route.viewer_protocol_policy == ViewerProtocolPolicy::HttpsOnly =>
        {
            "viewerProtocolPolicy is https-only, and the request is plain HTTP".to_owned()
        }
        (Reason::SourceRange, _, Some(route)) => {
            let judge = |address| source(route.source_ranges.judge(address), address);
            question.viewer.map(judge).unwrap_or_default()
        }
        (Reason::MethodNotAllowedByBehavior, _, Some(route)) => {
            let allowed: Vec<&str> = route.allowed_methods.iter().map(|method| method.as_str()).collect();
            format!("allowedMethods has {}, and not {}", allowed.join(", "), question.method)
        }
        (Reason::WebsocketDisabled, ..) => "webSocket.enabled is false".to_owned(),
        (Reason::WebsocketOrigin, _, Some(route)) => {
            let allowed: Vec<String> = route.web_socket.allowed_origins.iter().collect();
            format!("webSocket.allowedOrigins has {}, and not what the handshake says", allowed.join(", "))
        }
        (Reason::NoEndpoints, _, Some(Route { target: RouteTarget::MatchViewer { .. }, .. })) => format!(
            "the origin cannot be spoken to over {}, as originProtocolPolicy match-viewer asks",
            question.scheme.as_str()
        ),
        (Reason::NoEndpoints, _, Some(Route { target: target @ RouteTarget::Group(_), .. })) => {
            match target.failover(&question.method) {
                Failover::ToTheNext => "no member of the origin group can be used".to_owned(),
                Failover::Never => format!(
                    "the first member of the origin group cannot be used, and no other is asked for {}",
                    question.method
                ),
            }
        }
        (Reason::NoEndpoints, ..) => "what the behavior names cannot be served as it says".to_owned(),
        _ => "of what the request is".to_owned(),
    }
}

/// What source ranges say of a viewer.
pub(super) fn source(verdict: Verdict, viewer: IpAddr) -> String {
    match verdict {
        Verdict::Served(None) => format!("sourceRanges.deny has no range for {viewer}"),
        Verdict::Served(Some(range)) => format!("sourceRanges.allow has {range} for {viewer}"),
        Verdict::Denied(range) => format!("sourceRanges.deny has {range} for {viewer}"),
        Verdict::NotAllowed => format!("sourceRanges.allow has no range for {viewer}"),
    }
}

/// What `corsConfig` says to the page behind a request.
pub(super) fn page(cors: &Cors, question: &Question) -> String {
    let head = question.head();
    let Some(page) = question.web_origin.as_ref() else {
        return "corsConfig says nothing, since no page was named".to_owned();
    };
    let page = String::from_utf8_lossy(page.as_bytes());
    if cors.grant(&question.method, &head).is_none() {
        return format!("corsConfig does not have {page}, which may not read the answer");
    }
    let (Some(asked), Some(preflight)) = (&question.preflight, Preflight::of(&question.method, &head)) else {
        return format!("corsConfig has {page}, which may read the answer");
    };
    if cors.answers(preflight) {
        format!("corsConfig has {page}, which may use {asked}")
    } else if cors.precedence == Precedence::Origin {
        format!("corsConfig has {page}; the preflight goes to the origin, since originOverride is false")
    } else {
        format!("corsConfig has {page}, but not {asked}; the preflight goes to the origin")
    }
}

/// Why there is no TLS.
pub(super) fn no_handshake(refused: Refused) -> &'static str {
    match refused {
        Refused::Unusable => {
            "no Secret of viewerCertificate gives a usable certificate, and no other may stand in for it"
        }
        Refused::NotOfDefault => {
            "there is no viewerCertificate, and the default certificate does not name the host"
        }
        Refused::Nothing => {
            "there is no viewerCertificate, and no default certificate (--default-certificate)"
        }
        Refused::Unknown => {
            "nobody has the host, and there is no default certificate (--default-certificate)"
        }
        Refused::Unverifiable => {
            "the Secret of viewerMtls gives no authorities by which certificates of viewers could be verified"
        }
    }
}
