//! An API server in the process: a tower service that lists, watches and takes status patches and Leases, and that
//! fails the way a test wants.

mod leases;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

pub(crate) use self::leases::Hitch;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The stub; clones share their objects.
#[derive(Clone, Default)]
pub(crate) struct Stub(Arc<Mutex<State>>, Arc<Notify>);

#[derive(Default)]
struct State {
    version: u64,
    /// By plural and `NAMESPACE/NAME`.
    objects: BTreeMap<(String, String), Value>,
    /// Every event so far, with its version.
    events: Vec<(u64, Event)>,
    watches: Vec<(Picked, mpsc::UnboundedSender<Bytes>)>,
    /// Plurals, `PLURAL/NAME` or `VERSION/PLURAL`, with the status code they answer; none where they are silent.
    failing: BTreeMap<String, Option<u16>>,
    /// Plurals whose next watch starts with 410.
    expired: BTreeSet<String>,
    /// Objects that take no status write, with the status code they answer; none where they are silent.
    refusing: BTreeMap<String, Option<u16>>,
    /// What becomes of the next writes of Leases.
    hitches: VecDeque<Hitch>,
    /// How long the present answer takes.
    delay: Duration,
    requests: Vec<Seen>,
}

/// What happened to an object.
struct Event {
    plural: String,
    object: Value,
    line: Bytes,
}

/// Which objects a request is about.
struct Picked {
    plural: String,
    namespace: Option<String>,
    /// Fields with the values that they must have.
    fields: Vec<(String, Value)>,
}

impl Picked {
    fn by(plural: &str, namespace: Option<&str>, query: &str) -> Self {
        let selector = query.split('&').find_map(|pair| pair.strip_prefix("fieldSelector="));
        let selector = selector.unwrap_or_default().replace("%3D", "=").replace("%2F", "/");
        let fields = selector.split(',').filter_map(|term| term.split_once('='));
        Self {
            plural: plural.to_owned(),
            namespace: namespace.map(str::to_owned),
            fields: fields
                .map(|(path, value)| (format!("/{}", path.replace('.', "/")), json!(value)))
                .collect(),
        }
    }

    /// `PLURAL/NAME`, where one object is picked.
    fn name(&self) -> Option<String> {
        let (_, name) = self.fields.iter().find(|(path, _)| path == "/metadata/name")?;
        Some(format!("{}/{}", self.plural, name.as_str()?))
    }

    fn has(&self, plural: &str, object: &Value) -> bool {
        plural == self.plural
            && self.namespace.as_ref().is_none_or(|name| object["metadata"]["namespace"] == *name)
            && self.fields.iter().all(|(path, value)| object.pointer(path) == Some(value))
    }
}

/// A request that the stub saw.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) body: Value,
}

