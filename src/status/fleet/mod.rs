//! The fleet: each replica tells the others in a Lease of its own that it lives and what it has judged.
//!
//! A replica joins with its first table, renews its Lease every [`Limits::renew`], tells of a change at once, and
//! leaves when the process does. All of them watch the Leases, so whoever leads next knows the same.
//! Start at [`run`]; who counts as gone or behind is judged in `peers`.

mod peers;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::peers::Peers;
use super::apply::FIELD_MANAGER;
use super::clock::Clock;
use super::leader::Leadership;
use super::replica::{Replica, name_of};
use crate::conditions::digest::Digest;
use crate::conditions::facts::Facts;
use crate::conditions::roster::Roster;
use crate::drain::Drain;

/// The label of a fleet's Leases; its value is the class.
const FLEET: &str = "tidegate.io/fleet";
/// The annotation with what a replica has judged.
const DIGEST: &str = "tidegate.io/digest";

/// The waits of a fleet; tests shrink them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From one renewal to the next.
    pub renew: Duration,
    /// A replica that has not renewed for so long is gone.
    pub gone: Duration,
    /// A replica that has not judged for so long what we have is behind.
    pub lagging: Duration,
    /// How long changes gather before the others are told.
    pub debounce: Duration,
    /// How long a request may take.
    pub call: Duration,
    /// From a failure to the next attempt.
    pub retry: Duration,
    /// How long a watch request may live, in seconds.
    pub watch_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            renew: Duration::from_secs(5),
            gone: Duration::from_secs(15),
            lagging: Duration::from_secs(10),
            debounce: Duration::from_millis(200),
            call: Duration::from_secs(4),
            retry: Duration::from_secs(1),
            watch_seconds: 45,
        }
    }
}

/// A replica as a member of its fleet.
pub struct Member {
    /// Asks the API server.
    pub client: Client,
    /// Who we are.
    pub replica: Replica,
    /// What all of the fleet serve.
    pub class: String,
    /// The facts, newest wins; none before the first table.
    pub facts: watch::Receiver<Option<Arc<Facts>>>,
    /// Where the live replicas are told; none before they have been listed.
    pub roster: watch::Sender<Option<Arc<Roster>>>,
    /// Who leads, to tell it with the others.
    pub leadership: Leadership,
    /// The time.
    pub clock: Clock,
    /// The waits.
    pub limits: Limits,
}

/// Takes part in the fleet until the process leaves.
pub async fn run(member: Member, mut drain: Drain) {
    let Member { client, replica, class, facts, roster, leadership, clock, limits } = member;
    let api = Api::namespaced(client, &replica.namespace);
    let (judged, follow_judged) = watch::channel(None);
    let view =
        View { api: api.clone(), class: class.clone(), roster, leadership, clock: clock.clone(), limits };
    let own = Own { api, replica, class, clock, limits, told: Told::default() };
    let own_name = own.replica.name.clone();
    tokio::select! {
        () = own.tell(facts, judged, &mut drain) => {}
        never = view.follow(Peers::new(own_name, limits), follow_judged) => match never {},
    }
}

/// What this replica tells of itself.
struct Own {
    api: Api<Lease>,
    replica: Replica,
    class: String,
    clock: Clock,
    limits: Limits,
    told: Told,
}

impl Own {
    /// Tells from the first table on, until the process leaves; then that it is gone.
    async fn tell(
        mut self,
        mut facts: watch::Receiver<Option<Arc<Facts>>>,
        judged: watch::Sender<Option<Digest>>,
        drain: &mut Drain,
    ) {
        tokio::select! {
            first = facts.wait_for(Option::is_some) => if first.is_err() { return },
            _ = drain.leaving() => return,
        }
        loop {
            let digest = facts.borrow_and_update().as_deref().map(Digest::of);
            judged.send_replace(digest.clone());
            // Not cut short when the process leaves: a renewal on its way must not come after the farewell.
            let renewed = self.limited(self.renew(digest.as_ref())).await;
            let next = if renewed.is_ok() { self.limits.renew } else { self.limits.retry };
            self.told.result("the fleet is not told of this replica", renewed);
            tokio::select! {
                () = sleep(next) => {}
                () = another(&mut facts, digest.as_ref(), self.limits.debounce) => {}
                _ = drain.leaving() => break,
            }
        }
        let name = &self.replica.name;
        if let Err(error) = self.limited(self.api.delete(name, &DeleteParams::default())).await {
            tracing::debug!(error, "the fleet was not told that this replica leaves");
        }
    }

    async fn renew(&self, digest: Option<&Digest>) -> kube::Result<Lease> {
        let lease = self.lease(digest);
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        self.api.patch(&self.replica.name, &parameters, &Patch::Apply(&lease)).await
    }

    fn lease(&self, digest: Option<&Digest>) -> Value {
        let owners: Vec<Value> = self.replica.pod.iter().map(owner).collect();
        json!({
            "apiVersion": Lease::api_version(&()),
            "kind": Lease::kind(&()),
            "metadata": {
                "name": self.replica.name,
                "labels": {FLEET: self.class},
                "annotations": {DIGEST: digest.map(ToString::to_string)},
                // It goes with the pod, however that ends.
                "ownerReferences": owners,
            },
            "spec": {
                "holderIdentity": self.replica.holder,
                "leaseDurationSeconds": self.limits.gone.as_secs(),
                "renewTime": self.clock.calendar(),
            },
        })
    }

