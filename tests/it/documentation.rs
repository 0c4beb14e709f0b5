//! What the documentation shows works: every YAML in it goes through `tidegate check`, and its reference is the
//! schema's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// README.md and what stands in docs, but for the decisions.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> =
        docs.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    pages.push(root.join("README.md"));
    pages.sort();
    pages
}

/// The blocks of YAML in a page that hold whole objects; parts of one are not.
fn objects(page: &str) -> Vec<&str> {
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.contains("apiVersion:")).collect()
}

#[test]
fn every_yaml_of_the_documentation_passes_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (position, block) in objects(&text).into_iter().enumerate() {
            let name = page.file_stem().unwrap().to_string_lossy();
            let file = folder.path().join(format!("{name}-{position}.yaml"));
            fs::write(&file, block).unwrap();
            let output =
                Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("check").arg(&file).output().unwrap();
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{}: {told}", page.display());
            checked += 1;
        }
    }
    assert!(checked >= 2, "the documentation shows Distributions");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/examples");
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("check").arg(examples).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_reference_is_that_of_the_schema() {
    let kept = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md"));
    assert!(kept.unwrap_or_default() == tidegate::api::reference(), "it has drifted: run `make crd`");
}

#[test]
fn every_field_of_the_schema_has_a_row_with_what_it_says() {
    let page = tidegate::api::reference();
    let row =
        |name: &str| page.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap_or_default();
    assert!(row("pathPattern").contains("| text, required |"), "{}", row("pathPattern"));
    assert!(row("connectionAttempts").contains("Default: `3`."), "{}", row("connectionAttempts"));
    assert!(row("httpPort").contains("| number or text |"), "{}", row("httpPort"));
    assert!(page.contains("\n## `spec.cacheBehaviors[].webSocket.limits`\n"));
    assert!(page.contains("\n## `status.conditions[]`\n"));
}
