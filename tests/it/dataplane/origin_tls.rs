//! TLS towards origins: whose certificate is good, what is shown to them, what is remembered of a session.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::digest;
use rcgen::{CertificateParams, CertifiedIssuer, DnType, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use tidegate::dataplane::{Entrance, Limits, TrustedProxies};
use tidegate::table::certificate::{Authorities, Certificate};
use tidegate::table::host::HostName;
use tidegate::table::origin::{Digest, HttpVersion, OriginTls, Trust};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::rig::{Plane, RawOrigin, Site, Viewer, field, soon, table};
use super::tls::{certificates, client, handshake, make, usable};

const GET: &str = "GET / HTTP/1.1\r\nHost: web.example\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A certificate with its key.
pub(super) struct Own {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Own {
    /// One that only its common name says anything of.
    pub(super) fn self_signed() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "pod");
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap().der().clone(), key: key.into() }
    }

    pub(super) fn digest(&self) -> Digest {
        digest::digest(&digest::SHA256, &self.certificate).as_ref().try_into().unwrap()
    }

    fn shown(&self) -> Arc<Certificate> {
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&self.key).unwrap();
        Arc::new(Certificate {
            key: Arc::new(rustls::sign::CertifiedKey::new(vec![self.certificate.clone()], signer)),
            fingerprint: format!("{:?}", self.digest()),
            names: Vec::new(),
        })
    }
}

