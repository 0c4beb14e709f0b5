//! What is rendered from the chart and kept: it has not drifted.

use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use super::{REPOSITORY, TEMPLATE, helm, of_kind, render, rendered, variants};

#[test]
fn every_variant_passes_helms_own_lint() -> anyhow::Result<()> {
    let variants = variants()?;
    let files = variants.iter().map(|file| ["--values", file.to_str().unwrap_or_default()]);
    for values in std::iter::once([].as_slice()).chain(files.collect::<Vec<_>>().iter().map(|file| &file[..]))
    {
        let output = helm(&[&["lint", "--strict", "charts/tidegate"], values].concat())?;
        assert!(output.status.success(), "{values:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

#[test]
fn the_kept_manifests_are_the_rendered_chart() -> anyhow::Result<()> {
    let quickstart = ["--values", "charts/tidegate/ci/quickstart.yaml"];
    let kind = ["--values", "charts/tidegate/ci/kind.yaml"];
    for (name, values) in [("install", [].as_slice()), ("quickstart", &quickstart), ("kind", &kind)] {
        let kept = std::fs::read_to_string(Path::new(REPOSITORY).join(format!("manifests/{name}.yaml")))?;
        let rendered = rendered(&[&TEMPLATE, ["--no-hooks"].as_slice(), values].concat())?;
        assert!(kept.ends_with(&rendered), "manifests/{name}.yaml has drifted: run `make manifests`");
    }
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
fn two_releases_in_one_cluster_share_no_name() -> anyhow::Result<()> {
    let names = |namespace| -> anyhow::Result<Vec<String>> {
        let release = ["template", "tidegate", "charts/tidegate", "--namespace", namespace];
        let all = [
            "--set-json=crds.install=false",
            "--set-json=rbac.externalDns.create=true",
            "--set-json=admission.domains.enabled=true",
            "--set-json=admission.refuseDeletionOfEnabled=true",
        ];
        let objects = super::objects(&rendered(&[&release[..], &all[..]].concat())?)?;
        let cluster_wide = objects.into_iter().filter(|object| object["metadata"]["namespace"].is_null());
        Ok(cluster_wide.map(|object| object["metadata"]["name"].to_string()).collect())
    };
    let (one, other) = (names("one")?, names("other")?);
    assert!(!one.is_empty() && one.iter().all(|name| !other.contains(name)), "{one:?} {other:?}");
    Ok(())
}

#[test]
fn every_object_of_the_release_carries_the_labels_that_are_asked_for() -> anyhow::Result<()> {
    let objects = super::objects(&super::template(&[r#"labels={"example.com/team":"edge"}"#])?)?;
    for object in objects {
        assert_eq!(object["metadata"]["labels"]["example.com/team"], "edge", "{object}");
    }
    Ok(())
}

#[test]
fn extra_objects_are_templates() -> anyhow::Result<()> {
    let extra = r#"extraObjects=[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"{{ .Release.Name }}-extra"}}]"#;
    let objects = render(&[extra])?;
    let map = of_kind(&objects, "ConfigMap").context("no ConfigMap")?;
    assert_eq!(map["metadata"]["name"], "tidegate-extra");
    Ok(())
}
