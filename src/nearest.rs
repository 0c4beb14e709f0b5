//! What somebody most likely meant who wrote a name that does not exist, for every "did you mean".
//!
//! It does not know what is named: fields, kinds, Services, Secrets and ports are all found with [`nearest`].

/// The most similar of `candidates`, where one is similar enough to be meant; the first of equally similar ones.
/// Letter case does not count.
pub(crate) fn nearest<'c>(wanted: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    const SIMILAR: f64 = 0.8;
    let wanted = wanted.to_lowercase();
    let mut best = None;
    let mut best_similarity = SIMILAR;
    for candidate in candidates {
        let similarity = strsim::jaro_winkler(&wanted, &candidate.to_lowercase());
        if similarity > best_similarity {
            (best, best_similarity) = (Some(candidate), similarity);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_and_a_suffix_are_similar_and_another_word_is_not() {
        let fields = ["aliases", "httpPort", "httpsPort", "originPath", "secretName"];
        let rows = [
            ("htpPort", Some("httpPort")),
            ("secretname", Some("secretName")),
            ("alias", Some("aliases")),
            ("nothingAlike", None),
            ("", None),
        ];
        for (wanted, expected) in rows {
            assert_eq!(nearest(wanted, fields.into_iter()), expected, "{wanted}");
        }
        assert_eq!(nearest("api-v2", ["api", "web"].into_iter()), Some("api"));
        assert_eq!(
            nearest("server", ["servers", "serverz"].into_iter()),
            Some("servers"),
            "the first of equals"
        );
    }
}
