//! The rules that the chart gives, to whom and where. `cluster::permissions` shows that they suffice.

use std::collections::BTreeSet;

use anyhow::Context;
use serde_json::Value;

use super::{refusal, render};

/// Every binding of the release's ServiceAccount as `WHERE: ROLE`, and each rule of a role as `ROLE GROUP/RESOURCES VERBS`.
fn granted(settings: &[&str]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let objects = render(settings)?;
    let text = |value: &Value| value.as_str().unwrap_or("everywhere").to_owned();
    let is_bound = |object: &&Value| object["subjects"][0]["name"] == "tidegate";
    let mut bindings = Vec::new();
    let mut roles = BTreeSet::new();
    for binding in objects.iter().filter(is_bound) {
        let role = text(&binding["roleRef"]["name"]);
        bindings.push(format!("{}: {role}", text(&binding["metadata"]["namespace"])));
        roles.insert(role);
    }
    let mut rules = Vec::new();
    for name in roles {
        let named = |object: &&Value| object["metadata"]["name"] == *name && object["rules"].is_array();
        let role = objects.iter().find(named).context("a binding of no role")?;
        for rule in role["rules"].as_array().into_iter().flatten() {
            let list = |field: &str| {
                serde_json::from_value::<Vec<String>>(rule[field].clone()).map(|list| list.join(","))
            };
            rules.push(format!("{name} {}/{} {}", list("apiGroups")?, list("resources")?, list("verbs")?));
        }
    }
    Ok((bindings, rules))
}

#[test]
fn the_permissions_are_these_and_no_more() -> anyhow::Result<()> {
    let (bindings, rules) = granted(&[])?;
    assert_eq!(
        bindings,
        [
            "everywhere: tidegate-system-tidegate",
            "everywhere: tidegate-system-tidegate-secrets",
            "tidegate-system: tidegate",
        ]
    );
    assert_eq!(
        rules,
        [
            "tidegate coordination.k8s.io/leases get,list,watch,create,update,patch,delete",
            "tidegate-system-tidegate tidegate.io/distributions get,list,watch",
            "tidegate-system-tidegate tidegate.io/distributions/status patch",
            "tidegate-system-tidegate /services get,list,watch",
            "tidegate-system-tidegate discovery.k8s.io/endpointslices get,list,watch",
            "tidegate-system-tidegate gateway.networking.k8s.io/referencegrants get,list,watch",
            "tidegate-system-tidegate acme.cert-manager.io/challenges get,list,watch",
            "tidegate-system-tidegate events.k8s.io/events create,patch",
            "tidegate-system-tidegate-secrets /secrets,configmaps get,list,watch",
        ]
    );
    Ok(())
}

#[test]
fn permissions_end_where_serving_does() -> anyhow::Result<()> {
    let (bindings, _) = granted(&[r#"watchNamespaces=["shop","blog"]"#])?;
    assert_eq!(
        bindings,
        [
            "shop: tidegate-system-tidegate",
            "blog: tidegate-system-tidegate",
            "shop: tidegate-system-tidegate-secrets",
            "blog: tidegate-system-tidegate-secrets",
            "tidegate-system: tidegate",
        ]
    );
    Ok(())
}

#[test]
fn the_published_service_is_read_though_its_namespace_is_not_served() -> anyhow::Result<()> {
    let rule = "tidegate /services get,list,watch".to_owned();
    let (_, served) = granted(&[r#"watchNamespaces=["shop"]"#])?;
    assert!(served.contains(&rule), "{served:?}");
    let (_, unpublished) = granted(&[r#"watchNamespaces=["shop"]"#, r#"service.type="ClusterIP""#])?;
    assert!(!unpublished.contains(&rule), "{unpublished:?}");
    Ok(())
}

#[test]
fn secrets_are_read_where_the_scope_says() -> anyhow::Result<()> {
    let secrets = |settings: &[&str]| -> anyhow::Result<Vec<String>> {
        let (bindings, rules) = granted(settings)?;
        let has_rule = rules.iter().any(|rule| rule.contains("secrets") || rule.contains("configmaps"));
        let bound: Vec<_> = bindings.into_iter().filter(|binding| binding.ends_with("-secrets")).collect();
        assert_eq!(has_rule, !bound.is_empty());
        Ok(bound)
    };
    let namespaces = r#"rbac.secrets={"scope":"namespaces","namespaces":["shop"]}"#;
    assert_eq!(
        secrets(&[namespaces, r#"watchNamespaces=["shop","blog"]"#])?,
        ["shop: tidegate-system-tidegate-secrets"]
    );
    assert_eq!(secrets(&[r#"rbac.secrets.scope="granted""#])?, Vec::<String>::new());
    let without_namespaces = r#"rbac.secrets.scope="namespaces""#;
    for (setting, said) in
        [(without_namespaces, "needs rbac.secrets.namespaces"), (namespaces, "needs watchNamespaces")]
    {
        let refused = refusal(&[setting])?;
        assert!(refused.contains(said), "{refused}");
    }
    Ok(())
}

#[test]
fn users_get_distributions_with_the_clusters_own_roles() -> anyhow::Result<()> {
    let aggregated = |settings: &[&str], label: &str| -> anyhow::Result<Vec<Value>> {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{label}");
        let objects = render(settings)?;
        let labelled = objects.into_iter().filter(|object| object["metadata"]["labels"][&label] == "true");
        Ok(labelled.map(|role| role["rules"][0]["verbs"].clone()).collect())
    };
    let (reads, writes) =
        (["get", "list", "watch"], ["create", "update", "patch", "delete", "deletecollection"]);
    assert_eq!(aggregated(&[], "view")?, [Value::from(&reads[..])]);
    // These two roles of the cluster have all that view has.
    assert_eq!(aggregated(&[], "edit")?, [Value::from(&writes[..])]);
    assert_eq!(aggregated(&[], "admin")?, [Value::from(&writes[..])]);
    assert!(aggregated(&["rbac.aggregate=false"], "view")?.is_empty());
    Ok(())
}
