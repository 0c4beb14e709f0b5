//! What a fault means for traffic, as the sentence that ends a message.

use crate::api::{Behavior, DistributionSpec};

/// Says which requests get 503 when the behaviors for which `concerned` holds cannot be served.
pub(super) fn refused(spec: &DistributionSpec, concerned: impl Fn(&Behavior) -> bool) -> String {
    let ordered = spec.cache_behaviors.iter().filter(|ordered| concerned(&ordered.behavior));
    let patterns: Vec<&str> = ordered.map(|ordered| ordered.path_pattern.as_str()).collect();
    let default = concerned(&spec.default_cache_behavior);
    let all = default && patterns.len() == spec.cache_behaviors.len();
    match (patterns.as_slice(), default) {
        _ if all => "All requests get 503.".to_owned(),
        ([], false) => "No behavior uses it.".to_owned(),
        ([], true) => "Requests of the default behavior get 503; other behaviors are served.".to_owned(),
        (patterns, false) => {
            format!("Requests matching {} get 503; other behaviors are served.", list(patterns))
        }
        (patterns, true) => format!(
            "Requests matching {} and those of the default behavior get 503; other behaviors are served.",
            list(patterns)
        ),
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
            assert_eq!(refused(&spec, |behavior| behavior.target_origin_id == "bad"), sentence);
        }
    }
}