pub(super) struct Issuer(CertifiedIssuer<'static, KeyPair>);

impl Issuer {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn issue(&self, name: &str) -> Own {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        Own { certificate: params.signed_by(&key, &self.0).unwrap().der().clone(), key: key.into() }
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }

    fn trusted(&self) -> Arc<Authorities> {
        let fingerprint = format!("{:?}", self.0.der());
        Arc::new(Authorities { roots: self.roots(), fingerprint })
    }
}

/// An origin that speaks TLS.
pub(super) struct TlsOrigin {
    origin: RawOrigin,
    acceptor: TlsAcceptor,
}

impl TlsOrigin {
    pub(super) async fn showing(own: &Own) -> Self {
        Self::with(own, None, &[b"http/1.1"]).await
    }

    pub(super) async fn with(own: &Own, viewers: Option<&Issuer>, alpn: &[&[u8]]) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match viewers {
            None => builder.with_no_client_auth(),
            Some(issuer) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(issuer.roots(), provider).build().unwrap(),
            ),
        };
        let mut config =
            builder.with_single_cert(vec![own.certificate.clone()], own.key.clone_key()).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Self { origin: RawOrigin::start().await, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    /// A handshake that fails leaves the connection open, so that what was said of it is not lost to a reset.
    pub(super) async fn accept(&self) -> Result<Viewer<TlsStream<TcpStream>>, (std::io::Error, TcpStream)> {
        let stream = self.origin.accept().await.stream;
        soon(self.acceptor.accept(stream).into_fallible()).await.map(Viewer::on)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.origin.address
    }

    pub(super) fn site(&self, tls: OriginTls) -> Site {
        Site { tls: Some(tls), ..Site::new("web", &[self.origin.address]) }
    }
}

pub(super) fn tls(name: Option<&str>, trust: Trust) -> OriginTls {
    let server_name = name.map(|name| HostName::parse(name).unwrap());
    OriginTls { server_name, trust, client_certificate: None }
}

fn one_worker(site: Site) -> Plane {
    Plane::of_one_worker(Limits::default(), vec![site])
}

/// Answers one request of a viewer; gives the session that it came on.
pub(super) async fn pass(plane: &Plane, origin: &TlsOrigin) -> Viewer<TlsStream<TcpStream>> {
    let mut viewer = plane.connect().await;
    viewer.send(GET).await;
    let mut connection = origin.accept().await.unwrap();
    connection.until("\r\n\r\n").await;
    connection.send(OK).await;
    assert!(viewer.response().await.ends_with("ok"));
    connection
}

pub(super) async fn refused(plane: &Plane, origin: &TlsOrigin) {
    let mut viewer = plane.connect().await;
    viewer.send(GET).await;
    let _failed = origin.accept().await;
    let response = viewer.response().await;
    assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
    assert_eq!(field(&response, "x-tidegate-error"), Some("origin_tls"), "{response}");
}

#[tokio::test]
async fn a_certificate_is_good_for_the_name_and_by_whom_it_was_said() {
    let (issuer, stranger) = (Issuer::new("one"), Issuer::new("other"));
    let (issued, lone) = (issuer.issue("app.shop.svc"), Own::self_signed());
    let by = |issuer: &Issuer, pins| Trust::Authorities(issuer.trusted(), pins);
    let rows = [
        (&issued, Some("app.shop.svc"), by(&issuer, vec![]), true),
        (&issued, Some("other.shop.svc"), by(&issuer, vec![]), false),
        (&issued, Some("app.shop.svc"), by(&stranger, vec![]), false),
        (&issued, Some("app.shop.svc"), Trust::PublicRoots, false),
        (&issued, Some("app.shop.svc"), by(&issuer, vec![issued.digest()]), true),
        (&issued, Some("app.shop.svc"), by(&issuer, vec![lone.digest()]), false),
        (&issued, Some("app.shop.svc"), by(&stranger, vec![issued.digest()]), false),
        (&lone, None, Trust::Pinned(vec![issued.digest(), lone.digest()]), true),
        (&lone, Some("whatever.example"), Trust::Pinned(vec![lone.digest()]), true),
        (&lone, None, Trust::Pinned(vec![issued.digest()]), false),
        (&lone, None, Trust::Anything, true),
    ];
    for (own, name, trust, good) in rows {
        let origin = TlsOrigin::showing(own).await;
        let plane = one_worker(origin.site(tls(name, trust)));
        match good {
            true => {
                let connection = pass(&plane, &origin).await;
                assert_eq!(connection.stream.get_ref().1.server_name(), name);
            }
            false => refused(&plane, &origin).await,
        }
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_an_origin_that_asks() {
    let issuer = Issuer::new("clients");
    let (own, ours) = (Own::self_signed(), issuer.issue("tidegate"));
    for alpn in [HttpVersion::Http1, HttpVersion::Http2] {
        let offered: &[&[u8]] = if alpn == HttpVersion::Http2 { &[b"h2"] } else { &[b"http/1.1"] };
        let origin = TlsOrigin::with(&own, Some(&issuer), offered).await;
        let mut site = origin.site(tls(None, Trust::Pinned(vec![own.digest()])));
        if alpn == HttpVersion::Http2 {
            site.origin = |origin| origin.http_version = HttpVersion::Http2;
        }
        refused(&one_worker(site.clone()), &origin).await;
        if alpn == HttpVersion::Http1 {
            site.tls.as_mut().unwrap().client_certificate = Some(ours.shown());
            pass(&one_worker(site), &origin).await;
        }
    }
}

#[tokio::test]
async fn a_session_is_resumed_for_equal_settings_only_and_others_close_what_idles() {
    let own = Own::self_signed();
    let origin = TlsOrigin::showing(&own).await;
    let first = origin.site(tls(Some("a.example"), Trust::Pinned(vec![own.digest()])));
    let plane = one_worker(first);
    let connection = pass(&plane, &origin).await;
    assert_eq!(connection.stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    drop(connection);
    let mut connection = pass(&plane, &origin).await;
    assert_eq!(connection.stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));

    // With other settings neither is used, and the connection that idles closes.
    let other = origin.site(tls(Some("b.example"), Trust::Pinned(vec![own.digest()])));
    plane.publish(vec![other]);
    assert_eq!(connection.try_bytes(1).await, None);
    let fresh = pass(&plane, &origin).await;
    assert_eq!(fresh.stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
}

#[tokio::test]
async fn an_endpoint_without_tls_costs_an_attempt_and_no_request() {
    let own = Own::self_signed();
    let good = TlsOrigin::showing(&own).await;
    let plain = RawOrigin::start().await;
    let address = plain.address;
    let deaf = tokio::spawn(async move {
        loop {
            plain.accept().await.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let mut site = good.site(tls(None, Trust::Pinned(vec![own.digest()])));
    site.endpoints.push(address);
    for _ in 0..5 {
        pass(&one_worker(site.clone()), &good).await;
    }
    deaf.abort();
}

#[tokio::test]
async fn http2_over_tls_is_agreed_on_and_a_web_socket_goes_over_http1() {
    let own = Own::self_signed();
    let origin = TlsOrigin::with(&own, None, &[b"h2", b"http/1.1"]).await;
    let mut site = origin.site(tls(None, Trust::Pinned(vec![own.digest()])));
    site.origin = |origin| origin.http_version = HttpVersion::Http2;
    let plane = one_worker(site);

    let mut viewer = plane.connect().await;
    viewer.send(GET).await;
    let stream = origin.accept().await.unwrap().stream;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut connection = soon(h2::server::handshake(stream)).await.unwrap();
    let (request, mut respond) = soon(connection.accept()).await.unwrap().unwrap();
    assert_eq!(request.uri(), "https://web.example/");
    respond.send_response(http::Response::builder().status(204).body(()).unwrap(), true).unwrap();
    let answered = async {
        tokio::select! {
            head = viewer.until("\r\n\r\n") => head,
            _ = connection.accept() => panic!("nothing more was to come"),
        }
    };
    assert!(answered.await.starts_with("HTTP/1.1 204 "));

    let mut socket = plane.connect().await;
    socket
        .send("GET / HTTP/1.1\r\nHost: web.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        .await;
    let mut end = origin.accept().await.unwrap();
    assert_eq!(end.stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    end.until("\r\n\r\n").await;
    end.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\u{1}\u{2}hi").await;
    socket.until("\r\n\r\n").await;
    assert_eq!(socket.bytes(4).await, b"\x01\x02hi");
}

#[tokio::test]
async fn an_origin_that_does_not_agree_on_http2_is_502() {
    let own = Own::self_signed();
    let origin = TlsOrigin::with(&own, None, &[]).await;
    let mut site = origin.site(tls(None, Trust::Pinned(vec![own.digest()])));
    site.origin = |origin| origin.http_version = HttpVersion::Http2;
    refused(&one_worker(site), &origin).await;
}

const UPGRADE: &str = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn asking(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: web.example\r\n{fields}\r\n")
}

/// What an origin is asked on its next connection, which it then closes.
async fn asked<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(mut connection: Viewer<S>) -> String {
    let head = connection.until("\r\n\r\n").await;
    connection.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
    head.to_lowercase()
}

#[tokio::test]
async fn an_origin_that_matches_its_viewers_is_spoken_to_as_each_came() {
    let own = Own::self_signed();
    let (secure, plain) = (TlsOrigin::showing(&own).await, RawOrigin::start().await);
    let mut site = secure.site(tls(None, Trust::Pinned(vec![own.digest()])));
    site.plain = vec![plain.address];
    let trusted_proxies = TrustedProxies::new(vec!["127.0.0.1/32".parse().unwrap()]);
    let entrance = Entrance { trusted_proxies, ..Entrance::default() };
    let plane = Plane::behind(entrance, Limits::default(), vec![]);
    let shown = make(&["web.example"]);
    plane.handle.publish(table(vec![site], certificates(&[("web", usable(&shown))], None)));

    for kind in ["", UPGRADE] {
        for (said, over_tls) in
            [("", false), ("X-Forwarded-Proto: http\r\n", false), ("X-Forwarded-Proto: https\r\n", true)]
        {
            let mut viewer = plane.connect().await;
            viewer.send(asking(&format!("{kind}{said}"))).await;
            let head = match over_tls {
                true => asked(secure.accept().await.unwrap()).await,
                false => asked(plain.accept().await).await,
            };
            let scheme = if over_tls { "https" } else { "http" };
            assert!(head.contains(&format!("x-forwarded-proto: {scheme}\r\n")), "{kind} {said}: {head}");
            assert_eq!(head.contains("upgrade: websocket"), !kind.is_empty(), "{head}");
        }
        let mut viewer = handshake(&plane, &client(&[&shown], &[]), "web.example").await.unwrap();
        viewer.send(asking(kind)).await;
        let head = asked(secure.accept().await.unwrap()).await;
        assert!(head.contains("x-forwarded-proto: https\r\n"), "{kind}: {head}");
    }
}

#[tokio::test]
async fn a_side_without_endpoints_costs_only_the_viewers_that_it_is_for() {
    let own = Own::self_signed();
    let (secure, plain) = (TlsOrigin::showing(&own).await, RawOrigin::start().await);
    let mut site = secure.site(tls(None, Trust::Pinned(vec![own.digest()])));
    site.plain = vec![plain.address];
    site.endpoints.clear();
    let plane = Plane::of_one_worker(Limits::default(), vec![]);
    let shown = make(&["web.example"]);
    plane.handle.publish(table(vec![site], certificates(&[("web", usable(&shown))], None)));

    let mut viewer = handshake(&plane, &client(&[&shown], &[]), "web.example").await.unwrap();
    viewer.send(GET).await;
    let response = plain.nobody_comes_while(viewer.response()).await;
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    let mut viewer = plane.connect().await;
    viewer.send(GET).await;
    asked(plain.accept().await).await;
}
