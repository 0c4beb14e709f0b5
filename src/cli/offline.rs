//! Manifests translated with nothing running: what `explain --manifests` and `check` look at.

use std::path::PathBuf;

use crate::object::ObjectKey;
use crate::provider::Class;
use crate::provider::manifests::{Reading, Unreadable};
use crate::snapshot::FileProblem;
use crate::table::explain::{Explanation, Question, explain};
use crate::translate::{EndpointAddresses, Memory, Options, Translation, translate};

/// Where redirects to HTTPS lead by default.
const HTTPS: u16 = 443;

/// The Distributions of `name`, and those that name no class.
pub(super) fn class(name: &str) -> Class {
    Class { name: name.to_owned(), default: true }
}

/// What files say, and what would be served of it.
pub(super) struct Offline {
    reading: Reading,
    translation: Translation,
}

impl Offline {
    /// Reads and translates.
    pub(super) fn read(
        paths: &[PathBuf],
        class: &Class,
        default_certificate: Option<ObjectKey>,
    ) -> Result<Self, Unreadable> {
        let reading = Reading::of(paths)?;
        let options =
            Options { default_certificate, endpoint_addresses: EndpointAddresses::Standalone, zone: None };
        let translation = translate(&reading.snapshot(class), &options, Memory::default());
        Ok(Self { reading, translation })
    }

    /// What does not parse.
    pub(super) fn problems(&self) -> &[FileProblem] {
        self.reading.problems()
    }

    /// What a request would meet.
    pub(super) fn explain(&self, question: &Question) -> Explanation {
        let Translation { table, facts, .. } = &self.translation;
        explain(table, question, HTTPS).with_findings(|key| facts.told(key))
    }
}
