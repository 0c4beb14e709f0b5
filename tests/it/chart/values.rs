//! The values: each stands in the schema and says what it means, and nothing else is taken.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::{REPOSITORY, objects, refusal, variants};

fn read(path: &str) -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(Path::new(REPOSITORY).join("charts/tidegate").join(path))?)
}

#[test]
fn a_misspelt_value_is_refused_by_name() -> anyhow::Result<()> {
    for (setting, name) in [
        ("replica=2", "replica"),
        ("service.externalTrafficPolcy=\"Local\"", "externalTrafficPolcy"),
        ("service.type=\"Loadbalancer\"", "type"),
        ("replicas=\"2\"", "replicas"),
        ("image.digest=\"sha256:1\"", "digest"),
        ("hostPorts.htttp=80", "htttp"),
        ("rbac.secrets.scope=\"none\"", "scope"),
        ("monitoring.monitor=\"podMonitor\"", "monitor"),
        ("networkPolicy.adminFrom=[{\"namespaceSelektor\":{}}]", "namespaceSelektor"),
        ("admission.domains.allowed={\"shop\":[\"*.example.com\"]}", "allowed"),
        ("labels={\"app.kubernetes.io/name\":\"mine\"}", "app.kubernetes.io/name"),
    ] {
        let said = refusal(&[setting])?;
        assert!(said.contains(name), "{setting}: {said}");
    }
    Ok(())
}

/// Follows a `$ref` of the schema.
fn resolved<'s>(schema: &'s Value, root: &'s Value) -> &'s Value {
    match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => root.pointer(pointer).unwrap_or(&Value::Null),
        None => schema,
    }
}

/// The paths of the values in a schema; what is not closed against other names is told.
fn in_schema(schema: &Value, root: &Value, path: &str, paths: &mut BTreeSet<String>) {
    let schema = resolved(schema, root);
    let Some(properties) = schema["properties"].as_object() else { return };
    assert_eq!(schema["additionalProperties"], false, "{path} takes anything");
    for (name, below) in properties {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        in_schema(below, root, &path, paths);
        paths.insert(path);
    }
}

/// The paths of the values in a file, as deep as the schema knows them.
fn in_values(values: &Value, known: &BTreeSet<String>, path: &str, paths: &mut BTreeSet<String>) {
    for (name, below) in values.as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if known.iter().any(|known| known.starts_with(&format!("{path}."))) {
            in_values(below, known, &path, paths);
        }
        paths.insert(path);
    }
}

/// The schema's own, which users cannot be told of in a chart without subcharts, and pass-through of Kubernetes.
const UNWRITTEN: [&str; 6] = [
    "global",
    "resources.claims",
    "affinity.nodeAffinity",
    "affinity.podAffinity",
    "affinity.podAntiAffinity",
    "autoscaling.behavior.scaleUp",
];

#[test]
fn the_schema_knows_the_values_and_no_other() -> anyhow::Result<()> {
    let schema: Value = serde_json::from_str(&read("values.schema.json")?)?;
    let mut known = BTreeSet::new();
    in_schema(&schema, &schema, "", &mut known);
    let mut written = BTreeSet::new();
    in_values(&serde_saphyr::from_str(&read("values.yaml")?)?, &known, "", &mut written);
    known.retain(|path| !UNWRITTEN.contains(&path.as_str()));
    let (missing, surplus) = (known.difference(&written), written.difference(&known));
    assert!(
        known == written,
        "without default: {:?}; unknown: {:?}",
        missing.collect::<Vec<_>>(),
        surplus.collect::<Vec<_>>()
    );
    Ok(())
}

#[test]
fn every_value_is_set_by_some_variant() -> anyhow::Result<()> {
    let schema: Value = serde_json::from_str(&read("values.schema.json")?)?;
    let mut known = BTreeSet::new();
    in_schema(&schema, &schema, "", &mut known);
    let mut set = BTreeSet::new();
    for file in variants()? {
        in_values(&serde_saphyr::from_str(&std::fs::read_to_string(file)?)?, &known, "", &mut set);
    }
    known.retain(|path| !UNWRITTEN.contains(&path.as_str()));
    let missing: Vec<_> = known.difference(&set).collect();
    assert!(missing.is_empty(), "charts/tidegate/ci sets none of {missing:?}");
    Ok(())
}

/// Those that are only a name, as `image:` is, say it below.
#[test]
fn every_top_level_value_says_what_it_means() -> anyhow::Result<()> {
    let values = read("values.yaml")?;
    let lines: Vec<_> = values.lines().collect();
    let plain =
        ["podLabels", "podAnnotations", "nodeSelector", "tolerations", "affinity", "priorityClassName"];
    for (number, line) in lines.iter().enumerate() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        if name.starts_with([' ', '#']) || plain.contains(&name) {
            continue;
        }
        let above = number.checked_sub(1).and_then(|number| lines.get(number)).unwrap_or(&"");
        let has_below = rest.is_empty();
        let after_one_that_does = !above.is_empty() && !above.starts_with(' ');
        assert!(has_below || after_one_that_does, "{name} stands there without a word");
    }
    assert!(!objects(&values)?.is_empty());
    Ok(())
}
