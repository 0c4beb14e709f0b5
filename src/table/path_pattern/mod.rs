//! CloudFront's path patterns: `*` is any run of characters, `/` included, `?` is exactly one; case counts, the
//! query is not looked at (CloudFront Developer Guide, "Path pattern").
//!
//! A pattern that does not begin with `/` is read as if it did, so `images/*` is `/images/*`.

mod inclusion;
mod piece;

use std::fmt;

pub use inclusion::Steps;

/// A compiled path pattern.
///
/// Matching goes through the path once, whatever the pattern, and allocates nothing: what stands between two `*` may
/// be taken where it is first found, as the second of them takes whatever a later place would have left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: Box<str>,
    /// Where its first `*` is and where its last; none where it has none.
    stars: Option<(usize, usize)>,
}

impl PathPattern {
    /// Compiles a pattern of the API; its characters were validated with the object.
    pub fn new(pattern: &str) -> Self {
        let text: Box<str> =
            if pattern.starts_with('/') { pattern.into() } else { format!("/{pattern}").into() };
        let stars = text.find('*').zip(text.rfind('*'));
        Self { text, stars }
    }

    /// Whether the whole of `path` (no query, as sent) matches.
    pub fn matches(&self, path: &str) -> bool {
        self.unmet(path).is_none()
    }

    /// Why `path` does not match; none where it does.
    pub fn mismatch(&self, path: &str) -> Option<Mismatch> {
        let (place, piece) = self.unmet(path)?;
        let folded = Self::new(&self.text.to_ascii_lowercase());
        let only_case = folded.matches(&path.to_ascii_lowercase());
        Some(Mismatch { place, piece: String::from_utf8_lossy(piece).into_owned(), only_case })
    }

    /// The first of the pieces between the stars that `path` does not have in its place.
    fn unmet(&self, path: &str) -> Option<(Place, &[u8])> {
        let (pattern, path) = (self.text.as_bytes(), path.as_bytes());
        let Some((first_star, last_star)) = self.stars else {
            return (!piece::fits(pattern, path)).then_some((Place::Whole, pattern));
        };
        let (beginning, end) = (pattern.get(..first_star)?, pattern.get(last_star + 1..)?);
        let Some(rest) = piece::behind_beginning(beginning, path) else {
            return Some((Place::Beginning, beginning));
        };
        let Some(mut rest) = piece::before_end(end, rest) else {
            return Some((Place::End, end));
        };
        // Of a single star there is none.
        let middle = pattern.get(first_star + 1..last_star)?;
        for piece in middle.split(|byte| *byte == b'*') {
            let Some(behind) = piece::behind_first(piece, rest) else {
                return Some((Place::Middle, piece));
            };
            rest = behind;
        }
        None
    }
}

/// Why a path does not match, as the end of "does not match since ".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    place: Place,
    /// What is asked for there.
    piece: String,
    /// Whether it would in another case of letters.
    only_case: bool,
}

/// Where a piece of a pattern has to be in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It is the whole path: there is no `*`.
    Whole,
    /// Before the first `*`.
    Beginning,
    /// Behind the last one.
    End,
    /// Between two.
    Middle,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let piece = &self.piece;
        match self.place {
            Place::Whole => write!(f, "the path is not {piece}")?,
            Place::Beginning => write!(f, "the path does not begin with {piece}")?,
            Place::End => write!(f, "the path does not end with {piece}")?,
            Place::Middle => write!(f, "the path has no {piece} in between")?,
        }
        if self.only_case { f.write_str(", and case counts") } else { Ok(()) }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
