//! An explanation as people read it: one fact a line, in the order in which a request meets them.

use std::fmt::{self, Display, Formatter};

use super::super::reason::Reason;
use super::super::viewer_tls::MinimumProtocol;
use super::{
    Behavior, ClientCertificate, ErrorPage, Explanation, Handshake, Member, Origin, OriginGroup, Outcome,
    Owner, ResponseHeaders, SourceRanges,
};
use crate::printable::printable;

/// How far the names of the lines reach.
const NAMES: usize = 13;

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut lines = Lines(f);
        let what = if self.request.web_socket { ", a WebSocket handshake" } else { "" };
        lines.line("request", format_args!("{} {}{what}", self.request.method, self.request.url))?;
        match (&self.distribution, &self.did_you_mean) {
            (Some(owner), _) => lines.owner(owner)?,
            (None, Some(alias)) => lines.line("alias", format_args!("none; did you mean {alias}?"))?,
            (None, None) => lines.line("alias", "none")?,
        }
        if let Some(tls) = &self.tls {
            lines.tls(tls)?;
        }
        for over in &self.passed_over {
            let told = format_args!("cacheBehaviors[{}] {}: no, {}", over.index, over.path_pattern, over.why);
            lines.line("passed over", told)?;
        }
        if let Some(behavior) = &self.behavior {
            lines.behavior(behavior)?;
        }
        match &self.outcome {
            Outcome::Forward => lines.line("outcome", "forwarded")?,
            Outcome::Redirect { status, location, why } => {
                lines.line("outcome", format_args!("{status} to {location}, since {why}"))?;
            }
            Outcome::Preflight { status } => {
                lines.line(
                    "outcome",
                    format_args!("{status}, the answer to a preflight, without the origin"),
                )?;
            }
            Outcome::Challenge { status, answer } => {
                let told = format_args!("{status}, the answer to an ACME challenge: {answer}");
                lines.line("outcome", told)?;
            }
            Outcome::Refuse { status, reason, why } => {
                lines.line("outcome", format_args!("{status} {reason}, since {why}"))?;
            }
            Outcome::TlsRefused => lines.line("outcome", "no request, since TLS is refused")?,
        }
        self.error_pages.iter().try_for_each(|page| lines.error_page(page))?;
        // What a request never gets to is left to the JSON.
        let gets_there = match &self.outcome {
            Outcome::Forward => true,
            Outcome::Refuse { reason, .. } => reason == Reason::NoEndpoints.as_str(),
            Outcome::Challenge { .. }
            | Outcome::Preflight { .. }
            | Outcome::Redirect { .. }
            | Outcome::TlsRefused => false,
        };
        if gets_there {
            self.origin_group.iter().try_for_each(|group| lines.group(group, &self.request.method))?;
            self.origin.iter().chain(&self.fallbacks).try_for_each(|origin| lines.origin(origin))?;
        }
        self.findings.iter().try_for_each(|finding| lines.line("finding", finding))
    }
}

struct Lines<'f, 'b>(&'f mut Formatter<'b>);

impl Lines<'_, '_> {
    /// One fact, [`printable`]: some names come from others.
    fn line(&mut self, name: &str, fact: impl Display) -> fmt::Result {
        let fact = printable(&fact.to_string());
        writeln!(self.0, "{name:<NAMES$}{fact}")
    }

    fn owner(&mut self, owner: &Owner) -> fmt::Result {
        let Owner { namespace, name, generation, alias, why } = owner;
        self.line("distribution", format_args!("{namespace}/{name}, generation {generation}"))?;
        self.line("alias", format_args!("{alias}, {why}"))
    }

    fn tls(&mut self, tls: &Handshake) -> fmt::Result {
        match tls {
            Handshake::Shown {
                fingerprint,
                which,
                covers_host,
                minimum_protocol_version,
                client_certificate,
            } => {
                let trusted =
                    if *covers_host { "" } else { "; it does not name the host, so viewers refuse it" };
                self.line("certificate", format_args!("{fingerprint}, {which}{trusted}"))?;
                if minimum_protocol_version != MinimumProtocol::default().as_str() {
                    self.line("minimum", minimum_protocol_version)?;
                }
                client_certificate.iter().try_for_each(|ClientCertificate { mode, authorities }| {
                    self.line("client cert", format_args!("{mode}, of the authorities {authorities}"))
                })
            }
            Handshake::Refused(why) => self.line("certificate", format_args!("none: {why}")),
        }
    }