impl Stub {
    /// A client of the stub.
    pub(crate) fn client(&self) -> Client {
        let stub = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let stub = stub.clone();
            async move { Ok::<_, Infallible>(stub.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Creates or changes an object of a plural.
    pub(crate) fn put(&self, plural: &str, mut object: Value) {
        let mut state = self.state();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let key = (plural.to_owned(), name_of(&object));
        let kind = if state.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        state.objects.insert(key, object.clone());
        state.tell(plural, kind, &object);
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, plural: &str, name: &str) {
        let mut state = self.state();
        let mut object = state.objects.remove(&(plural.to_owned(), name.to_owned())).expect("it exists");
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        state.tell(plural, "DELETED", &object);
    }

    /// Deletes an object without an event, as after a restore of etcd.
    pub(crate) fn forget(&self, plural: &str, name: &str) {
        self.state().objects.remove(&(plural.to_owned(), name.to_owned())).expect("it exists");
    }

    /// Answers 403 to a plural, or to what asks for `PLURAL/NAME`, from now on, and ends the watches of the plural.
    pub(crate) fn forbid(&self, plural: &str) {
        self.fail(plural, Some(403));
    }

    /// Like [`Stub::forbid`] with another status code; none is silence.
    pub(crate) fn fail(&self, plural: &str, code: Option<u16>) {
        self.state().failing.insert(plural.to_owned(), code);
        self.cut(plural);
    }

    /// Takes [`Stub::forbid`] and [`Stub::fail`] back.
    pub(crate) fn permit(&self, plural: &str) {
        self.state().failing.remove(plural);
    }

    /// Answers 410 to the next watch of a plural, and ends its watches.
    pub(crate) fn expire(&self, plural: &str) {
        self.state().expired.insert(plural.to_owned());
        self.cut(plural);
    }

    /// Ends the watches of a plural.
    pub(crate) fn cut(&self, plural: &str) {
        self.state().watches.retain(|(picked, _)| picked.plural != plural);
    }

    /// Answers `code` to every status write of an object.
    pub(crate) fn refuse_status(&self, name: &str, code: u16) {
        self.state().refusing.insert(name.to_owned(), Some(code));
    }

    /// Answers no status write of an object.
    pub(crate) fn silence_status(&self, name: &str) {
        self.state().refusing.insert(name.to_owned(), None);
    }

    /// The status of a Distribution.
    pub(crate) fn status(&self, name: &str) -> Value {
        let state = self.state();
        let object = state.objects.get(&("distributions".to_owned(), name.to_owned())).expect("it exists");
        object["status"].clone()
    }

    /// The requests that `wanted` picks.
    pub(crate) fn requests(&self, wanted: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        self.state().requests.iter().filter(|seen| wanted(seen)).cloned().collect()
    }

    /// Waits for the next request.
    pub(crate) async fn request_comes(&self) {
        self.1.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the lock")
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("a body in memory").to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let seen = Seen { method: head.method, target: head.uri.to_string(), body };
        let (answer, delay) = {
            let mut state = self.state();
            let answer = state.answer(&head.uri, &seen);
            state.requests.push(seen);
            (answer, std::mem::take(&mut state.delay))
        };
        self.1.notify_waiters();
        if !delay.is_zero() {
            sleep(delay).await;
        }
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

impl State {
    /// None is silence.
    fn answer(&mut self, uri: &http::Uri, seen: &Seen) -> Option<Answer> {
        let segments: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
        let query = uri.query().unwrap_or_default();
        if let [.., "namespaces", namespace, "distributions", name, "status"] = segments.as_slice() {
            let name = format!("{namespace}/{name}");
            return match self.refusing.get(&name) {
                Some(code) => code.map(|code| failure(code, "Invalid", "spec.origins: Invalid value")),
                None => Some(self.patch(&name, &seen.body)),
            };
        }
        let plural = match segments.as_slice() {
            [.., "leases", _] => "leases",
            segments => segments.last().copied().unwrap_or_default(),
        };
        let plural = plural.to_owned();
        let namespace = segments.iter().position(|segment| *segment == "namespaces");
        let namespace = namespace.and_then(|at| segments.get(at + 1)).copied();
        let picked = Picked::by(&plural, namespace, query);
        let one = picked.name().and_then(|name| self.failing.get(&name));
        let versioned = segments.get(2).and_then(|version| self.failing.get(&format!("{version}/{plural}")));
        if let Some(code) = self.failing.get(&plural).or(one).or(versioned) {
            return code.map(|code| failure(code, "Refused", "not for you"));
        }
        if let [.., "namespaces", namespace, "leases", name] = segments.as_slice() {
            return self.lease(&format!("{namespace}/{name}"), seen);
        }
        if seen.method == Method::POST {
            return self.new_lease(namespace.unwrap_or_default(), seen);
        }
        if query.contains("watch=true") {
            return Some(self.watch(picked, query));
        }
        let items: Vec<&Value> =
            self.objects.iter().filter(|((of, _), it)| picked.has(of, it)).map(|it| it.1).collect();
        let list = json!({"metadata": {"resourceVersion": self.version.to_string()}, "items": items});
        Some(answer(StatusCode::OK, &list))
    }

    fn watch(&mut self, picked: Picked, query: &str) -> Answer {
        if self.expired.remove(&picked.plural) {
            return failure(410, "Expired", "too old resource version");
        }
        let since = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
        let since: u64 = since.and_then(|text| text.parse().ok()).unwrap_or_default();
        let (sender, receiver) = mpsc::unbounded_channel();
        for (version, event) in &self.events {
            if *version > since && picked.has(&event.plural, &event.object) {
                let _ = sender.send(event.line.clone());
            }
        }
        self.watches.push((picked, sender));
        let lines = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|line| (line, receiver))
        });
        let body = StreamBody::new(lines.map(|line| Ok(Frame::data(line))));
        Response::new(UnsyncBoxBody::new(body))
    }

    /// A status by server-side apply; close enough for one field manager.
    fn patch(&mut self, name: &str, body: &Value) -> Answer {
        let key = ("distributions".to_owned(), name.to_owned());
        let Some(mut object) = self.objects.get(&key).cloned() else {
            return failure(404, "NotFound", "no such Distribution");
        };
        let uid = &body["metadata"]["uid"];
        if !uid.is_null() && *uid != object["metadata"]["uid"] {
            return failure(409, "Conflict", "another uid");
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        object["status"] = body["status"].clone();
        self.objects.insert(key, object.clone());
        self.tell("distributions", "MODIFIED", &object);
        answer(StatusCode::OK, &object)
    }

    fn tell(&mut self, plural: &str, kind: &str, object: &Value) {
        let line = Bytes::from(format!("{}\n", json!({"type": kind, "object": object})));
        self.watches
            .retain(|(picked, sender)| !picked.has(plural, object) || sender.send(line.clone()).is_ok());
        let event = Event { plural: plural.to_owned(), object: object.clone(), line };
        self.events.push((self.version, event));
    }
}

fn name_of(object: &Value) -> String {
    let part = |field: &str| object["metadata"][field].as_str().expect("a name").to_owned();
    format!("{}/{}", part("namespace"), part("name"))
}

fn answer(code: StatusCode, body: &Value) -> Answer {
    let body = UnsyncBoxBody::new(Full::new(Bytes::from(body.to_string())));
    Response::builder().status(code).body(body).expect("a plain answer")
}

fn failure(code: u16, reason: &str, message: &str) -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "metadata": {},
                        "code": code, "reason": reason, "message": message});
    answer(StatusCode::from_u16(code).expect("a status"), &status)
}