/// Every word of these letters, up to a length.
fn words(letters: &[char], longest: usize) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut begin = 0;
    for _ in 0..longest {
        let end = words.len();
        for word in begin..end {
            words.extend(letters.iter().map(|letter| format!("{}{letter}", words[word])).collect::<Vec<_>>());
        }
        begin = end;
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            // Without a wildcard: that path alone, octet for octet.
            ("/api", "/api", true),
            ("/api", "/ap", false),
            ("/api", "/apis", false),
            ("/api", "//api", false),
            ("/api", "/x/api", false),
            ("api", "/api", true),
            ("api", "/api/", false),
            ("/a//b", "/a//b", true),
            ("/a//b", "/a/b", false),
            ("/a;v=1", "/a;v=1", true),
            ("/a;v=1", "/a", false),
            ("/a%20b", "/a%20b", true),
            ("/a%20b", "/a+b", false),
            ("/%2f", "/%2f", true),
            ("/%2f", "//", false),
            ("/$-_.+!", "/$-_.+!", true),
            ("/~user", "/~user", true),
            ("/Über", "/%C3%9Cber", false),
            // A star is any run, also none, also of slashes.
            ("/api*", "/api", true),
            ("/api*", "/apis/x", true),
            ("/api*", "/ap", false),
            ("/api/*/", "/api/v1/", true),
            ("/api/*/", "/api//", true),
            ("/api/*/", "/api/", false),
            ("/api/*/", "/api/v1/x", false),
            ("/*", "/", true),
            ("*", "/a/b?c", true),
            ("*/", "/", false),
            ("*/", "/a/", true),
            ("*/", "/a", false),
            ("*.jpg", "/.jpg", true),
            ("*.jpg", "/a.jpg/b", false),
            ("*.jpg", "/a.JPG", false),
            ("/*.jpg*", "/a.jpg/b", true),
            ("/a*a", "/aa", true),
            ("/a*a", "/a", false),
            ("/a*a*a", "/aaa", true),
            ("/a*a*a", "/aa", false),
            ("/*ab", "/aab", true),
            ("/*aab", "/aaab", true),
            ("/*abc*abd", "/abcabcabd", true),
            ("/*abc*abd", "/abdabc", false),
            ("/***a", "/a", true),
            ("/***a", "/b", false),
            // A question mark is exactly one character, whichever.
            ("/?", "/a", true),
            ("/?", "/", false),
            ("/?", "//", true),
            ("/?", "/ab", false),
            ("/a??", "/abc", true),
            ("/a??", "/ab", false),
            ("?a", "/ba", true),
            ("?a", "/a", false),
            ("/%2?", "/%2f", true),
            ("/v?/*", "/v1/x", true),
            ("/v?/*", "/v10/x", false),
            ("/*?", "/a", true),
            ("/*?", "/", false),
            ("/?*", "/abc", true),
            ("/?*", "/", false),
            ("/*.???", "/a.png", true),
            ("/*.???", "/a.jpeg", false),
        ];
        for (pattern, path, expected) in rows {
            assert_eq!(PathPattern::new(pattern).matches(path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn a_mismatch_names_what_is_missing() {
        let rows = [
            ("/api", "/api/", "the path is not /api"),
            ("/api/*", "/api", "the path does not begin with /api/"),
            ("/api/*", "/API/x", "the path does not begin with /api/, and case counts"),
            ("*.jpg", "/a.png", "the path does not end with .jpg"),
            ("/a*a", "/a", "the path does not end with a"),
            ("/*/v?/*.js", "/lib/w1/a.js", "the path has no /v?/ in between"),
        ];
        for (pattern, path, expected) in rows {
            let told = PathPattern::new(pattern).mismatch(path).map(|mismatch| mismatch.to_string());
            assert_eq!(told.as_deref(), Some(expected), "{pattern} on {path}");
        }
    }

    /// The definition, spelt out.
    fn is_match(pattern: &[u8], path: &[u8]) -> bool {
        match (pattern.split_first(), path.split_first()) {
            (None, _) => path.is_empty(),
            (Some((b'*', behind)), None) => is_match(behind, path),
            (Some((b'*', behind)), Some((_, rest))) => is_match(behind, path) || is_match(pattern, rest),
            (Some((wanted, behind)), Some((found, rest))) => {
                (*wanted == b'?' || wanted == found) && is_match(behind, rest)
            }
            (Some(_), None) => false,
        }
    }

    #[test]
    fn every_short_pattern_matches_what_the_definition_says() {
        for pattern in words(&['a', 'b', '?', '*'], 5) {
            let pattern = PathPattern::new(&format!("/{pattern}"));
            for path in words(&['a', 'b'], 5) {
                let path = format!("/{path}");
                let expected = is_match(pattern.text.as_bytes(), path.as_bytes());
                assert_eq!(pattern.matches(&path), expected, "{pattern} on {path}");
            }
        }
    }

    proptest! {
        #[test]
        fn so_does_every_longer_one(pattern in "/[ab?*]{0,12}", path in "/[ab]{0,24}") {
            let expected = is_match(pattern.as_bytes(), path.as_bytes());
            prop_assert_eq!(PathPattern::new(&pattern).matches(&path), expected);
        }
    }
}
