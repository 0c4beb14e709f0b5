//! What is odd but works: patterns that nothing reaches, wildcards deeper than their certificate, handshakes that no
//! browser completes.
//!
//! Nothing is refused for it, and no condition fails. Start with [`of`].

use super::inputs::Inputs;
use crate::api::{Behavior, WebSocket};
use crate::conditions::facts::Warning;
use crate::conditions::reasons::WarningKind;
use crate::table::certificate::OwnCertificates;
use crate::table::host::HostPattern;
use crate::table::path_pattern::{PathPattern, Steps};
use crate::table::route::{Route, ViewerProtocolPolicy};

/// The most steps that are made for one Distribution to find behaviors that nothing reaches: some milliseconds, in which
/// other Distributions wait. A hundred prefixes take a quarter of it; of what takes more than all, nothing is said.
const MOST_STEPS: usize = 100_000;

/// What is odd about a Distribution, compiled to these routes.
pub(super) fn of(
    inputs: &Inputs,
    (ordered, default): (&[Route], &Route),
    certificates: Option<&OwnCertificates>,
) -> Vec<Warning> {
    let patterns: Vec<&PathPattern> = ordered.iter().filter_map(|route| route.pattern.as_ref()).collect();
    let mut warnings = unreachable(&patterns, &mut Steps::new(MOST_STEPS));
    let names = certificates.into_iter().flat_map(OwnCertificates::iter).flat_map(|shown| &shown.names);
    warnings.extend(deeper_than(&names.collect::<Vec<_>>(), inputs));
    warnings.extend(redirected(inputs, ordered, default));
    warnings
}

/// Behaviors that no path reaches, since those before them match everything that they do.
fn unreachable(patterns: &[&PathPattern], steps: &mut Steps) -> Vec<Warning> {
    let warning = |field: String, message: String| Warning {
        kind: WarningKind::UnreachableBehavior,
        message: format!("{field}: {message}"),
        field,
    };
    let mut warnings = Vec::new();
    for (position, pattern) in patterns.iter().enumerate() {
        let before = patterns.get(..position).unwrap_or_default();
        if let Some(by) = covered(pattern, before, steps) {
            warnings.push(warning(
                format!("spec.cacheBehaviors[{position}].pathPattern"),
                format!("no request reaches {pattern}, since {by}; put it before, or remove it."),
            ));
        }
    }
    if let Some(by) = covered(&PathPattern::new("*"), patterns, steps) {
        let remedy = "say there what the default behavior is to do, and remove that pattern";
        let field = "spec.defaultCacheBehavior".to_owned();
        warnings.push(warning(field, format!("no request reaches it, since {by}; {remedy}.")));
    }
    warnings
}

/// What matches all that a pattern does, as a clause.
fn covered(pattern: &PathPattern, before: &[&PathPattern], steps: &mut Steps) -> Option<String> {
    if !pattern.is_covered_by(before, steps) {
        return None;
    }
    // Also none where that takes too many steps: together they do in any case.
    let alone = before.iter().enumerate().find(|(_, other)| pattern.is_covered_by(&[other], steps));
    Some(match alone {
        Some((position, other)) => format!("cacheBehaviors[{position}] {other} matches all its paths first"),
        None => "those before it together match all its paths first".to_owned(),
    })
}

/// Wildcard aliases, which are for any depth, while that of a certificate is for one label (RFC 6125 section 6.4.3).
fn deeper_than(names: &[&HostPattern], inputs: &Inputs) -> Vec<Warning> {
    let aliases = inputs.distribution.spec.aliases.iter().enumerate();
    aliases
        .filter_map(|(position, alias)| {
            let HostPattern::Wildcard(base) = HostPattern::parse(alias).ok()? else { return None };
            // Where the certificate does not name it at all, a condition says so.
            names.contains(&&HostPattern::Wildcard(base.clone())).then(|| Warning {
                kind: WarningKind::WildcardCertificateDepth,
                field: format!("spec.aliases[{position}]"),
                message: format!(
                    "spec.aliases: {alias:?} answers at any depth, but its certificate is for one label only; \
                     viewers of a.b.{base} refuse it, unless it names *.b.{base}, too."
                ),
            })
        })
        .collect()
}

/// Behaviors that say something about WebSockets, and redirect those that come as `ws://`.
fn redirected(inputs: &Inputs, ordered: &[Route], default: &Route) -> Vec<Warning> {
    let spec = &inputs.distribution.spec;
    let behaviors = spec
        .cache_behaviors
        .iter()
        .enumerate()
        .map(|(position, ordered)| (format!("spec.cacheBehaviors[{position}]"), &ordered.behavior));
    let behaviors = behaviors.chain([("spec.defaultCacheBehavior".to_owned(), &spec.default_cache_behavior)]);
    let routes = ordered.iter().chain([default]);
    let redirects = |route: &Route| route.viewer_protocol_policy == ViewerProtocolPolicy::RedirectToHttps;
    behaviors
        .zip(routes)
        .filter(|((_, behavior), route)| is_meant_for_web_sockets(behavior) && redirects(route))
        .map(|((field, _), _)| {
            let field = format!("{field}.viewerProtocolPolicy");
            let message = format!(
                "{field}: redirect-to-https answers ws:// handshakes with a redirect, which browsers do not follow; \
                 have viewers use wss://, or write allow-all."
            );
            Warning { kind: WarningKind::PlainWebSocketRedirected, field, message }
        })
        .collect()
}

/// WebSockets are on everywhere; only who sets something about them is known to use them.
fn is_meant_for_web_sockets(behavior: &Behavior) -> bool {
    behavior.web_socket.enabled && behavior.web_socket != WebSocket::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many warnings there are with so many steps, and what is said of steps then: whether any are left.
    fn found(patterns: &[String], most: usize) -> (usize, bool) {
        let patterns: Vec<PathPattern> = patterns.iter().map(|pattern| PathPattern::new(pattern)).collect();
        let mut steps = Steps::new(most);
        let warnings = unreachable(&patterns.iter().collect::<Vec<_>>(), &mut steps);
        let left = PathPattern::new("/a").is_covered_by(&[&PathPattern::new("/a")], &mut steps);
        (warnings.len(), left)
    }

    #[test]
    fn an_object_made_to_take_long_has_its_steps_once_and_not_once_a_question() {
        let narrow = "/*b????????????????????*??*a*b*??*a*".to_owned();
        let within = "/*ab*ab**ab*b*a?ab?*ab*ab*ab*b*ab*aba*aa?*abba?*abb".to_owned();
        let worst = [vec![narrow.clone(); 50], vec!["/*".to_owned()], vec![within.clone(); 49]].concat();
        // One of the questions alone takes more than all of them get.
        assert_eq!(found(&[narrow, within], MOST_STEPS), (0, false));
        let (warnings, left) = found(&worst, MOST_STEPS);
        assert!(warnings < worst.len() && !left, "{warnings} warnings");
    }

    #[test]
    fn what_people_write_is_told_completely() {
        let services = (0..50).map(|service| format!("/api/v1/tenants/services/{service}/*"));
        let pictures = (0..10).map(|kind| format!("*.kind{kind}"));
        let within = (0..10).map(|kind| format!("/images/*.kind{kind}"));
        let patterns: Vec<String> = services.chain(pictures).chain(within).collect();
        assert_eq!(found(&patterns, MOST_STEPS), (10, true));
    }
}
