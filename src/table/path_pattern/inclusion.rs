//! Whether every path that one pattern matches is matched by others together, too.
//!
//! Patterns are automata: a state is a place in a pattern, `*` loops, `?` takes any character. The pattern's own
//! states are followed one by one, those of the others all at once, as a set; a path that ends the pattern and none
//! of the others is a witness that something is left. A character that no pattern writes out stands for all such.
//! The answer is exact, but for a bound on the steps: whoever writes patterns to exceed it hears nothing of them.

use std::collections::{BTreeMap, BTreeSet};

use super::PathPattern;

/// The most places of the others that are looked at for one pattern; what people write takes some hundreds.
const MOST_STEPS: usize = 50_000;

/// Stands for every character that is not written out: a pattern cannot write it, and a path may have it.
const OTHER: u8 = b'*';

/// Places in the other patterns: which pattern, and where in it.
type Places = BTreeSet<(usize, usize)>;

impl PathPattern {
    /// Whether `others` leave nothing of what this pattern matches; also false where that takes too long to find out.
    pub fn is_covered_by(&self, others: &[&Self]) -> bool {
        let own = self.0.as_bytes();
        let others: Vec<&[u8]> = others.iter().map(|other| other.0.as_bytes()).collect();
        let beginning = others.iter().enumerate().map(|(which, _)| (which, 0));
        let mut open = vec![(0, settled(&others, beginning))];
        let mut seen: Vec<Vec<Places>> = vec![Vec::new(); own.len() + 1];
        let mut steps = 0;
        while let Some((at, places)) = open.pop() {
            if covers_the_rest(&others, &places) {
                continue;
            }
            let Some(before) = seen.get_mut(at) else { continue };
            // Fewer places cover less: what they left nothing of, more places do not either.
            if before.iter().any(|fewer| fewer.is_subset(&places)) {
                continue;
            }
            before.push(places.clone());
            if steps > MOST_STEPS {
                return false;
            }
            let waiting = open.len();
            match own.get(at) {
                None if !ends_one(&others, &places) => return false,
                None => {}
                Some(b'*') => {
                    open.push((at + 1, places.clone()));
                    let taken = characters(&others, &places);
                    open.extend(taken.map(|character| (at, after(&others, &places, character))));
                }
                Some(b'?') => {
                    let taken = characters(&others, &places);
                    open.extend(taken.map(|character| (at + 1, after(&others, &places, character))));
                }
                Some(character) => open.push((at + 1, after(&others, &places, *character))),
            }
            steps += (open.len() - waiting) * (places.len() + 1);
        }
        true
    }
}

/// The characters that lead to different places; the last is the one that leads to the fewest.
fn characters(others: &[&[u8]], places: &Places) -> impl Iterator<Item = u8> + use<> {
    let next = places.iter().filter_map(|(which, at)| others.get(*which)?.get(*at).copied());
    let written: BTreeSet<u8> = next.filter(|byte| !matches!(byte, b'*' | b'?')).collect();
    written.into_iter().chain([OTHER])
}

/// Where a character leads.
fn after(others: &[&[u8]], places: &Places, character: u8) -> Places {
    let next = places.iter().filter_map(|(which, at)| match others.get(*which)?.get(*at)? {
        b'*' => Some((*which, *at)),
        b'?' => Some((*which, at + 1)),
        written => (*written == character).then_some((*which, at + 1)),
    });
    settled(others, next)
}

/// These places, with those behind a `*`, which may stand for nothing, and without those in front of it, from which
/// nothing can be reached that is not reached from it.
fn settled(others: &[&[u8]], places: impl Iterator<Item = (usize, usize)>) -> Places {
    let mut settled = Places::new();
    for (which, mut at) in places {
        settled.insert((which, at));
        while others.get(which).and_then(|other| other.get(at)) == Some(&b'*') {
            at += 1;
            settled.insert((which, at));
        }
    }
    let mut stars: BTreeMap<usize, usize> = BTreeMap::new();
    // In order, so that the last one of each pattern stays.
    stars.extend(settled.iter().copied().filter(|(which, at)| is_star(others, *which, *at)));
    settled.retain(|(which, at)| stars.get(which).is_none_or(|star| at >= star));
    settled
}

