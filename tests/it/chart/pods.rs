//! The pods: their arguments, their end, their rights on the node, and how many there are.

use anyhow::Context;
use serde_json::{Value, json};
use tidegate::settings::Settings;

use super::{arguments, objects, of_kind, pod, refusal, render, render_variant, variants};

#[test]
fn every_argument_is_one_that_serve_takes() -> anyhow::Result<()> {
    let mut rendered = vec![render(&[])?];
    for file in variants()? {
        rendered.push(objects(&render_variant(&file, "tidegate-system")?)?);
    }
    for objects in rendered {
        let arguments = arguments(&objects)?;
        let (command, flags) = arguments.split_first().context("no command")?;
        assert_eq!(command, "serve");
        let settings = Settings::from_flags(flags)?;
        assert_eq!(settings.contradiction(), None);
    }
    Ok(())
}

#[test]
fn the_service_is_published_where_it_is_a_load_balancer() -> anyhow::Result<()> {
    let published = |settings: &[&str]| -> anyhow::Result<Vec<String>> {
        let arguments = arguments(&render(settings)?)?;
        Ok(arguments.into_iter().filter(|argument| argument.starts_with("--publish-")).collect())
    };
    assert_eq!(published(&[])?, ["--publish-service=tidegate-system/tidegate"]);
    assert!(published(&[r#"service.type="ClusterIP""#])?.is_empty());
    assert_eq!(published(&[r#"publishService="edge/gate""#])?, ["--publish-service=edge/gate"]);
    let addresses = r#"publishAddresses=["192.0.2.7","gate.example.com"]"#;
    assert_eq!(published(&[addresses])?, ["--publish-address=192.0.2.7,gate.example.com"]);
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
fn every_pod_passes_the_restricted_standard() -> anyhow::Result<()> {
    for file in variants()? {
        let objects = objects(&render_variant(&file, "tidegate-system")?)?;
        let of_test = of_kind(&objects, "Pod").context("no pod of `helm test`")?;
        for pod in [pod(&objects)?, &of_test["spec"]] {
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert_eq!(pod["securityContext"]["runAsUser"], 65532);
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            // A Service of the right name would else set a flag.
            assert_eq!(pod["enableServiceLinks"], false);
            for container in pod["containers"].as_array().context("no containers")? {
                assert_eq!(
                    container["securityContext"],
                    json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
                );
            }
        }
    }
    Ok(())
}

#[test]
fn one_replica_has_no_disruption_budget_and_two_have() -> anyhow::Result<()> {
    for (settings, has) in [
        (["replicas=1"].as_slice(), false),
        (&["replicas=2"], true),
        (&["autoscaling.enabled=true", "autoscaling.minReplicas=2"], true),
        (&["autoscaling.enabled=true", "autoscaling.minReplicas=1", "replicas=2"], false),
        (&["replicas=2", r#"kind="DaemonSet""#], false),
    ] {
        assert_eq!(of_kind(&render(settings)?, "PodDisruptionBudget").is_some(), has, "{settings:?}");
    }
    Ok(())
}

#[test]
fn a_rollout_moves_a_websocket_once_but_where_pods_would_share_a_port_of_the_node() -> anyhow::Result<()> {
    for (kind, field) in [("Deployment", "strategy"), ("DaemonSet", "updateStrategy")] {
        for (ports, update) in [
            (r#"{"http":0,"https":0}"#, json!({"maxUnavailable": 0, "maxSurge": "100%"})),
            (r#"{"http":0,"https":443}"#, json!({"maxUnavailable": 1, "maxSurge": 0})),
        ] {
            let objects = render(&[&format!("kind={kind:?}"), &format!("hostPorts={ports}")])?;
            let workload = of_kind(&objects, kind).context("no workload")?;
            assert_eq!(workload["spec"][field]["rollingUpdate"], update, "{kind} {ports}");
        }
    }
    Ok(())
}

#[test]
fn host_ports_are_those_of_the_values_and_the_admin_port_is_none() -> anyhow::Result<()> {
    let objects = render(&[r#"hostPorts={"http":80,"https":0}"#])?;
    let ports = &pod(&objects)?["containers"][0]["ports"];
    assert_eq!(
        ports,
        &json!([
            {"name": "http", "containerPort": 8080, "hostPort": 80},
            {"name": "https", "containerPort": 8443},
            {"name": "admin", "containerPort": 9090},
        ])
    );
    Ok(())
}

#[test]
fn an_autoscaler_scales_by_what_it_is_told_to_and_has_the_last_word() -> anyhow::Result<()> {
    let objects = render(&["autoscaling.enabled=true", "autoscaling.websockets=5000"])?;
    let scaler = of_kind(&objects, "HorizontalPodAutoscaler").context("no autoscaler")?;
    let metrics: Vec<_> = scaler["spec"]["metrics"].as_array().into_iter().flatten().collect();
    assert_eq!(metrics[0]["resource"]["target"]["averageValue"], "700m");
    assert_eq!(metrics[1]["pods"]["metric"]["name"], "tidegate_websocket_connections");
    assert_eq!(metrics[1]["pods"]["target"]["averageValue"], "5000");
    // Else each upgrade of the release would set the number anew.
    assert_eq!(of_kind(&objects, "Deployment").context("no Deployment")?["spec"]["replicas"], Value::Null);

    for (settings, said) in [
        (["autoscaling.cpu=\"\"", "replicas=1"], "enabled by nothing"),
        (["autoscaling.minReplicas=11", "replicas=1"], "minReplicas is more than"),
        ([r#"kind="DaemonSet""#, "replicas=1"], "needs kind Deployment"),
    ] {
        let refused = refusal(&[&["autoscaling.enabled=true"], &settings[..]].concat())?;
        assert!(refused.contains(said), "{refused}");
    }
    Ok(())
}

#[test]
fn a_digest_pins_the_image() -> anyhow::Result<()> {
    let digest = format!("sha256:{}", "0".repeat(64));
    let objects = render(&[&format!("image.digest={digest:?}")])?;
    let image = format!("localhost/tidegate:{}@{digest}", env!("CARGO_PKG_VERSION"));
    assert_eq!(pod(&objects)?["containers"][0]["image"], image);
    Ok(())
}
