//! The judgement of a TLS handshake: the name that a viewer asks for in, what it is shown and asked for out.
//!
//! This is the only place where a certificate is chosen: the data plane shakes hands by it and `explain` tells it.
//! What a handshake settled judges every request of its connection afterwards, in [`super::decide`].
//! Start with [`RoutingTable::handshake`].

use std::sync::Arc;

use super::RoutingTable;
use super::certificate::{Authorities, Certificate};
use super::host::HostName;
use super::route::Routes;
use crate::object::ObjectKey;

/// What a Distribution wants of the TLS of its viewers. Connections are shared between Distributions only where
/// this is equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsPolicy {
    /// `viewerCertificate.minimumProtocolVersion`.
    pub minimum: MinimumProtocol,
    /// `viewerMtls`; none where viewers are not asked for a certificate.
    pub clients: Option<ClientAuthentication>,
}

/// Which versions and cipher suites of TLS are spoken (CloudFront Developer Guide, "Supported protocols and ciphers
/// between viewers and CloudFront").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MinimumProtocol {
    /// `TLSv1.2_2021`: TLS 1.2 and 1.3.
    #[default]
    Tls12In2021,
    /// `TLSv1.2_2025`: the same, in TLS 1.2 without ChaCha20.
    Tls12In2025,
    /// `TLSv1.3_2025`: TLS 1.3.
    Tls13In2025,
}

impl MinimumProtocol {
    /// All of them, each with the API's name.
    const NAMES: [(Self, &'static str); 3] = [
        (Self::Tls12In2021, "TLSv1.2_2021"),
        (Self::Tls12In2025, "TLSv1.2_2025"),
        (Self::Tls13In2025, "TLSv1.3_2025"),
    ];

    /// Reads what the API writes; none for a name that is not served.
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(_, known)| *known == name).map(|(minimum, _)| minimum)
    }

    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.into_iter().find(|(minimum, _)| *minimum == self).map_or("", |(_, name)| name)
    }
}

/// `viewerMtls`: viewers are asked for a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientAuthentication {
    /// Whether they must show one.
    pub mode: ClientMode,
    /// Who may have signed it; none where that cannot be known, since the Secret is missing or bad: then nobody is
    /// let in over TLS.
    pub authorities: Option<Authorities>,
}

/// Whether a viewer must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientMode {
    /// It must.
    Required,
    /// It may come without, but not with a bad one.
    Optional,
}

impl ClientMode {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
        }
    }
}

/// What a TLS handshake settled; it holds for every request of the connection.
#[derive(Clone, Debug)]
pub struct TlsIdentity {
    /// The Distribution that owned the SNI at the handshake; none where the default certificate answered for a
    /// name that nobody owned.
    pub distribution: Option<ObjectKey>,
    /// The certificate that was shown.
    pub certificate: Arc<Certificate>,
    /// What that Distribution wanted then.
    pub policy: Arc<TlsPolicy>,
    /// What the viewer showed.
    pub client: Client,
}

/// What is known of a viewer by its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// It showed one of the authorities that it was asked for.
    Verified,
    /// It showed none.
    Unknown,
}

impl TlsIdentity {
    /// Whether the connection may carry requests for a host of `owner` (the 421 rule): that of its SNI's
    /// Distribution, and of others in the same namespace where the certificate shown covers the host and both want
    /// the same of TLS, since browsers coalesce connections on shared wildcards. Whoever asks for certificates now
    /// has to have verified this viewer's, whatever was asked at the handshake.
    pub(super) fn may_ask(&self, owner: &Routes, host: &HostName) -> bool {
        let Some(shown) = &self.distribution else {
            return false;
        };
        let shares = || {
            shown.namespace == owner.distribution.namespace
                && self.policy == owner.tls
                && self.certificate.covers(host)
        };
        (*shown == owner.distribution || shares())
            && owner.tls.clients.as_ref().is_none_or(|asks| self.satisfies(asks))
    }

    fn satisfies(&self, asks: &ClientAuthentication) -> bool {
        match self.client {
            Client::Unknown => asks.mode == ClientMode::Optional,
            Client::Verified => {
                let verified_by = self.policy.clients.as_ref().and_then(|asked| asked.authorities.as_ref());
                asks.authorities.is_some() && asks.authorities.as_ref() == verified_by
            }
        }
    }
}

/// What a viewer that asks for a name is shown.
#[derive(Clone, Debug)]
pub struct Handshake<'t> {
    /// Whose the name is, with the position in [`super::Hosts::routes`]; none where nobody owns it.
    pub owner: Option<(usize, &'t Arc<Routes>)>,
    /// The certificate.
    pub certificate: &'t Arc<Certificate>,
    /// Where that comes from.
    pub source: Source,
}

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The `viewerCertificate` of whoever owns the name.
    Own,
    /// The default certificate.
    Default,
    /// The default certificate, for a name under the base domain.
    BaseDomain,
}

/// Why a handshake is refused, so that nobody is shown what is another's, nor let in unverified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nothing of `viewerCertificate` can be shown, and nothing may stand in for it.
    Unusable,
    /// There is no `viewerCertificate`, and the default certificate does not name the host.
    NotOfDefault,
    /// There is no `viewerCertificate`, and no default certificate.
    Nothing,
    /// Nobody owns the name, and there is no default certificate.
    Unknown,
    /// `viewerMtls` asks for certificates of authorities that cannot be known.
    Unverifiable,
}

impl RoutingTable {
    /// Judges a handshake of a viewer that asks for `name`, by the Distribution that owns the name: its best
    /// certificate of those that the viewer knows what to do with, or the default one.
    ///
    /// # Errors
    /// [`Refused`] where there is nothing to show.
    pub fn handshake(
        &self,
        name: Option<&HostName>,
        is_known: impl Fn(&Certificate) -> bool,
    ) -> Result<Handshake<'_>, Refused> {
        let default = self.certificates.default.as_ref();
        let Some((name, owner)) = name.and_then(|name| Some((name, self.hosts.find(name)?))) else {
            let certificate = default.ok_or(Refused::Unknown)?;
            return Ok(Handshake { owner: None, certificate, source: Source::Default });
        };
        let (_, routes) = owner;
        if routes.tls.clients.as_ref().is_some_and(|asks| asks.authorities.is_none()) {
            return Err(Refused::Unverifiable);
        }
        if let Some(certificate) = self.certificates.of_base_domain(&routes.distribution, name) {
            return Ok(Handshake { owner: Some(owner), certificate, source: Source::BaseDomain });
        }
        let (certificate, source) = match self.certificates.by_distribution.get(&routes.distribution) {
            Some(own) => (own.choose(name, is_known).ok_or(Refused::Unusable)?, Source::Own),
            None => {
                let default = default.ok_or(Refused::Nothing)?;
                (Some(default).filter(|it| it.covers(name)).ok_or(Refused::NotOfDefault)?, Source::Default)
            }
        };
        Ok(Handshake { owner: Some(owner), certificate, source })
    }
}

impl Handshake<'_> {
    /// What the handshake settles with this viewer.
    pub fn identity(&self, client: Client) -> TlsIdentity {
        TlsIdentity {
            distribution: self.owner.map(|(_, routes)| routes.distribution.clone()),
            certificate: Arc::clone(self.certificate),
            policy: self.owner.map(|(_, routes)| Arc::clone(&routes.tls)).unwrap_or_default(),
            client,
        }
    }
}
