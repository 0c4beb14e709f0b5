//! What `helm test` makes and asks.

use anyhow::Context;
use serde_json::Value;

use super::{NAMESPACE, objects_of_test, of_kind};

fn asked(settings: &[&str]) -> anyhow::Result<(Vec<Value>, Vec<String>)> {
    let objects = objects_of_test(NAMESPACE, settings)?;
    let pod = of_kind(&objects, "Pod").context("no pod")?;
    let containers = pod["spec"]["containers"].as_array().context("no containers")?;
    let names = containers.iter().map(|container| container["name"].as_str().unwrap_or_default().to_owned());
    let names = names.collect();
    Ok((objects, names))
}

#[test]
fn readiness_is_asked_and_a_route_through_a_distribution() -> anyhow::Result<()> {
    let (objects, containers) = asked(&[])?;
    assert_eq!(containers, ["ready", "route"]);
    let distribution = of_kind(&objects, "Distribution").context("no Distribution")?;
    let alias = &distribution["spec"]["aliases"][0];
    let arguments = &of_kind(&objects, "Pod").context("no pod")?["spec"]["containers"][1]["args"];
    assert_eq!(arguments[2], format!("--host={}", alias.as_str().unwrap_or_default()));
    assert_eq!(arguments[3], "http://tidegate.tidegate-system.svc/readyz");
    Ok(())
}

/// The pod of the test is no endpoint of the release.
#[test]
fn no_traffic_comes_to_the_pod_that_asks() -> anyhow::Result<()> {
    let (objects, _) = asked(&[])?;
    let pod = of_kind(&objects, "Pod").context("no pod")?;
    let service = of_kind(&objects, "Service").context("no Service")?;
    let selector = service["spec"]["selector"].as_object().context("no selector")?;
    assert!(selector.iter().any(|(label, value)| &pod["metadata"]["labels"][label] != value));
    Ok(())
}

#[test]
fn no_route_is_asked_that_is_not_served() -> anyhow::Result<()> {
    let elsewhere = asked(&[r#"watchNamespaces=["shop"]"#])?;
    let with_header = asked(&[r#"proxyProtocol="require""#, r#"trustedProxies=["10.0.0.0/8"]"#])?;
    for (objects, containers) in [elsewhere, with_header] {
        assert_eq!(containers, ["ready"]);
        assert_eq!(of_kind(&objects, "Distribution"), None);
    }
    Ok(())
}
