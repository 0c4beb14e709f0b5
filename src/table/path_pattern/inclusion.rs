//! Whether every path that one pattern matches is matched by others together, too.
//!
//! Patterns are automata: a state is a place in a pattern, `*` loops, `?` takes any character. The pattern's own
//! states are followed one by one, those of the others all at once, as a set; a path that ends the pattern and none
//! of the others is a witness that something is left. A character that no pattern writes out stands for all such.
//! The answer is exact, but for a bound on the steps, which the asker sets for all its questions together: whoever
//! writes patterns to exceed it hears nothing of them.

use std::collections::{BTreeMap, BTreeSet};

use super::PathPattern;

/// Stands for every character that is not written out: a pattern cannot write it, and a path may have it.
const OTHER: u8 = b'*';

/// What a set of places takes beside its places, in steps.
const SET: usize = 2;

/// Places in the other patterns: which pattern, and where in it.
type Places = BTreeSet<(usize, usize)>;

/// How many places of patterns may still be looked at or compared, before no answer is worth it.
#[derive(Debug)]
pub struct Steps(usize);

impl Steps {
    /// This many, for all questions that they are lent to.
    pub fn new(most: usize) -> Self {
        Self(most)
    }

    /// Takes so many before they are made; none, from then on for good, where so many are not left.
    fn take(&mut self, steps: usize) -> Option<()> {
        let left = self.0.checked_sub(steps);
        self.0 = left.unwrap_or_default();
        left.map(drop)
    }
}

impl PathPattern {
    /// Whether `others` leave nothing of what this pattern matches; also false where `steps` do not suffice to find
    /// out.
    pub fn is_covered_by(&self, others: &[&Self], steps: &mut Steps) -> bool {
        self.covered(others, steps).unwrap_or(false)
    }

    /// The same, with none for not found out.
    fn covered(&self, others: &[&Self], steps: &mut Steps) -> Option<bool> {
        steps.take(SET + self.text.len() / 8 + 2 * others.len())?;
        let own = self.with_single_stars();
        let others: Vec<Vec<u8>> = others
            .iter()
            .filter(|other| begin_alike(self.text.as_bytes(), other.text.as_bytes()))
            .map(|other| other.with_single_stars())
            .collect();
        let beginning = others.iter().enumerate().map(|(which, _)| (which, 0));
        let mut open = vec![(0, settled(&others, beginning))];
        let mut seen: Vec<Vec<Places>> = vec![Vec::new(); own.len() + 1];
        while let Some((at, places)) = open.pop() {
            if covers_the_rest(&others, &places) {
                continue;
            }
            let Some(before) = seen.get_mut(at) else { continue };
            if has_fewer(before, &places, steps)? {
                continue;
            }
            let Some(wanted) = own.get(at) else {
                if ends_one(&others, &places) {
                    continue;
                }
                return Some(false);
            };
            let taken = match wanted {
                b'*' | b'?' => characters(&others, &places),
                written => vec![*written],
            };
            steps.take((taken.len() + 1) * (places.len() + SET))?;
            let next = if *wanted == b'*' { at } else { at + 1 };
            open.extend(taken.into_iter().map(|character| (next, after(&others, &places, character))));
            if *wanted == b'*' {
                // Looked at first: what is left is found soonest at the end.
                open.push((at + 1, places.clone()));
            }
            before.push(places);
        }
        Some(true)
    }

    /// The pattern without a `*` behind another, which changes nothing; a step is then never more than one of them.
    fn with_single_stars(&self) -> Vec<u8> {
        let mut bytes = self.text.as_bytes().to_vec();
        bytes.dedup_by(|byte, before| *byte == b'*' && *before == b'*');
        bytes
    }
}

/// Whether two patterns are the same as far as both are written out; if not, no path matches both.
fn begin_alike(one: &[u8], other: &[u8]) -> bool {
    let is_written = |byte: &u8| !matches!(byte, b'*' | b'?');
    let mut written = one.iter().zip(other).take_while(|(one, other)| is_written(one) && is_written(other));
    written.all(|(one, other)| one == other)
}

/// Whether these places or fewer were here before: fewer cover less, so what they left nothing of, more do not either.
fn has_fewer(before: &[Places], places: &Places, steps: &mut Steps) -> Option<bool> {
    for fewer in before {
        steps.take(if fewer.len() > places.len() { 1 } else { places.len() + 1 })?;
        if fewer.is_subset(places) {
            return Some(true);
        }
    }
    Some(false)
}

