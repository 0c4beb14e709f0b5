//! Which port of a Service an origin means.

use k8s_openapi::api::core::v1::{Service, ServicePort};

use super::lookup::nearest;
use crate::api::PortReference;

/// The port of plain HTTP where an origin names none.
const HTTP: i32 = 80;

/// The TCP port that `httpPort` names; without it 80 if the Service has that, else its only port.
///
/// # Errors
/// What is wrong, to follow the Service's name, with what it has instead.
pub(super) fn choose<'s>(
    service: &'s Service,
    wanted: Option<&PortReference>,
) -> Result<&'s ServicePort, String> {
    let ports: Vec<&ServicePort> = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()).collect();
    let tcp = || ports.iter().copied().filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP");
    let chosen = match wanted {
        Some(PortReference::Number(number)) => tcp().find(|port| port.port == *number),
        Some(PortReference::Name(name)) => tcp().find(|port| port.name.as_ref() == Some(name)),
        None => tcp().find(|port| port.port == HTTP).or_else(|| only(tcp())),
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
            None => format!("has no port 80 and not exactly one other ({has}); set httpPort."),
        }
    })
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
