//! `minimumProtocolVersion`: which versions and cipher suites are spoken, by the name that is asked for.

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{CipherSuite, ProtocolVersion};

use super::super::rig::{EchoOrigin, Plane, Site, table};
use super::super::tls::{certificates, client_by, make};
use super::*;

const CHACHA: CipherSuite = CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;

#[tokio::test]
async fn each_name_is_spoken_to_as_its_distribution_says() {
    let origin = EchoOrigin::start("web").await;
    let site = |name, minimum| Site { policy: at_least(minimum), ..Site::new(name, &[origin.address]) };
    let sites = vec![
        site("old", MinimumProtocol::Tls12In2021),
        site("new", MinimumProtocol::Tls12In2025),
        site("newest", MinimumProtocol::Tls13In2025),
    ];
    let made = make(&["old.example", "new.example", "newest.example"]);
    let plane = Plane::start();
    plane.handle.publish(table(sites, certificates(&[], Some(&made))));
    let (tls13, tls12) = (Ok(ProtocolVersion::TLSv1_3), Ok(ProtocolVersion::TLSv1_2));
    let version = Err(Some(AlertDescription::ProtocolVersion));
    let nothing_common = Err(Some(AlertDescription::HandshakeFailure));
    let any: Keep<CipherSuite> = |_| true;
    let (only_chacha, no_chacha): (Keep<CipherSuite>, Keep<CipherSuite>) =
        (|suite| suite == CHACHA, |suite| !format!("{suite:?}").contains("CHACHA20"));
    let rows = [
        ("old.example", &BOTH[..], any, tls13),
        ("old.example", &BOTH[..1], any, tls12),
        ("old.example", &BOTH[..1], only_chacha, tls12),
        ("new.example", &BOTH[..], any, tls13),
        ("new.example", &BOTH[..1], any, tls12),
        ("new.example", &BOTH[..1], no_chacha, tls12),
        ("new.example", &BOTH[..1], only_chacha, nothing_common),
        // It is only in TLS 1.2 that ChaCha20 is left out.
        ("new.example", &BOTH[1..], |suite| suite == CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, tls13),
        ("newest.example", &BOTH[..], any, tls13),
        ("newest.example", &BOTH[1..], any, tls13),
        ("newest.example", &BOTH[..1], any, version),
    ];
    for (name, versions, keep, expected) in rows {
        let mut provider = default_provider();
        provider.cipher_suites.retain(|suite| keep(suite.suite()));
        let config = client_by(provider, &[&made], &[], versions, None);
        let found = match handshake(&plane, &config, name).await {
            Ok(viewer) => Ok(viewer.stream.get_ref().1.protocol_version().unwrap()),
            Err(error) => Err(alert(&error)),
        };
        assert_eq!(found, expected, "{name} {versions:?}");
    }
}

#[tokio::test]
async fn no_session_resumes_below_a_minimum_that_was_raised() {
    let origin = EchoOrigin::start("web").await;
    let made = make(&["web.example"]);
    let plane = Plane::start();
    let publish = |minimum| {
        let site = Site { policy: at_least(minimum), ..Site::new("web", &[origin.address]) };
        plane.handle.publish(table(vec![site], certificates(&[], Some(&made))));
    };
    let mut provider = default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == CHACHA);
    let config = client_by(provider, &[&made], &[], &BOTH[..1], None);
    publish(MinimumProtocol::Tls12In2021);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut viewer = Connection::open(&plane, &config, "web.example").await.unwrap();
        assert_eq!(viewer.kind(), kind);
        assert_eq!(viewer.status("web.example").await, "200");
    }
    for (minimum, expected) in [
        (MinimumProtocol::Tls12In2025, AlertDescription::HandshakeFailure),
        (MinimumProtocol::Tls13In2025, AlertDescription::ProtocolVersion),
    ] {
        publish(minimum);
        assert_eq!(refused(&plane, &config, "web.example").await, Some(expected));
    }
}
