//! What a fault means for traffic, as the sentence that ends a message.

use super::groups;
use crate::api::{Behavior, DistributionSpec, OriginGroup};
use crate::table::decide::Scheme;

/// The behaviors of a spec, the default one last.
pub(super) fn behaviors(spec: &DistributionSpec) -> impl Iterator<Item = &Behavior> {
    spec.cache_behaviors.iter().map(|ordered| &ordered.behavior).chain([&spec.default_cache_behavior])
}

/// Says what becomes of the requests for an origin that cannot be asked, of those `viewers` or, without any named,
/// of all.
pub(super) fn without(spec: &DistributionSpec, viewers: Option<Scheme>, origin: &str) -> String {
    let mut sentences: Vec<String> =
        groups::used_with(spec, origin).map(|group| without_member(group, origin)).collect();
    let names_it = |behavior: &Behavior| behavior.target_origin_id == origin;
    if sentences.is_empty() || behaviors(spec).any(names_it) {
        sentences.insert(0, refused(spec, viewers, names_it));
    }
    sentences.join(" ")
}

/// A group does without, but nobody else may get what it does not fail over.
fn without_member(group: &OriginGroup, origin: &str) -> String {
    let is_first = group.members.first().is_some_and(|first| first == origin);
    let others = if is_first { "; methods other than GET, HEAD and OPTIONS get 503 there" } else { "" };
    format!("Origin group {:?} asks its other members instead{others}.", group.id)
}

/// Says which requests get 503 when the behaviors for which `concerned` holds cannot be served, to those `viewers`
/// or, without any named, to all.
pub(super) fn refused(
    spec: &DistributionSpec,
    viewers: Option<Scheme>,
    concerned: impl Fn(&Behavior) -> bool,
) -> String {
    let ordered = spec.cache_behaviors.iter().filter(|ordered| concerned(&ordered.behavior));
    let patterns: Vec<&str> = ordered.map(|ordered| ordered.path_pattern.as_str()).collect();
    let default = concerned(&spec.default_cache_behavior);
    let all = default && patterns.len() == spec.cache_behaviors.len();
    let (every, some) = match viewers {
        None => ("All requests".to_owned(), "Requests".to_owned()),
        Some(scheme) => (format!("All {} requests", name(scheme)), format!("{} requests", name(scheme))),
    };
    match (patterns.as_slice(), default) {
        _ if all => format!("{every} get 503."),
        ([], false) => "No behavior uses it.".to_owned(),
        ([], true) => format!("{some} of the default behavior get 503; other behaviors are served."),
        (patterns, false) => {
            format!("{some} matching {} get 503; other behaviors are served.", list(patterns))
        }
        (patterns, true) => format!(
            "{some} matching {} and those of the default behavior get 503; other behaviors are served.",
            list(patterns)
        ),
    }
}

/// A scheme as people write it.
pub(super) fn name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "HTTP",
        Scheme::Https => "HTTPS",
    }
}

/// The first few, and how many more.
fn list(patterns: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<&str> = patterns.iter().take(SHOWN).copied().collect();
    match patterns.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} other patterns", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_what_is_lost_and_only_that() {
        let behavior = |target: &str| serde_json::json!({"targetOriginId": target});
        let spec = |targets: &[&str], default: &str| -> DistributionSpec {
            let ordered = targets.iter().enumerate().map(|(position, target)| {
                let mut ordered = behavior(target);
                ordered["pathPattern"] = format!("/{position}").into();
                ordered
            });
            let spec = serde_json::json!({
                "origins": [],
                "cacheBehaviors": ordered.collect::<Vec<_>>(),
                "defaultCacheBehavior": behavior(default),
            });
            serde_json::from_value(spec).expect("a spec")
        };
        let rows = [
            (spec(&["a"], "a"), "No behavior uses it."),
            (spec(&[], "bad"), "All requests get 503."),
            (spec(&["bad", "bad"], "bad"), "All requests get 503."),
            (spec(&["a", "bad"], "a"), "Requests matching /1 get 503; other behaviors are served."),
            (spec(&["a"], "bad"), "Requests of the default behavior get 503; other behaviors are served."),
            (
                spec(&["a", "bad"], "bad"),
                "Requests matching /1 and those of the default behavior get 503; other behaviors are served.",
            ),
            (
                spec(&["bad", "bad", "bad", "bad", "bad"], "a"),
                "Requests matching /0, /1, /2 and 2 other patterns get 503; other behaviors are served.",
            ),
        ];
        for (spec, sentence) in rows {
            assert_eq!(refused(&spec, None, |behavior| behavior.target_origin_id == "bad"), sentence);
            let of_some = refused(&spec, Some(Scheme::Https), |behavior| behavior.target_origin_id == "bad");
            let named = sentence.replace("All requests", "All HTTPS requests");
            assert_eq!(of_some, named.replace("Requests", "HTTPS requests"));
        }
    }
}
