//! Serves the YAML files of folders instead of a cluster: the same kinds, the same snapshot.
//!
//! The way of a change: [`watch`] wakes, [`folder`] lists and reads what is new, [`document`] parses it, [`catalog`]
//! makes one set of objects of it that keeps the last good version of what does not parse. All of that happens on
//! one thread of its own, since reading files blocks. It does not know what the objects mean. Start with
//! [`Manifests::open`].

mod catalog;
mod document;
mod folder;
mod reading;
mod schema;
mod watch;
mod yaml;

pub use self::reading::{Reading, Unreadable};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::{catalog::Catalog, document::parse};

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::watch::{self as signal, Receiver};
use tokio::time::Instant;

use self::watch::Watch;
use super::{Change, Class, Provider};
use crate::snapshot::Snapshot;

/// The provider that reads files. Dropping it ends its thread.
#[derive(Debug)]
pub struct Manifests {
    changes: Receiver<Change>,
    newest: Arc<ArcSwapOption<Snapshot>>,
    /// Only held: the thread ends when it is gone.
    _watch: Watch,
}

/// Why there is nothing to serve.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A path that does not exist or cannot be looked at.
    #[error("--manifests {path} cannot be read; name a YAML file or a folder of such files")]
    Path {
        /// The path as it was given.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The thread that reads files did not start.
    #[error("the thread that reads manifests did not start; allow the process more threads")]
    Thread(#[source] io::Error),
}

impl Manifests {
    /// Reads and watches these files and folders from now on, for the Distributions of `class`; returns at once, the
    /// first snapshot follows.
    ///
    /// # Errors
    /// A path that does not exist. What the files say is never an error here, but a problem in the snapshot.
    pub fn open(paths: Vec<PathBuf>, class: Class) -> Result<Self, OpenError> {
        for path in &paths {
            std::fs::metadata(path).map_err(|source| OpenError::Path { path: path.clone(), source })?;
        }
        let (changed, changes) = signal::channel(Change { at: Instant::now() });
        let newest = Arc::new(ArcSwapOption::empty());
        let publish = {
            let newest = Arc::clone(&newest);
            move |snapshot: Snapshot, at: Instant| {
                newest.store(Some(Arc::new(snapshot)));
                changed.send_replace(Change { at });
            }
        };
        let watch = Watch::start(paths, class, publish).map_err(OpenError::Thread)?;
        Ok(Self { changes, newest, _watch: watch })
    }
}

impl Provider for Manifests {
    fn changes(&self) -> Receiver<Change> {
        self.changes.clone()
    }

    fn snapshot(&self) -> Option<Snapshot> {
        self.newest.load_full().map(|snapshot| (*snapshot).clone())
    }
}
