//! The file that a process keeps for its next life, in case the API server is away then.
//!
//! What is in it is the business of [`crate::snapshot::file`]; here it is written, and read where a start must do
//! without an API server. Both happen on threads for what blocks, so that neither reconciliation nor watchers wait.
//! Start at [`keep`] and [`KubeProvider::start_from`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use super::KubeProvider;
use crate::snapshot::file::{self, Unusable, Whose};
use crate::snapshot::{Keys, Snapshot};

/// From one writing to the next.
const PACE: Duration = Duration::from_secs(1);

/// How many times as long as it took to write nothing is written: in a big cluster where something always changes,
/// a twentieth of a core at most.
const REST: u32 = 19;

/// A file that is larger is neither written nor read; ten thousand Distributions with fifty thousand endpoints take
/// a tenth.
const MOST_BYTES: u64 = 512 * 1024 * 1024;

/// Where the last good configuration is kept.
#[derive(Clone, Debug)]
pub struct Store {
    /// The file. Beside it, with `.new` behind its name, the next one is written.
    pub path: PathBuf,
    /// Whose objects it holds.
    pub whose: Whose,
    /// Whether it holds keys.
    pub keys: Keys,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
enum Ignored {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("is larger than {MOST_BYTES} bytes")]
    TooLarge,
    #[error(transparent)]
    Unusable(#[from] Unusable),
}

/// Writes what rounds saw, newest wins, at most once a second; for ever, or until nobody hands on rounds any more.
pub async fn keep<R: AsRef<Arc<Snapshot>>>(store: Store, mut rounds: watch::Receiver<Option<R>>) {
    let store = Arc::new(store);
    let mut failing = false;
    rounds.mark_changed(); // what was found before we began counts, too
    while rounds.changed().await.is_ok() {
        let round = rounds.borrow_and_update().as_ref().map(|round| Arc::clone(round.as_ref()));
        // What comes out of the file is in it.
        let Some(snapshot) = round.filter(|snapshot| snapshot.stored.is_none()) else { continue };
        let (began, keeper) = (Instant::now(), Arc::clone(&store));
        let written = spawn_blocking(move || keeper.write(&snapshot)).await;
        let written = written.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        store.tell(&written, &mut failing);
        sleep(PACE.max(began.elapsed() * REST)).await;
    }
}

impl Store {
    /// Writes the file in place of the one before, which is there until the new one is complete.
    fn write(&self, snapshot: &Snapshot) -> io::Result<()> {
        let next = self.next();
        let written = self.write_next(&next, snapshot).and_then(|()| fs::rename(&next, &self.path));
        if written.is_err() {
            // In a volume in memory it would take the room of the next attempt.
            let _gone_or_never_there = fs::remove_file(&next);
        }
        written
    }

    fn write_next(&self, next: &Path, snapshot: &Snapshot) -> io::Result<()> {
        // One that a process left behind may have another mode.
        match fs::remove_file(next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(next)?;
        file::write(snapshot, Timestamp::now(), &self.whose, self.keys, BufWriter::new(&file))?;
        if file.metadata()?.len() > MOST_BYTES {
            return Err(io::Error::other(format!("it would be larger than {MOST_BYTES} bytes")));
        }
        file.sync_all()
    }

    fn next(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        name.into()
    }

    /// One line when it stops to work, and one when it works again.
    fn tell(&self, written: &io::Result<()>, failing: &mut bool) {
        let path = self.path.display();
        match written {
            Ok(()) if *failing => {
                tracing::info!(event = "snapshot.written", %path, "{path} is written again")
            }
            Err(error) if !*failing => {
                tracing::warn!(
                    event = "snapshot.unwritable", %path,
                    "cannot write {path}: {error}; a start without an API server would know an old \
                     configuration or none: correct the folder or --snapshot-path"
                );
            }
            Ok(()) | Err(_) => {}
        }
        *failing = written.is_err();
    }

    fn read(&self) -> Result<Snapshot, Ignored> {
        let mut file = File::open(&self.path)?.take(MOST_BYTES + 1);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if file.limit() == 0 {
            return Err(Ignored::TooLarge);
        }
        Ok(file::read(&bytes, &self.whose)?)
    }
}

impl KubeProvider {
    /// Waits until the API server has told everything. Where it has not within `patience`, shows what `store` holds
    /// until it has, and says so.
    pub async fn start_from(&self, store: Option<Store>, patience: Duration) {
        if timeout(patience, self.0.complete()).await.is_ok() {
            return;
        }
        let seconds = patience.as_secs();
        tracing::warn!(
            event = "start.waiting",
            "the API server has not told everything within {seconds} s; it is asked until it has"
        );
        if let Some(store) = store {
            self.show_stored(store).await;
        }
        self.0.complete().await;
        tracing::info!(event = "start.complete", "the API server has told everything: that is served now");
    }

    async fn show_stored(&self, store: Store) {
        let path = store.path.clone();
        let path = path.display();
        let read = spawn_blocking(move || store.read()).await;
        match read.unwrap_or_else(|panic| Err(Ignored::Unreadable(io::Error::other(panic)))) {
            Ok(snapshot) => {
                tell_restored(&path.to_string(), &snapshot);
                self.0.update(|inventory| inventory.show_stored(snapshot));
            }
            Err(error) => {
                tracing::warn!(event = "snapshot.ignored", %path, "{path} {error}; nothing is served from it");
            }
        }
    }
}

fn tell_restored(path: &str, snapshot: &Snapshot) {
    let Some(stored) = snapshot.stored else { return };
    let age = stored.age(Timestamp::now()).as_secs();
    let keys = match stored.keys {
        Keys::Kept => "",
        Keys::LeftOut => ", without keys and so not ready",
    };
    tracing::warn!(
        event = "snapshot.restored",
        path,
        saved = %stored.at,
        age_seconds = age,
        distributions = snapshot.distributions.len(),
        "serving the configuration of {age} s ago from {path}{keys}, until the API server has told everything"
    );
}
