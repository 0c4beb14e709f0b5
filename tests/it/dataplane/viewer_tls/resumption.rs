//! Sessions that resume, and those that must not: resuming one verifies nothing again.

use super::super::rig::{EchoOrigin, Plane, Site, table};
use super::super::tls::{certificates, make};
use super::*;

/// A site whose policy changes, and which moves to another table each time.
struct Changing {
    plane: Plane,
    origin: EchoOrigin,
    made: Made,
}

impl Changing {
    async fn start() -> Self {
        let origin = EchoOrigin::start("web").await;
        Self {
            plane: Plane::of_one_worker(Default::default(), Vec::new()),
            origin,
            made: make(&["web.example"]),
        }
    }

    fn publish(&self, policy: &TlsPolicy) {
        let site = Site { policy: policy.clone(), ..Site::new("web", &[self.origin.address]) };
        self.plane.handle.publish(table(vec![site], certificates(&[], Some(&self.made))));
    }

    /// Shakes hands and asks, so that tickets are taken; says how the handshake went, and what the origin heard.
    async fn visit(&self, config: &Arc<ClientConfig>) -> (HandshakeKind, Option<String>, Option<String>) {
        let mut viewer = Connection::open(&self.plane, config, "web.example").await.unwrap();
        let answer = viewer.ask("web.example", &[]).await;
        let (present, subject) = introduced(&answer);
        (viewer.kind(), present.map(str::to_owned), subject.map(str::to_owned))
    }

    /// The kinds of two visits under this policy.
    async fn tickets(&self, policy: &TlsPolicy, config: &Arc<ClientConfig>) {
        self.publish(policy);
        let kinds = [self.visit(config).await.0, self.visit(config).await.0];
        assert_ne!(kinds[0], HandshakeKind::Resumed);
        assert_eq!(kinds[1], HandshakeKind::Resumed, "{config:?}");
    }
}

const WAYS: [(&SupportedProtocolVersion, &[u8]); 4] =
    [(&TLS12, H1), (&TLS12, H2), (&TLS13, H1), (&TLS13, H2)];

#[tokio::test]
async fn a_session_without_a_certificate_never_resumes_where_one_is_required() {
    let site = Changing::start().await;
    let ours = Authority::new("ours");
    for (version, alpn) in WAYS {
        for before in [TlsPolicy::default(), ours.optional()] {
            let config = viewer(&site.made, alpn, version, None);
            site.tickets(&before, &config).await;
            site.publish(&ours.required());
            let refused = refused(&site.plane, &config, "web.example").await;
            assert_eq!(refused, Some(AlertDescription::CertificateRequired), "{version:?}");
        }
    }
}

#[tokio::test]
async fn a_session_of_another_mode_or_authority_begins_again() {
    let site = Changing::start().await;
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    for (version, alpn) in WAYS {
        let config = viewer(&site.made, alpn, version, Some(ours.issue("device-7")));
        let policies = [TlsPolicy::default(), ours.optional(), ours.required()];
        for (from, before) in policies.iter().enumerate() {
            for (to, after) in policies.iter().enumerate().filter(|(to, _)| *to != from) {
                let config = viewer(&site.made, alpn, version, Some(ours.issue("device-7")));
                site.tickets(before, &config).await;
                site.publish(after);
                let (kind, present, _) = site.visit(&config).await;
                assert_ne!(kind, HandshakeKind::Resumed, "{version:?} {from} {to}");
                assert_eq!(present.is_some(), to > 0);
            }
        }
        site.tickets(&ours.required(), &config).await;
        site.publish(&others.required());
        assert_eq!(refused(&site.plane, &config, "web.example").await, Some(AlertDescription::UnknownCA));
    }
}

#[tokio::test]
async fn a_session_with_a_certificate_resumes_over_every_swap_and_tells_the_same() {
    let site = Changing::start().await;
    let ours = Authority::new("ours");
    let known = (HandshakeKind::Resumed, Some("1".to_owned()), Some("CN=device-7".to_owned()));
    for (version, alpn) in WAYS {
        for policy in [ours.required(), ours.optional()] {
            let config = viewer(&site.made, alpn, version, Some(ours.issue("device-7")));
            site.tickets(&policy, &config).await;
            // The same authorities, read anew.
            site.publish(&policy.clone());
            assert_eq!(site.visit(&config).await, known, "{version:?}");
        }
        let config = viewer(&site.made, alpn, version, None);
        site.tickets(&ours.optional(), &config).await;
        site.publish(&ours.optional());
        assert_eq!(site.visit(&config).await, (HandshakeKind::Resumed, Some("0".to_owned()), None));
    }
}
