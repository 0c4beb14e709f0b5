//! Leases on the stub: read one, create, replace with the version that was read, apply, delete.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Answer, Seen, State, Stub, answer, failure};

/// What becomes of a write.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hitch {
    /// It is refused with this status code.
    Refused(u16),
    /// It happens, and the answer is lost.
    AnswerLost,
    /// It happens, and the answer comes after this time.
    AnswerLate(Duration),
}

impl Stub {
    /// Has these happen to the next writes of Leases.
    pub(crate) fn hitch(&self, hitches: impl IntoIterator<Item = Hitch>) {
        self.state().hitches.extend(hitches);
    }

    /// A Lease, `NAMESPACE/NAME`; null where there is none.
    pub(crate) fn lease(&self, name: &str) -> Value {
        self.state().objects.get(&("leases".to_owned(), name.to_owned())).cloned().unwrap_or_default()
    }
}

impl State {
    /// A request about one Lease; none is silence.
    pub(super) fn lease(&mut self, name: &str, seen: &Seen) -> Option<Answer> {
        let key = ("leases".to_owned(), name.to_owned());
        let present = self.objects.get(&key).cloned();
        if seen.method == Method::GET {
            return Some(present.map_or_else(no_such_lease, |lease| answer(StatusCode::OK, &lease)));
        }
        let hitch = self.hitches.pop_front();
        if let Some(Hitch::Refused(code)) = hitch {
            return Some(failure(code, "Refused", "not now"));
        }
        let answer = match (&seen.method, present) {
            (&Method::DELETE, Some(lease)) => {
                self.version += 1;
                self.objects.remove(&key);
                self.tell("leases", "DELETED", &lease);
                answer(StatusCode::OK, &lease)
            }
            // Server-side apply by the only manager there is.
            (&Method::PATCH, present) => {
                let mut lease =
                    present.clone().unwrap_or_else(|| json!({"metadata": {"name": "", "namespace": ""}}));
                for field in ["name", "labels", "annotations", "ownerReferences"] {
                    lease["metadata"][field] = seen.body["metadata"][field].clone();
                }
                lease["metadata"]["namespace"] = json!(name.split('/').next());
                lease["spec"] = seen.body["spec"].clone();
                self.store(lease)
            }
            (_, None) => no_such_lease(),
            (_, Some(present))
                if present["metadata"]["resourceVersion"] != seen.body["metadata"]["resourceVersion"] =>
            {
                failure(409, "Conflict", "the object has been modified")
            }
            (_, Some(_)) => self.store(seen.body.clone()),
        };
        self.after(hitch, answer)
    }

    pub(super) fn new_lease(&mut self, namespace: &str, seen: &Seen) -> Option<Answer> {
        let hitch = self.hitches.pop_front();
        if let Some(Hitch::Refused(code)) = hitch {
            return Some(failure(code, "Refused", "not now"));
        }
        let mut lease = seen.body.clone();
        lease["metadata"]["namespace"] = json!(namespace);
        let answer = match self.objects.contains_key(&("leases".to_owned(), super::name_of(&lease))) {
            true => failure(409, "AlreadyExists", "it exists"),
            false => self.store(lease),
        };
        self.after(hitch, answer)
    }

    fn after(&mut self, hitch: Option<Hitch>, answer: Answer) -> Option<Answer> {
        if let Some(Hitch::AnswerLate(delay)) = hitch {
            self.delay = delay;
        }
        (!matches!(hitch, Some(Hitch::AnswerLost))).then_some(answer)
    }

    fn store(&mut self, mut lease: Value) -> Answer {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let key = ("leases".to_owned(), super::name_of(&lease));
        let kind = if self.objects.insert(key, lease.clone()).is_some() { "MODIFIED" } else { "ADDED" };
        self.tell("leases", kind, &lease);
        answer(StatusCode::OK, &lease)
    }
}

fn no_such_lease() -> Answer {
    failure(404, "NotFound", "no such Lease")
}
