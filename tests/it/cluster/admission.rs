//! The CustomResourceDefinition on a real API server: that it is taken, and what it refuses and fills in.
//!
//! The table of refusals is the one that the Rust rules are held against, in `tests/it/api`.

use http::Request;
use http_body_util::BodyExt;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, PostParams};
use kube::core::response::StatusCause;
use serde_json::{Value, json};
use tidegate::api::{Distribution, crd};

use super::harness::Cluster;
use crate::api::maximal::maximal;
use crate::api::refusals::refusals;

/// What the API server says after the reasons when it left out the rules, since the shape was already wrong.
const NOT_ALL_CHECKED: &str = "some validation rules were not checked";

/// What the API server holds against a Distribution, without keeping it.
async fn causes(cluster: &Cluster, distribution: Value) -> anyhow::Result<Vec<StatusCause>> {
    let distribution: DynamicObject = serde_json::from_value(distribution)?;
    let resource = ApiResource::erase::<Distribution>(&());
    let distributions =
        Api::<DynamicObject>::namespaced_with(cluster.admin.clone(), &cluster.namespace, &resource);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    match distributions.create(&dry_run, &distribution).await {
        Ok(_) => Ok(Vec::new()),
        Err(kube::Error::Api(status)) if status.code == 422 => {
            let causes = status.details.map(|details| details.causes).unwrap_or_default();
            Ok(causes.into_iter().filter(|cause| !cause.message.contains(NOT_ALL_CHECKED)).collect())
        }
        Err(error) => Err(error.into()),
    }
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_with_the_field_and_the_sentence_and_nothing_else() -> anyhow::Result<()>
{
    let cluster = Cluster::join("admission").await?;
    for refusal in refusals() {
        let causes = causes(&cluster, refusal.bad()).await?;
        let [cause] = causes.as_slice() else { panic!("{}: {causes:#?}", refusal.claim) };
        assert_eq!(cause.field, refusal.field, "{}", refusal.claim);
        assert!(cause.message.contains(&refusal.says), "{}: {}", refusal.claim, cause.message);
    }
    Ok(())
}

#[tokio::test]
async fn the_nearest_that_keeps_a_rule_is_admitted() -> anyhow::Result<()> {
    let cluster = Cluster::join("admission").await?;
    for refusal in refusals() {
        assert_eq!(causes(&cluster, refusal.good()).await?, [], "{}", refusal.claim);
    }
    Ok(())
}

#[tokio::test]
async fn a_maximal_distribution_keeps_within_what_rules_may_cost() -> anyhow::Result<()> {
    let cluster = Cluster::join("admission").await?;
    assert_eq!(causes(&cluster, maximal()).await?, []);
    Ok(())
}

#[tokio::test]
async fn the_definition_is_taken_without_a_warning() -> anyhow::Result<()> {
    let cluster = Cluster::join("admission").await?;
    // Under another group, since warnings are about what an update brings anew.
    let mut definition = crd();
    definition.spec.group = "warnings.tidegate.io".to_owned();
    definition.metadata.name = Some("distributions.warnings.tidegate.io".to_owned());
    let request = Request::post(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All&fieldValidation=Strict",
    )
    .header("content-type", "application/json")
    .body(serde_json::to_vec(&definition)?.into())?;
    let response = cluster.admin.send(request).await?;
    let warnings: Vec<_> = response.headers().get_all("warning").iter().cloned().collect();
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    assert!(status.is_success(), "{}", String::from_utf8_lossy(&body));
    assert!(warnings.is_empty(), "{warnings:?}");
    Ok(())
}

/// Creates a Distribution that says as little as one can.
async fn create(cluster: &Cluster, name: &str, class: Option<&str>) -> anyhow::Result<Api<Distribution>> {
    let distribution: Distribution = serde_json::from_value(json!({
        "apiVersion": "tidegate.io/v1alpha1",
        "kind": "Distribution",
        "metadata": {"name": name},
        "spec": {
            "className": class,
            "origins": [{"id": "app", "service": {"name": "app"}}],
            "defaultCacheBehavior": {"targetOriginId": "app"},
        },
    }))?;
    let distributions = Api::<Distribution>::namespaced(cluster.admin.clone(), &cluster.namespace);
    distributions.create(&PostParams::default(), &distribution).await?;
    Ok(distributions)
}

#[tokio::test]
async fn a_new_distribution_waits_for_a_controller() -> anyhow::Result<()> {
    let cluster = Cluster::join("admission").await?;
    let created = create(&cluster, "new", None).await?.get("new").await?;
    let conditions = created.status.unwrap_or_default().conditions;
    let [ready] = conditions.as_slice() else { panic!("{conditions:#?}") };
    let told = (ready.type_.as_str(), ready.status.as_str(), ready.reason.as_str(), ready.message.as_str());
    assert_eq!(told, ("Ready", "Unknown", "Pending", "waiting for the controller"));
    Ok(())
}

#[tokio::test]
async fn distributions_are_selected_by_their_class() -> anyhow::Result<()> {
    let cluster = Cluster::join("admission").await?;
    create(&cluster, "internal", Some("internal")).await?;
    let distributions = create(&cluster, "unset", None).await?;
    for (selector, name) in [("spec.className=internal", "internal"), ("spec.className=", "unset")] {
        let selected = distributions.list(&ListParams::default().fields(selector)).await?;
        let names: Vec<_> = selected.items.into_iter().filter_map(|found| found.metadata.name).collect();
        assert_eq!(names, [name], "{selector}");
    }
    Ok(())
}
