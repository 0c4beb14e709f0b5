//! CloudFront's path patterns: `*` is any run of characters, `/` included, `?` is exactly one; case counts, the
//! query is not looked at (CloudFront Developer Guide, "Path pattern").
//!
//! A pattern that does not begin with `/` is read as if it did, so `images/*` is `/images/*`.

use std::fmt;

/// A compiled path pattern.
///
/// Matching takes at most `pattern × path` steps and no memory, whatever the pattern: there is only one place to
/// go back to, the last `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(Box<str>);

impl PathPattern {
    /// Compiles a pattern of the API; its characters were validated with the object.
    pub fn new(pattern: &str) -> Self {
        if pattern.starts_with('/') { Self(pattern.into()) } else { Self(format!("/{pattern}").into()) }
    }

    /// Whether the whole of `path` (no query, as sent) matches.
    pub fn matches(&self, path: &str) -> bool {
        let (pattern, path) = (self.0.as_bytes(), path.as_bytes());
        let (mut p, mut s) = (0, 0);
        let mut retry = None; // after the last `*`: (pattern position behind it, path position it reaches to)
        loop {
            match (pattern.get(p), path.get(s)) {
                (None, None) => return true,
                (Some(b'*'), _) => {
                    p += 1;
                    retry = Some((p, s));
                    continue;
                }
                (Some(wanted), Some(found)) if *wanted == b'?' || wanted == found => {
                    (p, s) = (p + 1, s + 1);
                    continue;
                }
                _ => {}
            }
            // A mismatch: let the last `*` take one character more, or give up.
            let Some((behind, reached)) = retry.filter(|(_, reached)| *reached < path.len()) else {
                return false;
            };
            (p, s) = (behind, reached + 1);
            retry = Some((behind, s));
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_path_and_only_that() {
        let rows = [
            ("/api/*", "/api/", true),
            ("/api/*", "/api/v1/users", true),
            ("/api/*", "/api", false),
            ("/api/*", "/API/x", false),
            ("/api", "/api/", false),
            ("images/*", "/images/a.png", true),
            ("images/*", "/images", false),
            ("*.jpg", "/a/b/c.jpg", true),
            ("*.jpg", "/c.jpeg", false),
            ("/a?c", "/abc", true),
            ("/a?c", "/a/c", true),
            ("/a?c", "/ac", false),
            ("*", "/", true),
            ("/", "/", true),
            ("/", "/a", false),
            ("/*/end", "/a/b/end", true),
            ("/*/end", "/end", false),
            ("/a*b*c", "/aXbYbZc", true),
            ("/a*b*c", "/aXbYbZ", false),
            ("/**", "/x", true),
            ("/%2f", "/%2F", false),
        ];
        for (pattern, path, expected) in rows {
            assert_eq!(PathPattern::new(pattern).matches(path), expected, "{pattern} on {path}");
        }
    }
}