    async fn limited<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
        match timeout(self.limits.call, request).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {:?}", self.limits.call)),
        }
    }
}

fn owner(pod: &super::replica::Pod) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid})
}

/// Waits until something else was judged than `told`.
async fn another(facts: &mut watch::Receiver<Option<Arc<Facts>>>, told: Option<&Digest>, debounce: Duration) {
    loop {
        if facts.changed().await.is_err() {
            std::future::pending().await
        }
        sleep(debounce).await;
        if facts.borrow_and_update().as_deref().map(Digest::of).as_ref() != told {
            return;
        }
    }
}

/// What this replica sees of the others.
struct View {
    api: Api<Lease>,
    class: String,
    roster: watch::Sender<Option<Arc<Roster>>>,
    leadership: Leadership,
    clock: Clock,
    limits: Limits,
}

impl View {
    async fn follow(mut self, mut peers: Peers, mut judged: watch::Receiver<Option<Digest>>) -> Infallible {
        let mut told = Told::default();
        loop {
            let ended = self.watch(&mut peers, &mut judged, &mut told).await;
            told.result("the other replicas are not seen", Err::<(), _>(ended));
            sleep(self.limits.retry).await;
        }
    }

    /// Follows the Leases until that fails, and says how. A watch that failed is begun anew with a list: one that
    /// starts with a version that is too old would ask for it for ever.
    async fn watch(
        &mut self,
        peers: &mut Peers,
        judged: &mut watch::Receiver<Option<Digest>>,
        told: &mut Told,
    ) -> String {
        let config = watcher::Config::default()
            .labels(&format!("{FLEET}={}", self.class))
            .timeout(self.limits.watch_seconds);
        let mut events = pin!(watcher(self.api.clone(), config));
        let mut list = Vec::new();
        let mut next_change = None;
        loop {
            tokio::select! {
                // 1. A replica joined, renewed or left.
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        let complete = matches!(event, Event::InitDone);
                        take(event, &mut list, peers, self.clock.uptime());
                        if complete {
                            told.result("", Ok(()));
                        }
                    }
                    Some(Err(error)) => return error.to_string(),
                    None => return "the watch ended".to_owned(),
                },
                // 2. We have judged something else ourselves.
                _ = judged.changed() => {
                    if let Some(judged) = judged.borrow_and_update().clone() {
                        peers.judge(judged, self.clock.uptime());
                    }
                }
                // 3. Somebody else leads.
                () = self.leadership.changed() => {}
                // 4. Silence that means something.
                () = sleep_until(next_change.unwrap_or_else(|| Instant::now() + self.limits.renew)) => {}
            }
            let now = self.clock.uptime();
            next_change = peers.next_change(now).map(|wait| Instant::now() + wait);
            if peers.is_listed() {
                self.show(peers, now);
            }
        }
    }

    fn show(&self, peers: &Peers, now: Duration) {
        let leader = self.leadership.holder().map(|holder| name_of(&holder).to_owned());
        let roster = peers.roster(leader, now);
        self.roster.send_if_modified(|present| {
            if present.as_deref() == Some(&roster) {
                return false;
            }
            tell(present.as_deref(), &roster);
            *present = Some(Arc::new(roster));
            true
        });
    }
}

/// Takes one event; `list` gathers a list until it is complete.
fn take(event: Event<Lease>, list: &mut Vec<Lease>, peers: &mut Peers, now: Duration) {
    match event {
        Event::Init => list.clear(),
        Event::InitApply(lease) => list.push(lease),
        Event::InitDone => peers.list(std::mem::take(list), now),
        Event::Apply(lease) => peers.apply(lease, now),
        Event::Delete(lease) => peers.delete(&lease),
    }
}

/// One log line for each replica that came, went, fell behind or caught up.
fn tell(before: Option<&Roster>, after: &Roster) {
    let peers = before.map(|roster| roster.peers.as_slice()).unwrap_or_default();
    for peer in &after.peers {
        let replica = &peer.name;
        let known = peers.iter().find(|known| known.name == peer.name);
        let lagged = known.is_some_and(|known| !known.lagging.is_empty());
        if known.is_none() {
            tracing::info!(event = "fleet.joined", replica);
        }
        match (lagged, !peer.lagging.is_empty()) {
            (false, true) => tracing::warn!(
                event = "fleet.lagging",
                replica,
                "it has not taken what this replica has; one of the two no longer hears the API server"
            ),
            (true, false) => tracing::info!(event = "fleet.caught_up", replica),
            (false, false) | (true, true) => {}
        }
    }
    for gone in peers.iter().filter(|known| after.peers.iter().all(|peer| peer.name != known.name)) {
        tracing::info!(event = "fleet.left", replica = gone.name);
    }
}

/// Tells a failure that lasts once.
#[derive(Debug, Default)]
struct Told {
    failing: bool,
}

impl Told {
    fn result<T>(&mut self, what: &str, result: Result<T, String>) {
        let failing = result.is_err();
        if let Err(error) = result
            && !self.failing
        {
            tracing::warn!(event = "fleet.unavailable", "{what}: {error}");
        }
        self.failing = failing;
    }
}
