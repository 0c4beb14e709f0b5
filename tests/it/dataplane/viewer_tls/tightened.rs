//! What becomes of open connections when a Distribution begins to want more of them.

use super::super::rig::{EchoOrigin, Plane, Site, table};
use super::super::tls::{certificates, make};
use super::*;

#[tokio::test]
async fn an_open_connection_serves_only_who_would_have_let_its_viewer_in() {
    let origin = EchoOrigin::start("web").await;
    let made = make(&["web.example"]);
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let unknown = |mode| {
        let clients = Some(ClientAuthentication { mode, authorities: None });
        TlsPolicy { clients, ..TlsPolicy::default() }
    };
    let plane = Plane::start();
    let publish = |policy: &TlsPolicy| {
        let site = Site { policy: policy.clone(), ..Site::new("web", &[origin.address]) };
        plane.handle.publish(table(vec![site], certificates(&[], Some(&made))));
    };
    let shown = ours.issue("device-7");
    let (none, misdirected) = (TlsPolicy::default(), "421 misdirected");
    let known = |subject| (Some("1"), Some(subject));
    // What was wanted at the handshake, what is now, and what is served then and told of the viewer.
    let rows = [
        (&none, Some(&shown), ours.required(), Err(misdirected)),
        (&none, Some(&shown), ours.optional(), Ok((Some("0"), None))),
        (&none, None, at_least(MinimumProtocol::Tls13In2025), Ok((None, None))),
        (&ours.optional(), Some(&shown), ours.required(), Ok(known("CN=device-7"))),
        (&ours.optional(), None, ours.required(), Err(misdirected)),
        (&ours.optional(), None, others.optional(), Ok((Some("0"), None))),
        (&ours.required(), Some(&shown), none.clone(), Ok((None, None))),
        (&ours.required(), Some(&shown), ours.optional(), Ok(known("CN=device-7"))),
        (&ours.required(), Some(&shown), others.required(), Err(misdirected)),
        (&ours.required(), Some(&shown), others.optional(), Err(misdirected)),
        (&ours.required(), Some(&shown), unknown(ClientMode::Required), Err(misdirected)),
        (&ours.required(), Some(&shown), unknown(ClientMode::Optional), Err(misdirected)),
        (&ours.optional(), None, unknown(ClientMode::Required), Err(misdirected)),
        (&ours.optional(), None, unknown(ClientMode::Optional), Ok((Some("0"), None))),
    ];
    for (row, (before, shown, after, expected)) in rows.into_iter().enumerate() {
        for alpn in [H1, H2] {
            publish(before);
            let config = viewer(&made, alpn, &TLS13, shown.map(copy));
            let mut viewer = Connection::open(&plane, &config, "web.example").await.unwrap();
            assert_eq!(viewer.status("web.example").await, "200", "row {row}");
            publish(&after);
            let answer = viewer.ask("web.example", &[]).await;
            match expected {
                Ok(expected) => assert_eq!(introduced(&answer), expected, "row {row}"),
                Err(expected) => assert_eq!(told(&answer), expected, "row {row}"),
            }
        }
    }
}
