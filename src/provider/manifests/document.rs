//! One document of a file: which object it is, and the typed object or what is wrong with it.
//!
//! It knows the kinds that a folder may hold and nothing of files that change. Start with [`parse`].

use std::fmt;
use std::sync::{Arc, LazyLock};

use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, generate};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::schema::{self, Flaw};
use super::yaml::{self, Content, Node, Position};
use crate::api::{
    self, Challenge, ChallengeSpec, Distribution, DistributionSpec, DistributionStatus, ReferenceGrant,
    ReferenceGrantSpec, Violation,
};
use crate::nearest::nearest;
use crate::object::ObjectKey;
use crate::snapshot::Kind;

/// Which object a document is about.
pub(crate) type Identity = (Kind, ObjectKey);

/// The namespace of an object that names none, as with kubectl.
const DEFAULT_NAMESPACE: &str = "default";

/// What one document says.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// Where it begins.
    pub(crate) position: Position,
    /// Whether it is about an object of ours at all.
    pub(crate) of: Of,
    /// Which object it is, where that much can be read.
    pub(crate) identity: Option<Identity>,
    /// The object, or all that is wrong with the document (never an empty list).
    pub(crate) object: Result<Object, Vec<Flaw>>,
    /// Whether the documents behind this one could not be read.
    pub(crate) ends_file: bool,
}

/// Whose objects a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// One of our kinds, or what was meant for one.
    Ours,
    /// A kind of another API, which is no business of ours: a Deployment, say.
    Others,
}

/// An object of one of the kinds, shared so that what did not change is told by its pointer.
#[derive(Clone)]
pub(crate) enum Object {
    /// A Distribution.
    Distribution(Arc<Distribution>),
    /// A Service.
    Service(Arc<Service>),
    /// An EndpointSlice.
    EndpointSlice(Arc<EndpointSlice>),
    /// A Secret, its `stringData` merged into `data`.
    Secret(Arc<Secret>),
    /// A ConfigMap.
    ConfigMap(Arc<ConfigMap>),
    /// A ReferenceGrant.
    ReferenceGrant(Arc<ReferenceGrant>),
    /// A Challenge.
    Challenge(Arc<Challenge>),
}

/// Only the kind: a Secret holds keys.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Distribution(_) => "Distribution",
            Self::Service(_) => "Service",
            Self::EndpointSlice(_) => "EndpointSlice",
            Self::Secret(_) => "Secret",
            Self::ConfigMap(_) => "ConfigMap",
            Self::ReferenceGrant(_) => "ReferenceGrant",
            Self::Challenge(_) => "Challenge",
        })
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Distribution(one), Self::Distribution(other)) => one == other,
            (Self::Service(one), Self::Service(other)) => one == other,
            (Self::EndpointSlice(one), Self::EndpointSlice(other)) => one == other,
            (Self::Secret(one), Self::Secret(other)) => one == other,
            (Self::ConfigMap(one), Self::ConfigMap(other)) => one == other,
            (Self::ReferenceGrant(one), Self::ReferenceGrant(other)) => one == other,
            (Self::Challenge(one), Self::Challenge(other)) => one == other,
            _ => false,
        }
    }
}

/// The documents of a file, in order.
pub(crate) fn parse(bytes: &[u8]) -> Vec<Document> {
    let trees = yaml::documents(bytes);
    let last = trees.len().saturating_sub(1);
    trees
        .into_iter()
        .enumerate()
        .map(|(index, tree)| match tree {
            Ok(node) => document(&node),
            // After an error within a document the parser goes on if it can, so only the last one may hide others.
            Err(error) => Document {
                position: error.position,
                of: Of::Ours,
                identity: None,
                object: Err(vec![Flaw {
                    position: error.position,
                    field: String::new(),
                    message: format!("broken YAML: {}", error.message),
                }]),
                ends_file: index == last,
            },
        })
        .collect()
}

fn document(node: &Node) -> Document {
    let kind = kind(node);
    let identity = kind.as_ref().ok().and_then(|kind| Some((*kind, key(node)?)));
    let object = kind.map_err(|flaw| vec![flaw]).and_then(|kind| object(node, kind));
    Document { position: node.position, of: of(node), identity, object, ends_file: false }
}

