//! ACME challenges, on the wire.

use std::sync::Arc;

use tidegate::table::RoutingTable;
use tidegate::table::certificate::Certificates;
use tidegate::table::challenges::{Challenges, KeyAuthorization, Token};
use tidegate::table::host::HostName;
use tidegate::table::route::ViewerProtocolPolicy;

use super::rig::{Plane, RawOrigin, RouteShape, Site, field, table};

/// Redirects and nobody's: what both are answered to `token`.
fn with_challenges(sites: Vec<Site>) -> RoutingTable {
    let challenge = |host: &str| {
        let key = KeyAuthorization::parse("token.thumbprint").unwrap();
        (HostName::parse(host).unwrap(), Token::parse("token").unwrap(), key)
    };
    let challenges = Challenges::new(["web.example", "nobodys.example"].map(challenge));
    RoutingTable { challenges: Arc::new(challenges), ..table(sites, Certificates::default()) }
}

#[tokio::test]
async fn a_challenge_is_answered_before_the_redirect_and_its_neighbours_are_not() {
    let origin = RawOrigin::start().await;
    let site = |name, viewers| {
        let site = Site::new(name, &[origin.address]);
        Site { default: RouteShape { viewers, ..site.default }, ..site }
    };
    let sites = || {
        vec![
            site("web", ViewerProtocolPolicy::RedirectToHttps),
            site("closed", ViewerProtocolPolicy::HttpsOnly),
        ]
    };
    let plane = Plane::serving(sites());
    plane.handle.publish(with_challenges(sites()));
    let mut viewer = plane.connect().await;
    let path = "/.well-known/acme-challenge";
    let rows = [
        ("GET", format!("{path}/token"), "web", "200", "token.thumbprint"),
        ("GET", format!("{path}/token?any"), "web:80", "200", "token.thumbprint"),
        ("HEAD", format!("{path}/token"), "web", "200", ""),
        ("GET", format!("{path}/token"), "nobodys", "200", "token.thumbprint"),
        ("GET", format!("{path}/another"), "web", "301", ""),
        ("POST", format!("{path}/token"), "web", "307", ""),
        ("GET", format!("{path}/token/"), "web", "301", ""),
        ("GET", format!("{path}/another"), "nobodys", "404", "404 Not Found: no_distribution\n"),
        ("GET", format!("{path}/token"), "others", "404", "404 Not Found: no_distribution\n"),
        ("GET", format!("{path}/token"), "closed", "403", "403 Forbidden: https_only\n"),
    ];
    for (method, path, host, status, body) in rows {
        let host = match host.split_once(':') {
            Some((name, port)) => format!("{name}.example:{port}"),
            None => format!("{host}.example"),
        };
        let line = format!("{method} {path}");
        viewer.send(format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let answer = match method {
            "HEAD" => origin.nobody_comes_while(viewer.until("\r\n\r\n")).await,
            _ => origin.nobody_comes_while(viewer.response()).await,
        };
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host} {line}: {answer}");
        if method != "HEAD" {
            assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{host} {line}: {answer}");
        }
        if status == "200" {
            assert_eq!(field(&answer, "content-type"), Some("text/plain"), "{line}");
            assert_eq!(field(&answer, "content-length"), Some("16"), "{line}");
            assert_eq!(field(&answer, "cache-control"), Some("no-store"), "{line}");
        }
    }

    plane.handle.publish(table(sites(), Certificates::default()));
    viewer.send(format!("GET {path}/token HTTP/1.1\r\nHost: web.example\r\n\r\n")).await;
    let gone = origin.nobody_comes_while(viewer.response()).await;
    assert!(gone.starts_with("HTTP/1.1 301 "), "{gone}");
}
