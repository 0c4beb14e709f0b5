//! What stands on the disk under the given paths: which manifest files, and their bytes.
//!
//! It blocks, so it runs on a thread of its own. It does not know what a manifest says. Start with [`list`].

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How deep folders are followed; deeper ones are a mistake or a loop.
const DEEPEST: usize = 16;

/// The manifest files under some paths, and the paths that could not be listed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Each file with what tells two states of it apart.
    pub(crate) files: BTreeMap<PathBuf, Stamp>,
    /// What could not be listed, with the reason.
    pub(crate) unreadable: BTreeMap<PathBuf, String>,
}

/// What tells two states of a file apart without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    identity: (u64, u64),
}

/// The `*.yaml` and `*.yml` under each path; a path that is a file counts whatever its name.
///
/// Names that begin with a dot are left out: editors keep their swap files there, and a mounted ConfigMap its
/// generations, which are reached through the plain names. Links to files are followed, links to folders are not.
pub(crate) fn list(paths: &[PathBuf]) -> Listing {
    let mut listing = Listing::default();
    for path in paths {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => walk(path, 0, &mut listing),
            Ok(metadata) => {
                listing.files.insert(path.clone(), Stamp::of(&metadata));
            }
            Err(error) => listing.refuse(path, &error),
        }
    }
    listing
}

fn walk(folder: &Path, depth: usize, listing: &mut Listing) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return listing.refuse(folder, &error),
    };
    for entry in entries {
        let path = match &entry {
            Ok(entry) => entry.path(),
            Err(error) => return listing.refuse(folder, error),
        };
        if path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        if is_folder && depth < DEEPEST {
            walk(&path, depth + 1, listing);
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => {
                    listing.files.insert(path, Stamp::of(&metadata));
                }
                Ok(_) => {}
                // It went away between the listing and now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => listing.refuse(&path, &error),
            }
        }
    }
}

impl Listing {
    fn refuse(&mut self, path: &Path, error: &io::Error) {
        self.unreadable.insert(path.to_owned(), format!("cannot be read: {error}"));
    }
}

impl Stamp {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let identity = (metadata.dev(), metadata.ino());
        Self { length: metadata.len(), modified: metadata.modified().ok(), identity }
    }

    #[cfg(not(unix))]
    fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), modified: metadata.modified().ok(), identity: (0, 0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listing: &Listing) -> Vec<&str> {
        listing.files.keys().filter_map(|path| path.file_name()?.to_str()).collect()
    }

    #[test]
    fn manifests_are_found_by_their_ending_in_all_folders_but_hidden_ones() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        for path in ["a.yaml", "b.yml", "sub/c.yaml", "notes.txt", ".hidden.yaml", "..data/d.yaml", "e.yaml~"]
        {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(path, "").expect("a file");
        }
        let listing = list(&[root.to_owned()]);
        assert_eq!(names(&listing), ["a.yaml", "b.yml", "c.yaml"]);
        assert!(listing.unreadable.is_empty());
    }

    #[test]
    fn a_path_that_is_a_file_counts_whatever_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("site.conf");
        fs::write(&path, "").expect("a file");
        assert_eq!(names(&list(&[path])), ["site.conf"]);
    }

    #[test]
    fn a_path_that_is_missing_is_named() {
        let missing = PathBuf::from("/nonexistent/manifests");
        assert!(list(std::slice::from_ref(&missing)).unreadable.contains_key(&missing));
    }

    #[cfg(unix)]
    #[test]
    fn a_mounted_config_map_is_read_through_its_links_and_its_swap_is_seen() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        for (generation, text) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(root.join(generation)).expect("a generation");
            fs::write(root.join(generation).join("a.yaml"), text).expect("a file");
        }
        symlink("..1", root.join("..data")).expect("a link");
        symlink("..data/a.yaml", root.join("a.yaml")).expect("a link");
        let before = list(&[root.to_owned()]);
        assert_eq!(names(&before), ["a.yaml"]);

        symlink("..2", root.join("..data_tmp")).expect("a link");
        fs::rename(root.join("..data_tmp"), root.join("..data")).expect("a swap");
        let after = list(&[root.to_owned()]);
        assert_eq!(names(&after), ["a.yaml"]);
        assert_ne!(before, after);
    }
}