/// Judged by the name of the API, since that of a kind may be a slip.
fn of(node: &Node) -> Of {
    let text = |field| node.field(field).and_then(Node::text);
    let (Some(version), Some(kind)) = (text("apiVersion"), text("kind")) else { return Of::Ours };
    let group = |version: &str| version.split_once('/').map(|(group, _)| group.to_owned());
    let is_ours = |ours: &Kind| group(version_of(*ours)) == group(version);
    let is_known = Kind::ALL.iter().filter(|ours| is_ours(ours)).any(|ours| ours.as_str() == kind);
    if is_known || is_ours(&Kind::Distribution) { Of::Ours } else { Of::Others }
}

/// The kind of a document, if it is one of ours in the version that we read.
fn kind(node: &Node) -> Result<Kind, Flaw> {
    let flaw = |field: &str, message: String| Flaw {
        position: node.locate(field),
        field: field.to_owned(),
        message,
    };
    if !matches!(node.content, Content::Map(_)) {
        return Err(flaw("", "expected a mapping with apiVersion, kind and metadata".to_owned()));
    }
    let Some(name) = node.field("kind").and_then(Node::text) else {
        return Err(flaw("kind", "`kind` is required here".to_owned()));
    };
    let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.as_str() == name) else {
        let names = Kind::ALL.map(Kind::as_str);
        let remedy = match nearest(name, names.into_iter()) {
            Some(candidate) => format!("did you mean `{candidate}`?"),
            None => format!("a folder may hold {}", names.join(", ")),
        };
        return Err(flaw("kind", format!("unknown kind `{name}`; {remedy}")));
    };
    let version = version_of(kind);
    match node.field("apiVersion").and_then(Node::text) {
        Some(written) if written == version || Some(written) == older_version_of(kind) => Ok(kind),
        Some(written) => {
            Err(flaw("apiVersion", format!("unknown version `{written}` of {name}; write `{version}`")))
        }
        None => Err(flaw("apiVersion", format!("`apiVersion` is required here; write `{version}`"))),
    }
}

/// The `apiVersion` of a kind, in the version that we read.
fn version_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Distribution => "tidegate.io/v1alpha1",
        Kind::Service | Kind::Secret | Kind::ConfigMap => "v1",
        Kind::EndpointSlice => "discovery.k8s.io/v1",
        Kind::ReferenceGrant => "gateway.networking.k8s.io/v1",
        Kind::Challenge => "acme.cert-manager.io/v1",
    }
}

/// An older version of the same shape.
fn older_version_of(kind: Kind) -> Option<&'static str> {
    (kind == Kind::ReferenceGrant).then_some("gateway.networking.k8s.io/v1beta1")
}

/// The namespace and name of a document, where there is a name.
fn key(node: &Node) -> Option<ObjectKey> {
    let metadata = node.field("metadata")?;
    let name = metadata.field("name")?.text()?;
    let namespace = metadata.field("namespace").and_then(Node::text).unwrap_or(DEFAULT_NAMESPACE);
    Some(ObjectKey::new(namespace, name))
}

fn object(node: &Node, kind: Kind) -> Result<Object, Vec<Flaw>> {
    let mut flaws = schema::check(node, schema_of(kind));
    flaws.extend(names(node));
    if !flaws.is_empty() {
        return Err(flaws);
    }
    let mut value = node.to_value();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.entry("namespace").or_insert_with(|| DEFAULT_NAMESPACE.into());
    }
    match kind {
        Kind::Distribution => distribution(node, value).map(Arc::new).map(Object::Distribution),
        Kind::Service => decode(node, value).map(Arc::new).map(Object::Service),
        Kind::EndpointSlice => decode(node, value).map(Arc::new).map(Object::EndpointSlice),
        Kind::Secret => decode(node, value).map(plain_data).map(Arc::new).map(Object::Secret),
        Kind::ConfigMap => decode(node, value).map(Arc::new).map(Object::ConfigMap),
        Kind::ReferenceGrant => decode(node, value).map(Arc::new).map(Object::ReferenceGrant),
        Kind::Challenge => decode(node, value).map(Arc::new).map(Object::Challenge),
    }
}

