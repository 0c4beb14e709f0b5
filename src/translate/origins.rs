//! Origins: the Service and port that each one names, how it is spoken to, and what is wrong with it.

use std::num::NonZeroU8;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use k8s_openapi::api::core::v1::ServicePort;

use super::endpoints::{self, Collected, EndpointAddresses};
use super::inputs::{Backend, Inputs};
use super::lookup::{Trouble, did_you_mean};
use super::unserved::{self, Effect};
use super::{ports, traffic};
use crate::api;
use crate::conditions::facts::{Finding, OriginFact, OriginState};
use crate::conditions::reasons::Reason;
use crate::object::ObjectKey;
use crate::table::origin::{Endpoint, HostHeader, Origin, OriginKey};

/// What came of one origin.
pub(super) struct CompiledOrigin {
    /// Where its requests go, and how; none where they get 503.
    pub usable: Option<Usable>,
    /// What is told of it.
    pub fact: OriginFact,
}

/// An origin that requests can go to, though it may have no endpoint just now.
pub(super) struct Usable {
    /// How it is spoken to.
    pub origin: Arc<Origin>,
    /// Who serves.
    pub endpoints: Arc<[Endpoint]>,
}

/// Compiles `spec.origins[position]`.
pub(super) fn compile(
    inputs: &Inputs,
    (position, origin): (usize, &api::Origin),
    allowed: EndpointAddresses,
    findings: &mut Vec<Finding>,
) -> CompiledOrigin {
    let pass = Pass { inputs, position, origin };
    let fact = |state, reason| OriginFact { id: origin.id.clone(), state, reason };
    let resolved = pass.resolve(findings).and_then(|(backend, port)| {
        pass.check_served(port, findings)?;
        Ok((backend, port, pass.origin()?))
    });
    match resolved {
        Ok((backend, port, compiled)) => {
            let collected = endpoints::collect(&backend.slices, port, allowed);
            let state = if collected.serving.is_empty() {
                pass.report_no_endpoints(&collected, findings);
                fact(OriginState::NoEndpoints, Some(Reason::NoEndpoints))
            } else {
                fact(OriginState::Available, None)
            };
            let usable = Usable { origin: Arc::new(compiled), endpoints: collected.serving };
            CompiledOrigin { usable: Some(usable), fact: state }
        }
        Err(finding) => {
            let reason = finding.reason;
            findings.push(finding);
            pass.report_unreachable(findings);
            CompiledOrigin { usable: None, fact: fact(OriginState::NotFound, Some(reason)) }
        }
    }
}

/// Reports that endpoints may be outdated, which concerns all origins alike.
pub(super) fn report_unreadable_slices(inputs: &Inputs, findings: &mut Vec<Finding>) {
    if let Some(problem) = &inputs.slices_unreadable {
        let message = format!("EndpointSlices cannot be read: {problem}. The last known endpoints are used.");
        findings.push(Finding { reason: Reason::RefNotPermitted, message });
    }
}

/// One origin, as its own pass over it sees it.
#[derive(Clone, Copy)]
struct Pass<'u> {
    inputs: &'u Inputs,
    position: usize,
    origin: &'u api::Origin,
}

impl<'u> Pass<'u> {
    /// `origin "api": `, then what is wrong, then what traffic gets.
    fn finding(self, reason: Reason, problem: &str) -> Finding {
        let message = format!("origin {:?}: {problem} {}", self.origin.id, self.refused());
        Finding { reason, message }
    }

    fn refused(self) -> String {
        traffic::refused(&self.inputs.distribution.spec, |behavior| {
            behavior.target_origin_id == self.origin.id
        })
    }

    fn is_used(self) -> bool {
        let spec = &self.inputs.distribution.spec;
        let ordered = spec.cache_behaviors.iter().map(|ordered| &ordered.behavior);
        let mut behaviors = ordered.chain([&spec.default_cache_behavior]);
        behaviors.any(|behavior| behavior.target_origin_id == self.origin.id)
    }

