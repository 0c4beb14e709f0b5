//! What Distributions want of the TLS of their viewers, over real handshakes of TLS 1.2 and 1.3.

mod choice;
mod misdirected;
mod mutual;
mod resumption;
mod tightened;
mod versions;

use std::sync::Arc;

use http::{Request, Response};
use rcgen::{CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tidegate::table::certificate::Authorities;
use tidegate::table::viewer_tls::{ClientAuthentication, ClientMode, MinimumProtocol, TlsPolicy};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::http2::Client;
use super::rig::{Plane, Viewer, field};
use super::tls::{Made, Shown, alert, client_by, handshake};

const BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
const H1: &[u8] = b"http/1.1";
const H2: &[u8] = b"h2";

/// What of a kind a viewer knows.
type Keep<T> = fn(T) -> bool;

/// Who signs viewers' certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str) -> Shown {
        self.issue_with(name, |_| {})
    }

    fn issue_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Shown {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().der().clone(), key.into())
    }

    fn trusted(&self) -> Authorities {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Authorities { roots: Arc::new(roots), fingerprint: format!("{:?}", self.0.der()) }
    }

    fn asked(&self, mode: ClientMode) -> TlsPolicy {
        let clients = Some(ClientAuthentication { mode, authorities: Some(self.trusted()) });
        TlsPolicy { clients, ..TlsPolicy::default() }
    }

    fn required(&self) -> TlsPolicy {
        self.asked(ClientMode::Required)
    }

    fn optional(&self) -> TlsPolicy {
        self.asked(ClientMode::Optional)
    }
}

fn at_least(minimum: MinimumProtocol) -> TlsPolicy {
    TlsPolicy { minimum, ..TlsPolicy::default() }
}

/// A viewer that may have a certificate to show.
fn viewer(
    made: &Made,
    alpn: &[u8],
    version: &'static SupportedProtocolVersion,
    shown: Option<Shown>,
) -> Arc<ClientConfig> {
    client_by(rustls::crypto::aws_lc_rs::default_provider(), &[made], &[alpn], &[version], shown)
}

fn copy((certificate, key): &Shown) -> Shown {
    (certificate.clone(), key.clone_key())
}

/// A viewer's connection over either version of HTTP.
enum Connection {
    Http1(Box<Viewer<TlsStream<TcpStream>>>),
    Http2(Client, HandshakeKind),
}

impl Connection {
    async fn open(plane: &Plane, config: &Arc<ClientConfig>, name: &str) -> std::io::Result<Self> {
        let viewer = handshake(plane, config, name).await?;
        let session = viewer.stream.get_ref().1;
        let (alpn, kind) = (session.alpn_protocol(), session.handshake_kind().unwrap());
        Ok(match alpn {
            Some(H2) => Self::Http2(Client::on(viewer.stream, &h2::client::Builder::new()).await, kind),
            _ => Self::Http1(Box::new(viewer)),
        })
    }

    fn kind(&self) -> HandshakeKind {
        match self {
            Self::Http1(viewer) => viewer.stream.get_ref().1.handshake_kind().unwrap(),
            Self::Http2(_, kind) => *kind,
        }
    }

    /// Asks for `/` of a host; the body of an echo origin is the head that it saw.
    async fn ask(&mut self, host: &str, fields: &[(&str, &str)]) -> Response<String> {
        match self {
            Self::Http1(viewer) => {
                let lines: String =
                    fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                viewer.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n")).await;
                read(&viewer.response().await)
            }
            Self::Http2(client, _) => {
                let mut request = Request::get(format!("https://{host}/"));
                for (name, value) in fields {
                    request = request.header(*name, *value);
                }
                client.ask(request.body(()).unwrap()).await
            }
        }
    }

    /// The status of an answer, with the reason where it is one of ours.
    async fn status(&mut self, host: &str) -> String {
        told(&self.ask(host, &[]).await)
    }
}

fn told(response: &Response<String>) -> String {
    let reason = response.headers().get("x-tidegate-error").map(|reason| reason.to_str().unwrap());
    reason.map_or_else(
        || response.status().as_str().to_owned(),
        |reason| format!("{} {reason}", response.status().as_str()),
    )
}

fn read(text: &str) -> Response<String> {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut response = Response::builder().status(head.split(' ').nth(1).unwrap());
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(':').unwrap();
        response = response.header(name, value.trim());
    }
    response.body(body.to_owned()).unwrap()
}

/// What the origin was told of the viewer's certificate: whether there is one, and its subject.
fn introduced(response: &Response<String>) -> (Option<&str>, Option<&str>) {
    assert_eq!(response.status(), 200, "{response:?}");
    let told = |name| field(response.body(), name);
    (told("x-client-cert-present"), told("x-client-cert-subject"))
}

/// The alert by which a handshake ends. A viewer of TLS 1.3 reads it after its own part is done.
async fn refused(plane: &Plane, config: &Arc<ClientConfig>, name: &str) -> Option<AlertDescription> {
    let error = match handshake(plane, config, name).await {
        Err(error) => error,
        Ok(mut viewer) => viewer.ends().await.expect_err("the handshake went well"),
    };
    alert(&error)
}