    fn behavior(&mut self, behavior: &Behavior) -> fmt::Result {
        let Behavior {
            index,
            path_pattern,
            root_object,
            viewer_protocol_policy,
            source_ranges,
            allowed_methods,
            compress,
            response_headers,
        } = behavior;
        let matched = root_object.as_ref();
        let matched = matched.map(|path| format!(", for {path}, the defaultRootObject")).unwrap_or_default();
        match index {
            Some(index) => {
                self.line("behavior", format_args!("cacheBehaviors[{index}] {path_pattern}{matched}"))?;
            }
            None => self.line("behavior", format_args!("defaultCacheBehavior{matched}"))?,
        }
        self.line("policy", format_args!("{viewer_protocol_policy}; {}", allowed_methods.join(", ")))?;
        source_ranges.as_ref().map_or(Ok(()), |ranges| self.sources(ranges))?;
        if *compress {
            self.line("compresses", "what is worth it, for viewers that take it so")?;
        }
        response_headers.as_ref().map_or(Ok(()), |policy| self.answers(policy))
    }

    fn answers(&mut self, policy: &ResponseHeaders) -> fmt::Result {
        let ResponseHeaders { removed, overridden, added, page } = policy;
        for (what, names) in [("lose", removed), ("get", overridden), ("get if without", added)] {
            if !names.is_empty() {
                self.line("answers", format_args!("{what} {}", names.join(", ")))?;
            }
        }
        page.as_ref().map_or(Ok(()), |page| self.line("page", page))
    }

    fn sources(&mut self, SourceRanges { allow, deny, verdict }: &SourceRanges) -> fmt::Result {
        match verdict {
            Some(verdict) => self.line("sources", verdict),
            None => {
                let (allow, deny) = (first_of(allow, "all"), first_of(deny, "none"));
                self.line("sources", format_args!("allow {allow}; deny {deny}; no viewer to judge was named"))
            }
        }
    }

    fn error_page(&mut self, told: &ErrorPage) -> fmt::Result {
        let ErrorPage { error_code, page, response_code, path_pattern, unavailable } = told;
        let unavailable = unavailable.as_ref().map(|why| format!("; unavailable: {why}")).unwrap_or_default();
        self.line(
            "error page",
            format_args!(
                "{page} as {response_code} instead of {error_code}, through {path_pattern}{unavailable}"
            ),
        )
    }

    fn group(&mut self, group: &OriginGroup, method: &str) -> fmt::Result {
        let OriginGroup { id, members, status_codes, fails_over } = group;
        let told = |member: &Member| {
            let state = if member.usable { "" } else { ", which cannot be used" };
            format!("{:?}{state}", member.id)
        };
        let members: Vec<String> = members.iter().map(told).collect();
        let members = members.join("; ");
        let statuses: Vec<String> = status_codes.iter().map(ToString::to_string).collect();
        let after =
            if statuses.is_empty() { String::new() } else { format!("after {}, or ", statuses.join(", ")) };
        match fails_over {
            true => self.line(
                "group",
                format_args!("{id:?} of {members}: the next one {after}where there is no answer"),
            ),
            false => self.line(
                "group",
                format_args!("{id:?} of {members}: the first one alone, since it is {method}"),
            ),
        }
    }

    fn origin(&mut self, origin: &Origin) -> fmt::Result {
        let Origin { id, scheme, http_version, target, host, headers_added, endpoints } = origin;
        self.line("origin", format_args!("{id:?} over {scheme}, {http_version}"))?;
        self.line("target", target)?;
        self.line("host", host)?;
        if !headers_added.is_empty() {
            self.line("adds", headers_added.join(", "))?;
        }
        if endpoints.is_empty() {
            self.line("endpoints", "none")?;
        }
        endpoints.iter().try_for_each(|endpoint| {
            let zone = if endpoint.own_zone { ", of the own zone" } else { "" };
            self.line("endpoint", format_args!("{}{zone}", endpoint.address))
        })
    }
}

/// The first few of a list that may be long, or what stands for none.
fn first_of(texts: &[String], none: &str) -> String {
    const SHOWN: usize = 8;
    let shown = texts.get(..SHOWN).unwrap_or(texts).join(", ");
    match texts.len().saturating_sub(SHOWN) {
        0 if texts.is_empty() => none.to_owned(),
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
