//! CloudFront's path patterns: `*` is any run of characters, `/` included, `?` is exactly one; case counts, the
//! query is not looked at (CloudFront Developer Guide, "Path pattern").
//!
//! A pattern that does not begin with `/` is read as if it did, so `images/*` is `/images/*`.

mod inclusion;

use std::fmt;

pub use inclusion::Steps;

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

    /// Why `path` does not match; none where it does.
    pub fn mismatch(&self, path: &str) -> Option<Mismatch> {
        let unmet = self.unmet(path)?;
        let folded = Self(self.0.to_ascii_lowercase().into());
        Some(Mismatch { unmet, only_case: folded.matches(&path.to_ascii_lowercase()) })
    }

    /// The first of the things that the pattern asks for and `path` does not have.
    fn unmet(&self, path: &str) -> Option<Unmet> {
        let text = |piece: &[u8]| String::from_utf8_lossy(piece).into_owned();
        let mut pieces: Vec<&[u8]> = self.0.as_bytes().split(|byte| *byte == b'*').collect();
        let path = path.as_bytes();
        let (first, last) = (pieces.remove(0), pieces.pop());
        let Some(last) = last else {
            return (!fits(first, path)).then(|| Unmet::Whole(self.to_string()));
        };
        let Some(mut rest) = behind_beginning(first, path) else {
            return Some(Unmet::Beginning(text(first)));
        };
        let before_end = rest.len().checked_sub(last.len()).and_then(|at| rest.split_at_checked(at));
        match before_end {
            Some((before, end)) if fits(last, end) => rest = before,
            _ => return Some(Unmet::End(text(last))),
        }
        for piece in pieces {
            match (0..=rest.len()).find_map(|at| behind_beginning(piece, rest.get(at..)?)) {
                Some(behind) => rest = behind,
                None => return Some(Unmet::Middle(text(piece))),
            }
        }
        None
    }
}

/// Whether a piece without `*` is like the whole of `bytes`.
fn fits(piece: &[u8], bytes: &[u8]) -> bool {
    piece.len() == bytes.len()
        && piece.iter().zip(bytes).all(|(wanted, found)| *wanted == b'?' || wanted == found)
}

/// What follows a piece without `*` at the beginning of `bytes`.
fn behind_beginning<'b>(piece: &[u8], bytes: &'b [u8]) -> Option<&'b [u8]> {
    let (beginning, behind) = bytes.split_at_checked(piece.len())?;
    fits(piece, beginning).then_some(behind)
}

/// Why a path does not match, as the end of "does not match since ".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    unmet: Unmet,
    /// Whether it would in another case of letters.
    only_case: bool,
}

/// What a pattern asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Unmet {
    /// The whole path, of a pattern without `*`.
    Whole(String),
    /// What stands before the first `*`.
    Beginning(String),
    /// What stands behind the last one.
    End(String),
    /// What stands between two.
    Middle(String),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.unmet {
            Unmet::Whole(whole) => write!(f, "the path is not {whole}")?,
            Unmet::Beginning(beginning) => write!(f, "the path does not begin with {beginning}")?,
            Unmet::End(end) => write!(f, "the path does not end with {end}")?,
            Unmet::Middle(piece) => write!(f, "the path has no {piece} in between")?,
        }
        if self.only_case { f.write_str(", and case counts") } else { Ok(()) }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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

    #[test]
    fn there_is_a_mismatch_exactly_where_there_is_no_match() {
        for pattern in words(&['a', 'b', '?', '*'], 5) {
            let pattern = PathPattern::new(&format!("/{pattern}"));
            for path in words(&['a', 'b'], 4) {
                let path = format!("/{path}");
                let matches = pattern.mismatch(&path).is_none();
                assert_eq!(matches, pattern.matches(&path), "{pattern} on {path}");
            }
        }
    }
}
