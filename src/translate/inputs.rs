//! Everything that the translation of one Distribution may look at.
//!
//! A unit gets these and nothing else, so comparing them tells whether it would come out the same: objects by
//! identity, what was said about them by value.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::aliases::Claims;
use super::certificates::{self, Audience, Loaded, LoadedAuthorities, LoadedSecret, LoadedSecrets};
use super::grants::{self, Grants};
use super::header_values::{self, HeaderValues, LoadedValue, Place};
use super::lookup::{Lookup, Object, clause, nearest_in_namespace};
use super::services;
use crate::api::Distribution;
use crate::object::ObjectKey;
use crate::snapshot::{Kind, Snapshot, Undecodable};
use crate::table::certificate::Authorities;

/// The label by which an EndpointSlice names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What one unit is made from.
#[derive(PartialEq)]
pub(super) struct Inputs {
    /// The Distribution's name.
    pub key: ObjectKey,
    /// Its last version that decodes.
    pub distribution: Object<Distribution>,
    /// Its present version, where that does not decode.
    pub undecodable: Option<Undecodable>,
    /// What came of its aliases, and its name under the base domain.
    pub claims: Claims,
    /// The Services that its origins name.
    pub backends: BTreeMap<ObjectKey, Backend>,
    /// The Secrets of its `viewerCertificate`, in their order.
    pub certificates: Vec<NamedSecret>,
    /// The Secret of its `viewerMtls`.
    pub authorities_of_viewers: Option<NamedSecret<Authorities>>,
    /// The Secrets that hold the authorities of its origins, by name.
    pub authorities: BTreeMap<String, Lookup<Object<Secret>>>,
    /// The ConfigMaps that hold some, by name.
    pub public_authorities: BTreeMap<String, Lookup<Object<ConfigMap>>>,
    /// Those whose certificate is shown to its origins.
    pub client_certificates: BTreeMap<String, NamedSecret>,
    /// The keys of Secrets whose values its origins are sent.
    pub header_values: BTreeMap<Place, Lookup<Object<LoadedValue>>>,
    /// Why EndpointSlices of its Services cannot be read, as a clause.
    pub slices_unreadable: Option<String>,
    /// Why ReferenceGrants cannot be read in another namespace of which it names something, as a clause.
    pub grants_unreadable: Option<String>,
}

/// A Service and its EndpointSlices.
#[derive(PartialEq)]
pub(super) struct Backend {
    /// The Service.
    pub service: Lookup<Object<Service>>,
    /// Its slices, in the order of their names.
    pub slices: Vec<Object<EndpointSlice>>,
}

/// A Secret by name, and what it gave.
#[derive(PartialEq)]
pub(super) struct NamedSecret<T = Loaded> {
    /// The Secret's name.
    pub key: ObjectKey,
    /// What it gave.
    pub lookup: Lookup<Object<LoadedSecret<T>>>,
}

/// What inputs are gathered from: the snapshot, and what was made of all of it together.
pub(super) struct Cluster<'s> {
    snapshot: &'s Snapshot,
    claims: &'s BTreeMap<ObjectKey, Claims>,
    grants: &'s Grants<'s>,
    secrets: &'s LoadedSecrets,
    header_values: &'s HeaderValues,
    authorities: &'s LoadedAuthorities,
    /// By namespace and Service.
    slices: BTreeMap<(&'s str, &'s str), Vec<&'s Arc<EndpointSlice>>>,
}

