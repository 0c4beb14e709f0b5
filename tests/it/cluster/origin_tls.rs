//! What `originTls` names, watched by name: a ConfigMap that comes late and changes, a Secret of no special type.

use std::sync::Arc;

use anyhow::ensure;
use http::StatusCode;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::harness::{Backend, Cluster, Tidegate, Viewer, certificate, eventually, secret, service};

const HOST: &str = "shop.example.com";

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    fn issue(&self, name: &str) -> anyhow::Result<(rcgen::Certificate, KeyPair)> {
        let key = KeyPair::generate()?;
        Ok((CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &self.0)?, key))
    }

    /// What a server shows whose name this authority vouches for, and that lets in only whom it vouches for.
    fn server(&self, name: &str) -> anyhow::Result<ServerConfig> {
        let (certificate, key) = self.issue(name)?;
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build()?;
        Ok(ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::from(key))?)
    }

    fn config_map(&self) -> String {
        let pem = self.0.pem();
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: ca}}, data: {{ca.crt: {pem:?}}}}}")
    }
}

fn distribution() -> String {
    format!(
        "
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {{name: shop}}
spec:
  aliases: [{HOST}]
  viewerCertificate: {{secretName: shop-tls}}
  origins:
    - id: app
      service: {{name: app}}
      originProtocolPolicy: https-only
      httpsPort: http
      originTls: {{serverName: app.internal, caConfigMapName: ca, clientCertificateSecretName: own}}
  defaultCacheBehavior: {{targetOriginId: app}}
---
"
    )
}

#[tokio::test]
async fn a_config_map_may_come_late_and_change_and_a_client_certificate_may_be_opaque() -> anyhow::Result<()>
{
    let cluster = Cluster::join("origin-tls").await?;
    let (authority, stranger) = (Authority::new("right")?, Authority::new("wrong")?);
    let address = cluster.address(10);
    let _backend = Backend::start_tls(address, "app", authority.server("app.internal")?).await?;
    let shown = certificate(HOST)?;
    let (own, own_key) = authority.issue("tidegate")?;
    let (own, own_key) = (own.pem(), own_key.serialize_pem());
    let opaque = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: own}}, type: Opaque, stringData: {{tls.crt: {own:?}, tls.key: {own_key:?}}}}}"
    );
    let tidegate = Tidegate::serve(&cluster).await?;
    cluster
        .apply(&(distribution() + &service("app", address) + &secret("shop-tls", &shown) + &opaque))
        .await?;
    let viewer = Viewer::new(tidegate.https(), HOST, &shown)?;
    let answers = async |expected: StatusCode| {
        eventually(&format!("the answer is {expected}"), async || {
            let (status, body) = viewer.get("/").await?;
            ensure!(status == expected, "{status} {body}");
            Ok(())
        })
        .await
    };

    cluster.wait_for("shop", "ResolvedRefs=False").await?;
    let path = "--output=jsonpath={.status.conditions[?(@.type=='ResolvedRefs')]['reason','message']}";
    let told = cluster.kubectl(&["get", "dist/shop", path]).await?;
    let named = format!("originTls.caConfigMapName: ConfigMap {}/ca not found", cluster.namespace);
    assert!(told.starts_with("SecretNotFound") && told.contains(&named), "{told}");
    answers(StatusCode::SERVICE_UNAVAILABLE).await?;

    cluster.apply(&stranger.config_map()).await?;
    cluster.wait_for("shop", "Ready").await?;
    answers(StatusCode::BAD_GATEWAY).await?;
    cluster.apply(&authority.config_map()).await?;
    answers(StatusCode::OK).await?;
    cluster.apply(&stranger.config_map()).await?;
    answers(StatusCode::BAD_GATEWAY).await
}
