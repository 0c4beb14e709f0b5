//! Files read once, for commands that look at manifests and serve nothing.
//!
//! The documents are parsed and put together as for serving, but those of kinds that no folder may hold are left
//! out, since people keep their Deployments beside their Distributions. Start with [`Reading::of`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::catalog::{Catalog, Files};
use super::document::{Document, Object, Of, parse};
use super::folder::list;
use super::yaml::{self, Node};
use crate::object::ObjectKey;
use crate::provider::Class;
use crate::snapshot::{FileProblem, Snapshot};

/// What stood in some files.
#[derive(Debug)]
pub struct Reading {
    catalog: Catalog,
    /// Where each Distribution that parses stands, and its tree.
    distributions: BTreeMap<ObjectKey, (PathBuf, Node)>,
    /// The classes that they name.
    classes: BTreeSet<String>,
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
        let (catalog, distributions, classes) = Default::default();
        let mut reading = Self { catalog, distributions, classes };
        for path in listing.files.keys() {
            let documents = fs::read(path).map(|bytes| {
                let ours: Vec<_> =
                    parse(&bytes).into_iter().filter(|document| document.of == Of::Ours).collect();
                reading.remember(path, &bytes, &ours);
                ours.into()
            });
            files.insert(path.clone(), documents.map_err(|error| format!("cannot be read: {error}")));
        }
        let unreadable = listing.unreadable.into_iter();
        files.extend(unreadable.map(|(path, reason)| (path, Err(reason))));
        reading.catalog = Catalog::default().next(&files);
        Ok(reading)
    }

    /// Keeps where the Distributions of a file stand; of two of one name the first is the one that counts.
    fn remember(&mut self, path: &Path, bytes: &[u8], documents: &[Document]) {
        let trees: Vec<Node> = yaml::documents(bytes).into_iter().flatten().collect();
        for document in documents {
            let (Ok(Object::Distribution(object)), Some((_, key))) = (&document.object, &document.identity)
            else {
                continue;
            };
            self.classes.extend(object.spec.class_name.clone());
            if let Some(tree) = trees.iter().find(|tree| tree.position == document.position) {
                let place = || (path.to_owned(), tree.clone());
                self.distributions.entry(key.clone()).or_insert_with(place);
            }
        }
    }

    /// The objects, of the Distributions those of `class`.
    pub fn snapshot(&self, class: &Class) -> Snapshot {
        self.catalog.snapshot(class)
    }

    /// What does not parse, in the order of path and line.
    pub fn problems(&self) -> &[FileProblem] {
        self.catalog.problems()
    }

    /// The classes that Distributions name.
    pub fn classes(&self) -> &BTreeSet<String> {
        &self.classes
    }

    /// A message about a field of a Distribution, with the place where that stands.
    pub fn problem_of(&self, distribution: &ObjectKey, field: &str, message: &str) -> Option<FileProblem> {
        let (path, tree) = self.distributions.get(distribution)?;
        let position = tree.locate(field);
        Some(FileProblem {
            path: path.clone(),
            line: position.line,
            column: position.column,
            field: field.to_owned(),
            message: message.to_owned(),
        })
    }
}
