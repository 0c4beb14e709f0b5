//! Where traffic comes in, and what may come and go under the network policy.

use anyhow::Context;
use serde_json::{Value, json};

use super::{of_kind, render};

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
fn only_a_load_balancer_is_told_of_its_class_and_only_ports_of_nodes_are_fixed() -> anyhow::Result<()> {
    for (kind, class, port) in [
        ("LoadBalancer", json!("example.com/lb"), json!(30080)),
        ("NodePort", Value::Null, json!(30080)),
        ("ClusterIP", Value::Null, Value::Null),
    ] {
        let objects = render(&[
            &format!("service.type={kind:?}"),
            r#"service.loadBalancerClass="example.com/lb""#,
            "service.nodePorts.http=30080",
        ])?;
        let service = of_kind(&objects, "Service").context("no Service")?;
        assert_eq!(service["spec"]["loadBalancerClass"], class, "{kind}");
        assert_eq!(service["spec"]["ports"][0]["nodePort"], port, "{kind}");
        assert_eq!(service["spec"]["ports"][1]["nodePort"], Value::Null, "{kind}");
    }
    Ok(())
}

#[test]
fn the_network_policy_lets_viewers_in_and_the_admin_port_only_who_is_named() -> anyhow::Result<()> {
    assert_eq!(of_kind(&render(&[])?, "NetworkPolicy"), None);
    let objects = render(&[
        "networkPolicy.enabled=true",
        r#"networkPolicy.adminFrom=[{"namespaceSelector":{}}]"#,
        r#"networkPolicy.originsOutside=[{"ipBlock":{"cidr":"192.0.2.0/24"}}]"#,
        "networkPolicy.apiServerPorts=[6443]",
    ])?;
    let spec = &of_kind(&objects, "NetworkPolicy").context("no policy")?["spec"];
    let tcp = |port: Value| json!({"protocol": "TCP", "port": port});
    assert_eq!(spec["ingress"][0], json!({"ports": [tcp(json!("http")), tcp(json!("https"))]}));
    assert_eq!(spec["ingress"][1]["ports"], json!([tcp(json!("admin"))]));
    // The first is who `helm test` is.
    assert_eq!(spec["ingress"][1]["from"][1], json!({"namespaceSelector": {}}));
    assert_eq!(
        spec["egress"],
        json!([
            {"to": [{"namespaceSelector": {}}]},
            {"ports": [tcp(json!(6443))]},
            {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]},
        ])
    );
    let pods = &of_kind(&objects, "Deployment").context("no Deployment")?["spec"]["selector"];
    assert_eq!(&spec["podSelector"], pods);
    Ok(())
}
