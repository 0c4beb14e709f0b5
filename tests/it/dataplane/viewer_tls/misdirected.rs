//! The 421 rule: which hosts a connection may carry requests for, over both versions of HTTP.

use tidegate::dataplane::{Entrance, Limits, TrustedProxies};
use tidegate::object::ObjectKey;
use tidegate::table::route::ServingState;

use super::super::rig::{EchoOrigin, Plane, Site, table};
use super::super::tls::{certificates, make, usable};
use super::*;

const MISDIRECTED: &str = "421 misdirected";
const NOBODY: &str = "404 no_distribution";

/// The name that is asked for at the handshake, the host of a request on that connection, and its answer.
const ROWS: [(&str, &str, &str); 46] = [
    // Its own host, however it is written.
    ("a.example", "a.example", "200"),
    ("a.example", "A.Example.", "200"),
    ("a.example", "a.example:8443", "200"),
    ("A.EXAMPLE", "a.example", "200"),
    ("a.example", "a.example.:8443", "200"),
    // Of one namespace, and named by the certificate that was shown.
    ("a.example", "b.example", "200"),
    ("a.example", "B.example.:8443", "200"),
    ("a.example", "plain.example", "200"),
    // Of one namespace, and not named by it.
    ("b.example", "b.example", "200"),
    ("b.example", "a.example", MISDIRECTED),
    ("a.example", "unnamed.example", MISDIRECTED),
    // Named, but another tenant's.
    ("a.example", "c.example", MISDIRECTED),
    ("c.example", "a.example", MISDIRECTED),
    ("c.example", "c.example", "200"),
    ("b.example", "c.example", MISDIRECTED),
    // Nobody's host is no one's secret.
    ("a.example", "nobody.example", NOBODY),
    ("b.example", "a.b.example", NOBODY),
    // A wildcard is for any depth, its certificate for one label.
    ("x.wild.example", "x.wild.example", "200"),
    ("x.wild.example", "y.wild.example", "200"),
    ("x.wild.example", "y.x.wild.example", "200"),
    ("x.wild.example", "a.example", MISDIRECTED),
    ("a.example", "x.wild.example", MISDIRECTED),
    ("w.example", "x.wild.example", "200"),
    ("w.example", "y.x.wild.example", MISDIRECTED),
    // Switched off: its own viewers hear that, and no others.
    ("off.example", "off.example", NOBODY),
    ("a.example", "off.example", NOBODY),
    ("off.example", "a.example", "200"),
    ("b.example", "off.example", MISDIRECTED),
    // The default certificate speaks for whoever owns the name, and for nobody where nobody does.
    ("plain.example", "plain.example", "200"),
    ("plain.example", "x.example", NOBODY),
    ("plain.example", "a.example", MISDIRECTED),
    ("x.example", "x.example", NOBODY),
    ("x.example", "plain.example", MISDIRECTED),
    ("x.example", "a.example", MISDIRECTED),
    // Other versions of TLS are wanted.
    ("new.example", "new.example", "200"),
    ("new.example", "newer.example", "200"),
    ("new.example", "a.example", MISDIRECTED),
    ("a.example", "new.example", MISDIRECTED),
    // Certificates of viewers are wanted, of these authorities or of others.
    ("must.example", "must.example", "200"),
    ("must.example", "too.example", "200"),
    ("must.example", "may.example", MISDIRECTED),
    ("must.example", "other.example", MISDIRECTED),
    ("must.example", "a.example", MISDIRECTED),
    ("a.example", "must.example", MISDIRECTED),
    ("may.example", "must.example", MISDIRECTED),
    ("may.example", "may.example", "200"),
];

#[tokio::test]
async fn a_connection_carries_requests_for_who_would_have_shaken_hands_alike() {
    let origin = EchoOrigin::start("web").await;
    let site = |name| Site::new(name, &[origin.address]);
    let wanting = |name, policy| Site { policy, ..site(name) };
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let sites = vec![
        site("a"),
        site("b"),
        Site { namespace: "other", ..site("c") },
        site("plain"),
        site("unnamed"),
        Site { alias: Some("*.wild.example"), ..site("wild") },
        site("w"),
        Site { state: ServingState::Disabled, ..site("off") },
        wanting("new", at_least(MinimumProtocol::Tls13In2025)),
        wanting("newer", at_least(MinimumProtocol::Tls13In2025)),
        wanting("must", ours.required()),
        wanting("too", ours.required()),
        wanting("may", ours.optional()),
        wanting("other", others.required()),
    ];
    let names = ["a", "b", "c", "plain", "off", "new", "newer", "must", "too", "may", "other", "nobody"];
    let wide = make(&names.map(|name| format!("{name}.example")).each_ref().map(String::as_str));
    let (narrow, default) = (make(&["b.example"]), make(&["plain.example", "x.example"]));
    let (wildcard, unnamed) = (make(&["*.wild.example", "y.x.wild.example"]), make(&["unnamed.example"]));
    let of_w = make(&["w.example", "*.wild.example"]);
    let wides = ["a", "off", "new", "newer", "must", "too", "may", "other"].map(|name| (name, usable(&wide)));
    let rest = [("b", &narrow), ("wild", &wildcard), ("w", &of_w), ("unnamed", &unnamed)];
    let own = [wides.to_vec(), rest.map(|(name, made)| (name, usable(made))).to_vec()].concat();
    let mut own = certificates(&own, Some(&default));
    own.by_distribution.insert(ObjectKey::new("other", "c"), usable(&wide));
    // What a proxy says of the viewer does not change whom the connection is with.
    let entrance = Entrance {
        trusted_proxies: TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]),
        ..Entrance::default()
    };
    let plane = Plane::behind(entrance, Limits::default(), Vec::new());
    plane.handle.publish(table(sites, own));
    let trusted = [&wide, &narrow, &default, &wildcard, &unnamed, &of_w];
    let shown = ours.issue("device-7");
    for alpn in [H1, H2] {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let config = client_by(provider, &trusted, &[alpn], &BOTH, Some(copy(&shown)));
        for (sni, host, expected) in ROWS {
            for scheme in ["http", "https"] {
                let mut viewer = Connection::open(&plane, &config, sni).await.unwrap();
                let answer = viewer.ask(host, &[("x-forwarded-proto", scheme)]).await;
                assert_eq!(
                    told(&answer),
                    expected,
                    "{sni} {host} {scheme} {}",
                    String::from_utf8_lossy(alpn)
                );
            }
        }
    }
    let mut plain = plane.connect().await;
    for host in ["a.example", "b.example", "c.example"] {
        plain.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Proto: https\r\n\r\n")).await;
        assert_eq!(told(&read(&plain.response().await)), "200", "{host}");
    }
    plain.send("GET / HTTP/1.1\r\nHost: must.example\r\n\r\n").await;
    let misdirected = plain.response().await;
    assert!(misdirected.starts_with("HTTP/1.1 421 "), "{misdirected}");
    assert!(misdirected.contains("\r\nconnection: close\r\n"), "another may do better: {misdirected}");
}
