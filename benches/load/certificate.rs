//! The one certificate that all proxies show, and a client that trusts it.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;

/// The host of every request.
pub(crate) const HOST: &str = "bench.test";

/// A self-signed ECDSA P-256 certificate for [`HOST`].
#[derive(Debug)]
pub(crate) struct Certificate {
    der: CertificateDer<'static>,
    /// The certificate in PEM.
    pub(crate) chain: String,
    /// Its key in PEM.
    pub(crate) key: String,
}

impl Certificate {
    pub(crate) fn make() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![HOST.to_owned()])?.self_signed(&key)?;
        let der = certificate.der().clone();
        Ok(Self { der, chain: certificate.pem(), key: key.serialize_pem() })
    }

    /// A client that never resumes, and offers what h2load offers first, so that all proxies do the same arithmetic.
    pub(crate) fn client(&self, protocol: &[u8]) -> anyhow::Result<Arc<ClientConfig>> {
        let mut provider = default_provider();
        provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
        provider.kx_groups = vec![kx_group::X25519];
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}
