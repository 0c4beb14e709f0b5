//! The provider of manifests on a real disk: what a person or a kubelet does to files, and what is served then.

use std::fs;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::ByteString;
use tempfile::TempDir;
use tidegate::provider::manifests::Manifests;
use tidegate::provider::{Class, Provider};
use tidegate::snapshot::Snapshot;
use tokio::time::timeout;

/// More than any change may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

fn secret(name: &str, text: &str) -> String {
    format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{a: \"{text}\"}}\n")
}

/// `name=text` of each Secret.
fn served(snapshot: &Snapshot) -> Vec<String> {
    let text = |data: Option<&ByteString>| String::from_utf8_lossy(&data.expect("the key a").0).into_owned();
    let secrets = snapshot.secrets.iter();
    secrets
        .map(|(key, secret)| {
            format!("{}={}", key.name, text(secret.data.as_ref().and_then(|data| data.get("a"))))
        })
        .collect()
}

async fn wait_for(provider: &Manifests, what: &str, reached: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let mut changes = provider.changes();
    let waiting = async {
        loop {
            if let Some(snapshot) = provider.snapshot().filter(&reached) {
                return snapshot;
            }
            changes.changed().await.expect("the provider lives");
        }
    };
    match timeout(LIMIT, waiting).await {
        Ok(snapshot) => snapshot,
        Err(_) => panic!("{what} was not reached; there is {:?}", provider.snapshot()),
    }
}

async fn wait_until_served(provider: &Manifests, expected: &[&str]) -> Snapshot {
    wait_for(provider, &format!("{expected:?}"), |snapshot| served(snapshot) == expected).await
}

fn class() -> Class {
    Class { name: "tidegate".to_owned(), default: true, also: None }
}

fn open(path: &Path) -> Manifests {
    Manifests::open(vec![path.to_owned()], class()).expect("the path exists")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[tokio::test]
async fn an_empty_folder_is_a_complete_snapshot() {
    let folder = folder();
    wait_until_served(&open(folder.path()), &[]).await;
}

#[tokio::test]
async fn files_that_come_change_and_go_are_followed() {
    let folder = folder();
    fs::write(folder.path().join("a.yaml"), secret("one", "1")).expect("a file");
    let provider = open(folder.path());
    wait_until_served(&provider, &["one=1"]).await;

    fs::create_dir(folder.path().join("more")).expect("a folder");
    fs::write(folder.path().join("more/b.yml"), secret("two", "1")).expect("a file");
    wait_until_served(&provider, &["one=1", "two=1"]).await;

    fs::write(folder.path().join(".a.yaml.new"), secret("one", "2")).expect("a file");
    fs::rename(folder.path().join(".a.yaml.new"), folder.path().join("a.yaml")).expect("an editor's rename");
    wait_until_served(&provider, &["one=2", "two=1"]).await;

    fs::remove_file(folder.path().join("a.yaml")).expect("a removal");
    wait_until_served(&provider, &["two=1"]).await;
}

#[tokio::test]
async fn a_single_file_is_followed_through_renames() {
    let folder = folder();
    let path = folder.path().join("site.yaml");
    fs::write(&path, secret("one", "1")).expect("a file");
    let provider = open(&path);
    wait_until_served(&provider, &["one=1"]).await;
    fs::write(folder.path().join("other.yaml"), secret("two", "1")).expect("a file that is not ours");
    fs::write(folder.path().join("new"), secret("one", "2")).expect("a file");
    fs::rename(folder.path().join("new"), &path).expect("an editor's rename");
    wait_until_served(&provider, &["one=2"]).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_mounted_config_map_is_followed_through_its_swap() {
    use std::os::unix::fs::symlink;
    let folder = folder();
    let root = folder.path();
    for (generation, text) in [("..1", "1"), ("..2", "2")] {
        fs::create_dir(root.join(generation)).expect("a generation");
        fs::write(root.join(generation).join("a.yaml"), secret("one", text)).expect("a file");
    }
    symlink("..1", root.join("..data")).expect("a link");
    symlink("..data/a.yaml", root.join("a.yaml")).expect("a link");
    let provider = open(root);
    wait_until_served(&provider, &["one=1"]).await;

    symlink("..2", root.join("..data_tmp")).expect("a link");
    fs::rename(root.join("..data_tmp"), root.join("..data")).expect("a swap");
    wait_until_served(&provider, &["one=2"]).await;
}

#[tokio::test]
async fn a_document_that_turns_bad_is_named_and_keeps_its_last_good_version() {
    let folder = folder();
    let path = folder.path().join("a.yaml");
    fs::write(&path, secret("one", "1") + &secret("two", "1")).expect("a file");
    let provider = open(folder.path());
    wait_until_served(&provider, &["one=1", "two=1"]).await;

    let bad = secret("one", "2").replace("stringData", "stringDate") + &secret("two", "2");
    fs::write(&path, bad).expect("a file");
    let snapshot = wait_until_served(&provider, &["one=1", "two=2"]).await;
    let problems = &snapshot.problems.files;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((&problems[0].path, problems[0].line, problems[0].column), (&path, 5, 1));
    assert_eq!(problems[0].field, "stringDate");
    assert!(problems[0].message.contains("did you mean `stringData`?"), "{problems:?}");

    fs::write(&path, secret("one", "3") + &secret("two", "3")).expect("a file");
    let snapshot = wait_until_served(&provider, &["one=3", "two=3"]).await;
    assert!(snapshot.problems.files.is_empty());
}

#[tokio::test]
async fn a_folder_that_goes_away_keeps_what_it_said() {
    let folder = folder();
    let root = folder.path().join("manifests");
    fs::create_dir(&root).expect("a folder");
    fs::write(root.join("a.yaml"), secret("one", "1")).expect("a file");
    let provider = open(&root);
    wait_until_served(&provider, &["one=1"]).await;
    fs::rename(&root, folder.path().join("elsewhere")).expect("a rename");
    let snapshot = wait_for(&provider, "a problem", |snapshot| !snapshot.problems.files.is_empty()).await;
    assert_eq!(served(&snapshot), ["one=1"]);
    fs::rename(folder.path().join("elsewhere"), &root).expect("a rename");
    wait_for(&provider, "no problem", |snapshot| snapshot.problems.files.is_empty()).await;
}

#[test]
fn a_path_that_does_not_exist_is_refused_in_one_sentence() {
    let error = Manifests::open(vec!["/nonexistent/site.yaml".into()], class()).expect_err("nothing there");
    assert_eq!(
        error.to_string(),
        "--manifests /nonexistent/site.yaml cannot be read; name a YAML file or a folder of such files"
    );
}