    /// The Service and its port.
    fn resolve(self, findings: &mut Vec<Finding>) -> Result<(&'u Backend, &'u ServicePort), Finding> {
        let name = self.service();
        let Some(backend) = self.backend() else {
            let problem = "its Service is in another namespace, which this version does not serve.";
            return Err(self.finding(Reason::UnsupportedValue, problem));
        };
        let lookup = &backend.service;
        let trouble = lookup.trouble.as_ref().map(|trouble| match trouble {
            Trouble::KindUnreadable(sentence) => {
                (Reason::RefNotPermitted, format!("Service {name} cannot be read: {sentence}"))
            }
            Trouble::Undecodable(sentence) => {
                (Reason::BackendNotFound, format!("Service {name} does not decode: {sentence}"))
            }
        });
        let service = match (&lookup.found, trouble) {
            (Some(service), None) => service,
            (Some(service), Some((reason, problem))) => {
                let id = &self.origin.id;
                let message =
                    format!("KeptLastGood: origin {id:?}: {problem}; its last version is still used.");
                findings.push(Finding { reason, message });
                service
            }
            (None, Some((reason, problem))) => return Err(self.finding(reason, &format!("{problem}."))),
            (None, None) => {
                let proposal = did_you_mean(lookup.nearest.as_deref());
                let problem = format!("Service {name} not found{proposal}");
                return Err(self.finding(Reason::BackendNotFound, &problem));
            }
        };
        if service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("ExternalName")) {
            let problem =
                format!("Service {name} is of type ExternalName, which has no endpoints of its own.");
            return Err(self.finding(Reason::ExternalNameForbidden, &problem));
        }
        let port = ports::choose(service, self.origin.http_port.as_ref())
            .map_err(|problem| self.finding(Reason::PortNotFound, &format!("Service {name} {problem}")))?;
        Ok((backend, port))
    }

    fn service(self) -> ObjectKey {
        ObjectKey::new(self.inputs.key.namespace.as_str(), self.origin.service.name.as_str())
    }

    fn backend(self) -> Option<&'u Backend> {
        let named = self.origin.service.namespace.as_ref();
        let own = named.is_none_or(|namespace| *namespace == self.inputs.key.namespace);
        self.inputs.backends.get(&self.origin.service.name).filter(|_| own)
    }

    /// Reports the fields that are not served.
    ///
    /// # Errors
    /// The first that must not be left out.
    fn check_served(self, port: &ServicePort, findings: &mut Vec<Finding>) -> Result<(), Finding> {
        let path = |field: &str| format!("spec.origins[{}].{field}", self.position);
        let mut withheld = None;
        for found in unserved::of_origin(self.origin, &self.inputs.key.namespace) {
            let field = path(&found.field);
            match found.effect {
                Effect::Withheld if withheld.is_none() => withheld = Some(field),
                Effect::Withheld => findings.push(Finding {
                    reason: Reason::UnsupportedValue,
                    message: format!("{field} is not served by this version."),
                }),
                Effect::ServedWithout => findings.push(Finding::served_without(&field)),
            }
        }
        if let Some(field) = withheld {
            let problem = format!("{field} is not served by this version.");
            return Err(self.finding(Reason::UnsupportedValue, &problem));
        }
        match self.asked_by_app_protocol(port) {
            Some(asked) => Err(self.finding(
                Reason::UnsupportedValue,
                &format!("appProtocol {asked:?} of its Service port is not served by this version."),
            )),
            None => Ok(()),
        }
    }

    /// The port's `appProtocol`, where it decides and asks for what is not served: TLS or HTTP/2.
    fn asked_by_app_protocol(self, port: &ServicePort) -> Option<&str> {
        let origin = self.origin;
        let asked = port.app_protocol.as_deref()?;
        let decides = match asked {
            "https" | "kubernetes.io/wss" => origin.origin_protocol_policy.is_none(),
            "kubernetes.io/h2c" => origin.http_version.is_none(),
            _ => false,
        };
        decides.then_some(asked)
    }

    /// How the origin is spoken to.
    fn origin(self) -> Result<Origin, Finding> {
        let (id, namespace) = (&self.origin.id, &self.inputs.key.namespace);
        let origin = self.origin;
        let invalid = |field: &str| {
            let problem = format!("spec.origins[{}].{field} is not valid.", self.position);
            self.finding(Reason::Invalid, &problem)
        };
        let host = match &origin.host_header {
            api::HostHeader::Viewer => None,
            api::HostHeader::Origin => Some(format!("{}.{namespace}.svc", origin.service.name)),
            api::HostHeader::Literal(host) => Some(host.clone()),
        };
        let host_header = match host {
            None => HostHeader::Viewer,
            Some(host) => HostHeader::Fixed(host.try_into().map_err(|_| invalid("hostHeader"))?),
        };
        let attempts = u8::try_from(origin.connection_attempts).ok().and_then(NonZeroU8::new);
        Ok(Origin {
            key: OriginKey { distribution: self.inputs.key.clone(), id: id.clone() },
            path_prefix: origin.origin_path.clone().unwrap_or_default(),
            host_header,
            custom_headers: custom_headers(origin).ok_or_else(|| invalid("customHeaders"))?,
            connection_attempts: attempts.ok_or_else(|| invalid("connectionAttempts"))?,
            connection_timeout: origin.connection_timeout.as_std(),
            read_timeout: origin.origin_read_timeout.as_std(),
            response_idle_timeout: origin.response_idle_timeout.as_std(),
            keepalive_timeout: origin.origin_keepalive_timeout.as_std(),
        })
    }

    fn report_no_endpoints(self, collected: &Collected, findings: &mut Vec<Finding>) {
        if !self.is_used() {
            return;
        }
        let service = self.service();
        let problem = match collected.refused {
            Some(address) => {
                format!("the endpoints of Service {service} have addresses that no pod can have ({address}).")
            }
            None => format!("no endpoint of Service {service} is ready."),
        };
        findings.push(self.finding(Reason::NoEndpoints, &problem));
    }

    /// An origin that is used and leads nowhere has no serving endpoint, whatever the cause.
    fn report_unreachable(self, findings: &mut Vec<Finding>) {
        if self.is_used() {
            let message = format!("origin {:?} cannot be used.", self.origin.id);
            findings.push(Finding { reason: Reason::NoEndpoints, message });
        }
    }
}

/// The headers with literal values; none where one is no header.
fn custom_headers(origin: &api::Origin) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let header = |header: &api::OriginCustomHeader| {
        Some((header.name.parse().ok()?, HeaderValue::from_str(header.value.as_deref()?).ok()?))
    };
    origin.custom_headers.iter().map(header).collect()
}