/// The characters that lead to different places; the last is the one that leads to the fewest.
fn characters(others: &[Vec<u8>], places: &Places) -> Vec<u8> {
    let next = places.iter().filter_map(|(which, at)| others.get(*which)?.get(*at).copied());
    let written: BTreeSet<u8> = next.filter(|byte| !matches!(byte, b'*' | b'?')).collect();
    written.into_iter().chain([OTHER]).collect()
}

/// Where a character leads.
fn after(others: &[Vec<u8>], places: &Places, character: u8) -> Places {
    let next = places.iter().filter_map(|(which, at)| match others.get(*which)?.get(*at)? {
        b'*' => Some((*which, *at)),
        b'?' => Some((*which, at + 1)),
        written => (*written == character).then_some((*which, at + 1)),
    });
    settled(others, next)
}

/// These places, with those behind a `*`, which may stand for nothing, and without those in front of it, from which
/// nothing can be reached that is not reached from it.
fn settled(others: &[Vec<u8>], places: impl Iterator<Item = (usize, usize)>) -> Places {
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

fn is_star(others: &[Vec<u8>], which: usize, at: usize) -> bool {
    others.get(which).and_then(|other| other.get(at)) == Some(&b'*')
}

/// Whether one of the others takes whatever follows.
fn covers_the_rest(others: &[Vec<u8>], places: &Places) -> bool {
    places.iter().any(|(which, at)| is_star(others, *which, *at) && ends(others, *which, at + 1))
}

/// Whether a path may end here by one of the others.
fn ends_one(others: &[Vec<u8>], places: &Places) -> bool {
    places.iter().any(|(which, at)| ends(others, *which, *at))
}

fn ends(others: &[Vec<u8>], which: usize, at: usize) -> bool {
    others.get(which).is_some_and(|other| other.len() == at)
}

#[cfg(test)]
mod tests {
    use super::super::words;
    use super::*;

    fn plenty() -> Steps {
        Steps::new(50_000)
    }

    fn covered(pattern: &str, others: &[&str]) -> bool {
        let others: Vec<PathPattern> = others.iter().map(|other| PathPattern::new(other)).collect();
        PathPattern::new(pattern).is_covered_by(&others.iter().collect::<Vec<_>>(), &mut plenty())
    }

    #[test]
    fn what_is_left_of_a_pattern_decides() {
        let rows: [(&str, &[&str], bool); 22] = [
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
            ("/a**b", &["/a*b"], true),
            ("/a*b", &["/a***?b", "/ab"], true),
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
                        pattern.is_covered_by(&[one, other], &mut plenty()),
                        expected,
                        "{pattern} by {one} and {other}"
                    );
                }
            }
        }
    }

    #[test]
    fn patterns_made_to_exhaust_it_end_with_the_steps() {
        // The places stay many, whatever comes, and hardly two sets of them are the same.
        let narrow = PathPattern::new("/*b????????????????????*??*a*b*??*a*");
        let within = PathPattern::new("/*ab*ab**ab*b*a?ab?*ab*ab*ab*b*ab*aba*aa?*abba?*abb");
        let mut steps = plenty();
        assert!(!within.is_covered_by(&[&narrow], &mut steps));
        assert!(!within.is_covered_by(&[&PathPattern::new("/*")], &mut steps), "none are left");
    }

    #[test]
    fn to_compare_places_takes_steps_too() {
        let (one, two) = (Places::from([(0, 1)]), Places::from([(0, 1), (0, 2)]));
        let mut steps = Steps::new(10);
        let before = vec![two.clone(), Places::from([(0, 3), (0, 4), (0, 5)]), Places::from([(0, 7)])];
        assert_eq!(has_fewer(&before, &one, &mut steps), Some(false), "1, 1 and 2 steps");
        assert_eq!(has_fewer(&[one], &two, &mut steps), Some(true), "3 steps");
        assert_eq!(steps.0, 3);
        assert_eq!(has_fewer(&before, &two, &mut steps), Some(true), "3 steps");
        assert_eq!(has_fewer(&before, &two, &mut steps), None);
    }
}
