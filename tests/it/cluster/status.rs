//! Statuses on a real API server: what server-side apply keeps, replaces and removes, with the chart's rights.
//!
//! Provider, reconcile and status writer run in the process, without a data plane.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tidegate::api::Distribution;
use tidegate::conditions::roster::Roster;
use tidegate::provider::kube::{KubeProvider, Limits, Settings};
use tidegate::provider::{Class, Provider};
use tidegate::reconcile::{self, Publication, Reconciler, Round};
use tidegate::status::clock::Clock;
use tidegate::status::events;
use tidegate::status::leader::{self, Leadership};
use tidegate::status::writer::{self, Present, Writer};
use tidegate::telemetry::metrics::{Build, Metrics};
use tidegate::translate::{EndpointAddresses, Options};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::harness::Cluster;

const LIMIT: Duration = Duration::from_secs(30);

/// Observes, translates and writes statuses in the test's namespace until the guard is dropped.
async fn control(cluster: &Cluster) -> anyhow::Result<DropGuard> {
    let client = cluster.tidegate().await?;
    let stop = CancellationToken::new();
    let metrics = Metrics::new(Build { version: "0", commit: "0" });
    let settings = Settings {
        class: Class { name: "tidegate".to_owned(), default: true, also: None },
        namespaces: vec![cluster.namespace.clone()],
        published_service: None,
        limits: Limits::default(),
    };
    let (provider, watchers) = KubeProvider::start(&client, &settings, &metrics, &stop);
    tokio::spawn(async move { watchers.run().await.expect("no watcher ends by itself") });
    let (rounds, mut finished) = watch::channel::<Option<Round>>(None);
    let facts = watch::Sender::new(None);
    let roster = watch::Sender::new(Some(Arc::new(Roster::alone("alone"))));
    let (events, teller) = events::channel(&metrics, events::Limits::default());
    tokio::spawn(events::run(teller, client.clone(), alone(), "edge-1".to_owned(), stop.clone()));
    let writer = Writer {
        client,
        facts: facts.subscribe(),
        present: Present {
            changes: provider.status_changes(),
            read: Box::new({
                let provider = provider.clone();
                move || provider.statuses()
            }),
            load_balancer: Box::new(|| None),
        },
        roster: roster.subscribe(),
        leadership: alone(),
        events,
        clock: Timestamp::now,
        metrics: metrics.clone(),
        limits: writer::Limits::default(),
    };
    tokio::spawn(writer::run(writer, stop.clone()));
    tokio::spawn(async move {
        while finished.changed().await.is_ok() {
            facts.send_replace(finished.borrow_and_update().as_ref().map(|round| Arc::clone(&round.facts)));
        }
        drop(roster);
    });
    let reconciler = Reconciler {
        provider: Arc::new(provider) as Arc<dyn Provider>,
        options: Options {
            default_certificate: None,
            base_domain: None,
            endpoint_addresses: EndpointAddresses::Cluster,
            zone: None,
            acme_unclaimed_hosts: false,
        },
        publish: |_| Publication::Swapped,
        rounds,
        metrics: metrics.config(),
    };
    tokio::spawn(reconcile::run(reconciler, stop.clone()));
    Ok(stop.drop_guard())
}

/// Nobody else stands for election.
fn alone() -> Leadership {
    let (reins, leadership) = leader::channel(Clock::system());
    reins.hold("alone", Duration::MAX);
    leadership
}

fn distributions(cluster: &Cluster) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<Distribution>(&());
    Api::namespaced_with(cluster.admin.clone(), &cluster.namespace, &resource)
}

/// Creates a Distribution whose only origin is the Service of the same name.
async fn create(cluster: &Cluster, name: &str) -> anyhow::Result<DynamicObject> {
    let distribution = serde_json::from_value(json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Distribution", "metadata": {"name": name},
        "spec": {
            "aliases": [format!("{name}.{}.example.com", cluster.namespace)],
            "origins": [{"id": "app", "service": {"name": name}}],
            "defaultCacheBehavior": {"targetOriginId": "app"},
        },
    }))?;
    Ok(distributions(cluster).create(&PostParams::default(), &distribution).await?)
}

async fn create_service(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let service: Service =
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}))?;
    let services: Api<Service> = Api::namespaced(cluster.admin.clone(), &cluster.namespace);
    services.create(&PostParams::default(), &service).await?;
    Ok(())
}

