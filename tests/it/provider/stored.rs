//! A start without an API server, from the file that an earlier process kept.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate::provider::Provider;
use tidegate::provider::kube::{KubeProvider, Store, keep};
use tidegate::snapshot::file::{self, Whose};
use tidegate::snapshot::{Keys, Snapshot};
use tidegate::translate::{EndpointAddresses, Memory, Options, translate};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::stub::Stub;
use super::{LIMIT, distribution, key, service, settings, snapshot, start};

const PATIENCE: Duration = Duration::from_millis(100);

const KINDS: [&str; 5] = ["distributions", "services", "endpointslices", "secrets", "referencegrants"];

fn store(folder: &Path) -> Store {
    let whose = Whose {
        class_name: "tidegate".to_owned(),
        default_class: true,
        also_serve_class: None,
        namespaces: BTreeSet::new(),
    };
    Store { path: folder.join("snapshot"), whose, keys: Keys::Kept }
}

/// A stub with one Distribution and its Service.
fn stub() -> Stub {
    let stub = Stub::default();
    stub.put("distributions", distribution("web"));
    stub.put("services", service("app"));
    stub
}

/// Starts a provider that may do without the API server.
fn start_from(stub: &Stub, store: Store) -> (KubeProvider, tokio_util::sync::DropGuard) {
    let (provider, guard) = start(stub, &settings());
    let starting = provider.clone();
    tokio::spawn(async move { starting.start_from(Some(store), PATIENCE).await });
    (provider, guard)
}

/// What a finished round hands on.
struct Round(Arc<Snapshot>);

impl Round {
    fn of(snapshot: Snapshot) -> Option<Self> {
        Some(Self(Arc::new(snapshot)))
    }
}

impl AsRef<Arc<Snapshot>> for Round {
    fn as_ref(&self) -> &Arc<Snapshot> {
        &self.0
    }
}

/// Keeps what each round saw.
struct Keeper {
    rounds: watch::Sender<Option<Round>>,
    store: Store,
    _task: AbortOnDropHandle<()>,
}

impl Keeper {
    fn start(store: Store) -> Self {
        let (rounds, seen) = watch::channel(None);
        let task = AbortOnDropHandle::new(tokio::spawn(keep(store.clone(), seen)));
        Self { rounds, store, _task: task }
    }

