//! One object as the API server sent it: pruned, and decoded where that is possible.
//!
//! A typed list or watch fails for ever on a single object that does not decode; this type always decodes, and
//! carries what is wrong instead. It does not know what else the cluster holds.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Map, Value};

use super::kinds::Watched;
use super::scope::Scope;
use crate::object::ObjectKey;

/// What survives of the metadata. The rest changes often and means nothing to a translation, and two versions
/// of an object that differ only there must compare equal.
const KEPT_METADATA: [&str; 6] = ["name", "namespace", "uid", "generation", "creationTimestamp", "labels"];

/// An object of the kind `K`, whether it decodes or not.
#[derive(Clone)]
pub(crate) struct Observed<K> {
    /// Name, uid, versions: what even an object that does not decode has.
    metadata: ObjectMeta,
    /// `spec.className` of kinds that have one.
    pub(crate) class_name: Option<String>,
    /// `status`, where somebody looks at it.
    pub(crate) status: Option<Arc<Value>>,
    /// The pruned object without status, or what is wrong with it.
    pub(crate) decoded: Result<Arc<K>, String>,
}

impl<K> Observed<K> {
    /// The object's name; none where the API server left it out, which no namespaced object survives.
    pub(crate) fn key(&self) -> Option<ObjectKey> {
        Some(ObjectKey::new(self.metadata.namespace.clone()?, self.metadata.name.clone()?))
    }

    /// The same without what nobody reads of an object that was seen in `scope`.
    pub(crate) fn seen_in(mut self, scope: &Scope) -> Self
    where
        K: Watched,
    {
        if let Ok(object) = &mut self.decoded {
            Arc::make_mut(object).trim(scope);
        }
        self.status = self.status.filter(|_| K::keeps_status(scope));
        self
    }

    /// `metadata.uid`.
    pub(crate) fn uid(&self) -> Option<&str> {
        self.metadata.uid.as_deref()
    }

    /// `metadata.generation`.
    pub(crate) fn generation(&self) -> Option<i64> {
        self.metadata.generation
    }
}

/// Objects hold secrets: only the name is ever shown.
impl<K> fmt::Debug for Observed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key() {
            Some(key) => write!(f, "Observed({key})"),
            None => f.write_str("Observed"),
        }
    }
}

impl<'de, K: Watched> Deserialize<'de> for Observed<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = Map::<String, Value>::deserialize(deserializer)?;
        let metadata = object.get("metadata").cloned().unwrap_or_default();
        let metadata = ObjectMeta::deserialize(metadata).map_err(D::Error::custom)?;
        let status = object.remove("status").map(Arc::new);
        let class_name = object.get("spec").and_then(|spec| spec.get("className")).and_then(class_name);
        if let Some(Value::Object(kept)) = object.get_mut("metadata") {
            kept.retain(|field, _| KEPT_METADATA.contains(&field.as_str()));
        }
        K::prune(&mut object);
        let decoded = decode(Value::Object(object));
        Ok(Self { metadata, class_name, status, decoded })
    }
}

/// The class as written. One that is no text is nobody's class, so it must not pass for an absent one.
fn class_name(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(name) => Some(name.clone()),
        other => Some(other.to_string()),
    }
}

fn decode<K: Watched>(object: Value) -> Result<Arc<K>, String> {
    serde_path_to_error::deserialize(object).map(Arc::new).map_err(|error| {
        let field = error.path().to_string();
        let wrong = match K::CONFIDENTIAL {
            true => "not what it must be".to_owned(),
            false => error.into_inner().to_string(),
        };
        format!("field {field}: {wrong}; correct it, or install the CustomResourceDefinition of this version")
    })
}

/// The version of a kind's API that is asked for; none is the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version(pub(crate) Option<&'static str>);

impl<K: Watched> Resource for Observed<K> {
    type DynamicType = Version;
    type Scope = NamespaceResourceScope;

    fn kind(_version: &Version) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group(_version: &Version) -> Cow<'_, str> {
        K::group(&())
    }

    fn version(version: &Version) -> Cow<'_, str> {
        version.0.map_or_else(|| K::version(&()), Cow::Borrowed)
    }

    fn plural(_version: &Version) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::json;

    use super::*;
    use crate::api::Distribution;

    fn observe<K: Watched>(object: Value) -> Observed<K> {
        serde_json::from_value(object).expect("an object with metadata is always observed")
    }

    fn distribution(spec: Value) -> Value {
        json!({
            "apiVersion": "tidegate.io/v1alpha1", "kind": "Distribution",
            "metadata": {"name": "web", "namespace": "shop", "resourceVersion": "7", "uid": "u", "generation": 3,
                         "annotations": {"a": "b"}, "managedFields": []},
            "spec": spec,
            "status": {"state": "a word of a later version"},
        })
    }

    #[test]
    fn a_status_that_this_version_does_not_know_costs_nothing() {
        let spec = json!({"origins": [], "defaultCacheBehavior": {"targetOriginId": "app"}});
        let observed = observe::<Distribution>(distribution(spec));
        let object = observed.decoded.expect("the spec decodes");
        assert_eq!(object.metadata.annotations, None);
        assert_eq!(object.metadata.resource_version, None);
        assert_eq!(observed.metadata.resource_version.as_deref(), Some("7"));
        assert!(observed.status.is_some());
    }

    #[test]
    fn what_does_not_decode_names_the_field() {
        let observed = observe::<Distribution>(distribution(json!({"origins": [{"id": 4}]})));
        assert_eq!(observed.key(), Some(ObjectKey::new("shop", "web")));
        assert_eq!(observed.generation(), Some(3));
        let wrong = observed.decoded.expect_err("an id is a text");
        assert!(wrong.starts_with("field spec.origins[0].id: invalid type"), "{wrong}");
    }

    #[test]
    fn a_class_that_is_no_text_is_not_an_absent_one() {
        let observed = observe::<Distribution>(distribution(json!({"className": 4})));
        assert_eq!(observed.class_name.as_deref(), Some("4"));
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_not_quoted() {
        let observed = observe::<Secret>(json!({
            "metadata": {"name": "tls", "namespace": "shop"},
            "data": {"tls.key": ["hunter2"]},
        }));
        let wrong = observed.decoded.expect_err("a key is a text");
        assert!(wrong.starts_with("field data.tls.key: ") && !wrong.contains("hunter2"), "{wrong}");
    }

    #[test]
    fn of_a_listed_secret_only_certificate_and_key_are_kept_and_of_a_named_one_everything() {
        let keys = |scope: &Scope| -> Vec<String> {
            let observed = observe::<Secret>(json!({
                "metadata": {"name": "tls", "namespace": "shop"},
                "data": {"tls.crt": "YQ==", "tls.key": "Yg==", "other": "Yw=="},
            }));
            let secret = observed.seen_in(scope).decoded.expect("a Secret");
            secret.data.iter().flat_map(|data| data.keys().cloned()).collect()
        };
        assert_eq!(keys(&Scope::Cluster), ["tls.crt", "tls.key"]);
        assert_eq!(keys(&Scope::Namespace("shop".to_owned())), ["tls.crt", "tls.key"]);
        assert_eq!(keys(&Scope::Object(ObjectKey::new("shop", "tls"))), ["other", "tls.crt", "tls.key"]);
    }
}