/// Waits until the condition of a type reads `STATUS/REASON`, and returns the object.
async fn until(cluster: &Cluster, name: &str, of: &str, reads: &str) -> anyhow::Result<DynamicObject> {
    let reads_so = async {
        loop {
            let object = distributions(cluster).get(name).await?;
            let told =
                condition(&object, of).map(|it| format!("{}/{}", text(&it["status"]), text(&it["reason"])));
            if told.as_deref() == Some(reads) {
                return anyhow::Ok(object);
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, reads_so).await?
}

fn condition<'a>(object: &'a DynamicObject, of: &str) -> Option<&'a Value> {
    object.data["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == of)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_status_follows_its_objects_and_keeps_what_did_not_flip() -> anyhow::Result<()> {
    let cluster = Cluster::join("status").await?;
    let _control = control(&cluster).await?;
    let pending = create(&cluster, "web").await?;
    assert_eq!(condition(&pending, "Ready").map(|ready| text(&ready["reason"])), Some("Pending"));

    let waiting = until(&cluster, "web", "Ready", "False/BackendNotFound").await?;
    assert!(condition(&waiting, "Reconciling").is_some());
    create_service(&cluster, "web").await?;
    let ready = until(&cluster, "web", "Ready", "True/Ready").await?;
    assert!(condition(&ready, "Reconciling").is_none(), "apply removes what is no longer said");
    assert_eq!(ready.data["status"]["replicas"], "1/1");
    let time = |object, of| condition(object, of).map(|it| it["lastTransitionTime"].clone());
    assert_eq!(time(&waiting, "Accepted"), time(&ready, "Accepted"));

    let managers = ready.metadata.managed_fields.unwrap_or_default();
    let ours = managers.iter().filter(|entry| entry.subresource.as_deref() == Some("status"));
    let ours: Vec<_> = ours.filter_map(|entry| entry.manager.as_deref()).collect();
    assert_eq!(ours, ["tidegate"]);
    Ok(())
}

#[tokio::test]
async fn a_restart_writes_nothing() -> anyhow::Result<()> {
    let cluster = Cluster::join("status").await?;
    let control_plane = control(&cluster).await?;
    create(&cluster, "first").await?;
    let settled = until(&cluster, "first", "Ready", "False/BackendNotFound").await?;
    drop(control_plane);

    let _restarted = control(&cluster).await?;
    create(&cluster, "second").await?;
    until(&cluster, "second", "Ready", "False/BackendNotFound").await?;
    let untouched = distributions(&cluster).get("first").await?;
    assert_eq!(untouched.metadata.resource_version, settled.metadata.resource_version);
    Ok(())
}

#[tokio::test]
async fn a_status_that_somebody_overwrote_is_put_right() -> anyhow::Result<()> {
    let cluster = Cluster::join("status").await?;
    let _control = control(&cluster).await?;
    create(&cluster, "web").await?;
    until(&cluster, "web", "Ready", "False/BackendNotFound").await?;
    let wrong = Patch::Merge(json!({"status": {"replicas": "0/9"}}));
    distributions(&cluster).patch_status("web", &PatchParams::default(), &wrong).await?;
    let right = async {
        while distributions(&cluster).get("web").await?.data["status"]["replicas"] != "1/1" {
            sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    timeout(LIMIT, right).await?
}

/// `TYPE REASON COUNT` of each Event about a Distribution, as `kubectl describe` lists them.
async fn events_of(cluster: &Cluster, name: &str) -> anyhow::Result<Vec<String>> {
    let selector = format!("--field-selector=involvedObject.kind=Distribution,involvedObject.name={name}");
    let listed = cluster.kubectl(&["get", "events.v1.", &selector, "--output=json"]).await?;
    let listed: Value = serde_json::from_str(&listed)?;
    let events = listed["items"].as_array().cloned().unwrap_or_default();
    let count = |event: &Value| event["series"]["count"].as_i64().or(event["count"].as_i64()).unwrap_or(1);
    let mut told: Vec<String> = events
        .iter()
        .map(|event| format!("{} {} {}", text(&event["type"]), text(&event["reason"]), count(event)))
        .collect();
    told.sort();
    Ok(told)
}

#[tokio::test]
async fn an_event_that_repeats_is_shown_once_with_its_count() -> anyhow::Result<()> {
    let cluster = Cluster::join("events").await?;
    let _control = control(&cluster).await?;
    create(&cluster, "web").await?;
    let services: Api<Service> = Api::namespaced(cluster.admin.clone(), &cluster.namespace);
    for _ in 0..3 {
        until(&cluster, "web", "Ready", "False/BackendNotFound").await?;
        create_service(&cluster, "web").await?;
        until(&cluster, "web", "Ready", "True/Ready").await?;
        services.delete("web", &DeleteParams::default()).await?;
    }
    until(&cluster, "web", "Ready", "False/BackendNotFound").await?;
    let expected = ["Normal Ready 3", "Normal ResolvedRefs 3", "Warning BackendNotFound 4"];
    let told = async {
        loop {
            let told = events_of(&cluster, "web").await?;
            let is = |of: &&str| told.iter().any(|told| told == of);
            if expected.iter().all(is) {
                return anyhow::Ok(told);
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let told = timeout(LIMIT, told).await??;
    let others: Vec<_> = told.iter().filter(|told| !expected.contains(&told.as_str())).collect();
    assert!(others.iter().all(|told| told.contains(" NoEndpoints ")), "{told:?}");
    let described = cluster.kubectl(&["describe", "dist/web"]).await?;
    assert!(described.contains("BackendNotFound") && described.contains("x4 over"), "{described}");
    Ok(())
}
