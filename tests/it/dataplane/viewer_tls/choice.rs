//! Several certificates of one Distribution: which of them a viewer is shown.

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{CipherSuite, DEFAULT_VERSIONS, SignatureScheme};
use tidegate::table::certificate::OwnCertificates;

use super::super::rig::{EchoOrigin, Plane, Site, table};
use super::super::tls::{Made, certificates, client_by, handshake, make_with};
use super::*;

/// A viewer that knows only what `keep` says.
fn knowing(keep_scheme: Keep<SignatureScheme>, keep_suite: Keep<CipherSuite>) -> CryptoProvider {
    let mut provider = default_provider();
    let known = provider.signature_verification_algorithms.mapping;
    let kept: Vec<_> = known.iter().filter(|(scheme, _)| keep_scheme(*scheme)).copied().collect();
    provider.signature_verification_algorithms.mapping = kept.leak();
    provider.cipher_suites.retain(|suite| keep_suite(suite.suite()));
    provider
}

fn is_rsa(scheme: SignatureScheme) -> bool {
    format!("{scheme:?}").starts_with("RSA")
}

fn signs_with_rsa(suite: CipherSuite) -> bool {
    format!("{suite:?}").starts_with("TLS_ECDHE_RSA")
}

/// What a viewer is, what it knows, the name that it asks for, and what it is shown.
type Row<'r> = (&'r str, Keep<SignatureScheme>, Keep<CipherSuite>, &'r str, &'r Made);

#[tokio::test]
async fn a_viewer_is_shown_the_first_that_names_its_host_and_that_it_knows_ecdsa_before_rsa() {
    let origin = EchoOrigin::start("web").await;
    let rsa = make_with(&["a.web.example", "rsa.web.example"], &PKCS_RSA_SHA256);
    let ecdsa = make_with(&["a.web.example"], &PKCS_ECDSA_P256_SHA256);
    let wildcard = make_with(&["*.web.example"], &PKCS_ECDSA_P256_SHA256);
    let all = [&rsa, &ecdsa, &wildcard];
    let site = |name| Site { alias: Some("*.web.example"), ..Site::new(name, &[origin.address]) };
    let own = OwnCertificates::new(all.map(|made| Arc::clone(&made.certificate)));
    let plane = Plane::start();
    plane.handle.publish(table(vec![site("a")], certificates(&[("a", own)], None)));
    let rows: [Row<'_>; 6] = [
        ("every kind of key", |_| true, |_| true, "a.web.example", &ecdsa),
        ("no ECDSA", is_rsa, |_| true, "a.web.example", &rsa),
        ("suites for RSA only", |_| true, signs_with_rsa, "a.web.example", &rsa),
        // The order of the list, where more than one is right.
        ("another name", |_| true, |_| true, "b.web.example", &wildcard),
        ("a name of RSA and the wildcard", |_| true, |_| true, "rsa.web.example", &wildcard),
        ("the same without ECDSA", is_rsa, |_| true, "rsa.web.example", &rsa),
    ];
    for (what, scheme, suite, name, expected) in rows {
        let config = client_by(knowing(scheme, suite), &all, &[], DEFAULT_VERSIONS, None);
        let viewer = handshake(&plane, &config, name).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let shown = viewer.stream.get_ref().1.peer_certificates().unwrap();
        assert_eq!(shown[0], expected.root, "{what}");
    }
}

#[tokio::test]
async fn one_that_changes_among_several_reaches_the_next_handshake() {
    let origin = EchoOrigin::start("web").await;
    let [first, old, new] = [&["a.example"], &["b.example"], &["b.example"]]
        .map(|names| make_with(names, &PKCS_ECDSA_P256_SHA256));
    let site = || vec![Site { alias: Some("*.example"), ..Site::new("a", &[origin.address]) }];
    let own =
        |second: &Made| OwnCertificates::new([&first, second].map(|made| Arc::clone(&made.certificate)));
    let plane = Plane::start();
    for expected in [&old, &new] {
        plane.handle.publish(table(site(), certificates(&[("a", own(expected))], None)));
        // A session that resumes is shown nothing.
        let config = client_by(default_provider(), &[&first, expected], &[], DEFAULT_VERSIONS, None);
        for (name, made) in [("a.example", &first), ("b.example", expected)] {
            let mut viewer = Connection::open(&plane, &config, name).await.unwrap();
            assert_eq!(viewer.status(name).await, "200");
            let Connection::Http1(viewer) = viewer else { panic!("nobody asked for HTTP/2") };
            assert_eq!(viewer.stream.get_ref().1.peer_certificates().unwrap()[0], made.root);
        }
    }
}
