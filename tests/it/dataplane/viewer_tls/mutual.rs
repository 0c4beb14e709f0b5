//! `viewerMtls`: who is let in, and what origins hear of viewers.

use tidegate::dataplane::{Entrance, Limits, TrustedProxies};
use tidegate::table::route::ViewerProtocolPolicy;

use super::super::rig::{EchoOrigin, Plane, RawOrigin, RouteShape, Site, table};
use super::super::tls::{certificates, make};
use super::*;

/// What viewers like to claim.
const CLAIMS: [(&str, &str); 3] =
    [("X-Client-Cert-Present", "1"), ("X-Client-Cert-Subject", "CN=root"), ("X-Client-Cert-Made-Up", "1")];

fn plane(site: Site, made: &Made) -> Plane {
    let plane = Plane::start();
    plane.handle.publish(table(vec![site], certificates(&[], Some(made))));
    plane
}

#[tokio::test]
async fn who_has_to_show_a_certificate_is_let_in_with_a_good_one_only() {
    let origin = EchoOrigin::start("web").await;
    let made = make(&["web.example"]);
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let plane = plane(Site { policy: ours.required(), ..Site::new("web", &[origin.address]) }, &made);
    let expired = || ours.issue_with("late", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let of_a_server = || {
        ours.issue_with("server", |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]
        })
    };
    for (version, alpn) in [(&TLS12, H1), (&TLS12, H2), (&TLS13, H1), (&TLS13, H2)] {
        let good = viewer(&made, alpn, version, Some(ours.issue("device-7")));
        let mut good = Connection::open(&plane, &good, "web.example").await.unwrap();
        for _ in 0..2 {
            let seen = good.ask("web.example", &CLAIMS).await;
            assert_eq!(introduced(&seen), (Some("1"), Some("CN=device-7")));
            let told = |name| field(seen.body(), name);
            assert_eq!(told("x-client-cert-issuer"), Some("CN=ours"));
            assert_eq!(told("x-client-cert-made-up"), None);
            assert_eq!(told("x-client-cert-sha256").map(str::len), Some(64));
            assert!(told("x-client-cert-serial-number").is_some());
            assert!(
                told("x-client-cert-pem")
                    .is_some_and(|pem| pem.starts_with("-----BEGIN%20CERTIFICATE-----%0A"))
            );
        }
        let rows = [
            (None, AlertDescription::CertificateRequired),
            (Some(others.issue("device-7")), AlertDescription::UnknownCA),
            (Some(expired()), AlertDescription::CertificateExpired),
            (Some(of_a_server()), AlertDescription::UnsupportedCertificate),
        ];
        for (shown, expected) in rows {
            let config = viewer(&made, alpn, version, shown);
            assert_eq!(refused(&plane, &config, "web.example").await, Some(expected), "{version:?}");
        }
    }
    let refused =
        r#"tidegate_tls_handshakes_total{version="none",resumed="false",result="client_certificate"}"#;
    assert_eq!(plane.metric(refused), 16, "{}", plane.metrics.encode().unwrap());
}

#[tokio::test]
async fn who_may_show_a_certificate_comes_without_one_but_not_with_a_bad_one() {
    let origin = EchoOrigin::start("web").await;
    let made = make(&["web.example"]);
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let plane = plane(Site { policy: ours.optional(), ..Site::new("web", &[origin.address]) }, &made);
    for (version, alpn) in [(&TLS12, H1), (&TLS13, H1), (&TLS13, H2)] {
        let rows =
            [(None, (Some("0"), None)), (Some(ours.issue("a, O=b")), (Some("1"), Some("CN=a\\, O=b")))];
        for (shown, expected) in rows {
            let config = viewer(&made, alpn, version, shown);
            let mut viewer = Connection::open(&plane, &config, "web.example").await.unwrap();
            assert_eq!(introduced(&viewer.ask("web.example", &CLAIMS).await), expected);
        }
        let config = viewer(&made, alpn, version, Some(others.issue("a")));
        assert_eq!(refused(&plane, &config, "web.example").await, Some(AlertDescription::UnknownCA));
    }
    // Without TLS nobody shows anything.
    let mut plain = plane.connect().await;
    plain.send("GET / HTTP/1.1\r\nHost: web.example\r\nX-Client-Cert-Present: 1\r\n\r\n").await;
    assert_eq!(introduced(&read(&plain.response().await)), (Some("0"), None));
}

#[tokio::test]
async fn who_is_not_asked_tells_nothing_whatever_it_claims() {
    let origin = EchoOrigin::start("web").await;
    let made = make(&["web.example"]);
    let plane = plane(Site::new("web", &[origin.address]), &made);
    let config = viewer(&made, H2, &TLS13, Some(Authority::new("ours").issue("a")));
    let mut viewer = Connection::open(&plane, &config, "web.example").await.unwrap();
    let seen = viewer.ask("web.example", &CLAIMS).await;
    assert_eq!(introduced(&seen), (None, None));
    assert_eq!(field(seen.body(), "x-client-cert-made-up"), None);
}

#[tokio::test]
async fn without_tls_nobody_reaches_an_origin_that_requires_a_certificate() {
    let origin = RawOrigin::start().await;
    let entrance = Entrance {
        trusted_proxies: TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]),
        ..Entrance::default()
    };
    let mut site = Site { policy: Authority::new("ours").required(), ..Site::new("web", &[origin.address]) };
    let shape = |viewers| RouteShape { viewers, ..site.default };
    site.ordered = vec![
        ("/redirect", shape(ViewerProtocolPolicy::RedirectToHttps)),
        ("/https", shape(ViewerProtocolPolicy::HttpsOnly)),
    ];
    let plane = Plane::behind(entrance, Limits::default(), vec![site]);
    let rows = [
        ("/", "http", "421 misdirected"),
        ("/redirect", "http", "301"),
        ("/https", "http", "403 https_only"),
        // What a proxy verified, or says that it did, is not what we verified.
        ("/", "https", "421 misdirected"),
        ("/redirect", "https", "421 misdirected"),
        ("/https", "https", "421 misdirected"),
    ];
    for (path, scheme, expected) in rows {
        let mut plain = plane.connect().await;
        plain
            .send(format!(
                "GET {path} HTTP/1.1\r\nHost: web.example\r\nX-Forwarded-Proto: {scheme}\r\nX-Client-Cert-Present: 1\r\n\r\n"
            ))
            .await;
        let response = origin.nobody_comes_while(plain.response()).await;
        assert_eq!(told(&read(&response)), expected, "{path} {scheme}");
    }
}

#[tokio::test]
async fn tls_is_refused_where_no_authority_is_known() {
    let origin = EchoOrigin::start("web").await;
    let made = make(&["web.example"]);
    let ours = Authority::new("ours");
    for mode in [ClientMode::Required, ClientMode::Optional] {
        let clients = Some(ClientAuthentication { mode, authorities: None });
        let policy = TlsPolicy { clients, ..TlsPolicy::default() };
        let plane = plane(Site { policy, ..Site::new("web", &[origin.address]) }, &made);
        for shown in [None, Some(ours.issue("a"))] {
            let config = viewer(&made, H1, &TLS13, shown);
            let refused = refused(&plane, &config, "web.example").await;
            assert_eq!(refused, Some(AlertDescription::UnrecognisedName), "{mode:?}");
        }
    }
}
