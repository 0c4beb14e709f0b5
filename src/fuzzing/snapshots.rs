//! The file of a snapshot: any bytes give a snapshot or a reason; what is read is written again as it was.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

use super::manifests::options;
use crate::snapshot::file::{Unusable, Whose, read, write};
use crate::translate::{Memory, translate};

/// A file as it is, and the same bytes as the content of a file whose digest fits, which no fuzzer finds.
///
/// # Panics
/// Where damaged bytes are taken, or what was read is not what is written again.
pub fn snapshots(input: &[u8]) {
    let ours = Whose {
        class_name: "tidegate".to_owned(),
        default_class: true,
        also_serve_class: None,
        namespaces: BTreeSet::new(),
    };
    check(input, &ours);
    let sealed = sealed(&[b"tidegate snapshot 1\n", input, b"\n"].concat());
    assert_ne!(check(&sealed, &ours), Some(Unusable::Damaged), "the digest fits");
    let cut = sealed.len() / 2;
    assert!(read(sealed.get(..cut).unwrap_or_default(), &ours).is_err(), "half a file");
}

/// Reads bytes; gives why that does not work.
fn check(bytes: &[u8], ours: &Whose) -> Option<Unusable> {
    let snapshot = match read(bytes, ours) {
        Ok(snapshot) => snapshot,
        Err(reason) => return Some(reason),
    };
    let translation = translate(&snapshot, &options(), Memory::default());
    assert!(snapshot.distributions.keys().eq(translation.facts.0.keys()), "one is not judged");
    let stored = snapshot.stored.expect("what is read is stored");
    let again = |snapshot| {
        let mut bytes = Vec::new();
        write(snapshot, stored.at, ours, stored.keys, &mut bytes).expect("memory takes everything");
        bytes
    };
    let once = again(&snapshot);
    let reread = read(&once, ours).expect("what was written can be read");
    assert_eq!(once, again(&reread), "another snapshot");
    let retranslation = translate(&reread, &options(), Memory::default());
    assert_eq!(translation.table, retranslation.table, "another table");
    None
}

fn sealed(digested: &[u8]) -> Vec<u8> {
    let mut last = "sha256 ".to_owned();
    for byte in digest(&SHA256, digested).as_ref() {
        write!(last, "{byte:02x}").expect("a text takes everything");
    }
    [digested, last.as_bytes(), b"\n"].concat()
}