fn is_star(others: &[&[u8]], which: usize, at: usize) -> bool {
    others.get(which).and_then(|other| other.get(at)) == Some(&b'*')
}

/// Whether one of the others takes whatever follows.
fn covers_the_rest(others: &[&[u8]], places: &Places) -> bool {
    places.iter().any(|(which, at)| is_star(others, *which, *at) && ends(others, *which, at + 1))
}

/// Whether a path may end here by one of the others.
fn ends_one(others: &[&[u8]], places: &Places) -> bool {
    places.iter().any(|(which, at)| ends(others, *which, *at))
}

fn ends(others: &[&[u8]], which: usize, at: usize) -> bool {
    others.get(which).is_some_and(|other| other.len() == at)
}

#[cfg(test)]
mod tests {
    use super::super::words;
    use super::*;

    fn covered(pattern: &str, others: &[&str]) -> bool {
        let others: Vec<PathPattern> = others.iter().map(|other| PathPattern::new(other)).collect();
        PathPattern::new(pattern).is_covered_by(&others.iter().collect::<Vec<_>>())
    }

    #[test]
    fn what_is_left_of_a_pattern_decides() {
        let rows: [(&str, &[&str], bool); 20] = [
            ("/api/v1/*", &["/api/*"], true),
            ("/api/*", &["/api/v1/*"], false),
            ("/api", &["/api/*"], false),
            ("/api/", &["/api/*"], true),
            ("/API/x", &["/api/*"], false),
            ("*.jpg", &["/images/*"], false),
            ("/images/*.jpg", &["/images/*"], true),
            ("/images/*.jpg", &["*.jpg"], true),
            ("*", &["/*"], true),
            ("/*", &["*"], true),
            ("/?*", &["/*?"], true),
            ("/*?", &["/?*"], true),
            ("/a?", &["/a*"], true),
            ("/a*", &["/a?"], false),
            ("/a*", &["/a", "/a?*"], true),
            ("/a*", &["/a", "/a??*"], false),
            ("/a*b*c", &["/*b*"], true),
            ("/a*b", &["/a*c", "/*d*"], false),
            ("/ab", &["/?b", "/a"], true),
            ("/x", &[], false),
        ];
        for (pattern, others, expected) in rows {
            assert_eq!(covered(pattern, others), expected, "{pattern} by {others:?}");
        }
    }

    #[test]
    fn it_agrees_with_all_short_paths() {
        let patterns: Vec<PathPattern> =
            words(&['a', '?', '*'], 3).iter().map(|word| PathPattern::new(&format!("/{word}"))).collect();
        let paths: Vec<String> = words(&['a', 'b'], 6).iter().map(|word| format!("/{word}")).collect();
        for pattern in &patterns {
            let own: Vec<&String> = paths.iter().filter(|path| pattern.matches(path)).collect();
            for (index, one) in patterns.iter().enumerate() {
                let left: Vec<_> = own.iter().filter(|path| !one.matches(path)).collect();
                for other in patterns.iter().skip(index) {
                    let expected = left.iter().all(|path| other.matches(path));
                    assert_eq!(
                        pattern.is_covered_by(&[one, other]),
                        expected,
                        "{pattern} by {one} and {other}"
                    );
                }
            }
        }
    }

    #[test]
    fn patterns_made_to_exhaust_it_end_soon() {
        // Each keeps many places open, whatever comes.
        let long: Vec<String> =
            (0..99).map(|n| format!("/*{}{}", "a?".repeat(50), "b".repeat(n + 1))).collect();
        let others: Vec<&str> = long.iter().map(String::as_str).collect();
        assert!(!covered("/*a*b*c*d?*", &others));
    }
}
