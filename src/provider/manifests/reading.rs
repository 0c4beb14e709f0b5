//! Files read once, for commands that look at manifests and serve nothing.
//!
//! The documents are parsed and put together as for serving, but those of kinds that no folder may hold are left
//! out, since people keep their Deployments beside their Distributions. Start with [`Reading::of`].

use std::path::PathBuf;
use std::{fs, io};

use super::catalog::{Catalog, Files};
use super::document::{Of, parse};
use super::folder::list;
use crate::provider::Class;
use crate::snapshot::{FileProblem, Snapshot};

/// What stood in some files.
#[derive(Debug)]
pub struct Reading {
    catalog: Catalog,
}

/// A path that nothing can be read from.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be read; name a YAML file or a folder of such files")]
pub struct Unreadable {
    /// The path as it was given.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

impl Reading {
    /// Reads these files, and all manifests in these folders.
    ///
    /// # Errors
    /// A path that does not exist. What the files say is never an error here, but a problem.
    pub fn of(paths: &[PathBuf]) -> Result<Self, Unreadable> {
        for path in paths {
            fs::metadata(path).map_err(|source| Unreadable { path: path.clone(), source })?;
        }
        let listing = list(paths);
        let mut files = Files::new();
        for path in listing.files.keys() {
            let documents = fs::read(path)
                .map(|bytes| parse(&bytes).into_iter().filter(|document| document.of == Of::Ours).collect());
            files.insert(path.clone(), documents.map_err(|error| format!("cannot be read: {error}")));
        }
        let unreadable = listing.unreadable.into_iter();
        files.extend(unreadable.map(|(path, reason)| (path, Err(reason))));
        Ok(Self { catalog: Catalog::default().next(&files) })
    }

    /// The objects, of the Distributions those of `class`.
    pub fn snapshot(&self, class: &Class) -> Snapshot {
        self.catalog.snapshot(class)
    }

    /// What does not parse, in the order of path and line.
    pub fn problems(&self) -> &[FileProblem] {
        self.catalog.problems()
    }
}
