//! Origins: the Service and port that each one names, how it is spoken to, and what is wrong with it.

use std::num::{NonZeroU8, NonZeroU32};
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use k8s_openapi::api::core::v1::ServicePort;

use super::endpoints::{self, Collected, Ignored};
use super::header_values::{self, Flaw};
use super::inputs::{Backend, Inputs};
use super::services::{self, Problem, SERVICE};
use super::{Options, balancing, groups, origin_tls, traffic};
use crate::api::{self, OriginProtocolPolicy};
use crate::conditions::facts::{Finding, OriginFact, OriginState};
use crate::conditions::reasons::Reason;
use crate::object::ObjectKey;
use crate::table::decide::Scheme;
use crate::table::origin::{HostHeader, HttpVersion, Origin, OriginKey, OriginTls};
use crate::table::route::RouteTarget;

/// What came of one origin.
pub(super) struct CompiledOrigin {
    /// Where its requests go; broken where all of them get 503.
    pub target: RouteTarget,
    /// Who serves, by what `target` names.
    pub endpoints: Vec<(OriginKey, Collected)>,
    /// What is told of it.
    pub fact: OriginFact,
}

impl CompiledOrigin {
    /// Whether anybody serves.
    pub(super) fn serves(&self) -> bool {
        self.endpoints.iter().any(|(_, collected)| !collected.serving.is_empty())
    }
}

/// Something for all viewers alike, or apart for those without and with TLS.
enum Sides<T> {
    Same(T),
    ByViewer { http: T, https: T },
}

impl<T> Sides<T> {
    fn map<U>(self, mut each: impl FnMut(T) -> U) -> Sides<U> {
        match self {
            Self::Same(side) => Sides::Same(each(side)),
            Self::ByViewer { http, https } => Sides::ByViewer { http: each(http), https: each(https) },
        }
    }

    /// Each with the viewers that it is for; none where it is for all.
    fn iter(&self) -> impl Iterator<Item = (Option<Scheme>, &T)> {
        let (first, second) = match self {
            Self::Same(side) => ((None, side), None),
            Self::ByViewer { http, https } => {
                ((Some(Scheme::Http), http), Some((Some(Scheme::Https), https)))
            }
        };
        [first].into_iter().chain(second)
    }
}

/// What decides whether TLS is spoken.
#[derive(Clone, Copy)]
enum Asked {
    /// `originProtocolPolicy`, or a viewer where that is to be matched.
    For(Scheme),
    /// The `appProtocol` of the port for HTTP.
    ByPort,
}

/// A port of the Service that can be used, how it is spoken to, and who serves.
struct Side {
    http_version: HttpVersion,
    tls: Option<Arc<OriginTls>>,
    collected: Collected,
    /// Why the Service may not be as it is known.
    outdated: Option<Problem>,
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
    let sides = pass.sides(options, findings);
    let settings = pass.settings(findings);
    let (sides, settings) = match (sides, settings) {
        (Ok(sides), Ok(settings)) => (sides, settings),
        (Err(reason), _) | (_, Err(reason)) => {
            pass.report_unusable(None, findings);
            let fact = fact(OriginState::NotFound, Some(reason));
            return CompiledOrigin { target: RouteTarget::Broken, endpoints: Vec::new(), fact };
        }
    };
    let state = pass.report_sides(&sides, findings);
    let mut endpoints = Vec::new();
    let sides = sides.map(|side| {
        let Side { http_version, tls, collected, .. } = side.ok()?;
        let scheme = if tls.is_some() { Scheme::Https } else { Scheme::Http };
        let key = OriginKey { scheme, ..settings.key.clone() };
        endpoints.push((key.clone(), collected));
        Some(Arc::new(Origin { key, http_version, tls, ..settings.clone() }))
    });
    let target = match sides {
        Sides::Same(None) | Sides::ByViewer { http: None, https: None } => RouteTarget::Broken,
        Sides::Same(Some(origin)) => RouteTarget::Origin(origin),
        Sides::ByViewer { http, https } => RouteTarget::MatchViewer { http, https },
    };
    CompiledOrigin { target, endpoints, fact: fact(state.0, state.1) }
}

/// Reports that endpoints may be outdated, which concerns all origins alike.
pub(super) fn report_unreadable_slices(inputs: &Inputs, findings: &mut Vec<Finding>) {
    if let Some(problem) = &inputs.slices_unreadable {
        let message = format!("EndpointSlices cannot be read: {problem}. The last known endpoints are used.");
        findings.push(Finding { reason: Reason::RefNotPermitted, field: "spec.origins".to_owned(), message });
    }
}

