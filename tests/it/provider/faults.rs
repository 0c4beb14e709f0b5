//! An API server that fails.

use std::time::Duration;

use tidegate::provider::Provider;
use tidegate::provider::kube::{KubeProvider, Limits, Settings};
use tidegate::snapshot::Kind;
use tidegate::telemetry::metrics::{Build, Metrics};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::stub::Stub;
use super::{LIMIT, distribution, key, service, settings, snapshot, start};

#[tokio::test]
async fn a_watch_that_starts_with_410_lists_afresh() {
    let stub = Stub::default();
    stub.put("distributions", distribution("old"));
    let (provider, _guard) = start(&stub, &settings());
    snapshot(&provider, |it| it.distributions.len() == 1).await;
    stub.forget("distributions", "shop/old");
    stub.expire("distributions");
    snapshot(&provider, |it| it.distributions.is_empty()).await;
    stub.put("distributions", distribution("new"));
    snapshot(&provider, |it| it.distributions.contains_key(&key("new"))).await;
}

#[tokio::test]
async fn a_cut_stream_resumes_without_emptying_anything() {
    let stub = Stub::default();
    stub.put("distributions", distribution("web"));
    let (provider, _guard) = start(&stub, &settings());
    snapshot(&provider, |it| it.distributions.len() == 1).await;
    stub.cut("distributions");
    stub.put("distributions", distribution("blog"));
    let after = snapshot(&provider, |it| it.distributions.contains_key(&key("blog"))).await;
    assert!(after.distributions.contains_key(&key("web")));
    let lists = |stub: &Stub| stub.requests(|seen| !seen.target.contains("watch=true")).len();
    assert_eq!(lists(&stub), 6, "each kind is listed once");
}

#[tokio::test]
async fn a_forbidden_kind_degrades_alone_and_recovers() {
    let stub = Stub::default();
    stub.put("distributions", distribution("web"));
    stub.forbid("secrets");
    let (provider, _guard) = start(&stub, &settings());
    let degraded = snapshot(&provider, |it| it.distributions.len() == 1).await;
    let remedy = &degraded.problems.degraded[&(Kind::Secret, None)];
    assert!(remedy.contains(r#"resources ["secrets"], verbs [get, list, watch]"#), "{remedy}");
    stub.permit("secrets");
    snapshot(&provider, |it| it.problems.degraded.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_first_list_that_is_refused_for_a_while_is_waited_for() {
    let stub = Stub::default();
    stub.put("services", service("app"));
    stub.forbid("services");
    let settings = Settings { limits: Limits::default(), ..settings() };
    let (provider, _guard) = start(&stub, &settings);
    sleep(settings.limits.first_patience - Duration::from_secs(1)).await;
    assert!(provider.snapshot().is_none(), "a replica would be ready with a table of nothing");
    stub.permit("services");
    let mut changes = provider.changes();
    changes.wait_for(|_| provider.snapshot().is_some()).await.expect("the provider lives");
    let first = provider.snapshot().expect("it was there");
    assert_eq!(first.services.len(), 1, "the first snapshot has them already");
}

#[tokio::test(start_paused = true)]
async fn a_first_list_that_stays_refused_is_given_up() {
    let stub = Stub::default();
    stub.forbid("services");
    let settings = Settings { limits: Limits::default(), ..settings() };
    let (provider, _guard) = start(&stub, &settings);
    // Refusals come ever more rarely, so the one that decides may come late.
    sleep(settings.limits.first_patience * 4).await;
    let without = provider.snapshot().expect("the other kinds go on");
    assert!(without.problems.degraded.contains_key(&(Kind::Service, None)));
}

#[tokio::test]
async fn a_kind_that_becomes_forbidden_keeps_its_objects() {
    let stub = Stub::default();
    stub.put("services", service("app"));
    let (provider, _guard) = start(&stub, &settings());
    snapshot(&provider, |it| it.services.len() == 1).await;
    stub.forbid("services");
    let degraded = snapshot(&provider, |it| it.problems.degraded.contains_key(&(Kind::Service, None))).await;
    assert_eq!(degraded.services.len(), 1);
}

#[tokio::test]
async fn without_the_right_to_see_distributions_nothing_is_published() {
    let stub = Stub::default();
    stub.forbid("distributions");
    let (provider, _guard) = start(&stub, &settings());
    let refused = |stub: &Stub| stub.requests(|seen| seen.target.contains("/distributions")).len();
    let asked_twice = async {
        while refused(&stub) < 3 {
            stub.request_comes().await;
        }
    };
    timeout(LIMIT, asked_twice).await.expect("it asks again");
    assert!(provider.snapshot().is_none());
    stub.permit("distributions");
    snapshot(&provider, |_| true).await;
}

#[tokio::test]
async fn what_no_event_tells_is_found_by_the_next_list() {
    let stub = Stub::default();
    stub.put("distributions", distribution("web"));
    let mut settings = settings();
    settings.limits.relist = Duration::from_millis(400);
    let (provider, _guard) = start(&stub, &settings);
    snapshot(&provider, |it| it.distributions.len() == 1).await;
    stub.forget("distributions", "shop/web");
    snapshot(&provider, |it| it.distributions.is_empty()).await;
}

#[tokio::test]
async fn a_kubeconfig_that_does_not_exist_is_one_sentence() {
    let missing = std::path::Path::new("/nowhere/kubeconfig");
    let error = tidegate::provider::kube::connect(Some(missing)).await.err().expect("it does not exist");
    assert_eq!(
        error.to_string(),
        "kubeconfig /nowhere/kubeconfig does not exist; name an existing file with --kubeconfig"
    );
}

#[tokio::test]
async fn an_api_server_that_is_away_is_asked_again_and_no_reason_to_end() {
    install_crypto();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("kubeconfig");
    let kubeconfig = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
         clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}], users: [{{name: u, user: {{}}}}]}}"
    );
    std::fs::write(&path, kubeconfig).expect("a file");
    let client = tidegate::provider::kube::connect(Some(&path)).await.expect("nobody is asked yet");
    let (metrics, cancel) = (Metrics::new(Build { version: "0", commit: "0" }), CancellationToken::new());
    let (provider, watchers) = KubeProvider::start(&client, &settings(), &metrics, &cancel);
    let _guard = cancel.drop_guard();
    let failures = async {
        let failed = r#"tidegate_watch_errors_total{kind="Distribution",reason="failing"} "#;
        let count =
            |page: String| page.lines().find_map(|line| line.strip_prefix(failed)?.parse::<u32>().ok());
        while count(metrics.encode().expect("a page")).is_none_or(|count| count < 2) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        asked_again = timeout(LIMIT, failures) => asked_again.expect("it is asked twice in time"),
        ended = watchers.run() => panic!("{ended:?}"),
    }
    assert!(provider.snapshot().is_none());
}

/// The client builds its TLS configuration even for plain HTTP.
fn install_crypto() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
