//! What the chart renders with helm, and what it refuses. `cluster::` has the same rendered objects judged by an API server.
//!
//! `charts/tidegate/ci` has the variants that are looked at: each is a file of values, and every value stands in one.

mod admission;
mod manifests;
mod monitoring;
mod network;
mod permissions;
mod pods;
mod probes;
mod values;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, ensure};
use serde_json::Value;

pub(crate) const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// Runs helm in the repository, with an environment that no user's configuration reaches.
fn helm(arguments: &[&str]) -> anyhow::Result<Output> {
    Command::new("helm")
        .current_dir(REPOSITORY)
        .env("KUBECONFIG", "/dev/null")
        .args(arguments)
        .output()
        .context("helm does not start: `make test` builds it; or leave this out with `cargo test -- --skip chart::`")
}

/// What helm says on stdout when it ends well, else what it says on stderr.
fn rendered(arguments: &[&str]) -> anyhow::Result<String> {
    let output = helm(arguments)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

const NAMESPACE: &str = "tidegate-system";
const TEMPLATE: [&str; 5] = ["template", "tidegate", "charts/tidegate", "--namespace", NAMESPACE];

fn template(settings: &[&str]) -> anyhow::Result<String> {
    template_in(NAMESPACE, settings)
}

fn template_in(namespace: &str, settings: &[&str]) -> anyhow::Result<String> {
    let release = ["template", "tidegate", "charts/tidegate", "--namespace", namespace];
    let settings = settings.iter().flat_map(|setting| ["--set-json", setting]);
    rendered(&release.into_iter().chain(settings).collect::<Vec<_>>())
}

/// The objects in rendered text.
pub(crate) fn objects(text: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// The rendered objects under these settings, without those of `helm test`.
fn render(settings: &[&str]) -> anyhow::Result<Vec<Value>> {
    render_in(NAMESPACE, settings)
}

/// The same for a release in this namespace.
pub(crate) fn render_in(namespace: &str, settings: &[&str]) -> anyhow::Result<Vec<Value>> {
    let all = objects(&template_in(namespace, settings)?)?;
    Ok(all.into_iter().filter(|object| object["metadata"]["annotations"]["helm.sh/hook"].is_null()).collect())
}

/// What `helm test` makes for a release in this namespace.
pub(crate) fn objects_of_test(namespace: &str, settings: &[&str]) -> anyhow::Result<Vec<Value>> {
    let all = objects(&template_in(namespace, settings)?)?;
    Ok(all.into_iter().filter(|object| object["metadata"]["annotations"]["helm.sh/hook"] == "test").collect())
}

/// What helm says when it refuses these settings.
fn refusal(settings: &[&str]) -> anyhow::Result<String> {
    match template(settings) {
        Ok(_) => anyhow::bail!("{settings:?} was rendered"),
        Err(error) => Ok(error.to_string()),
    }
}

/// The files of values in `charts/tidegate/ci`.
pub(crate) fn variants() -> anyhow::Result<Vec<PathBuf>> {
    let folder = Path::new(REPOSITORY).join("charts/tidegate/ci");
    let files = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files = files.collect::<anyhow::Result<Vec<_>>>()?;
    files.sort();
    ensure!(!files.is_empty(), "there is no variant");
    Ok(files)
}

/// The text that the chart renders under a variant's values, in this namespace, with what `helm test` makes.
pub(crate) fn render_variant(file: &Path, namespace: &str) -> anyhow::Result<String> {
    let file = file.to_str().context("a path")?;
    rendered(&["template", "tidegate", "charts/tidegate", "--namespace", namespace, "--values", file])
        .with_context(|| file.to_owned())
}

/// Every rule that the chart's ServiceAccount has by default, wherever it has it.
pub(crate) fn rules() -> anyhow::Result<Vec<Value>> {
    let objects = render(&[])?;
    let bound: Vec<&Value> =
        objects.iter().filter(|object| object["subjects"][0]["name"] == "tidegate").collect();
    let is_bound =
        |role: &&Value| bound.iter().any(|binding| binding["roleRef"]["name"] == role["metadata"]["name"]);
    let roles = objects.iter().filter(|object| object["rules"].is_array()).filter(is_bound);
    Ok(roles.flat_map(|role| role["rules"].as_array().cloned().unwrap_or_default()).collect())
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Option<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind)
}

/// The pods of the Deployment or DaemonSet.
fn pod(objects: &[Value]) -> anyhow::Result<&Value> {
    let workload = of_kind(objects, "Deployment").or_else(|| of_kind(objects, "DaemonSet"));
    Ok(&workload.context("no workload")?["spec"]["template"]["spec"])
}

fn arguments(objects: &[Value]) -> anyhow::Result<Vec<String>> {
    Ok(serde_json::from_value(pod(objects)?["containers"][0]["args"].clone())?)
}