/// Reports that grants may be outdated, which concerns all that is named of other namespaces.
pub(super) fn report_unreadable_grants(inputs: &Inputs, findings: &mut Vec<Finding>) {
    if let Some(problem) = &inputs.grants_unreadable {
        let message = format!("ReferenceGrants cannot be read: {problem}. The last known ones are in force.");
        findings.push(Finding { reason: Reason::RefNotPermitted, field: "spec".to_owned(), message });
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
    fn report(self, reason: Reason, field: &str, problem: &str, findings: &mut Vec<Finding>) -> Reason {
        self.report_for(None, (reason, field), problem, findings)
    }

    /// The same, where it concerns those viewers only.
    fn report_for(
        self,
        viewers: Option<Scheme>,
        (reason, field): (Reason, &str),
        problem: &str,
        findings: &mut Vec<Finding>,
    ) -> Reason {
        let spec = &self.inputs.distribution.spec;
        let meanwhile = traffic::without(spec, viewers, &self.origin.id);
        let message = format!("origin {:?}: {problem} {meanwhile}", self.origin.id);
        findings.push(Finding { reason, field: self.field(field), message });
        reason
    }

    /// The path of one of its fields.
    fn field(self, field: &str) -> String {
        format!("spec.origins[{}].{field}", self.position)
    }

    fn is_used(self) -> bool {
        let spec = &self.inputs.distribution.spec;
        let by_itself = traffic::behaviors(spec).any(|behavior| behavior.target_origin_id == self.origin.id);
        by_itself || groups::used_with(spec, &self.origin.id).next().is_some()
    }

    fn service(self) -> ObjectKey {
        services::key_of(&self.inputs.key, &self.origin.service)
    }

    /// Looks at each port that is spoken to.
    ///
    /// # Errors
    /// The reason why there is none to look at.
    fn sides(
        self,
        options: &Options,
        findings: &mut Vec<Finding>,
    ) -> Result<Sides<Result<Side, Problem>>, Reason> {
        let backend = self.inputs.backends.get(&self.service());
        let backend = backend.ok_or(Reason::BackendNotFound)?; // the inputs are gathered by the same names
        let asked = match self.origin.origin_protocol_policy {
            None => Sides::Same(Asked::ByPort),
            Some(OriginProtocolPolicy::HttpOnly) => Sides::Same(Asked::For(Scheme::Http)),
            Some(OriginProtocolPolicy::HttpsOnly) => Sides::Same(Asked::For(Scheme::Https)),
            Some(OriginProtocolPolicy::MatchViewer) => {
                Sides::ByViewer { http: Asked::For(Scheme::Http), https: Asked::For(Scheme::Https) }
            }
        };
        let sides = asked.map(|asked| self.side(backend, asked, options));
        let outdated = sides.iter().find_map(|(_, side)| side.as_ref().ok()?.outdated.as_ref());
        if let Some(Problem { reason, field, text }) = outdated {
            let message =
                format!("KeptLastGood: origin {:?}: {text} Its last version is still used.", self.origin.id);
            findings.push(Finding { reason: *reason, field: self.field(field), message });
        }
        Ok(sides)
    }

    /// Resolves a port of the Service and collects its endpoints.
    ///
    /// # Errors
    /// What is wrong with the Service, its port, or what TLS needs.
    fn side(self, backend: &Backend, asked: Asked, options: &Options) -> Result<Side, Problem> {
        let (wanted, scheme) = match asked {
            Asked::For(Scheme::Https) => (self.origin.https_port.as_ref(), Scheme::Https),
            Asked::For(Scheme::Http) | Asked::ByPort => (self.origin.http_port.as_ref(), Scheme::Http),
        };
        let resolved = services::resolve(&self.service(), backend, wanted, scheme)?;
        let asks_for_tls = match (asked, resolved.port.app_protocol.as_deref()) {
            (Asked::For(Scheme::Https), _) => Some("originProtocolPolicy"),
            (Asked::ByPort, Some("https" | "kubernetes.io/wss")) => Some("appProtocol of its Service port"),
            _ => None,
        };
        let tls = asks_for_tls.map(|asks| origin_tls::compile(self.inputs, self.origin, asks)).transpose()?;
        Ok(Side {
            http_version: self.http_version(resolved.port),
            tls: tls.map(Arc::new),
            collected: endpoints::collect(&backend.slices, resolved.port, options),
            outdated: resolved.outdated,
        })
    }

    /// Reports what is wrong with each side, once where it is the same with both. Gives back the worst.
    fn report_sides(
        self,
        sides: &Sides<Result<Side, Problem>>,
        findings: &mut Vec<Finding>,
    ) -> (OriginState, Option<Reason>) {
        let mut worst = (OriginState::Available, None);
        let mut troubles: Vec<(Option<Scheme>, Trouble)> = Vec::new();
        for (viewers, side) in sides.iter() {
            let Some(trouble) = self.trouble(side.as_ref()) else { continue };
            match troubles.first_mut().filter(|(_, first)| *first == trouble) {
                Some((viewers, _)) => *viewers = None,
                None => troubles.push((viewers, trouble)),
            }
        }
        for (viewers, trouble) in troubles {
            match trouble {
                Trouble::Unresolved(Problem { reason, field, text }) => {
                    self.report_for(viewers, (reason, field), &text, findings);
                    self.report_unusable(viewers, findings);
                    worst = (OriginState::NotFound, Some(reason));
                }
                Trouble::NoEndpoints(text) => {
                    if self.is_used() {
                        self.report_for(viewers, (Reason::NoEndpoints, SERVICE), &text, findings);
                    }
                    if worst.1.is_none() {
                        worst = (OriginState::NoEndpoints, Some(Reason::NoEndpoints));
                    }
                }
            }
        }
        worst
    }

    fn trouble(self, side: Result<&Side, &Problem>) -> Option<Trouble> {
        match side {
            Err(problem) => Some(Trouble::Unresolved(problem.clone())),
            Ok(side) if side.collected.serving.is_empty() => {
                Some(Trouble::NoEndpoints(self.no_endpoints(&side.collected)))
            }
            Ok(_) => None,
        }
    }

    /// What `httpVersion` says, else the port's `appProtocol`.
    fn http_version(self, port: &ServicePort) -> HttpVersion {
        match (self.origin.http_version, port.app_protocol.as_deref()) {
            (Some(api::HttpVersion::Http2), _) | (None, Some("kubernetes.io/h2c")) => HttpVersion::Http2,
            (Some(api::HttpVersion::Http11), _) | (None, _) => HttpVersion::Http1,
        }
    }

    /// The headers that are added to its requests.
    ///
    /// # Errors
    /// The reason, where one has no value: it may be what the origin knows us by.
    fn custom_headers(self, findings: &mut Vec<Finding>) -> Result<Vec<(HeaderName, HeaderValue)>, Reason> {
        let headers: Vec<_> =
            self.origin.custom_headers.iter().map(|header| self.custom_header(header, findings)).collect();
        headers.into_iter().collect()
    }

    fn custom_header(
        self,
        header: &api::OriginCustomHeader,
        findings: &mut Vec<Finding>,
    ) -> Result<(HeaderName, HeaderValue), Reason> {
        let name = header.name.parse().ok();
        let literal = header.value.as_deref().and_then(|value| HeaderValue::from_str(value).ok());
        let value = match &header.value_from {
            Some(reference) => Some(self.value_of_secret(&header.name, reference, findings)?),
            None => literal,
        };
        name.zip(value).ok_or_else(|| {
            let problem = format!("{} is not valid.", self.field("customHeaders"));
            self.report(Reason::Invalid, "customHeaders", &problem, findings)
        })
    }

    fn value_of_secret(
        self,
        header: &str,
        reference: &api::SecretKeyReference,
        findings: &mut Vec<Finding>,
    ) -> Result<HeaderValue, Reason> {
        let place = header_values::place(&self.inputs.key, reference);
        let field = format!("customHeaders[{header:?}].valueFrom");
        let (value, flaw) = header_values::find(&place, self.inputs.header_values.get(&place)).map_err(
            |Flaw { reason, text }| self.report(reason, &field, &format!("{field}: {text}"), findings),
        )?;
        if let Some(Flaw { reason, text }) = flaw {
            let origin = &self.origin.id;
            let message = format!(
                "KeptLastGood: origin {origin:?}: {field}: {text} Its last good value is still sent."
            );
            findings.push(Finding { reason, field: self.field(&field), message });
        }
        Ok(value)
    }

    /// How the origin is spoken to, in what both sides have in common.
    ///
    /// # Errors
    /// The reason, for what was refused with the object, and for a header without a value.
    fn settings(self, findings: &mut Vec<Finding>) -> Result<Origin, Reason> {
        let origin = self.origin;
        let custom_headers = self.custom_headers(findings)?;
        let mut invalid = |field: &str| {
            let problem = format!("{} is not valid.", self.field(field));
            self.report(Reason::Invalid, field, &problem, findings)
        };
        let host = match &origin.host_header {
            api::HostHeader::Viewer => None,
            api::HostHeader::Origin => {
                let ObjectKey { namespace, name } = self.service();
                Some(format!("{name}.{namespace}.svc"))
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
            custom_headers,
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

    fn no_endpoints(self, collected: &Collected) -> String {
        let service = self.service();
        match &collected.ignored {
            Some(Ignored::Address(address)) => {
                format!("the endpoints of Service {service} have addresses that no pod can have ({address}).")
            }
            Some(Ignored::Names(slice)) => {
                format!(
                    "EndpointSlice {slice} of Service {service} is of addressType FQDN, which is not used."
                )
            }
            None => format!("no endpoint of Service {service} is ready."),
        }
    }

    /// An origin that is used and leads nowhere has no serving endpoint, whatever the cause.
    fn report_unusable(self, viewers: Option<Scheme>, findings: &mut Vec<Finding>) {
        if self.is_used() {
            let of = viewers.map(|scheme| format!(" for {} requests", traffic::name(scheme)));
            let message = format!("origin {:?} cannot be used{}.", self.origin.id, of.unwrap_or_default());
            findings.push(Finding { reason: Reason::NoEndpoints, field: self.field(SERVICE), message });
        }
    }
}

/// Why the requests of a side get 503.
#[derive(PartialEq)]
enum Trouble {
    /// There is no port to use, or no TLS.
    Unresolved(Problem),
    /// Nobody serves; the sentence says why.
    NoEndpoints(String),
}
