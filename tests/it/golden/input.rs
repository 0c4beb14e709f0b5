//! Golden inputs: documents to snapshots, decoding as the cluster provider does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidegate::object::ObjectKey;
use tidegate::snapshot::{Kind, Snapshot, Undecodable};
use tidegate::table::explain::{self, Question};
use tidegate::translate::BaseDomain;

/// What one golden input asks for.
pub(super) struct Case {
    /// When the conditions are judged.
    pub(super) now: Timestamp,
    /// `--default-certificate`.
    pub(super) default_certificate: Option<ObjectKey>,
    /// `--base-domain`.
    pub(super) base_domain: Option<BaseDomain>,
    /// `--zone`.
    pub(super) zone: Option<String>,
    /// `--acme-unclaimed-hosts`.
    pub(super) acme_unclaimed_hosts: bool,
    /// What `explain` is asked of the last table.
    pub(super) questions: Vec<Question>,
    /// The snapshots, one after the other.
    pub(super) steps: Vec<Snapshot>,
}

/// A document of kind `Case`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Setting {
    #[serde(rename = "kind")]
    _kind: String,
    now: Option<Timestamp>,
    default_certificate: Option<String>,
    base_domain: Option<String>,
    zone: Option<String>,
    #[serde(default)]
    acme_unclaimed_hosts: bool,
    /// By kind, or by kind and namespace: `Secret blog`.
    #[serde(default)]
    degraded: BTreeMap<String, String>,
    /// Kinds and names: `Secret shop/token`.
    #[serde(default)]
    read_by_name: Vec<String>,
    /// By kind and name: `Secret shop/ca`.
    #[serde(default)]
    unreadable: BTreeMap<String, String>,
}

/// Reads a golden input; `path` is for messages.
pub(super) fn parse(text: &str, path: &Path) -> Case {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    let now = "2026-06-01T00:00:00Z".parse().unwrap();
    let mut case = Case {
        now,
        default_certificate: None,
        base_domain: None,
        zone: None,
        acme_unclaimed_hosts: false,
        questions: Vec::new(),
        steps: Vec::new(),
    };
    let mut snapshot = Snapshot::default();
    for document in documents {
        let place = format!("{}: {document}", path.display());
        match document["kind"].as_str().expect(&place) {
            "Case" => apply(serde_json::from_value(document).expect(&place), &mut case, &mut snapshot),
            "Explain" => case.questions.push(question(&document)),
            "Later" => case.steps.push(snapshot.clone()),
            "Gone" => assert!(remove(&document, &mut snapshot), "{place}"),
            "Distribution" => add_distribution(&document, &mut snapshot),
            "Service" => add(document, &mut snapshot.services),
            "EndpointSlice" => add(document, &mut snapshot.endpoint_slices),
            "Secret" => add(secret(document), &mut snapshot.secrets),
            "ConfigMap" => add(document, &mut snapshot.config_maps),
            "ReferenceGrant" => add(document, &mut snapshot.reference_grants),
            "Challenge" => add(document, &mut snapshot.challenges),
            _ => panic!("{place}: no such kind"),
        }
    }
    case.steps.push(snapshot);
    case
}

fn apply(setting: Setting, case: &mut Case, snapshot: &mut Snapshot) {
    case.now = setting.now.unwrap_or(case.now);
    case.default_certificate = setting.default_certificate.map(|key| key.parse().unwrap());
    case.base_domain = setting.base_domain.map(|domain| BaseDomain::parse(&domain).unwrap());
    case.zone = setting.zone;
    case.acme_unclaimed_hosts = setting.acme_unclaimed_hosts;
    let problems = &mut snapshot.problems;
    problems.degraded = setting
        .degraded
        .into_iter()
        .map(|(name, sentence)| match name.split_once(' ') {
            None => ((kind_of(&name), None), sentence),
            Some((kind, namespace)) => ((kind_of(kind), Some(namespace.to_owned())), sentence),
        })
        .collect();
    problems.read_by_name = setting.read_by_name.iter().map(|name| named(name)).collect();
    problems.unreadable =
        setting.unreadable.into_iter().map(|(name, sentence)| (named(&name), sentence)).collect();
}

fn named(text: &str) -> (Kind, ObjectKey) {
    let (kind, key) = text.split_once(' ').expect("a kind and a name");
    (kind_of(kind), key.parse().unwrap())
}

fn kind_of(name: &str) -> Kind {
    Kind::ALL.into_iter().find(|kind| kind.as_str() == name).unwrap()
}

fn question(document: &Value) -> Question {
    let method = document["method"].as_str().unwrap_or("GET");
    let url = document["url"].as_str().unwrap();
    let question = Question::parse(url, method, explain::Kind::AsTheUrlSays, document["origin"].as_str());
    let question = match document["viewer"].as_str() {
        Some(viewer) => question.unwrap().of_viewer(viewer).unwrap(),
        None => question.unwrap(),
    };
    match document["preflight"].as_str() {
        Some(method) => question.as_preflight_for(method).unwrap(),
        None => question,
    }
}

/// An object that does not decode leaves its last version where it is.
fn add_distribution(document: &Value, snapshot: &mut Snapshot) {
    let key = key(document);
    let place = (Kind::Distribution, key.clone());
    match serde_json::from_value(document.clone()) {
        Ok(distribution) => {
            snapshot.problems.undecodable.remove(&place);
            snapshot.distributions.insert(key, Arc::new(distribution));
        }
        Err(error) => {
            let metadata = &document["metadata"];
            let uid = metadata["uid"].as_str().map(str::to_owned);
            let generation = metadata["generation"].as_i64();
            let problem = Undecodable { uid, class_name: None, generation, message: error.to_string() };
            snapshot.problems.undecodable.insert(place, problem);
        }
    }
}

fn add<T: DeserializeOwned>(document: Value, objects: &mut BTreeMap<ObjectKey, Arc<T>>) {
    let key = key(&document);
    objects.insert(key, Arc::new(serde_json::from_value(document).unwrap()));
}

/// Whether there was what a `Gone` deletes: a Secret, unless it says `of` which other kind.
fn remove(gone: &Value, snapshot: &mut Snapshot) -> bool {
    match gone["of"].as_str() {
        None => snapshot.secrets.remove(&key(gone)).is_some(),
        Some("Challenge") => snapshot.challenges.remove(&key(gone)).is_some(),
        Some("ReferenceGrant") => snapshot.reference_grants.remove(&key(gone)).is_some(),
        Some(kind) => panic!("{kind} cannot be Gone"),
    }
}

fn key(document: &Value) -> ObjectKey {
    let part = |name: &str| document["metadata"][name].as_str().expect(name);
    ObjectKey::new(part("namespace"), part("name"))
}

/// `stringData` as the API server stores it.
fn secret(mut document: Value) -> Value {
    use base64::Engine;
    let texts = document["stringData"].take();
    for (key, text) in texts.as_object().into_iter().flatten() {
        let text = text.as_str().unwrap();
        document["data"][key] = base64::engine::general_purpose::STANDARD.encode(text).into();
    }
    document
}
