//! TLS viewers: who is shown what, and what a handshake settles for its connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tidegate::object::ObjectKey;
use tidegate::table::certificate::{Certificate, Certificates, OwnCertificates};
use tidegate::table::host::HostPattern;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::rig::{EchoOrigin, Plane, Site, Viewer, field, soon, table};

/// A self-signed certificate, and what a viewer trusts it by.
pub(crate) struct Made {
    pub(crate) certificate: Arc<Certificate>,
    pub(crate) root: CertificateDer<'static>,
}

pub(crate) fn make(names: &[&str]) -> Made {
    make_with(names, &rcgen::PKCS_ECDSA_P256_SHA256)
}

/// One with another kind of key.
pub(crate) fn make_with(names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> Made {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let root = params.unwrap().self_signed(&key).unwrap().der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let certificate = Certificate {
        key: Arc::new(rustls::sign::CertifiedKey::new(vec![root.clone()], signer)),
        // The signature at its end is never the same.
        fingerprint: format!("{names:?} {:02x?}", root.last_chunk::<16>()),
        names: names.iter().map(|name| HostPattern::parse(name).unwrap()).collect(),
    };
    Made { certificate: Arc::new(certificate), root }
}

pub(crate) fn certificates(own: &[(&str, OwnCertificates)], default: Option<&Made>) -> Certificates {
    let by_distribution: BTreeMap<_, _> =
        own.iter().map(|(name, own)| (ObjectKey::new("test", *name), own.clone())).collect();
    let default = default.map(|made| Arc::clone(&made.certificate));
    Certificates { by_distribution, default, base_domain: None }
}

pub(crate) fn usable(made: &Made) -> OwnCertificates {
    OwnCertificates::new([Arc::clone(&made.certificate)])
}

pub(crate) fn client(trusted: &[&Made], alpn: &[&[u8]]) -> Arc<ClientConfig> {
    client_of(trusted, alpn, rustls::DEFAULT_VERSIONS)
}

pub(crate) fn client_of(
    trusted: &[&Made],
    alpn: &[&[u8]],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    client_by(provider, trusted, alpn, versions, None)
}

/// A client that has a certificate of its own to show.
pub(crate) type Shown = (CertificateDer<'static>, PrivateKeyDer<'static>);

pub(crate) fn client_by(
    provider: CryptoProvider,
    trusted: &[&Made],
    alpn: &[&[u8]],
    versions: &[&'static SupportedProtocolVersion],
    shown: Option<Shown>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    trusted.iter().for_each(|made| roots.add(made.root.clone()).unwrap());
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shown {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

pub(crate) async fn handshake(
    plane: &Plane,
    config: &Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<Viewer<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(plane.handle.https_addresses()[0]).await?;
    handshake_on(stream, config, name).await
}

pub(crate) async fn handshake_on(
    stream: TcpStream,
    config: &Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<Viewer<TlsStream<TcpStream>>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    soon(TlsConnector::from(Arc::clone(config)).connect(name, stream)).await.map(Viewer::on)
}

pub(crate) fn alert(error: &std::io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

pub(crate) async fn status_of(viewer: &mut Viewer<TlsStream<TcpStream>>, host: &str) -> String {
    viewer.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    let response = viewer.response().await;
    response.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn the_name_picks_the_certificate_and_a_swap_reaches_the_next_handshake() {
    let origin = EchoOrigin::start("web").await;
    let sites = || vec![Site::new("a", &[origin.address]), Site::new("b", &[origin.address])];
    let (a, b, renewed) = (make(&["a.example"]), make(&["b.example"]), make(&["b.example", "c.example"]));
    let plane = Plane::start();
    plane.handle.publish(table(sites(), certificates(&[("a", usable(&a)), ("b", usable(&b))], None)));

    handshake(&plane, &client(&[&a], &[]), "a.example").await.unwrap();
    let mut old = handshake(&plane, &client(&[&b], &[b"http/1.1"]), "b.example").await.unwrap();
    assert_eq!(old.stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(status_of(&mut old, "b.example").await, "200");

    plane.handle.publish(table(sites(), certificates(&[("a", usable(&a)), ("b", usable(&renewed))], None)));
    handshake(&plane, &client(&[&renewed], &[]), "b.example").await.unwrap();
    assert_eq!(status_of(&mut old, "b.example").await, "200");
}

#[tokio::test]
async fn what_has_no_certificate_of_its_own_is_never_shown_one_of_another() {
    let origin = EchoOrigin::start("web").await;
    let sites = vec![Site::new("a", &[origin.address]), Site::new("b", &[origin.address])];
    let a = make(&["a.example"]);
    let plane = Plane::start();
    let own = [("a", usable(&a)), ("b", OwnCertificates::Unusable)];
    plane.handle.publish(table(sites, certificates(&own, None)));
    for name in ["b.example", "nobody.example"] {
        let error = handshake(&plane, &client(&[&a], &[]), name).await.map(drop).unwrap_err();
        assert_eq!(alert(&error), Some(AlertDescription::UnrecognisedName), "{name}: {error}");
    }
}

#[tokio::test]
async fn the_default_certificate_answers_for_names_that_nobody_owns() {
    let origin = EchoOrigin::start("web").await;
    let sites = vec![Site::new("a", &[origin.address]), Site::new("b", &[origin.address])];
    let default = make(&["a.example", "b.example", "nobody.example"]);
    let plane = Plane::start();
    let own = [("b", OwnCertificates::Unusable)];
    plane.handle.publish(table(sites, certificates(&own, Some(&default))));
    let config = client(&[&default], &[]);
    let mut unknown = handshake(&plane, &config, "nobody.example").await.unwrap();
    assert_eq!(status_of(&mut unknown, "nobody.example").await, "404");
    assert_eq!(status_of(&mut unknown, "a.example").await, "421");
    let mut known = handshake(&plane, &config, "a.example").await.unwrap();
    assert_eq!(status_of(&mut known, "a.example").await, "200");
    let error = handshake(&plane, &config, "b.example").await.map(drop).unwrap_err();
    assert_eq!(alert(&error), Some(AlertDescription::UnrecognisedName), "{error}");
}

#[tokio::test]
async fn the_origin_hears_that_the_viewer_came_over_tls() {
    let origin = EchoOrigin::start("web").await;
    let a = make(&["a.example"]);
    let plane = Plane::start();
    let sites = vec![Site::new("a", &[origin.address])];
    plane.handle.publish(table(sites, certificates(&[("a", usable(&a))], None)));
    let mut viewer = handshake(&plane, &client(&[&a], &[]), "a.example").await.unwrap();
    viewer.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    let response = viewer.response().await;
    let (_, seen) = response.split_once("\r\n\r\n").unwrap();
    assert_eq!(field(seen, "x-forwarded-proto"), Some("https"));
    assert_eq!(field(seen, "x-forwarded-port"), Some("443"));
}

#[tokio::test]
async fn a_session_resumes_over_a_swap() {
    let origin = EchoOrigin::start("web").await;
    let a = make(&["a.example"]);
    let config = client(&[&a], &[]);
    let plane = Plane::start();
    let mut kinds = Vec::new();
    for endpoints in [1, 2] {
        let sites = vec![Site::new("a", &vec![origin.address; endpoints])];
        assert!(plane.handle.publish(table(sites, certificates(&[("a", usable(&a))], None))));
        let mut viewer = handshake(&plane, &config, "a.example").await.unwrap();
        // The ticket comes with the answer.
        assert_eq!(status_of(&mut viewer, "a.example").await, "200");
        kinds.push(viewer.stream.get_ref().1.handshake_kind().unwrap());
    }
    assert_ne!(kinds[0], HandshakeKind::Resumed);
    assert_eq!(kinds[1], HandshakeKind::Resumed);
}
