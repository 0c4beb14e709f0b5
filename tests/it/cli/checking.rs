//! `tidegate check`: problems with their places, weights and formats, and the exit status.

use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use super::{assert_fails, tidegate};

/// One that is well, but names a Service and a Secret that are elsewhere.
const ALONE: &str = "\
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {name: web, namespace: shop}
spec:
  aliases: [shop.example.com]
  viewerCertificate: {secretName: web-tls}
  origins:
  - id: web
    service: {name: web}
  defaultCacheBehavior: {targetOriginId: web}
";

/// A file in a folder of its own, which goes with it.
struct File {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    fn with(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("web.yaml");
        std::fs::write(&path, text).expect("a file");
        Self { folder, path }
    }

    /// What `check` says of it, by how it ends, without the folder's name.
    fn checked(&self, flags: &[&str]) -> (Option<i32>, String) {
        let path = self.path.to_str().expect("a path of ASCII");
        let Output { status, stdout, stderr } = tidegate(&[&["check", path], flags].concat());
        assert!(stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
        let folder = format!("{}/", self.folder.path().display());
        (status.code(), String::from_utf8_lossy(&stdout).replace(&folder, ""))
    }
}

#[test]
fn a_distribution_alone_is_well_and_what_it_names_is_noted() {
    let file = File::with(ALONE);
    let (status, told) = file.checked(&[]);
    let expected = "\
web.yaml:6:23: note: viewerCertificate.secretName: Secret shop/web-tls of type kubernetes.io/tls not found. TLS is refused for its aliases.
web.yaml:9:15: note: spec.origins[0].service.name: origin \"web\": Service shop/web not found. All requests get 503.
1 Distribution checked: 0 errors, 0 warnings, 2 notes
";
    assert_eq!((status, told.as_str()), (Some(0), expected));
    let (status, told) = file.checked(&["--complete"]);
    assert_eq!(status, Some(1));
    assert_eq!(
        told.replace(": error: ", ": note: "),
        expected.replace("0 errors, 0 warnings, 2 notes", "2 errors, 0 warnings, 0 notes")
    );
}

#[test]
fn what_is_wrong_has_its_place_and_ends_with_1() {
    let rows = [
        ("secretName", "secretNam", "web.yaml:6:23: error: spec.viewerCertificate.secretNam: unknown field"),
        (
            "{targetOriginId: web}",
            "{targetOriginId: wbe}",
            "web.yaml:10:26: error: spec.defaultCacheBehavior",
        ),
        ("kind: Distribution", "kind: Distribtion", "web.yaml:2:1: error: kind: unknown kind `Distribtion`"),
        ("  origins:", " origins:", "web.yaml:7:"),
        ("[shop.example.com]", "[]", "web.yaml:5:3: error: spec.aliases is empty; add a host name."),
    ];
    for (good, bad, expected) in rows {
        let (status, told) = File::with(&ALONE.replace(good, bad)).checked(&[]);
        assert_eq!(status, Some(1), "{bad}: {told}");
        assert!(told.lines().any(|line| line.starts_with(expected)), "{bad}: {told}");
    }
}

#[test]
fn what_is_odd_is_a_warning_and_ends_well() {
    let covered = "  cacheBehaviors:\n  - {pathPattern: /a*, targetOriginId: web}\n  - {pathPattern: /ab, targetOriginId: web}\n";
    let (status, told) = File::with(&format!("{ALONE}{covered}")).checked(&[]);
    assert_eq!(status, Some(0), "{told}");
    let expected = "web.yaml:13:6: warning: spec.cacheBehaviors[1].pathPattern: no request reaches /ab";
    assert!(told.lines().any(|line| line.starts_with(expected)), "{told}");
    assert!(told.contains("0 errors, 1 warning, 2 notes"), "{told}");
}

#[test]
fn documents_of_other_kinds_and_other_classes_do_not_disturb() {
    let deployment = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n";
    let other = ALONE.replace("name: web,", "name: other,").replace("spec:", "spec:\n  className: other");
    let (status, told) = File::with(&format!("{ALONE}{deployment}---\n{other}")).checked(&[]);
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("2 Distributions checked: 0 errors"), "two classes may have one alias: {told}");
    let (status, told) =
        File::with(&format!("{ALONE}---\n{}", ALONE.replace("name: web,", "name: other,"))).checked(&[]);
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains(": error: spec.aliases: \"shop.example.com\" is held by"), "{told}");
}

#[test]
fn scripts_and_workflows_have_formats_of_their_own() {
    let file = File::with(&ALONE.replace("{secretName: web-tls}", "{secretName: web-tls, secretNam: a}"));
    let (status, told) = file.checked(&["--format", "json"]);
    let told: Value = serde_json::from_str(&told).expect("one JSON object");
    assert_eq!((status, &told["errors"]), (Some(1), &Value::from(1)));
    assert_eq!(told["problems"][0]["field"], "spec.viewerCertificate.secretNam");
    let (status, told) = file.checked(&["--format", "github"]);
    assert_eq!(status, Some(1));
    assert!(
        told.starts_with("::error file=web.yaml,line=6,col=44,title=Invalid::spec.viewerCertificate"),
        "{told}"
    );
}

#[test]
fn a_file_that_is_not_there_ends_with_one_sentence() {
    assert_fails(&["check", "/no/such/file"], 1, "error: /no/such/file cannot be read; name a YAML file");
    assert_fails(&["check"], 2, "<FILE>...");
}