/// What is wrong with the object's own name and namespace: the forms that the API server asks for.
fn names(node: &Node) -> Option<Flaw> {
    ["metadata.name", "metadata.namespace"].into_iter().find_map(|field| {
        let written = node.field("metadata")?.field(field.strip_prefix("metadata.")?);
        let message = match written.and_then(Node::text) {
            Some(text) if is_name(text) => return None,
            Some(_) => {
                "a name has 1 to 253 lower-case letters, digits, `-` and `.`, the last two not at its ends"
            }
            // What has the wrong type is refused by the schema.
            None if written.is_some() || field == "metadata.namespace" => return None,
            None => "`name` is required here",
        };
        Some(Flaw { position: node.locate(field), field: field.to_owned(), message: message.to_owned() })
    })
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 253
        && text.bytes().all(|byte| plain(byte) || matches!(byte, b'-' | b'.'))
        && text.bytes().next().is_some_and(plain)
        && text.bytes().last().is_some_and(plain)
}

/// A Distribution that the API server would accept, too: all its rules hold.
fn distribution(node: &Node, value: Value) -> Result<Distribution, Vec<Flaw>> {
    let violations = api::validate_object(&value);
    if violations.is_empty() {
        return decode(node, value);
    }
    let flaw = |Violation { field, message }| Flaw { position: node.locate(&field), field, message };
    Err(violations.into_iter().map(flaw).collect())
}

fn decode<T: DeserializeOwned>(node: &Node, value: Value) -> Result<T, Vec<Flaw>> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let field = error.path().to_string();
        let message = error.into_inner().to_string();
        vec![Flaw { position: node.locate(&field), field, message }]
    })
}

/// A Secret as the API server stores it: what stands under `stringData` wins and moves into `data`.
fn plain_data(mut secret: Secret) -> Secret {
    if let Some(texts) = secret.string_data.take() {
        let data = secret.data.get_or_insert_default();
        data.extend(texts.into_iter().map(|(name, text)| (name, k8s_openapi::ByteString(text.into_bytes()))));
    }
    secret
}

/// The schema of a kind. Those of the foreign kinds come with their types, so they know the same fields.
fn schema_of(kind: Kind) -> &'static Value {
    static DISTRIBUTION: LazyLock<Value> = LazyLock::new(|| {
        // The generated type leaves its metadata without a description, as a CRD does; here it is checked, too.
        let mut schemas = generator();
        json!({
            "type": "object",
            "required": ["metadata", "spec"],
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": schemas.subschema_for::<ObjectMeta>(),
                "spec": schemas.subschema_for::<DistributionSpec>(),
                "status": schemas.subschema_for::<DistributionStatus>(),
            },
        })
    });
    static SERVICE: LazyLock<Value> = LazyLock::new(schema_for::<Service>);
    static ENDPOINT_SLICE: LazyLock<Value> = LazyLock::new(schema_for::<EndpointSlice>);
    static SECRET: LazyLock<Value> = LazyLock::new(schema_for::<Secret>);
    static CONFIG_MAP: LazyLock<Value> = LazyLock::new(schema_for::<ConfigMap>);
    static REFERENCE_GRANT: LazyLock<Value> = LazyLock::new(schema_with_spec::<ReferenceGrantSpec>);
    static CHALLENGE: LazyLock<Value> = LazyLock::new(schema_with_spec::<ChallengeSpec>);
    match kind {
        Kind::Distribution => &DISTRIBUTION,
        Kind::Service => &SERVICE,
        Kind::EndpointSlice => &ENDPOINT_SLICE,
        Kind::Secret => &SECRET,
        Kind::ConfigMap => &CONFIG_MAP,
        Kind::ReferenceGrant => &REFERENCE_GRANT,
        Kind::Challenge => &CHALLENGE,
    }
}

/// The schema of a kind that we only read: its metadata, and its spec as far as that is read.
fn schema_with_spec<Spec: JsonSchema>() -> Value {
    let mut schemas = generator();
    json!({
        "type": "object",
        "required": ["metadata", "spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": schemas.subschema_for::<ObjectMeta>(),
            "spec": schemas.subschema_for::<Spec>(),
            "status": {"type": "object"},
        },
    })
}

fn schema_for<T: JsonSchema>() -> Value {
    generator().into_root_schema_for::<T>().to_value()
}

/// A generator that writes every type out where it is used, so that a schema can be read without a dictionary.
fn generator() -> SchemaGenerator {
    let settings: SchemaSettings = generate::SchemaSettings::default();
    settings.with(|settings| settings.inline_subschemas = true).into_generator()
}

#[cfg(test)]
mod tests;
