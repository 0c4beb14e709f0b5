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
