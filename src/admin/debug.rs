//! The debug pages: the live table, and what is said about every Distribution.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;

use super::judgements::{Judged, Judgements};
use super::{Page, known, page, text};
use crate::api::DistributionState;
use crate::conditions::digest::Digest;
use crate::conditions::facts::{self, Facts};
use crate::conditions::roster::{Peer, Roster};
use crate::object::ObjectKey;
use crate::snapshot::{FileProblem, Keys, Stored};

/// The live table, its secrets redacted.
pub(super) fn table(judgements: &Option<Judgements>) -> Page {
    judgements.as_ref().map_or_else(nothing_yet, |judgements| json(&judgements.found.table.dump()))
}

/// Every Distribution's conditions, and what could not be read.
pub(super) fn status(judgements: &Option<Judgements>) -> Page {
    let Some(judgements) = judgements else { return nothing_yet() };
    let problems = &judgements.found.snapshot.problems;
    let degraded = problems.degraded.iter();
    json(&Status {
        fleet: judgements.roster.as_ref().map(|roster| fleet(roster, &judgements.found.own)),
        stored: judgements.found.snapshot.stored.map(from_file),
        distributions: judgements.distributions.iter().map(distribution).collect(),
        files: problems.files.iter().map(file).collect(),
        kinds: degraded
            .map(|((kind, namespace), message)| {
                let namespace = namespace.as_deref();
                DegradedKind { kind: kind.as_str(), namespace, message }
            })
            .collect(),
    })
}

#[derive(Serialize)]
struct Status<'j> {
    /// The live replicas; none before they have been listed.
    fleet: Option<Fleet<'j>>,
    /// Present while a file is served that an earlier process kept, since the API server is away.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<FromFile>,
    distributions: Vec<Distribution<'j>>,
    /// Documents that do not parse.
    files: Vec<File<'j>>,
    /// Kinds that cannot be listed or watched.
    kinds: Vec<DegradedKind<'j>>,
}

#[derive(Serialize)]
struct Fleet<'j> {
    /// The one that answers.
    replica: &'j str,
    /// The one that writes status; none without a cluster, or while nobody does.
    leader: Option<&'j str>,
    /// All, the one that answers first.
    replicas: Vec<Replica<'j>>,
}

#[derive(Serialize)]
struct Replica<'j> {
    name: &'j str,
    state: ReplicaState,
}

/// How far a replica is, compared with the one that answers.
#[derive(Serialize)]
enum ReplicaState {
    /// It has judged the same.
    Serving,
    /// It has not yet judged the same, or already something newer.
    InProgress,
    /// It has not moved for long.
    Lagging,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FromFile {
    saved: String,
    age_seconds: u64,
    keys: Keys,
}

#[derive(Serialize)]
struct Distribution<'j> {
    namespace: &'j str,
    name: &'j str,
    generation: i64,
    state: Option<DistributionState>,
    #[serde(rename = "domainName", skip_serializing_if = "Option::is_none")]
    domain_name: Option<&'j str>,
    conditions: &'j [Condition],
    /// What is odd but works.
    warnings: Vec<Warning<'j>>,
}

#[derive(Serialize)]
struct Warning<'j> {
    reason: String,
    field: &'j str,
    message: &'j str,
}

#[derive(Serialize)]
struct File<'j> {
    path: Cow<'j, str>,
    line: u64,
    column: u64,
    field: &'j str,
    message: &'j str,
}

#[derive(Serialize)]
struct DegradedKind<'j> {
    kind: &'static str,
    /// Absent where it is so in all namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'j str>,
    message: &'j str,
}

fn fleet<'j>(roster: &'j Roster, facts: &Facts) -> Fleet<'j> {
    let judged = Digest::of(facts);
    let state = |peer: &Peer| match &peer.digest {
        _ if !peer.lagging.is_empty() => ReplicaState::Lagging,
        Some(digest) if *digest == judged => ReplicaState::Serving,
        _ => ReplicaState::InProgress,
    };
    let own = Replica { name: &roster.own, state: ReplicaState::Serving };
    let peers = roster.peers.iter().map(|peer| Replica { name: &peer.name, state: state(peer) });
    Fleet {
        replica: &roster.own,
        leader: roster.leader.as_deref(),
        replicas: std::iter::once(own).chain(peers).collect(),
    }
}

fn from_file(stored: Stored) -> FromFile {
    let age_seconds = stored.age(Timestamp::now()).as_secs();
    FromFile { saved: stored.at.to_string(), age_seconds, keys: stored.keys }
}

fn distribution<'j>((key, judged): (&'j ObjectKey, &'j Arc<Judged>)) -> Distribution<'j> {
    Distribution {
        namespace: &key.namespace,
        name: &key.name,
        generation: judged.facts.generation,
        state: judged.status.state,
        domain_name: judged.status.domain_name.as_deref(),
        conditions: &judged.status.conditions,
        warnings: judged.facts.warnings.iter().map(warning).collect(),
    }
}

fn warning(warning: &facts::Warning) -> Warning<'_> {
    Warning { reason: warning.kind.to_string(), field: &warning.field, message: &warning.message }
}

fn file(problem: &FileProblem) -> File<'_> {
    let FileProblem { path, line, column, field, message } = problem;
    File { path: path.to_string_lossy(), line: *line, column: *column, field, message }
}

pub(super) fn nothing_yet() -> Page {
    text(StatusCode::SERVICE_UNAVAILABLE, "no complete table yet\n")
}

pub(super) fn json(value: &impl Serialize) -> Page {
    match serde_json::to_vec_pretty(value) {
        Ok(mut body) => {
            body.push(b'\n');
            page(StatusCode::OK, "application/json", known(body))
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
