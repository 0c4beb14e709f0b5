//! Goes through the steps of one scenario.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use http::Version;
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, sleep};

use super::backend::Backend;
use super::certificate::Certificate;
use super::client::{self, Ask, Seen};
use super::process::Process;
use super::script::{Edit, Expect, Script, Step};

/// How long an edit may take to be seen on a busy machine; the product promises a second.
const LIMIT: Duration = Duration::from_secs(20);
/// How often is looked.
const PAUSE: Duration = Duration::from_millis(20);

/// Plays a scenario to its end, or panics at the first step that is not as expected.
pub(crate) async fn play(script: Script) {
    // Another test of this binary may have been faster.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a folder");
    let mut backends = Vec::new();
    for name in &script.backends {
        let backend = Backend::start(name).await;
        write(&folder.path().join(format!("backend-{name}.yaml")), &backend.manifests());
        backends.push(backend);
    }
    let mut stage = Stage { folder: folder.path(), certificates: BTreeMap::new(), trusted: Vec::new() };
    for (name, hosts) in &script.certificates {
        stage.certify(name, hosts);
    }
    for (name, text) in &script.files {
        write(&folder.path().join(name), text);
    }
    let process = Process::start(folder.path(), &script.flags).await;
    stage.step(0, &ready(), &process).await;
    for (number, step) in script.steps.iter().enumerate() {
        stage.step(number + 1, step, &process).await;
    }
}

/// The step before the first: the manifests as they were at the start are in force.
fn ready() -> Step {
    let until = Expect { status: Some(200), ..Expect::default() };
    Step { request: Some("GET admin:/readyz".to_owned()), until: Some(until), ..Step::default() }
}

/// What the steps change.
struct Stage<'a> {
    folder: &'a Path,
    certificates: BTreeMap<String, Certificate>,
    trusted: Vec<CertificateDer<'static>>,
}

impl Stage<'_> {
    async fn step(&mut self, number: usize, step: &Step, process: &Process) {
        if let Some(edit) = &step.edit {
            self.edit(edit);
        }
        let start = Instant::now();
        while let Some(seen) = self.look(step, process).await {
            let (expect, limit) = match (&step.expect, &step.until) {
                (Some(expect), None) => (expect, Duration::ZERO),
                (None, Some(until)) => (until, LIMIT),
                _ => panic!("step {number}: write either `expect` or `until`"),
            };
            let complaints = self.complaints(expect, &seen);
            if complaints.is_empty() {
                return;
            }
            assert!(
                start.elapsed() < limit,
                "step {number}, {}{}:\n{}\nseen: {seen:#?}\nthe process said:\n{}",
                step.request.as_deref().unwrap_or_default(),
                step.websocket.as_deref().unwrap_or_default(),
                complaints.join("\n"),
                process.said(),
            );
            sleep(PAUSE).await;
        }
    }

    async fn look(&self, step: &Step, process: &Process) -> Option<Seen> {
        let version = if step.http10 { Version::HTTP_10 } else { Version::HTTP_11 };
        let ask = |method, url| Ask { method, url, headers: &step.headers, version };
        match (&step.request, &step.websocket) {
            (Some(request), None) => {
                let (method, url) = request.split_once(' ').expect("METHOD URL");
                Some(client::request(&ask(method, url), &process.addresses, &self.trusted).await)
            }
            (None, Some(url)) => {
                Some(client::websocket(&ask("GET", url), &process.addresses, &self.trusted).await)
            }
            (None, None) => None,
            (Some(_), Some(_)) => panic!("write either `request` or `websocket` in one step"),
        }
    }

    fn complaints(&self, expect: &Expect, seen: &Seen) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut differ = |what: &str, expected: String, found: String| {
            if expected != found {
                complaints.push(format!("{what}: expected {expected}, found {found}"));
            }
        };
        differ("refused", expect.refused.to_string(), seen.refused.is_some().to_string());
        if let Some(status) = expect.status {
            differ("status", format!("{:?}", Some(status)), format!("{:?}", seen.status));
        }
        for (name, value) in &expect.headers {
            let found =
                seen.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            differ(name, format!("{value:?}"), format!("{found:?}"));
        }
        for text in &expect.body {
            differ(
                &format!("the body holds {text:?}"),
                "true".to_owned(),
                seen.body.contains(text).to_string(),
            );
        }
        for text in &expect.body_without {
            differ(
                &format!("the body holds {text:?}"),
                "false".to_owned(),
                seen.body.contains(text).to_string(),
            );
        }
        if expect.echo.is_some() {
            differ("echo", format!("{:?}", expect.echo), format!("{:?}", seen.echo));
        }
        if let Some(name) = &expect.certificate {
            let is_shown = seen.certificate.as_ref() == self.certificates.get(name).map(|one| &one.der);
            differ(&format!("the certificate of {name} is shown"), "true".to_owned(), is_shown.to_string());
        }
        complaints
    }

    fn edit(&mut self, edit: &Edit) {
        if let Some(hosts) = &edit.certificate {
            return self.certify(&edit.file, hosts);
        }
        let path = self.folder.join(&edit.file);
        if edit.remove {
            return fs::remove_file(path).expect("a file to remove");
        }
        let from = edit.replace.as_deref().expect("one of replace, remove and certificate");
        let text = fs::read_to_string(&path).expect("a file to edit");
        assert!(text.contains(from), "{} does not hold {from:?}", edit.file);
        write(&path, &text.replace(from, &edit.with));
    }

    /// Writes the Secret `name` with a new certificate.
    fn certify(&mut self, name: &str, hosts: &[String]) {
        let certificate = Certificate::of(hosts);
        write(&self.folder.join(format!("certificate-{name}.yaml")), &certificate.secret(name));
        self.trusted.push(certificate.der.clone());
        self.certificates.insert(name.to_owned(), certificate);
    }
}

/// Writes as careful editors do: beside the file, then over it.
fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("a file");
    fs::rename(new, path).expect("a rename");
}
