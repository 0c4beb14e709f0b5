//! A request target, judged once: the string that is matched is the string that is forwarded.
//!
//! What is ambiguous is refused, never repaired: there is no normalisation here beyond what the rules of
//! RFC 9112 section 3.2 (origin-form of an absolute-form target) demand.

use std::fmt;

/// A target in origin-form whose path has no dot segments, no malformed escapes and no stray octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    path_and_query: String,
    path_end: usize,
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// Neither origin-form nor absolute-form.
    #[error("the request target is not a path")]
    Form,
    /// A control character, an octet over 0x7E, a backslash, or a malformed or NUL escape.
    #[error("the path contains an octet that must be escaped, or a malformed escape")]
    Octet,
    /// A `.` or `..` segment, escaped or not, also between escaped slashes.
    #[error("the path contains a dot segment")]
    DotSegment,
}

impl Target {
    /// Reads path and query as the viewer sent them (`/a/b?c=d`).
    ///
    /// # Errors
    /// [`BadTarget`], which the viewer gets as 400 `bad_path`.
    pub fn parse(path_and_query: &str) -> Result<Self, BadTarget> {
        let path_end = path_and_query.find('?').unwrap_or(path_and_query.len());
        let (path, query) = path_and_query.split_at(path_end);
        if !path.starts_with('/') {
            return Err(BadTarget::Form);
        }
        if !path.bytes().chain(query.bytes()).all(|b| (0x21..=0x7e).contains(&b)) {
            return Err(BadTarget::Octet);
        }
        check_escapes(path)?;
        if path.split('/').flat_map(split_at_escaped_slashes).any(is_dot_segment) {
            return Err(BadTarget::DotSegment);
        }
        Ok(Self { path_and_query: path_and_query.to_owned(), path_end })
    }

    /// The path that is matched, as sent.
    pub fn path(&self) -> &str {
        self.path_and_query.split_at(self.path_end).0
    }

    /// Path and query, as sent.
    pub fn as_str(&self) -> &str {
        &self.path_and_query
    }

    /// The same target with another path, for a default root object.
    pub fn with_path(&self, path: &str) -> Self {
        let query = self.path_and_query.split_at(self.path_end).1;
        Self { path_and_query: format!("{path}{query}"), path_end: path.len() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path_and_query)
    }
}

/// `%2f` and `%5c` pass raw and are matched raw: registries, package scopes and message brokers need them.
fn check_escapes(path: &str) -> Result<(), BadTarget> {
    if path.contains('\\') {
        return Err(BadTarget::Octet);
    }
    for escape in path.split('%').skip(1) {
        match escape.as_bytes() {
            [b'0', b'0', ..] => return Err(BadTarget::Octet),
            [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {}
            _ => return Err(BadTarget::Octet),
        }
    }
    Ok(())
}

/// What an origin makes of a segment that decodes `%2f`, or `%5c` and takes it for a slash, before it walks.
fn split_at_escaped_slashes(segment: &str) -> impl Iterator<Item = &str> {
    let is_slash = |escape: &str| escape.eq_ignore_ascii_case("%2f") || escape.eq_ignore_ascii_case("%5c");
    let mut rest = Some(segment);
    std::iter::from_fn(move || {
        let whole = rest?;
        let escapes = whole.match_indices('%').map(|(at, _)| at);
        let slash = escapes.into_iter().find(|at| whole.get(*at..*at + 3).is_some_and(is_slash));
        let (piece, behind) = match slash {
            Some(at) => (whole.get(..at)?, whole.get(at + 3..)),
            None => (whole, None),
        };
        rest = behind;
        Some(piece)
    })
}

/// Also `%2e`, in any mixture with plain dots: origins decode it before they walk the path. And also with
/// parameters (`..;x`): servlet containers cut those off first, so the segment would walk up behind our back.
fn is_dot_segment(segment: &str) -> bool {
    let undotted = |rest: &'_ str| -> Option<usize> {
        let escaped = rest.get(..3).is_some_and(|e| e.eq_ignore_ascii_case("%2e"));
        if rest.starts_with('.') { Some(1) } else { escaped.then_some(3) }
    };
    let mut rest = segment.split(';').next().unwrap_or(segment);
    let mut dots = 0;
    while let Some(width) = undotted(rest) {
        rest = rest.get(width..).unwrap_or_default();
        dots += 1;
    }
    rest.is_empty() && (1..=2).contains(&dots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_kept_as_sent() {
        for good in [
            "/",
            "//",
            "/a//b",
            "/a/...",
            "/.a",
            "/a;b=..",
            "/;..",
            "/...;a",
            "/%2f%5C",
            "/a?b=/../%zz",
            "/@scope%2fname",
            "/a%2f..b%5C...",
        ] {
            assert_eq!(Target::parse(good).map(|t| t.as_str().to_owned()), Ok(good.to_owned()));
        }
        assert_eq!(Target::parse("/a/b?c?d").unwrap().path(), "/a/b");
        assert_eq!(Target::parse("/?q").unwrap().with_path("/index.html").as_str(), "/index.html?q");
    }

    #[test]
    fn what_two_parties_could_read_differently_is_refused() {
        let rows = [
            ("", BadTarget::Form),
            ("*", BadTarget::Form),
            ("a/b", BadTarget::Form),
            ("/a b", BadTarget::Octet),
            ("/a\\b", BadTarget::Octet),
            ("/%00", BadTarget::Octet),
            ("/%", BadTarget::Octet),
            ("/%4", BadTarget::Octet),
            ("/%zz", BadTarget::Octet),
            ("/ä", BadTarget::Octet),
            ("/a?\u{7f}", BadTarget::Octet),
            ("/.", BadTarget::DotSegment),
            ("/..", BadTarget::DotSegment),
            ("/a/../b", BadTarget::DotSegment),
            ("/a/%2e%2E/b", BadTarget::DotSegment),
            ("/a/.%2e", BadTarget::DotSegment),
            ("/./a", BadTarget::DotSegment),
            ("/public/..;/admin", BadTarget::DotSegment),
            ("/a/%2e.;x=1/b", BadTarget::DotSegment),
            ("/public/..%2fadmin", BadTarget::DotSegment),
            ("/public/a%2F%2e%2e", BadTarget::DotSegment),
            ("/public%5c..%5Cadmin", BadTarget::DotSegment),
        ];
        for (target, expected) in rows {
            assert_eq!(Target::parse(target), Err(expected), "{target:?}");
        }
    }
}
