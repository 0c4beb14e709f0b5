//! The thread that notices changes on the disk and reads them.
//!
//! The system's notifications wake it; a look at the files' stamps twice a second catches what they miss (network
//! file systems, links to elsewhere, a watch that could not be set up). It does not know who takes the snapshots.
//! Start with [`Watch::start`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Weak};
use std::time::Duration;
use std::{fs, io, thread};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::time::Instant;

use super::catalog::{Catalog, Files};
use super::document::{Document, parse};
use super::folder::{Listing, list};
use crate::provider::Class;
use crate::snapshot::{FileProblem, Snapshot};

/// How often the stamps are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long it must be quiet before files are read, since editors write in several steps.
const QUIET: Duration = Duration::from_millis(40);
/// How long a noisy folder can put off the reading.
const LONGEST_NOISE: Duration = Duration::from_millis(200);

/// The running thread; it ends soon after this is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    _interest: Arc<()>,
}

/// That something may have changed.
#[derive(Debug)]
struct Wake;

impl Watch {
    /// Reads the paths now and after each change, and hands every new snapshot to `publish`, with the time when its
    /// change was seen.
    pub(crate) fn start(
        paths: Vec<PathBuf>,
        class: Class,
        publish: impl FnMut(Snapshot, Instant) + Send + 'static,
    ) -> io::Result<Self> {
        let interest = Arc::new(());
        let interested = Arc::downgrade(&interest);
        thread::Builder::new().name("manifests".to_owned()).spawn(move || {
            // One waiting wake says all: whoever finds the queue full has been heard.
            let (wake, woken) = mpsc::sync_channel(1);
            let _notifications = notifications(&paths, wake);
            follow(State::new(paths, class), &woken, &interested, publish);
        })?;
        Ok(Self { _interest: interest })
    }
}

/// Asks the system to wake the thread. Where it cannot, the regular look remains.
fn notifications(paths: &[PathBuf], wake: SyncSender<Wake>) -> Option<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let read_only = event.is_ok_and(|event| event.kind.is_access());
        if !read_only {
            // A full queue has the message already, a closed one nobody who reads.
            let _ = wake.try_send(Wake);
        }
    })
    .inspect_err(
        |error| tracing::warn!(%error, "no notifications of changed manifests; looking twice a second"),
    )
    .ok()?;
    for path in paths {
        let (folder, mode) = if path.is_dir() {
            (path.as_path(), RecursiveMode::Recursive)
        } else {
            // A file is replaced by renaming another over it, which only its folder tells.
            (parent(path), RecursiveMode::NonRecursive)
        };
        if let Err(error) = watcher.watch(folder, mode) {
            tracing::warn!(%error, path = %folder.display(), "no notifications here; looking twice a second");
        }
    }
    Some(watcher)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads whenever something changed, until nobody is interested any more.
fn follow(
    mut state: State,
    woken: &Receiver<Wake>,
    interested: &Weak<()>,
    mut publish: impl FnMut(Snapshot, Instant),
) {
    let mut seen = Instant::now();
    let mut why = Why::Told;
    while interested.strong_count() > 0 {
        if let Some(snapshot) = state.look(why) {
            publish(snapshot, seen);
        }
        why = match woken.recv_timeout(LOOK) {
            Ok(Wake) => Why::Told,
            Err(RecvTimeoutError::Timeout) => Why::Routine,
            // There are no notifications here, so that the wait returns at once.
            Err(RecvTimeoutError::Disconnected) => {
                thread::park_timeout(LOOK);
                Why::Routine
            }
        };
        seen = Instant::now();
        if why == Why::Told {
            calm(woken);
        }
    }
}

/// Waits until nothing happened for a moment.
fn calm(woken: &Receiver<Wake>) {
    let latest = Instant::now() + LONGEST_NOISE;
    while Instant::now() < latest && woken.recv_timeout(QUIET).is_ok() {}
}

/// Why files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Something changed: everything is read, since stamps are too coarse for two writes in one moment.
    Told,
    /// The regular look, for which the stamps do.
    Routine,
}

/// What is read, and what was read last.
struct State {
    paths: Vec<PathBuf>,
    class: Class,
    listing: Option<Listing>,
    contents: BTreeMap<PathBuf, (Vec<u8>, Arc<[Document]>)>,
    files: Files,
    catalog: Catalog,
}

impl State {
    fn new(paths: Vec<PathBuf>, class: Class) -> Self {
        let (contents, files, catalog) = Default::default();
        Self { paths, class, listing: None, contents, files, catalog }
    }

    /// The snapshot of what stands on the disk now, where anything changed since the last look.
    fn look(&mut self, why: Why) -> Option<Snapshot> {
        let listing = list(&self.paths);
        if why == Why::Routine && self.listing.as_ref() == Some(&listing) {
            return None;
        }
        let files = self.read(&listing);
        let first = self.listing.replace(listing).is_none();
        if !first && are_same(&self.files, &files) {
            return None;
        }
        let next = self.catalog.next(&files);
        report(self.catalog.problems(), next.problems());
        tracing::info!(objects = next.len(), problems = next.problems().len(), "manifests read");
        (self.catalog, self.files) = (next, files);
        Some(self.catalog.snapshot(&self.class))
    }

    /// Reads what is listed, and parses what is not byte for byte as before.
    fn read(&mut self, listing: &Listing) -> Files {
        let mut files = Files::new();
        let mut before = std::mem::take(&mut self.contents);
        for path in listing.files.keys() {
            let bytes = match fs::read(path) {
                Ok(bytes) => bytes,
                // It went away since it was listed; the next look says so.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    files.insert(path.clone(), Err(format!("cannot be read: {error}")));
                    continue;
                }
            };
            let former = before.remove(path).filter(|(former, _)| *former == bytes);
            let documents = former.map_or_else(|| parse(&bytes).into(), |(_, documents)| documents);
            files.insert(path.clone(), Ok(Arc::clone(&documents)));
            self.contents.insert(path.clone(), (bytes, documents));
        }
        // What stands under a folder that cannot be listed now is kept as it was.
        for (unreadable, reason) in &listing.unreadable {
            for (path, (bytes, documents)) in before.iter().filter(|(path, _)| path.starts_with(unreadable)) {
                files.insert(path.clone(), Ok(Arc::clone(documents)));
                self.contents.insert(path.clone(), (bytes.clone(), Arc::clone(documents)));
            }
            files.insert(unreadable.clone(), Err(reason.clone()));
        }
        files
    }
}

/// Whether two readings are the same: unchanged bytes keep their parsed documents.
fn are_same(one: &Files, other: &Files) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|((path, one), (other_path, other))| {
            path == other_path
                && match (one, other) {
                    (Ok(one), Ok(other)) => Arc::ptr_eq(one, other),
                    (Err(one), Err(other)) => one == other,
                    _ => false,
                }
        })
}

/// Logs the problems that are new.
fn report(before: &[FileProblem], now: &[FileProblem]) {
    for problem in now.iter().filter(|problem| !before.contains(problem)) {
        let FileProblem { path, line, column, field, message } = problem;
        tracing::warn!(path = %path.display(), line, column, field, "manifest refused: {message}");
    }
}