    /// Hands on a round, and waits until it is in the file.
    async fn keeps(&self, round: Snapshot) {
        let expected = round.distributions.clone();
        self.rounds.send_replace(Round::of(round));
        let kept = async {
            loop {
                let read = fs::read(&self.store.path).ok();
                let read = read.and_then(|bytes| file::read(&bytes, &self.store.whose).ok());
                if read.is_some_and(|read| read.distributions == expected) {
                    return;
                }
                // Nothing announces what another thread writes.
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, kept).await.expect("it is kept in time");
    }
}

/// Has a first process see `stub` and keep it, before the API server goes away.
async fn live_once(stub: &Stub, store: &Store) -> Snapshot {
    let (provider, _guard) = start(stub, &settings());
    let live = snapshot(&provider, |it| !it.distributions.is_empty()).await;
    Keeper::start(store.clone()).keeps(live.clone()).await;
    KINDS.iter().for_each(|kind| stub.fail(kind, Some(503)));
    live
}

#[tokio::test]
async fn a_start_without_an_api_server_shows_what_was_kept_until_all_of_it_is_back() {
    let (folder, stub) = (tempfile::tempdir().unwrap(), stub());
    let store = store(folder.path());
    let live = live_once(&stub, &store).await;
    let (provider, _guard) = start_from(&stub, store);
    let stored = snapshot(&provider, |_| true).await;
    assert_eq!(stored.stored.map(|stored| stored.keys), Some(Keys::Kept));
    assert_eq!(stored.distributions, live.distributions);
    assert_eq!(stored.services, live.services);

    stub.put("distributions", distribution("blog"));
    let (last, others) = KINDS.split_last().unwrap();
    others.iter().for_each(|kind| stub.permit(kind));
    // Long enough for what is back to be listed, while one kind is not.
    let partly = timeout(Duration::from_secs(4), snapshot(&provider, |it| it.stored.is_none())).await;
    assert!(partly.is_err(), "nothing is shown before it is complete");
    stub.permit(last);
    let back = snapshot(&provider, |it| it.stored.is_none()).await;
    assert_eq!(back.distributions.keys().collect::<Vec<_>>(), [&key("blog"), &key("web")]);
}

#[tokio::test]
async fn an_api_server_that_says_the_same_as_the_file_changes_no_table() {
    let (folder, stub) = (tempfile::tempdir().unwrap(), stub());
    let store = store(folder.path());
    live_once(&stub, &store).await;
    let (provider, _guard) = start_from(&stub, store);
    let table = |snapshot: &Snapshot, memory: Memory| {
        let options = Options {
            default_certificate: None,
            base_domain: None,
            endpoint_addresses: EndpointAddresses::Cluster,
            zone: None,
            acme_unclaimed_hosts: false,
        };
        translate(snapshot, &options, memory)
    };
    let before = table(&snapshot(&provider, |it| it.stored.is_some()).await, Memory::default());
    KINDS.iter().for_each(|kind| stub.permit(kind));
    let after = table(&snapshot(&provider, |it| it.stored.is_none()).await, before.memory);
    assert_eq!(after.table, before.table);
}

#[tokio::test]
async fn a_start_that_hears_everything_in_time_takes_nothing_from_the_file() {
    let (folder, stub) = (tempfile::tempdir().unwrap(), stub());
    let store = store(folder.path());
    live_once(&stub, &store).await;
    KINDS.iter().for_each(|kind| stub.permit(kind));
    stub.delete("distributions", "shop/web");
    let (provider, _guard) = start(&stub, &settings());
    timeout(LIMIT, provider.start_from(Some(store), LIMIT)).await.expect("it starts in time");
    let live = provider.snapshot().expect("everything is there");
    assert!(live.stored.is_none() && live.distributions.is_empty());
}

#[tokio::test]
async fn a_file_that_is_not_ours_or_damaged_is_ignored_and_the_start_waits() {
    let (folder, stub) = (tempfile::tempdir().unwrap(), stub());
    let store = store(folder.path());
    live_once(&stub, &store).await;
    let good = fs::read(&store.path).unwrap();
    let narrower = Whose { namespaces: ["shop".to_owned()].into(), ..store.whose.clone() };
    let rows = [
        (good[..good.len() / 2].to_vec(), store.whose.clone()),
        (b"something else".to_vec(), store.whose.clone()),
        (good.clone(), narrower),
    ];
    for (bytes, whose) in rows {
        fs::write(&store.path, bytes).unwrap();
        let (provider, _guard) = start_from(&stub, Store { whose, ..store.clone() });
        let shown = timeout(PATIENCE * 8, snapshot(&provider, |_| true)).await;
        assert!(shown.is_err(), "nothing is shown of it");
    }
    fs::remove_file(&store.path).unwrap();
    let (provider, _guard) = start_from(&stub, store);
    KINDS.iter().for_each(|kind| stub.permit(kind));
    snapshot(&provider, |it| it.distributions.contains_key(&key("web"))).await;
}

#[tokio::test]
async fn the_file_is_for_its_owner_and_nothing_is_left_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let next = folder.path().join("snapshot.new");
    fs::write(&next, "what a process left that was killed").unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(0o644)).unwrap();
    let keeper = Keeper::start(store.clone());
    keeper.keeps(Snapshot::default()).await;
    assert_eq!(fs::metadata(&store.path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!next.exists());
}

#[tokio::test]
async fn what_comes_from_the_file_does_not_make_it_younger() {
    let (folder, stub) = (tempfile::tempdir().unwrap(), stub());
    let store = store(folder.path());
    let live = live_once(&stub, &store).await;
    let before = fs::read(&store.path).unwrap();
    let stored = file::read(&before, &store.whose).unwrap();
    let keeper = Keeper::start(store.clone());
    keeper.rounds.send_replace(Round::of(Snapshot { distributions: [].into(), ..stored }));
    sleep(PATIENCE).await;
    assert_eq!(fs::read(&store.path).unwrap(), before);
    keeper.keeps(live).await;
}
