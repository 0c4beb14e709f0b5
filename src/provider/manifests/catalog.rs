//! All documents of all files as one set of objects, with the last good version of what does not parse.
//!
//! Pure: what was read before and what is read now go in, the next catalog comes out. It does not know of disks and
//! time. Start with [`Catalog::next`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::{Document, Identity, Object};
use super::schema::Flaw;
use super::yaml::Position;
use crate::object::ObjectKey;
use crate::provider::Class;
use crate::snapshot::{FileProblem, Snapshot};

/// What is known of each file: its documents, or why it could not be read.
pub(crate) type Files = BTreeMap<PathBuf, Result<Arc<[Document]>, String>>;

/// The objects that are served from a set of files.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    objects: BTreeMap<Identity, Object>,
    /// Which object each document of a file stands for, the kept ones included.
    places: BTreeMap<PathBuf, Vec<Option<Identity>>>,
    problems: Vec<FileProblem>,
}

impl Catalog {
    /// The catalog of these files, which keeps from this one what the files do not say properly any more.
    pub(crate) fn next(&self, files: &Files) -> Self {
        let mut building = Building { before: self, next: Self::default(), claims: BTreeMap::new() };
        building.take_good(files);
        building.keep_last_good(files);
        building.next.problems.sort();
        building.next
    }

    /// What does not parse, in the order of path and line.
    pub(crate) fn problems(&self) -> &[FileProblem] {
        &self.problems
    }

    /// How many objects are served.
    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    /// The objects and problems as translation sees them: of the Distributions those of our class.
    pub(crate) fn snapshot(&self, class: &Class) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for ((_, key), object) in &self.objects {
            let key: ObjectKey = key.clone();
            match object {
                Object::Distribution(it) if !class.serves(it.spec.class_name.as_deref()) => {}
                Object::Distribution(it) => drop(snapshot.distributions.insert(key, it.clone())),
                Object::Service(it) => drop(snapshot.services.insert(key, it.clone())),
                Object::EndpointSlice(it) => drop(snapshot.endpoint_slices.insert(key, it.clone())),
                Object::Secret(it) => drop(snapshot.secrets.insert(key, it.clone())),
                Object::ConfigMap(it) => drop(snapshot.config_maps.insert(key, it.clone())),
                Object::ReferenceGrant(it) => drop(snapshot.reference_grants.insert(key, it.clone())),
                Object::Challenge(it) => drop(snapshot.challenges.insert(key, it.clone())),
            }
        }
        snapshot.problems.files.clone_from(&self.problems);
        snapshot
    }
}

/// A catalog on its way.
struct Building<'a> {
    before: &'a Catalog,
    next: Catalog,
    /// Who says each object.
    claims: BTreeMap<Identity, (PathBuf, Position)>,
}

impl Building<'_> {
    /// Takes every document that parses; of two that name one object the first is taken.
    fn take_good(&mut self, files: &Files) {
        for (path, documents) in files {
            let documents: &[Document] = documents.as_deref().unwrap_or_default();
            let mut places = vec![None; documents.len()];
            for (place, document) in places.iter_mut().zip(documents) {
                let (Ok(object), Some(identity)) = (&document.object, &document.identity) else { continue };
                if let Some((other, position)) = self.claims.get(identity) {
                    let (kind, key) = identity;
                    let message = format!(
                        "{} {key} stands already in {} at line {}, which is served; remove one of the two",
                        kind.as_str(),
                        other.display(),
                        position.line
                    );
                    let flaw =
                        Flaw { position: document.position, field: "metadata.name".to_owned(), message };
                    self.report(path, &flaw, "");
                    continue;
                }
                self.claims.insert(identity.clone(), (path.clone(), document.position));
                self.serve(identity, object);
                *place = Some(identity.clone());
            }
            self.next.places.insert(path.clone(), places);
        }
    }

    /// Serves an object, the former one where both are equal, so that its pointer says "unchanged".
    fn serve(&mut self, identity: &Identity, object: &Object) {
        let former = self.before.objects.get(identity).filter(|former| *former == object);
        self.next.objects.insert(identity.clone(), former.unwrap_or(object).clone());
    }

    /// Reports every document that does not parse and keeps what it last said.
    fn keep_last_good(&mut self, files: &Files) {
        for (path, documents) in files {
            match documents {
                Ok(documents) => {
                    for (index, document) in documents.iter().enumerate() {
                        let Err(flaws) = &document.object else { continue };
                        let kept = self.keep(path, index, document.identity.as_ref());
                        let hidden = if document.ends_file { self.keep_behind(path, index + 1) } else { 0 };
                        for flaw in flaws {
                            self.report(path, flaw, meanwhile(usize::from(kept) + hidden));
                        }
                    }
                }
                Err(reason) => {
                    let kept = self.keep_behind(path, 0);
                    let flaw =
                        Flaw { position: Position::START, field: String::new(), message: reason.clone() };
                    self.report(path, &flaw, meanwhile(kept));
                }
            }
        }
    }

    /// Keeps what document `index` of a file last said: the object it names, else the one that stood in its place.
    fn keep(&mut self, path: &Path, index: usize, named: Option<&Identity>) -> bool {
        let stood = || self.before.places.get(path)?.get(index)?.as_ref();
        let Some(identity) = named.or_else(stood).cloned() else { return false };
        let Some(object) = self.before.objects.get(&identity) else { return false };
        if self.claims.contains_key(&identity) {
            return false;
        }
        self.claims.insert(identity.clone(), (path.to_owned(), Position::START));
        self.next.objects.insert(identity.clone(), object.clone());
        let places = self.next.places.entry(path.to_owned()).or_default();
        if places.len() <= index {
            places.resize(index + 1, None);
        }
        if let Some(place) = places.get_mut(index) {
            *place = Some(identity);
        }
        true
    }

    /// Keeps all that a file last said from document `first` on; says how many that are.
    fn keep_behind(&mut self, path: &Path, first: usize) -> usize {
        let stood = self.before.places.get(path).map_or(0, Vec::len);
        (first..stood).filter(|index| self.keep(path, *index, None)).count()
    }

    fn report(&mut self, path: &Path, flaw: &Flaw, meanwhile: &str) {
        self.next.problems.push(FileProblem {
            path: path.to_owned(),
            line: flaw.position.line,
            column: flaw.position.column,
            field: flaw.field.clone(),
            message: [flaw.message.as_str(), meanwhile].join(
                match (meanwhile, flaw.message.ends_with('?')) {
                    ("", _) => "",
                    (_, true) => " ",
                    (_, false) => "; ",
                },
            ),
        });
    }
}

/// What is served while a document does not parse.
fn meanwhile(kept: usize) -> &'static str {
    match kept {
        0 => "nothing of it is served",
        _ => "its last good version is served",
    }
}

#[cfg(test)]
mod tests;
