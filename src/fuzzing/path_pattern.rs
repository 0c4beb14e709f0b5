//! Path patterns, against a matcher so naive that it is plainly right.

use crate::table::path_pattern::PathPattern;

/// A pattern, and behind a line feed the path that it is held against.
///
/// # Panics
/// Where [`PathPattern`] and the naive matcher disagree.
pub fn path_pattern(input: &[u8]) {
    let Some((pattern, path)) = std::str::from_utf8(input).ok().and_then(|text| text.split_once('\n')) else {
        return;
    };
    // The naive one takes a table of all positions.
    if pattern.len() > 512 || path.len() > 512 {
        return;
    }
    let compiled = PathPattern::new(pattern);
    let rooted = if pattern.starts_with('/') { pattern.to_owned() } else { format!("/{pattern}") };
    assert_eq!(compiled.to_string(), rooted);
    assert_eq!(compiled.matches(path), matches(rooted.as_bytes(), path.as_bytes()), "{rooted:?} on {path:?}");
}

/// For each beginning of the pattern: which beginnings of the path it matches.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    let mut matched: Vec<bool> = vec![false; path.len() + 1];
    if let Some(nothing) = matched.first_mut() {
        *nothing = true;
    }
    for symbol in pattern {
        matched = match symbol {
            b'*' => {
                let mut any = false;
                let reach = |shorter: &bool| {
                    any |= *shorter;
                    any
                };
                matched.iter().map(reach).collect()
            }
            symbol => {
                let step = |(shorter, byte): (&bool, &u8)| *shorter && (*symbol == b'?' || symbol == byte);
                std::iter::once(false).chain(matched.iter().zip(path).map(step)).collect()
            }
        };
    }
    matched.last().is_some_and(|whole| *whole)
}
