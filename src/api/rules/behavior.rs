//! Rules of behaviors.

use super::super::rule::Rule;
use super::origin::NAMES_DIFFER;
use super::{items, list, text};

/// On the headers added to responses.
pub(in crate::api) const RESPONSE_HEADERS: &[Rule] = &[NAMES_DIFFER];

/// On `corsConfig`: with credentials, browsers do not read `*` as "any" (Fetch standard, "CORS protocol and credentials").
pub(in crate::api) const CORS: &[Rule] = &[Rule::new(
    "!self.accessControlAllowCredentials || !('*' in self.accessControlAllowOrigins || (has(self.accessControlAllowMethods) && '*' in self.accessControlAllowMethods) || (has(self.accessControlAllowHeaders) && '*' in self.accessControlAllowHeaders) || (has(self.accessControlExposeHeaders) && '*' in self.accessControlExposeHeaders))",
    "must not list * where accessControlAllowCredentials is true, since browsers refuse it: write out the origins, methods and headers",
    |cors| {
        let lists = [
            "accessControlAllowOrigins",
            "accessControlAllowMethods",
            "accessControlAllowHeaders",
            "accessControlExposeHeaders",
        ];
        let any = lists.iter().any(|list| items(cors, list).any(|item| item == "*"));
        !(any && cors["accessControlAllowCredentials"] == true)
    },
)];

/// On `cacheBehaviors`: the first match wins, so the second of two equal patterns would never be used.
pub(in crate::api) const PATTERNS: &[Rule] = &[Rule::naming(
    "[self.map(b, b.pathPattern)].all(patterns, patterns.all(p, patterns.indexOf(p) == patterns.lastIndexOf(p)))",
    "must have each pathPattern once, since the first match wins",
    "'must have each pathPattern once, since the first match wins: %s'.format([self.map(b, !self.exists_one(o, o.pathPattern == b.pathPattern), b.pathPattern)])",
    |behaviors| {
        let patterns = || behaviors.as_array().into_iter().flatten().map(|b| text(b, "pathPattern"));
        let twice: Vec<&str> =
            patterns().filter(|p| patterns().filter(|other| other == p).count() > 1).collect();
        (!twice.is_empty())
            .then(|| format!("must have each pathPattern once, since the first match wins: {}", list(twice)))
    },
)];
