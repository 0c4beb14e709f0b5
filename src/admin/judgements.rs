//! What is said about every Distribution right now: on `/debug/status`, in the metrics and in the log.
//!
//! In a cluster the status writer says the same to the API server; without one this is all there is, and then one
//! log line tells of each change of state, none of a round that changed nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::api::DistributionStatus;
use crate::conditions::facts::{CertificateFact, DistributionFacts, Facts};
use crate::conditions::roster::{Roster, Tally};
use crate::conditions::{Fleet, Judgement, finish, story};
use crate::object::ObjectKey;
use crate::snapshot::{Kind, Snapshot};
use crate::table::RoutingTable;
use crate::telemetry::metrics::{Metrics, Objects};

/// What one round of reconciliation found and put in force.
#[derive(Clone, Debug)]
pub struct Found {
    /// The table in force.
    pub table: RoutingTable,
    /// The facts about each Distribution.
    pub facts: Arc<Facts>,
    /// Those of them whose status the fleet writes.
    pub own: Arc<Facts>,
    /// The objects that they are about, with what could not be read.
    pub snapshot: Arc<Snapshot>,
    /// The default certificate, where there is one to show.
    pub default_certificate: Option<CertificateFact>,
}

/// The judgement of every Distribution.
#[derive(Clone, Debug)]
pub struct Judgements {
    pub(super) found: Found,
    /// The live replicas; none before they have been listed.
    pub(super) roster: Option<Arc<Roster>>,
    /// Those that are judged as in the round before are the very same.
    pub(super) distributions: BTreeMap<ObjectKey, Arc<Judged>>,
}

/// The judgement of one Distribution.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) facts: Arc<DistributionFacts>,
    pub(super) status: DistributionStatus,
    look_again_at: Option<Timestamp>,
}

/// Whether changes of state are logged here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// They are.
    Tells,
    /// Somebody else logs them.
    Silent,
}

/// Judges each round, and again when other replicas take it or a certificate comes near its end by the calendar of
/// `clock`, until `rounds` closes.
pub async fn follow(
    mut rounds: watch::Receiver<Option<Found>>,
    mut roster: watch::Receiver<Option<Arc<Roster>>>,
    judgements: watch::Sender<Option<Judgements>>,
    metrics: Metrics,
    voice: Voice,
    clock: impl Fn() -> Timestamp,
) {
    let told = judgements.subscribe();
    metrics.objects(move || told.borrow().as_ref().map(objects).unwrap_or_default());
    loop {
        let found = rounds.borrow_and_update().clone();
        if let Some(found) = found {
            let next = {
                let (last, none) = (judgements.borrow(), BTreeMap::new());
                let next = judge(found, roster.borrow_and_update().clone(), last.as_ref(), clock());
                if voice == Voice::Tells {
                    tell(last.as_ref().map_or(&none, |last| &last.distributions), &next.distributions);
                }
                next
            };
            judgements.send_replace(Some(next));
        }
        let look_again = until_next_look(&judgements.borrow(), clock());
        tokio::select! {
            changed = rounds.changed() => if changed.is_err() { return },
            () = changed(&mut roster) => {}
            () = tokio::time::sleep(look_again) => {}
        }
    }
}

