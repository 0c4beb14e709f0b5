//! A large cluster, and what may change in it.

use std::fmt;
use std::sync::Arc;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::generate_simple_self_signed;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tidegate::object::ObjectKey;
use tidegate::snapshot::Snapshot;

/// How many Distributions share a namespace.
const IN_A_NAMESPACE: usize = 50;

/// What one change is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edit {
    Behavior,
    Alias,
    Endpoints,
    Certificate,
}

impl Edit {
    pub(crate) const ALL: [Self; 4] = [Self::Behavior, Self::Alias, Self::Endpoints, Self::Certificate];
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Behavior => "a behavior",
            Self::Alias => "an alias",
            Self::Endpoints => "the endpoints of a Service",
            Self::Certificate => "a certificate",
        })
    }
}

/// The objects.
pub(crate) struct World {
    snapshot: Snapshot,
    distributions: usize,
}

impl World {
    /// That many Distributions, each with a Service, five endpoints and a certificate of its own.
    pub(crate) fn new(distributions: usize) -> anyhow::Result<Self> {
        let mut world = Self { snapshot: Snapshot::default(), distributions };
        for number in 0..distributions {
            let key = key(number);
            world.snapshot.distributions.insert(key.clone(), object(distribution(number, "/api/*", None))?);
            world.snapshot.services.insert(key.clone(), object(service(number))?);
            world.snapshot.endpoint_slices.insert(key.clone(), object(slice(number, 0))?);
            world.snapshot.secrets.insert(key, object(secret(number)?)?);
        }
        Ok(world)
    }

    /// The objects as they are now.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Changes one object; another in each round.
    pub(crate) fn apply(&mut self, edit: Edit, round: usize) -> anyhow::Result<()> {
        let number = round * 7919 % self.distributions;
        let (key, snapshot) = (key(number), &mut self.snapshot);
        match edit {
            Edit::Behavior => {
                let pattern = format!("/v{round}/*");
                snapshot.distributions.insert(key, object(distribution(number, &pattern, None))?);
            }
            Edit::Alias => {
                let alias = format!("new-{round}.example.net");
                snapshot.distributions.insert(key, object(distribution(number, "/api/*", Some(&alias)))?);
            }
            Edit::Endpoints => {
                snapshot.endpoint_slices.insert(key, object(slice(number, round + 1))?);
            }
            Edit::Certificate => {
                snapshot.secrets.insert(key, object(secret(number)?)?);
            }
        }
        Ok(())
    }
}

fn key(number: usize) -> ObjectKey {
    ObjectKey::new(format!("team-{}", number / IN_A_NAMESPACE), format!("site-{number}"))
}

fn object<T: DeserializeOwned>(value: Value) -> anyhow::Result<Arc<T>> {
    Ok(Arc::new(serde_json::from_value(value).context("an object that does not decode")?))
}

fn metadata(number: usize) -> Value {
    let key = key(number);
    json!({"namespace": key.namespace, "name": key.name, "generation": 1, "uid": format!("uid-{number}")})
}

fn distribution(number: usize, pattern: &str, further: Option<&str>) -> Value {
    let own = format!("site-{number}.example.com");
    let aliases: Vec<&str> = [own.as_str()].into_iter().chain(further).collect();
    json!({
        "apiVersion": "tidegate.io/v1alpha1",
        "kind": "Distribution",
        "metadata": metadata(number),
        "spec": {
            "aliases": aliases,
            "viewerCertificate": {"secretName": key(number).name},
            "origins": [{"id": "app", "service": {"name": key(number).name}}],
            "cacheBehaviors": [
                {"pathPattern": pattern, "targetOriginId": "app"},
                {"pathPattern": "/static/*", "targetOriginId": "app"},
            ],
            "defaultCacheBehavior": {"targetOriginId": "app"},
        },
    })
}

fn service(number: usize) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(number),
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    })
}

/// Five endpoints; another `round` gives others.
fn slice(number: usize, round: usize) -> Value {
    let mut metadata = metadata(number);
    metadata["labels"] = json!({"kubernetes.io/service-name": key(number).name});
    let addresses = (0..5).map(|pod| {
        let address = number * 5 + pod;
        format!("10.{}.{}.{}", (address >> 16) + 16 * (round % 8), address >> 8 & 255, address & 255)
    });
    let endpoints: Vec<_> =
        addresses.map(|address| json!({"addresses": [address], "conditions": {"ready": true}})).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    })
}

fn secret(number: usize) -> anyhow::Result<Value> {
    let certified = generate_simple_self_signed([format!("site-{number}.example.com")])?;
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": metadata(number),
        "data": {
            "tls.crt": STANDARD.encode(certified.cert.pem()),
            "tls.key": STANDARD.encode(certified.signing_key.serialize_pem()),
        },
    }))
}
