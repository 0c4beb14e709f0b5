//! What the Kubernetes provider makes of an API server that answers, and of one that fails.

mod challenges;
mod faults;
mod grants;
mod naming;
mod published;
mod stored;
pub(crate) mod stub;
mod watching;

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::object::ObjectKey;
use tidegate::provider::kube::{KubeProvider, Limits, Settings};
use tidegate::provider::{Class, Provider};
use tidegate::snapshot::Snapshot;
use tidegate::telemetry::metrics::{Build, Metrics};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::stub::Stub;

/// No wait of a test is longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn settings() -> Settings {
    Settings {
        class: Class { name: "tidegate".to_owned(), default: true, also: None },
        namespaces: Vec::new(),
        published_service: None,
        limits: Limits {
            patience: Duration::from_millis(300),
            first_patience: Duration::from_millis(300),
            ..Limits::default()
        },
    }
}

/// A provider on the stub, and the guard that ends it.
pub(crate) fn start(stub: &Stub, settings: &Settings) -> (KubeProvider, tokio_util::sync::DropGuard) {
    let cancel = CancellationToken::new();
    let metrics = Metrics::new(Build { version: "0", commit: "0" });
    let (provider, watchers) = KubeProvider::start(&stub.client(), settings, &metrics, &cancel);
    tokio::spawn(async move { watchers.run().await.expect("no watcher ends by itself") });
    (provider, cancel.drop_guard())
}

/// Waits for a snapshot that `holds`.
pub(crate) async fn snapshot(provider: &KubeProvider, holds: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let mut changes = provider.changes();
    let found = async {
        loop {
            changes.borrow_and_update();
            if let Some(snapshot) = provider.snapshot().filter(&holds) {
                return snapshot;
            }
            changes.changed().await.expect("the provider lives");
        }
    };
    timeout(LIMIT, found).await.expect("the snapshot comes in time")
}

pub(crate) fn key(name: &str) -> ObjectKey {
    ObjectKey::new("shop", name)
}

/// A Distribution `shop/NAME` with an alias of its name.
pub(crate) fn distribution(name: &str) -> Value {
    json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Distribution",
        "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-of-{name}"), "generation": 1},
        "spec": {
            "aliases": [format!("{name}.example.com")],
            "origins": [{"id": "app", "service": {"name": "app"}}],
            "defaultCacheBehavior": {"targetOriginId": "app"},
        },
    })
}

/// `object` with one value replaced.
pub(crate) fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    *object.pointer_mut(pointer).expect("the field is there") = value;
    object
}

pub(crate) fn service(name: &str) -> Value {
    json!({"metadata": {"namespace": "shop", "name": name, "uid": "s"}, "spec": {"ports": [{"port": 80}]}})
}