/// Where nobody tells of replicas any more, as without a cluster, there is nothing to wait for.
async fn changed(roster: &mut watch::Receiver<Option<Arc<Roster>>>) {
    if roster.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Judges anew whose facts are others, who waits for other replicas, or whose time has come; the rest stays as it
/// was.
fn judge(
    found: Found,
    roster: Option<Arc<Roster>>,
    before: Option<&Judgements>,
    now: Timestamp,
) -> Judgements {
    let tally = Tally::new(roster.clone().unwrap_or_default(), Arc::clone(&found.own));
    let same_roster = before.is_some_and(|before| before.roster == roster);
    // What was judged before the others had been listed says nothing of them.
    let counted = before.is_some_and(|before| before.roster.is_some());
    let is_due = |judged: &Judged| judged.look_again_at.is_some_and(|at| at <= now);
    let is_deployed =
        |judged: &Judged| counted && Fleet::kept(&judged.status, judged.facts.generation).is_some();
    let stays = |last: &Judged, facts: &Arc<DistributionFacts>| {
        Arc::ptr_eq(&last.facts, facts) && !is_due(last) && (same_roster || is_deployed(last))
    };
    let one = |(key, facts): (&ObjectKey, &Arc<DistributionFacts>)| {
        let last = before.and_then(|before| before.distributions.get(key));
        let judged = match last {
            Some(last) if stays(last, facts) => Arc::clone(last),
            _ => {
                let fleet = tally.fleet(facts, last.filter(|_| counted).map(|last| &last.status));
                let Judgement { mut status, look_again_at } = finish(facts, fleet, now);
                if let Some(last) = last {
                    story::keep_times(&mut status, &last.status);
                }
                Arc::new(Judged { facts: Arc::clone(facts), status, look_again_at })
            }
        };
        (key.clone(), judged)
    };
    let distributions = found.facts.0.iter().map(one).collect();
    Judgements { found, roster, distributions }
}

fn until_next_look(judgements: &Option<Judgements>, now: Timestamp) -> Duration {
    // Nothing due is looked at once a day: cheaper than a wait that may be absent.
    const A_DAY: Duration = Duration::from_secs(86_400);
    let all = judgements.iter().flat_map(|judgements| judgements.distributions.values());
    let next = all.filter_map(|judged| judged.look_again_at).min();
    let wait = next.and_then(|at| Duration::try_from(at.duration_since(now)).ok());
    wait.unwrap_or(A_DAY).clamp(Duration::from_secs(1), A_DAY)
}

/// One log line for each Distribution that came, went, or is judged otherwise.
fn tell(before: &BTreeMap<ObjectKey, Arc<Judged>>, now: &BTreeMap<ObjectKey, Arc<Judged>>) {
    for (key, judged) in now {
        let known = before.get(key);
        if known.is_none_or(|known| !Arc::ptr_eq(known, judged)) {
            story::tell(key, known.map(|known| &known.status), &judged.status);
        }
    }
    for key in before.keys().filter(|key| !now.contains_key(*key)) {
        let ObjectKey { namespace, name } = key;
        tracing::info!(event = "distribution.removed", namespace, name);
    }
}

/// The same, as metrics: at each scrape, since rounds are many more.
fn objects(judgements: &Judgements) -> Objects {
    let Judgements { found, roster, distributions } = judgements;
    let mut objects = Objects::default();
    for (key, judged) in distributions {
        if let Some(state) = judged.status.state {
            objects.states.push((key.clone(), format!("{state:?}")));
        }
        for condition in &judged.status.conditions {
            objects.conditions.push((key.clone(), condition.type_.clone(), condition.status.clone()));
        }
    }
    let shown = distributions.values().flat_map(|judged| &judged.facts.certificates);
    for CertificateFact { secret, not_after, .. } in shown.chain(&found.default_certificate) {
        objects.certificates.insert(secret.clone(), not_after.as_second() as f64);
    }
    let undecodable = found.snapshot.problems.undecodable.keys();
    let kept = undecodable.filter(|(kind, key)| is_in_snapshot(&found.snapshot, *kind, key));
    if let Some(roster) = roster.as_ref().filter(|roster| roster.leader.as_ref() == Some(&roster.own)) {
        objects.lagging =
            roster.peers.iter().map(|peer| (peer.name.clone(), !peer.lagging.is_empty())).collect();
    }
    objects.kept_last_good = kept.map(|(kind, key)| (key.clone(), kind.as_str())).collect();
    objects
}

/// Of an object that never decoded there is no version to keep.
fn is_in_snapshot(snapshot: &Snapshot, kind: Kind, key: &ObjectKey) -> bool {
    match kind {
        Kind::Distribution => snapshot.distributions.contains_key(key),
        Kind::Service => snapshot.services.contains_key(key),
        Kind::EndpointSlice => snapshot.endpoint_slices.contains_key(key),
        Kind::Secret => snapshot.secrets.contains_key(key),
        Kind::ConfigMap => snapshot.config_maps.contains_key(key),
        // One that does not decode grants nothing.
        Kind::ReferenceGrant => false,
        Kind::Challenge => snapshot.challenges.contains_key(key),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use tokio::time::Instant;

    use super::*;
    use crate::conditions::facts::Served;
    use crate::telemetry::metrics::Build;

    const HOUR: Duration = Duration::from_secs(3600);

    /// A round with one Distribution, whose certificate is valid for ten hours from `start`.
    fn round(start: Timestamp) -> Found {
        let certificate = CertificateFact {
            secret: ObjectKey::new("shop", "web-tls"),
            not_before: start,
            not_after: start + SignedDuration::from_hours(10),
        };
        let facts = DistributionFacts {
            uid: None,
            generation: 1,
            enabled: true,
            served: Served::Yes,
            aliases: Vec::new(),
            domain_name: None,
            origins: Vec::new(),
            certificates: vec![certificate.clone()],
            findings: Vec::new(),
            warnings: Vec::new(),
        };
        let facts = Arc::new(Facts([(ObjectKey::new("shop", "web"), Arc::new(facts))].into()));
        let default = CertificateFact { secret: ObjectKey::new("tls", "default"), ..certificate };
        Found {
            table: RoutingTable::default(),
            own: Arc::clone(&facts),
            facts,
            snapshot: Arc::default(),
            default_certificate: Some(default),
        }
    }

    fn of_certificates(judgements: &Judgements) -> Vec<String> {
        let all = judgements.distributions.values().flat_map(|judged| &judged.status.conditions);
        let valid = all.filter(|condition| condition.type_ == "CertificateValid");
        valid.map(|condition| format!("{} {}", condition.status, condition.reason)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_judged_again_when_its_time_comes_and_not_before() {
        let (began, start) = (Instant::now(), "2026-06-01T00:00:00Z".parse::<Timestamp>().unwrap());
        let clock = move || start + began.elapsed();
        let (rounds, found) = watch::channel(Some(round(start)));
        let (judged, mut judgements) = watch::channel(None);
        let metrics = Metrics::new(Build { version: "0", commit: "0" });
        let (_roster, alone) = watch::channel(Some(Arc::new(Roster::alone("edge-1"))));
        tokio::spawn(follow(found, alone, judged, metrics, Voice::Silent, clock));
        let mut told = Vec::new();
        for _ in 0..3 {
            judgements.changed().await.unwrap();
            let hours = began.elapsed().as_secs() / HOUR.as_secs();
            told.push((hours, of_certificates(judgements.borrow().as_ref().unwrap()).concat()));
        }
        let ends = objects(judgements.borrow().as_ref().unwrap()).certificates;
        let ends: Vec<_> = ends.iter().map(|(secret, end)| (secret.to_string(), *end)).collect();
        let end = (start + SignedDuration::from_hours(10)).as_second() as f64;
        assert_eq!(ends, [("shop/web-tls".to_owned(), end), ("tls/default".to_owned(), end)]);
        let expected = [(0, "True CertificateValid"), (8, "True ExpiringSoon"), (10, "False Expired")];
        assert_eq!(told, expected.map(|(hours, said)| (hours, said.to_owned())));
        drop(rounds);
    }
}
