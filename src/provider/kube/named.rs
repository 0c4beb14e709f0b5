//! Objects that are watched by name: those that Distributions name and no list shows.
//!
//! Nothing else of their kinds is asked for, so that no Secret is held in memory that nobody means Tidegate to
//! read; of one that is named all keys are, since any of them may be named next and the others help to say what a
//! name that does not exist may mean. Each has a watcher of its own, which lives as long as a Distribution names the object, whether it exists
//! or not. Start at [`follow`].

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Limits;
use super::scope::Scope;
use super::watch::{self, Task};
use crate::api::Distribution;
use crate::object::ObjectKey;
use crate::snapshot::Kind;

/// An object's kind and name.
pub(crate) type Name = (Kind, ObjectKey);

/// Objects by kind and name.
pub(crate) type Names = BTreeSet<Name>;

/// What a Distribution names.
pub(crate) fn named_by(key: &ObjectKey, distribution: &Distribution) -> Names {
    let of_viewers = distribution.spec.viewer_mtls.iter();
    let of_viewers = of_viewers.map(|asked| (Kind::Secret, Some(asked.ca_secret_name.as_str())));
    let origins = || distribution.spec.origins.iter();
    let of_tls = origins().map(|origin| &origin.origin_tls).flat_map(|tls| {
        [
            (Kind::Secret, tls.ca_secret_name.as_deref()),
            (Kind::Secret, tls.client_certificate_secret_name.as_deref()),
            (Kind::ConfigMap, tls.ca_config_map_name.as_deref()),
        ]
    });
    let values = origins().flat_map(|origin| &origin.custom_headers);
    let values = values.filter_map(|header| header.value_from.as_ref());
    let of_headers = values.map(|value| (Kind::Secret, Some(value.secret_name.as_str())));
    of_tls
        .chain(of_headers)
        .chain(of_viewers)
        .filter_map(|(kind, name)| Some((kind, name.filter(|name| is_name(name))?)))
        .map(|(kind, name)| (kind, ObjectKey::new(key.namespace.as_str(), name)))
        .collect()
}

/// Why a name is not watched, and what to do about it.
pub(crate) fn past_limit((kind, key): &Name, limit: usize) -> String {
    let (kind, namespace) = (kind.as_str(), key.namespace.as_str());
    format!(
        "{kind} {key} is past the {limit} Secrets and ConfigMaps that origins and viewerMtls may name in namespace {namespace}: \
         share the {kind} between origins"
    )
}

/// The API server sees to that where the CustomResourceDefinition is ours; anything else could say more in a field
/// selector than a name.
fn is_name(text: &str) -> bool {
    let of_a_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    !text.is_empty() && text.bytes().all(of_a_name)
}

/// Watches what Distributions name, as long as they name it, until `cancel`. The scope of `task` does not matter.
pub(crate) async fn follow(task: Task, cancel: CancellationToken) {
    // Nothing but the Distributions that name such an object wait for it, and those not for long.
    let limits = Limits { list: task.limits.patience, ..task.limits };
    let task = Task { limits, ..task };
    let mut names = task.shared.names();
    let mut watched: BTreeMap<Name, CancellationToken> = BTreeMap::new();
    let mut watchers = JoinSet::new();
    loop {
        let wanted = names.borrow_and_update().clone();
        for (_, end) in watched.iter().filter(|(name, _)| !wanted.contains(name)) {
            end.cancel();
        }
        for name in wanted {
            watched.entry(name.clone()).or_insert_with(|| {
                let end = cancel.child_token();
                watchers.spawn(watch_one(task.clone(), name, end.clone()));
                end
            });
        }
        tokio::select! {
            // 1. The end of all.
            () = cancel.cancelled() => return,
            // 2. Distributions name others. The sender lives in what `task` shares.
            _ = names.changed() => {}
            // 3. A watcher has ended since nobody named its object; if somebody does again, the next one begins.
            Some(ended) = watchers.join_next() => match ended {
                Ok(name) => {
                    task.shared.update(|inventory| inventory.forget(&name));
                    watched.remove(&name);
                }
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => resume_unwind(panic),
                    Err(_cancelled) => return,
                },
            },
        }
    }
}

async fn watch_one(task: Task, name: Name, end: CancellationToken) -> Name {
    let task = Task { scope: Scope::Object(name.1.clone()), ..task };
    match name.0 {
        Kind::Secret => watch::watch::<Secret>(task, end).await,
        Kind::ConfigMap => watch::watch::<ConfigMap>(task, end).await,
        // Listed, and so never named.
        Kind::Distribution | Kind::Service | Kind::EndpointSlice | Kind::ReferenceGrant | Kind::Challenge => {
            end.cancelled().await;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_authorities_of_viewers_are_asked_for() {
        let spec = json!({
            "origins": [{"id": "a", "service": {"name": "a"}}],
            "defaultCacheBehavior": {"targetOriginId": "a"},
            "viewerMtls": {"mode": "optional", "caSecretName": "clients"},
        });
        let distribution = Distribution::new("web", serde_json::from_value(spec).unwrap());
        let named = named_by(&ObjectKey::new("shop", "web"), &distribution);
        assert_eq!(named, Names::from([(Kind::Secret, ObjectKey::new("shop", "clients"))]));
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        let names = ["ca", "ca.v-2", "", "a=b", "ca,metadata.namespace=bank", "a b", "Ca"];
        let origin = |ca| json!({"id": "a", "service": {"name": "a"}, "originTls": {"caConfigMapName": ca}});
        let spec = json!({
            "origins": names.map(origin), "defaultCacheBehavior": {"targetOriginId": "a"},
        });
        let distribution = Distribution::new("web", serde_json::from_value(spec).unwrap());
        let named = named_by(&ObjectKey::new("shop", "web"), &distribution);
        let named: Vec<_> = named.iter().map(|(kind, key)| (*kind, key.to_string())).collect();
        assert_eq!(named, ["shop/ca", "shop/ca.v-2"].map(|key| (Kind::ConfigMap, key.to_owned())));
    }
}