impl<'s> Cluster<'s> {
    /// Sorts the slices by Service.
    pub(super) fn new(
        snapshot: &'s Snapshot,
        claims: &'s BTreeMap<ObjectKey, Claims>,
        grants: &'s Grants<'s>,
        secrets: &'s LoadedSecrets,
        header_values: &'s HeaderValues,
        authorities: &'s LoadedAuthorities,
    ) -> Self {
        let mut slices: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, slice) in &snapshot.endpoint_slices {
            let labels = slice.metadata.labels.as_ref();
            if let Some(service) = labels.and_then(|labels| labels.get(SERVICE_NAME)) {
                slices.entry((key.namespace.as_str(), service.as_str())).or_default().push(slice);
            }
        }
        Self { snapshot, claims, grants, secrets, header_values, authorities, slices }
    }

    fn backend(&self, distribution: &ObjectKey, key: &ObjectKey) -> Backend {
        if !self.grants.permit(distribution, Kind::Service, key) {
            let remedy = grants::remedy(distribution, Kind::Service, key);
            return Backend { service: Lookup::not_permitted(remedy), slices: Vec::new() };
        }
        let services = &self.snapshot.services;
        let service = Lookup::of(key, services.get(key), Kind::Service, &self.snapshot.problems, || {
            nearest_for(distribution, key, services)
        });
        let slices = self.slices.get(&(key.namespace.as_str(), key.name.as_str()));
        let slices = slices.into_iter().flatten().map(|slice| Object(Arc::clone(slice))).collect();
        Backend { service, slices }
    }

    fn plain_secret(&self, key: &ObjectKey) -> Lookup<Object<Secret>> {
        let secrets = &self.snapshot.secrets;
        Lookup::of(key, secrets.get(key), Kind::Secret, &self.snapshot.problems, || {
            nearest_in_namespace(key, secrets)
        })
    }

    fn config_map(&self, key: &ObjectKey) -> Lookup<Object<ConfigMap>> {
        let config_maps = &self.snapshot.config_maps;
        Lookup::of(key, config_maps.get(key), Kind::ConfigMap, &self.snapshot.problems, || {
            nearest_in_namespace(key, config_maps)
        })
    }

    fn secret(&self, distribution: &ObjectKey, audience: Audience, key: ObjectKey) -> NamedSecret {
        if !self.grants.permit(distribution, Kind::Secret, &key) {
            let remedy = grants::remedy(distribution, Kind::Secret, &key);
            return NamedSecret { key, lookup: Lookup::not_permitted(remedy) };
        }
        let loaded = self.secrets.get(&(audience, key.clone()));
        self.named(distribution, key, loaded)
    }

    fn named<T>(
        &self,
        distribution: &ObjectKey,
        key: ObjectKey,
        loaded: Option<&Arc<LoadedSecret<T>>>,
    ) -> NamedSecret<T> {
        let lookup = Lookup::of(&key, loaded, Kind::Secret, &self.snapshot.problems, || {
            nearest_for(distribution, &key, &self.snapshot.secrets)
        });
        NamedSecret { key, lookup }
    }

    fn header_value(&self, place: &Place) -> Lookup<Object<LoadedValue>> {
        let (key, problems) = (&place.0, &self.snapshot.problems);
        Lookup::of(key, self.header_values.get(place), Kind::Secret, problems, || {
            nearest_in_namespace(key, &self.snapshot.secrets)
        })
    }
}

impl Inputs {
    /// Gathers what the unit of `distribution` depends on.
    pub(super) fn gather(key: &ObjectKey, distribution: &Arc<Distribution>, cluster: &Cluster<'_>) -> Self {
        let spec = &distribution.spec;
        let problems = &cluster.snapshot.problems;
        let services = spec.origins.iter().map(|origin| services::key_of(key, &origin.service));
        let certificates: Vec<_> = certificates::shown_to_viewers(key, spec).collect();
        let backends: BTreeMap<_, _> =
            services.map(|name| (name.clone(), cluster.backend(key, &name))).collect();
        let others = backends.keys().chain(&certificates).map(|name| name.namespace.as_str());
        let mut others = others.filter(|namespace| *namespace != key.namespace);
        let grants_unreadable = others.find_map(|namespace| cluster.grants.unreadable(namespace));
        // Of a namespace that does not permit it nothing is told.
        let mut permitted = backends.iter().filter(|(_, backend)| backend.service.is_permitted());
        let slices_unreadable = permitted
            .find_map(|(service, _)| problems.degraded_for(Kind::EndpointSlice, &service.namespace))
            .map(clause);
        Self {
            key: key.clone(),
            distribution: Object(Arc::clone(distribution)),
            undecodable: problems.undecodable.get(&(Kind::Distribution, key.clone())).cloned(),
            claims: cluster.claims.get(key).cloned().unwrap_or_default(),
            backends,
            authorities: spec
                .origins
                .iter()
                .filter_map(|origin| origin.origin_tls.ca_secret_name.clone())
                .map(|name| {
                    let lookup = cluster.plain_secret(&ObjectKey::new(key.namespace.as_str(), name.as_str()));
                    (name, lookup)
                })
                .collect(),
            public_authorities: spec
                .origins
                .iter()
                .filter_map(|origin| origin.origin_tls.ca_config_map_name.clone())
                .map(|name| {
                    let lookup = cluster.config_map(&ObjectKey::new(key.namespace.as_str(), name.as_str()));
                    (name, lookup)
                })
                .collect(),
            client_certificates: certificates::shown_to_origins(key, spec)
                .map(|secret| (secret.name.clone(), cluster.secret(key, Audience::Origins, secret)))
                .collect(),
            header_values: header_values::named(key, spec)
                .map(|place| {
                    let lookup = cluster.header_value(&place);
                    (place, lookup)
                })
                .collect(),
            certificates: certificates
                .into_iter()
                .map(|secret| cluster.secret(key, Audience::Viewers, secret))
                .collect(),
            authorities_of_viewers: certificates::trusted_of_viewers(key, spec).map(|secret| {
                let loaded = cluster.authorities.get(&secret);
                cluster.named(key, secret, loaded)
            }),
            slices_unreadable,
            grants_unreadable,
        }
    }
}

/// What was most likely meant; of another namespace, no names are told.
fn nearest_for<T>(
    distribution: &ObjectKey,
    key: &ObjectKey,
    objects: &BTreeMap<ObjectKey, T>,
) -> Option<String> {
    let own = distribution.namespace == key.namespace;
    own.then(|| nearest_in_namespace(key, objects)).flatten()
}
