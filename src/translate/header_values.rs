//! Values of headers that stand in Secrets: each key read once, and its last good value remembered.
//!
//! It does not know which origin a value is for. A value is never part of a message, and is marked so that nothing
//! prints it: a problem names the key and what is wrong with what stands there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::HeaderValue;
use k8s_openapi::api::core::v1::Secret;

use super::certificates::is_unreadable;
use super::lookup::{Lookup, Object, Trouble, did_you_mean};
use crate::api::{self, DistributionSpec, SecretKeyReference};
use crate::conditions::reasons::Reason;
use crate::nearest::nearest;
use crate::object::ObjectKey;
use crate::snapshot::Snapshot;

/// A key of a Secret.
pub(super) type Place = (ObjectKey, String);

/// What the named keys of Secrets gave.
pub(super) type HeaderValues = BTreeMap<Place, Arc<LoadedValue>>;

/// What a key of a Secret gave.
pub(super) struct LoadedValue {
    secret: Object<Secret>,
    state: State,
}

enum State {
    Good(HeaderValue),
    KeptLastGood { kept: HeaderValue, problem: String },
    Bad { problem: String },
}

/// What is wrong with a value.
pub(super) struct Flaw {
    /// Why, as the condition says it.
    pub reason: Reason,
    /// Which key of which Secret, and what is wrong, as a sentence.
    pub text: String,
}

impl Flaw {
    fn missing(text: String) -> Self {
        Self { reason: Reason::SecretNotFound, text }
    }
}

impl LoadedValue {
    /// The value to send: the present one, or the last good one.
    fn usable(&self) -> Option<&HeaderValue> {
        match &self.state {
            State::Good(value) | State::KeptLastGood { kept: value, .. } => Some(value),
            State::Bad { .. } => None,
        }
    }

    /// What is wrong with the present version, to follow the Secret's name.
    fn problem(&self) -> Option<&str> {
        match &self.state {
            State::Good(_) => None,
            State::KeptLastGood { problem, .. } | State::Bad { problem } => Some(problem),
        }
    }
}

/// The keys that the origins of a Distribution name.
pub(super) fn named<'d>(key: &'d ObjectKey, spec: &'d DistributionSpec) -> impl Iterator<Item = Place> + 'd {
    let headers = spec.origins.iter().flat_map(|origin| &origin.custom_headers);
    headers.filter_map(|header| header.value_from.as_ref()).map(|reference| place(key, reference))
}

/// Where a reference of a Distribution leads: into its own namespace.
pub(super) fn place(distribution: &ObjectKey, reference: &SecretKeyReference) -> Place {
    let secret = ObjectKey::new(distribution.namespace.as_str(), reference.secret_name.as_str());
    (secret, reference.key.clone())
}

/// Reads the named keys, but those of Secrets that are the very same as last time.
///
/// A value that turned bad, or whose key is gone, keeps its last good one. One whose Secret was deleted does not:
/// deleting it is how a credential is taken out of service. A Secret that can no longer be read counts as unchanged.
pub(super) fn load(named: BTreeSet<Place>, snapshot: &Snapshot, last: &HeaderValues) -> HeaderValues {
    let load_one = |place: &Place| {
        let (key, name) = place;
        let last = last.get(place);
        match (snapshot.secrets.get(key), last) {
            (Some(secret), Some(last)) if Arc::ptr_eq(secret, &last.secret.0) => Some(Arc::clone(last)),
            (Some(secret), _) => Some(Arc::new(read(secret, name, last.map(Arc::as_ref)))),
            (None, Some(last)) if is_unreadable(key, snapshot) => Some(Arc::clone(last)),
            (None, _) => None,
        }
    };
    named.into_iter().filter_map(|place| load_one(&place).map(|loaded| (place, loaded))).collect()
}

fn read(secret: &Arc<Secret>, name: &str, last: Option<&LoadedValue>) -> LoadedValue {
    let state = match (parse(secret, name), last.and_then(LoadedValue::usable)) {
        (Ok(value), _) => State::Good(value),
        (Err(problem), Some(kept)) => State::KeptLastGood { kept: kept.clone(), problem },
        (Err(problem), None) => State::Bad { problem },
    };
    LoadedValue { secret: Object(Arc::clone(secret)), state }
}

