//! What the chart renders with helm, and what it refuses. `cluster::` has the same rendered objects judged by an API server.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tidegate::settings::Settings;

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// Runs helm in the repository, with an environment that no user's configuration reaches.
fn helm(arguments: &[&str]) -> anyhow::Result<Output> {
    Command::new("helm")
        .current_dir(REPOSITORY)
        .env("KUBECONFIG", "/dev/null")
        .args(arguments)
        .output()
        .context("helm does not start: `make test` builds it; or leave this out with `cargo test -- --skip chart::`")
}

fn template(settings: &[&str]) -> anyhow::Result<Output> {
    let mut arguments = vec!["template", "tidegate", "charts/tidegate", "--namespace", "tidegate-system"];
    for setting in settings {
        arguments.extend(["--set-json", setting]);
    }
    helm(&arguments)
}

/// The rendered objects.
fn render(settings: &[&str]) -> anyhow::Result<Vec<Value>> {
    let output = template(settings)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let documents: Vec<Value> = serde_saphyr::from_multiple(&String::from_utf8(output.stdout)?)?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// What helm says when it refuses these settings.
fn refusal(settings: &[&str]) -> anyhow::Result<String> {
    let output = template(settings)?;
    ensure!(!output.status.success(), "{settings:?} was rendered");
    Ok(String::from_utf8(output.stderr)?)
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Option<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind)
}

fn pod(objects: &[Value]) -> anyhow::Result<&Value> {
    Ok(&of_kind(objects, "Deployment").context("no Deployment")?["spec"]["template"]["spec"])
}

fn arguments(objects: &[Value]) -> anyhow::Result<Vec<String>> {
    Ok(serde_json::from_value(pod(objects)?["containers"][0]["args"].clone())?)
}

