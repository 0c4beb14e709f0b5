//! The Service that an origin names, and which of its ports is meant.

use k8s_openapi::api::core::v1::{Service, ServicePort};

use super::inputs::Backend;
use super::lookup::{Trouble, did_you_mean};
use crate::api::{PortReference, ServiceReference};
use crate::conditions::reasons::Reason;
use crate::nearest::nearest;
use crate::object::ObjectKey;
use crate::table::decide::Scheme;

/// The field of an origin that names its Service.
pub(super) const SERVICE: &str = "service.name";

/// The Service that an origin of a Distribution names.
pub(super) fn key_of(distribution: &ObjectKey, service: &ServiceReference) -> ObjectKey {
    let namespace = service.namespace.as_ref().unwrap_or(&distribution.namespace);
    ObjectKey::new(namespace.as_str(), service.name.as_str())
}

/// What is wrong with a Service, as sentences that name it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Why, from the closed list.
    pub reason: Reason,
    /// The field of the origin that it is about.
    pub field: &'static str,
    /// The sentences.
    pub text: String,
}

/// A Service's port that can be used.
pub(super) struct Resolved<'u> {
    /// The port.
    pub port: &'u ServicePort,
    /// Why the Service may not be as it is known.
    pub outdated: Option<Problem>,
}

/// Finds the port that an origin means of the Service `name`.
///
/// # Errors
/// What is wrong: there is no such Service or port, or it may not be used.
pub(super) fn resolve<'u>(
    name: &ObjectKey,
    backend: &'u Backend,
    wanted: Option<&PortReference>,
    scheme: Scheme,
) -> Result<Resolved<'u>, Problem> {
    let trouble = backend.service.trouble.as_ref().map(|trouble| describe(name, trouble));
    let Some(service) = &backend.service.found else {
        let proposal = did_you_mean(backend.service.nearest.as_deref());
        let text = format!("Service {name} not found{proposal}");
        return Err(trouble.unwrap_or(Problem { reason: Reason::BackendNotFound, field: SERVICE, text }));
    };
    if service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("ExternalName")) {
        let text = format!("Service {name} is of type ExternalName, which has no endpoints of its own.");
        return Err(Problem { reason: Reason::ExternalNameForbidden, field: SERVICE, text });
    }
    match choose_port(service, wanted, scheme) {
        Ok(port) => Ok(Resolved { port, outdated: trouble }),
        Err(problem) => {
            let text = format!("Service {name} {problem}");
            Err(Problem { reason: Reason::PortNotFound, field: port_field(scheme), text })
        }
    }
}

fn describe(name: &ObjectKey, trouble: &Trouble) -> Problem {
    match trouble {
        Trouble::Unreadable(clause) => Problem {
            reason: Reason::RefNotPermitted,
            field: SERVICE,
            text: format!("Service {name} cannot be read: {clause}."),
        },
        Trouble::NotPermitted(remedy) => Problem {
            reason: Reason::RefNotPermitted,
            field: "service.namespace",
            text: format!("Service {name} of another namespace is not permitted: {remedy}."),
        },
        Trouble::Undecodable(clause) => Problem {
            reason: Reason::BackendNotFound,
            field: SERVICE,
            text: format!("Service {name} does not decode: {clause}."),
        },
    }
}

/// The TCP port that `httpPort` or `httpsPort` names; without it 80 or 443 if the Service has that, else its only
/// port.
///
/// # Errors
/// What is wrong, to follow the Service's name, with what it has instead.
fn choose_port<'s>(
    service: &'s Service,
    wanted: Option<&PortReference>,
    scheme: Scheme,
) -> Result<&'s ServicePort, String> {
    let field = port_field(scheme);
    let usual = match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    let ports: Vec<&ServicePort> = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()).collect();
    let tcp = || ports.iter().copied().filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP");
    let chosen = match wanted {
        Some(PortReference::Number(number)) => tcp().find(|port| port.port == *number),
        Some(PortReference::Name(name)) => tcp().find(|port| port.name.as_ref() == Some(name)),
        None => tcp().find(|port| port.port == usual).or_else(|| only(tcp())),
    };
    chosen.ok_or_else(|| {
        let has = inventory(tcp());
        match wanted {
            Some(PortReference::Name(name)) => {
                let names = tcp().filter_map(|port| port.name.as_deref());
                let proposal = nearest(name, names).map(|name| format!("; did you mean {name:?}?"));
                format!("has no port {name:?}{}", proposal.unwrap_or_else(|| format!(" ({has}).")))
            }
            Some(PortReference::Number(number)) => format!("has no port {number} ({has})."),
            None => format!("has no port {usual} and not exactly one other ({has}); set {field}."),
        }
    })
}

fn port_field(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "httpPort",
        Scheme::Https => "httpsPort",
    }
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next();
    if items.next().is_none() { first } else { None }
}

/// `it has 80 "http" and 9090`, as far as it is short.
fn inventory<'s>(ports: impl Iterator<Item = &'s ServicePort>) -> String {
    const SHOWN: usize = 5;
    let told: Vec<String> = ports
        .map(|port| match &port.name {
            Some(name) => format!("{} {name:?}", port.port),
            None => port.port.to_string(),
        })
        .collect();
    match (told.len(), told.get(..SHOWN)) {
        (0, _) => "it has no TCP port".to_owned(),
        (count, Some(shown)) if count > SHOWN => {
            format!("it has {} and {} more", shown.join(", "), count - SHOWN)
        }
        _ => format!("it has {}", told.join(", ")),
    }
}
