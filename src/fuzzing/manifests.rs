//! Manifests, from the bytes of a file to the routing table: nothing panics, and what is wrong is said.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::provider::Class;
use crate::provider::manifests::{Catalog, parse};
use crate::snapshot::Snapshot;
use crate::translate::{EndpointAddresses, Memory, Options, translate};

/// A file of a folder that is served.
///
/// # Panics
/// Where a document is neither an object nor a flaw, a Distribution is not judged, or the same file gives two
/// tables.
pub fn manifests(input: &[u8]) {
    let documents = parse(input);
    for (index, document) in documents.iter().enumerate() {
        if let Err(flaws) = &document.object {
            assert!(!flaws.is_empty(), "neither an object nor what is wrong with it");
        }
        assert!(!document.ends_file || index + 1 == documents.len(), "documents behind the end of the file");
    }
    let snapshot = snapshot(input);
    let first = translate(&snapshot, &options(), Memory::default());
    assert!(snapshot.distributions.keys().eq(first.facts.0.keys()), "one is not judged");
    let second = translate(&self::snapshot(input), &options(), Memory::default());
    assert_eq!(first.table, second.table, "equal objects, another table");
    let again = translate(&snapshot, &options(), first.memory);
    assert_eq!(again.table, first.table, "the same objects, another table");
    assert_eq!(again.rebuilt, 0, "nothing has changed");
}

/// The objects of one file.
pub(super) fn snapshot(input: &[u8]) -> Snapshot {
    let files = BTreeMap::from([(PathBuf::from("file.yaml"), Ok(Arc::from(parse(input))))]);
    let class = Class { name: "tidegate".to_owned(), default: true, also: None };
    Catalog::default().next(&files).snapshot(&class)
}

/// Those of a proxy beside its origins.
pub(super) fn options() -> Options {
    Options {
        default_certificate: None,
        base_domain: None,
        endpoint_addresses: EndpointAddresses::Standalone,
        zone: None,
        acme_unclaimed_hosts: false,
    }
}