#[test]
fn the_chart_passes_helms_own_lint() -> anyhow::Result<()> {
    let output = helm(&["lint", "--strict", "charts/tidegate"])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

#[test]
fn the_kept_install_manifest_is_the_rendered_chart() -> anyhow::Result<()> {
    let kept = std::fs::read_to_string(Path::new(REPOSITORY).join("manifests/install.yaml"))?;
    let rendered = String::from_utf8(template(&[])?.stdout)?;
    assert!(kept.ends_with(&rendered), "manifests/install.yaml has drifted: run `make manifests`");
    Ok(())
}

#[test]
fn every_argument_is_one_that_serve_takes() -> anyhow::Result<()> {
    let everything_set = [
        r#"watchNamespaces=["shop","blog"]"#,
        r#"defaultCertificate="shop/tls""#,
        r#"baseDomain="apps.example.com""#,
        r#"trustedProxies=["10.0.0.0/8","192.0.2.1"]"#,
        r#"proxyProtocol="require""#,
        r#"viewerHealthPath="/healthz""#,
        "maxConnectionsPerIp=100",
        "workers=3",
        r#"logLevel="info,tidegate::provider=debug""#,
        r#"accessLog="errors""#,
        r#"extraArgs=["--https-redirect-port=8443"]"#,
    ];
    for settings in [&[] as &[&str], &everything_set] {
        let arguments = arguments(&render(settings)?)?;
        let (command, flags) = arguments.split_first().context("no command")?;
        assert_eq!(command, "serve");
        let settings = Settings::from_flags(flags)?;
        assert_eq!(settings.contradiction(), None);
    }
    Ok(())
}

#[test]
fn the_pod_ends_after_its_drain() -> anyhow::Result<()> {
    let objects =
        render(&["drain.delaySeconds=20", "drain.timeoutSeconds=100", "drain.websocketSpreadSeconds=95"])?;
    assert_eq!(pod(&objects)?["terminationGracePeriodSeconds"], 130);
    let settings = Settings::from_flags(arguments(&objects)?.into_iter().skip(1))?;
    assert_eq!((settings.ending.drain_delay.as_secs(), settings.ending.drain_timeout.as_secs()), (20, 100));
    Ok(())
}

#[test]
fn a_spread_that_does_not_fit_into_the_drain_is_refused() -> anyhow::Result<()> {
    let said = refusal(&["drain.timeoutSeconds=100", "drain.websocketSpreadSeconds=96"])?;
    assert!(said.contains("lower the first or raise the second"), "{said}");
    Ok(())
}

#[test]
fn required_headers_of_nobody_are_refused() -> anyhow::Result<()> {
    let said = refusal(&[r#"proxyProtocol="require""#])?;
    assert!(said.contains("name their networks in trustedProxies"), "{said}");
    Ok(())
}

#[test]
fn a_misspelt_value_is_refused_by_name() -> anyhow::Result<()> {
    for (setting, name) in [
        ("replica=2", "replica"),
        ("service.externalTrafficPolcy=\"Local\"", "externalTrafficPolcy"),
        ("service.type=\"Loadbalancer\"", "type"),
        ("replicas=\"2\"", "replicas"),
    ] {
        let said = refusal(&[setting])?;
        assert!(said.contains(name), "{setting}: {said}");
    }
    Ok(())
}

/// Each rule as `GROUP/RESOURCES VERBS`.
#[test]
fn the_permissions_are_these_and_no_more() -> anyhow::Result<()> {
    let objects = render(&[])?;
    let rules = |kind| -> anyhow::Result<Vec<String>> {
        let rules =
            of_kind(&objects, kind).context("no role")?["rules"].as_array().cloned().unwrap_or_default();
        let list =
            |value: &Value| serde_json::from_value::<Vec<String>>(value.clone()).map(|list| list.join(","));
        rules
            .iter()
            .map(|rule| {
                let (groups, resources) = (list(&rule["apiGroups"])?, list(&rule["resources"])?);
                Ok(format!("{groups}/{resources} {}", list(&rule["verbs"])?))
            })
            .collect()
    };
    assert_eq!(
        rules("ClusterRole")?,
        [
            "tidegate.io/distributions get,list,watch",
            "tidegate.io/distributions/status patch",
            "/services,secrets,configmaps get,list,watch",
            "discovery.k8s.io/endpointslices get,list,watch",
            "gateway.networking.k8s.io/referencegrants get,list,watch",
            "events.k8s.io/events create,patch",
        ]
    );
    assert_eq!(rules("Role")?, ["coordination.k8s.io/leases get,list,watch,create,update,patch,delete"]);
    Ok(())
}

#[test]
fn the_pod_passes_the_restricted_standard() -> anyhow::Result<()> {
    let objects = render(&[])?;
    let pod = pod(&objects)?;
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(
        pod["containers"][0]["securityContext"],
        json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
    );
    Ok(())
}

#[test]
fn the_crd_is_the_kept_one_and_outlives_the_release_unless_told() -> anyhow::Result<()> {
    let kept = std::fs::read_to_string(Path::new(REPOSITORY).join("crds/distributions.yaml"))?;
    let kept: Value = serde_saphyr::from_str(&kept)?;
    for (settings, policy) in [(&[] as &[&str], json!("keep")), (&["crds.keep=false"], Value::Null)] {
        let objects = render(settings)?;
        let crd = of_kind(&objects, "CustomResourceDefinition").context("no CRD")?;
        assert_eq!(crd["spec"], kept["spec"]);
        assert_eq!(crd["metadata"]["name"], kept["metadata"]["name"]);
        assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], policy);
    }
    assert_eq!(of_kind(&render(&["crds.install=false"])?, "CustomResourceDefinition"), None);
    Ok(())
}

#[test]
fn only_traffic_from_outside_has_a_traffic_policy() -> anyhow::Result<()> {
    for (kind, policy) in
        [("LoadBalancer", json!("Local")), ("NodePort", json!("Local")), ("ClusterIP", Value::Null)]
    {
        let objects = render(&[&format!("service.type={kind:?}")])?;
        let service = of_kind(&objects, "Service").context("no Service")?;
        assert_eq!(service["spec"]["externalTrafficPolicy"], policy, "{kind}");
        let ports = service["spec"]["ports"].as_array().context("no ports")?;
        assert!(ports.iter().all(|port| port["targetPort"] != "admin"));
    }
    Ok(())
}

#[test]
fn one_replica_has_no_disruption_budget_and_two_have() -> anyhow::Result<()> {
    assert_eq!(of_kind(&render(&["replicas=1"])?, "PodDisruptionBudget"), None);
    assert!(of_kind(&render(&["replicas=2"])?, "PodDisruptionBudget").is_some());
    Ok(())
}

#[test]
fn two_releases_in_one_cluster_share_no_name() -> anyhow::Result<()> {
    let rendered = |namespace| -> anyhow::Result<Vec<Value>> {
        let arguments = [
            "template",
            "tidegate",
            "charts/tidegate",
            "--namespace",
            namespace,
            "--set-json",
            "crds.install=false",
        ];
        Ok(serde_saphyr::from_multiple(&String::from_utf8(helm(&arguments)?.stdout)?)?)
    };
    let names = |objects: Vec<Value>| -> Vec<String> {
        let cluster_wide = objects.into_iter().filter(|object| object["metadata"]["namespace"].is_null());
        cluster_wide.map(|object| object["metadata"]["name"].to_string()).collect()
    };
    let (one, other) = (names(rendered("one")?), names(rendered("other")?));
    assert!(!one.is_empty() && one.iter().all(|name| !other.contains(name)), "{one:?} {other:?}");
    Ok(())
}
