//! Origins: the Service and port that each one names, how it is spoken to, and what is wrong with it.

use std::num::{NonZeroU8, NonZeroU32};
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use k8s_openapi::api::core::v1::ServicePort;

use super::endpoints::{self, Collected, Ignored};
use super::inputs::Inputs;
use super::services::{self, Problem};
use super::unserved::{self, Effect};
use super::{Options, balancing, origin_tls, traffic};
use crate::api::{self, Behavior, OriginProtocolPolicy};
use crate::conditions::facts::{Finding, OriginFact, OriginState};
use crate::conditions::reasons::Reason;
use crate::object::ObjectKey;
use crate::table::decide::Scheme;
use crate::table::origin::{Endpoint, HostHeader, HttpVersion, Origin, OriginKey, OriginTls};

/// What came of one origin.
pub(super) struct CompiledOrigin {
    /// Where its requests go, and how; none where they get 503.
    pub usable: Option<Usable>,
    /// What is told of it.
    pub fact: OriginFact,
}

/// What is spoken to the endpoints of an origin.
struct Spoken {
    http_version: HttpVersion,
    tls: Option<Arc<OriginTls>>,
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
    options: &Options,
    findings: &mut Vec<Finding>,
) -> CompiledOrigin {
    let pass = Pass { inputs, position, origin };
    let fact = |state, reason| OriginFact { id: origin.id.clone(), state, reason };
    // All is looked at, so that a person learns of everything at once.
    let served = pass.check_fields(findings);
    let collected = pass.collect(options, findings);
    let compiled = pass.origin(findings);
    let (compiled, collected) = match (served, collected, compiled) {
        (Ok(()), Ok((collected, spoken)), Ok(compiled)) => {
            let Spoken { http_version, tls } = spoken;
            let scheme = if tls.is_some() { Scheme::Https } else { Scheme::Http };
            let key = OriginKey { scheme, ..compiled.key };
            (Origin { key, http_version, tls, ..compiled }, collected)
        }
        (Err(reason), _, _) | (_, Err(reason), _) | (_, _, Err(reason)) => {
            pass.report_unusable(findings);
            return CompiledOrigin { usable: None, fact: fact(OriginState::NotFound, Some(reason)) };
        }
    };
    let fact = if collected.serving.is_empty() {
        pass.report_no_endpoints(&collected, findings);
        fact(OriginState::NoEndpoints, Some(Reason::NoEndpoints))
    } else {
        fact(OriginState::Available, None)
    };
    let usable = Usable { origin: Arc::new(compiled), endpoints: collected.serving };
    CompiledOrigin { usable: Some(usable), fact }
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

impl Pass<'_> {
    /// `origin "api": `, then what is wrong, then what traffic gets. Gives the reason back.
    fn report(self, reason: Reason, problem: &str, findings: &mut Vec<Finding>) -> Reason {
        let refused =
            traffic::refused(&self.inputs.distribution.spec, |behavior| self.is_target_of(behavior));
        let message = format!("origin {:?}: {problem} {refused}", self.origin.id);
        findings.push(Finding { reason, message });
        reason
    }

    fn is_target_of(self, behavior: &Behavior) -> bool {
        behavior.target_origin_id == self.origin.id
    }

    fn is_used(self) -> bool {
        let spec = &self.inputs.distribution.spec;
        let ordered = spec.cache_behaviors.iter().map(|ordered| &ordered.behavior);
        ordered.chain([&spec.default_cache_behavior]).any(|behavior| self.is_target_of(behavior))
    }

    fn service(self) -> ObjectKey {
        ObjectKey::new(self.inputs.key.namespace.as_str(), self.origin.service.name.as_str())
    }

    /// Reports the fields that are not served.
    ///
    /// # Errors
    /// The reason, where one of them must not be left out.
    fn check_fields(self, findings: &mut Vec<Finding>) -> Result<(), Reason> {
        let mut served = Ok(());
        for found in unserved::of_origin(self.origin, &self.inputs.key.namespace) {
            let field = format!("spec.origins[{}].{}", self.position, found.field);
            match found.effect {
                Effect::Withheld => {
                    let problem = format!("{field} is not served by this version.");
                    served = Err(self.report(Reason::UnsupportedValue, &problem, findings));
                }
                Effect::Served(meanwhile) => findings.push(Finding::not_served(&field, meanwhile)),
            }
        }
        served
    }

    /// Collects the endpoints of the Service's port.
    ///
    /// # Errors
    /// The reason why there is no port to use.
    fn collect(self, options: &Options, findings: &mut Vec<Finding>) -> Result<(Collected, Spoken), Reason> {
        let named = self.origin.service.namespace.as_ref();
        let own = named.is_none_or(|namespace| *namespace == self.inputs.key.namespace);
        let backend = self.inputs.backends.get(&self.origin.service.name).filter(|_| own);
        // That the namespace is not served was said of the field.
        let backend = backend.ok_or(Reason::UnsupportedValue)?;
        let (wanted, scheme) = match self.origin.origin_protocol_policy {
            Some(OriginProtocolPolicy::HttpsOnly) => (self.origin.https_port.as_ref(), Scheme::Https),
            _ => (self.origin.http_port.as_ref(), Scheme::Http),
        };
        let resolved = services::resolve(&self.service(), backend, wanted, scheme)
            .map_err(|problem| self.report(problem.reason, &problem.text, findings))?;
        if let Some(Problem { reason, text }) = resolved.outdated {
            let message =
                format!("KeptLastGood: origin {:?}: {text} Its last version is still used.", self.origin.id);
            findings.push(Finding { reason, message });
        }
        let spoken = Spoken {
            http_version: self.http_version(resolved.port),
            tls: self.tls(resolved.port, findings)?.map(Arc::new),
        };
        Ok((endpoints::collect(&backend.slices, resolved.port, options), spoken))
    }

    /// The TLS that `originProtocolPolicy` asks for, else the port's `appProtocol`.
    ///
    /// # Errors
    /// The reason why what it needs is not there.
    fn tls(self, port: &ServicePort, findings: &mut Vec<Finding>) -> Result<Option<OriginTls>, Reason> {
        let asked = match (self.origin.origin_protocol_policy, port.app_protocol.as_deref()) {
            (Some(OriginProtocolPolicy::HttpsOnly), _) => "originProtocolPolicy",
            (None, Some("https" | "kubernetes.io/wss")) => "appProtocol of its Service port",
            _ => return Ok(None),
        };
        origin_tls::compile(self.inputs, self.origin, asked)
            .map(Some)
            .map_err(|problem| self.report(problem.reason, &problem.text, findings))
    }

    /// What `httpVersion` says, else the port's `appProtocol`.
    fn http_version(self, port: &ServicePort) -> HttpVersion {
        match (self.origin.http_version, port.app_protocol.as_deref()) {
            (Some(api::HttpVersion::Http2), _) | (None, Some("kubernetes.io/h2c")) => HttpVersion::Http2,
            (Some(api::HttpVersion::Http11), _) | (None, _) => HttpVersion::Http1,
        }
    }

    /// How the origin is spoken to.
    ///
    /// # Errors
    /// The reason, for what was refused with the object.
    fn origin(self, findings: &mut Vec<Finding>) -> Result<Origin, Reason> {
        let origin = self.origin;
        let mut invalid = |field: &str| {
            let problem = format!("spec.origins[{}].{field} is not valid.", self.position);
            self.report(Reason::Invalid, &problem, findings)
        };
        let host = match &origin.host_header {
            api::HostHeader::Viewer => None,
            api::HostHeader::Origin => {
                Some(format!("{}.{}.svc", origin.service.name, self.inputs.key.namespace))
            }
            api::HostHeader::Literal(host) => Some(host.clone()),
        };
        let host_header = match host {
            None => HostHeader::Viewer,
            Some(host) => HostHeader::Fixed(host.try_into().map_err(|_| invalid("hostHeader"))?),
        };
        let attempts = u8::try_from(origin.connection_attempts).ok().and_then(NonZeroU8::new);
        Ok(Origin {
            key: OriginKey {
                distribution: self.inputs.key.clone(),
                id: origin.id.clone(),
                scheme: Scheme::Http,
            },
            path_prefix: origin.origin_path.clone().unwrap_or_default(),
            host_header,
            custom_headers: custom_headers(origin).ok_or_else(|| invalid("customHeaders"))?,
            connection_attempts: attempts.ok_or_else(|| invalid("connectionAttempts"))?,
            connection_timeout: origin.connection_timeout.as_std(),
            read_timeout: origin.origin_read_timeout.as_std(),
            response_idle_timeout: origin.response_idle_timeout.as_std(),
            keepalive_timeout: origin.origin_keepalive_timeout.as_std(),
            http_version: HttpVersion::Http1,
            completion_timeout: origin.response_completion_timeout.map(api::Duration::as_std),
            balancing: balancing::compile(&origin.load_balancing, self.salt())
                .ok_or_else(|| invalid("loadBalancing"))?,
            outlier_detection: balancing::outlier_detection(&origin.outlier_detection)
                .ok_or_else(|| invalid("outlierDetection"))?,
            max_connections_per_endpoint: match origin.max_connections_per_endpoint {
                None => None,
                Some(most) => {
                    let most = u32::try_from(most).ok().and_then(NonZeroU32::new);
                    Some(most.ok_or_else(|| invalid("maxConnectionsPerEndpoint"))?)
                }
            },
            tls: None,
        })
    }

    /// Every replica knows the Distribution's uid, and no viewer does.
    fn salt(self) -> String {
        self.inputs.distribution.metadata.uid.clone().unwrap_or_default()
    }

    fn report_no_endpoints(self, collected: &Collected, findings: &mut Vec<Finding>) {
        if !self.is_used() {
            return;
        }
        let service = self.service();
        let problem = match &collected.ignored {
            Some(Ignored::Address(address)) => {
                format!("the endpoints of Service {service} have addresses that no pod can have ({address}).")
            }
            Some(Ignored::Names(slice)) => {
                format!(
                    "EndpointSlice {slice} of Service {service} is of addressType FQDN, which is not used."
                )
            }
            None => format!("no endpoint of Service {service} is ready."),
        };
        self.report(Reason::NoEndpoints, &problem, findings);
    }

    /// An origin that is used and leads nowhere has no serving endpoint, whatever the cause.
    fn report_unusable(self, findings: &mut Vec<Finding>) {
        if self.is_used() {
            let message = format!("origin {:?} cannot be used.", self.origin.id);
            findings.push(Finding { reason: Reason::NoEndpoints, message });
        }
    }
}

/// The headers with literal values; none where one is no header. One from a Secret withholds the whole origin.
fn custom_headers(origin: &api::Origin) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let header = |header: &api::OriginCustomHeader| {
        Some((header.name.parse().ok()?, HeaderValue::from_str(header.value.as_deref()?).ok()?))
    };
    origin.custom_headers.iter().filter(|header| header.value_from.is_none()).map(header).collect()
}
