//! What is fuzzed: one function a target, which takes bytes and asserts what must hold of them.
//!
//! libFuzzer drives them from `fuzz/main.rs`; the unit tests replay the inputs that are kept under `fuzz/corpus`.
//! Each target holds the product against something simpler that was written from the same rules and does not share
//! its code: not panicking is not enough.
//! The one to read first is [`requests`], whole connections.

mod frames;
mod headers;
mod host;
mod manifests;
mod path_pattern;
mod proxy_header;
mod requests;
mod response;
mod snapshots;
mod target;

pub use self::frames::frames;
pub use self::headers::headers;
pub use self::host::host;
pub use self::manifests::manifests;
pub use self::path_pattern::path_pattern;
pub use self::proxy_header::proxy_header;
pub use self::requests::requests;
pub use self::response::response;
pub use self::snapshots::snapshots;
pub use self::target::target;

/// A target: it takes any bytes, and panics where something does not hold.
pub type Target = fn(&[u8]);

/// Every target, by its name: that of its folder in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 10] = [
    ("frames", frames),
    ("headers", headers),
    ("host", host),
    ("manifests", manifests),
    ("path_pattern", path_pattern),
    ("proxy_header", proxy_header),
    ("requests", requests),
    ("response", response),
    ("snapshots", snapshots),
    ("target", target),
];

/// Slices whose lengths go up and down with `seed`.
fn cuts(mut stream: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut slices = Vec::new();
    let mut length = usize::from(seed);
    while !stream.is_empty() {
        length = (length * 7 + 3) % 23;
        let (slice, rest) = stream.split_at(length.min(stream.len()));
        slices.push(slice);
        stream = rest;
    }
    slices
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn listed(folder: &str) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder);
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    fn names(paths: &[PathBuf]) -> BTreeSet<String> {
        paths.iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn every_kept_input_holds() {
        for (name, target) in TARGETS {
            let inputs = listed(&format!("corpus/{name}"));
            assert!(inputs.len() >= 10, "{name} has hardly any input");
            for input in inputs {
                let bytes = fs::read(&input).unwrap();
                let shown = input.display().to_string();
                assert!(std::panic::catch_unwind(|| target(&bytes)).is_ok(), "{shown}");
            }
        }
    }

    #[test]
    fn every_target_has_a_corpus_and_all_of_them_are_small() {
        let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let corpora = listed("corpus");
        assert_eq!(names(&corpora), targets);
        let inputs = corpora.iter().flat_map(|corpus| fs::read_dir(corpus).unwrap());
        let bytes: u64 = inputs.map(|input| input.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes < 1024 * 1024, "the corpus has grown to {bytes} bytes: minimise it");
    }
}