/// The value of a key: what `customHeaders[].value` could be, too.
fn parse(secret: &Secret, name: &str) -> Result<HeaderValue, String> {
    let data = secret.data.as_ref();
    let Some(bytes) = data.and_then(|data| data.get(name)) else {
        let names = data.into_iter().flat_map(|data| data.keys()).map(String::as_str);
        return Err(format!("has no key {name:?}{}", did_you_mean(nearest(name, names))));
    };
    let bytes = bytes.0.as_slice();
    let bad = |what: &str| format!("has under {name:?} {what}");
    if bytes.ends_with(b"\n") {
        return Err(bad(
            "a value that ends with a line break; write it without, as printf does and echo does not.",
        ));
    }
    let text = std::str::from_utf8(bytes).ok().filter(|text| api::fits_in_header(text));
    let text = text.ok_or_else(|| {
        bad("what is no value of a header; write visible ASCII, with spaces inside only and up to 4096 characters.")
    })?;
    let mut value = HeaderValue::from_str(text).map_err(|_| bad("what is no value of a header."))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The value to send, and what is wrong where it is not the one that should be.
///
/// # Errors
/// What is wrong, where there is no value.
pub(super) fn find(
    place: &Place,
    lookup: Option<&Lookup<Object<LoadedValue>>>,
) -> Result<(HeaderValue, Option<Flaw>), Flaw> {
    let (key, name) = place;
    let found = lookup.and_then(|lookup| lookup.found.as_ref());
    let nearest = lookup.and_then(|lookup| lookup.nearest.as_deref());
    let of = |what: String| format!("Secret {key}, whose key {name:?} is meant, {what}");
    let flaw = match (lookup.and_then(|lookup| lookup.trouble.as_ref()), found) {
        (Some(Trouble::NotPermitted(remedy)), _) => {
            Some(Flaw { reason: Reason::RefNotPermitted, text: of(format!("is not permitted: {remedy}.")) })
        }
        (Some(Trouble::Unreadable(why)), _) => {
            Some(Flaw { reason: Reason::RefNotPermitted, text: of(format!("cannot be read: {why}.")) })
        }
        (Some(Trouble::Undecodable(why)), _) => Some(Flaw::missing(of(format!("does not decode: {why}.")))),
        (None, None) => Some(Flaw::missing(of(format!("not found{}", did_you_mean(nearest))))),
        (None, Some(found)) => {
            found.problem().map(|problem| Flaw::missing(format!("Secret {key} {problem}")))
        }
    };
    match (found.and_then(|found| found.usable()), flaw) {
        (Some(value), flaw) => Ok((value.clone(), flaw)),
        (None, Some(flaw)) => Err(flaw),
        (None, None) => Err(Flaw::missing(of("holds no value.".to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn what_could_not_stand_in_a_header_is_refused_and_never_quoted() {
        let data = [
            ("token", "s3cret value"),
            ("empty", ""),
            ("line", "s3cret\n"),
            ("inside", "s3cret\r\nX-Admin: 1"),
            ("space", " s3cret"),
            ("other", "s3crét"),
        ];
        let data = data.map(|(name, text)| (name.to_owned(), ByteString(text.as_bytes().to_vec()))).into();
        let secret = Secret { data: Some(data), ..Secret::default() };
        for good in ["token", "empty"] {
            let value = parse(&secret, good).unwrap();
            assert!(value.is_sensitive());
            assert!(!format!("{value:?}").contains("s3cret"));
        }
        let rows = [
            ("line", "a value that ends with a line break"),
            ("inside", "what is no value of a header"),
            ("space", "what is no value of a header"),
            ("other", "what is no value of a header"),
            ("tokens", "has no key \"tokens\"; did you mean \"token\"?"),
            ("", "has no key \"\"."),
        ];
        for (name, expected) in rows {
            let told = parse(&secret, name).unwrap_err();
            assert!(told.contains(expected) && !told.contains("s3cr"), "{told}");
        }
    }
}
