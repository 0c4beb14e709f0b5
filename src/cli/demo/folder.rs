//! The demo's folder: manifests to read and to edit, and the certificate for the commands of the guide.
//!
//! The files are what a user would write. They do not know who serves them. Start with [`Folder::write`].

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

/// The host of the Distribution that answers with JSON.
pub(super) const HELLO: &str = "hello.localhost";
/// The host of the Distribution that echoes over WebSocket.
pub(super) const CHAT: &str = "chat.localhost";
/// The manifest that the guide edits.
pub(super) const HELLO_FILE: &str = "hello.yaml";
/// The certificate in PEM, for the clients that shall trust it.
pub(super) const CA_FILE: &str = "ca.crt";

const HELLO_YAML: &str = "\
# A site with two origins. Edit this file while the demo runs: the change is live at once.
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata:
  name: hello
  namespace: demo
spec:
  aliases: [hello.localhost]
  viewerCertificate: {secretName: demo-tls}
  origins:
    - id: blue
      service: {name: blue}
    - id: green
      service: {name: green}
  cacheBehaviors:
    - pathPattern: /green/*
      targetOriginId: green
  defaultCacheBehavior:
    targetOriginId: blue
    viewerProtocolPolicy: redirect-to-https
";

const CHAT_YAML: &str = "\
# A WebSocket endpoint, balanced over both instances. WebSocket needs no switch, and no edit closes what is open but
# `enabled: false`, which says goodbye.
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata:
  name: chat
  namespace: demo
spec:
  aliases: [chat.localhost]
  viewerCertificate: {secretName: demo-tls}
  origins:
    - id: echo
      service: {name: both}
  defaultCacheBehavior:
    targetOriginId: echo
    viewerProtocolPolicy: https-only
";

/// The written folder; dropped, it goes away, unless the user named it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Only held: it removes the folder.
    _temporary: Option<TempDir>,
}

impl Folder {
    /// Writes the demo's files for these instances, into `dir` or into a temporary folder.
    ///
    /// # Errors
    /// A folder that cannot be made or written.
    pub(super) fn write(dir: Option<&Path>, instances: &[(String, SocketAddr)]) -> anyhow::Result<Self> {
        let (path, temporary) = match dir {
            Some(dir) => {
                fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
                (dir.to_owned(), None)
            }
            None => {
                let temporary = tempfile::Builder::new().prefix("tidegate-demo-").tempdir();
                let temporary = temporary.context("no temporary folder; name one with --dir")?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        // The commands of the guide are typed from anywhere.
        let path = path.canonicalize().with_context(|| format!("{} cannot be found", path.display()))?;
        let folder = Self { path, _temporary: temporary };
        let (certificate, secret) = certificate()?;
        folder.file(CA_FILE, &certificate)?;
        folder.file("certificate.yaml", &secret)?;
        folder.file("services.yaml", &services(instances)?)?;
        folder.file(HELLO_FILE, HELLO_YAML)?;
        folder.file("chat.yaml", CHAT_YAML)?;
        Ok(folder)
    }

    /// Where the folder is, from the root.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path.join(name);
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// A fresh self-signed certificate for both hosts, and the Secret with it and its key.
fn certificate() -> anyhow::Result<(String, String)> {
    let key = KeyPair::generate().context("no key could be generated")?;
    let names = vec![HELLO.to_owned(), CHAT.to_owned()];
    let certificate = CertificateParams::new(names).and_then(|parameters| parameters.self_signed(&key));
    let certificate = certificate.context("no certificate could be signed")?.pem();
    let mut secret = String::from(
        "# The certificate of both sites, signed by itself and made for this run of the demo.\n\
         apiVersion: v1\nkind: Secret\nmetadata:\n  name: demo-tls\n  namespace: demo\ntype: kubernetes.io/tls\n\
         stringData:\n",
    );
    for (name, pem) in [("tls.crt", certificate.as_str()), ("tls.key", &key.serialize_pem())] {
        writeln!(secret, "  {name}: |")?;
        for line in pem.lines() {
            writeln!(secret, "    {line}")?;
        }
    }
    Ok((certificate, secret))
}

/// A Service for each instance and one over all, with the EndpointSlices that a cluster would make for them.
fn services(instances: &[(String, SocketAddr)]) -> anyhow::Result<String> {
    let mut yaml = String::from("# What a cluster would say about the two instances of the demo's origin.\n");
    for (name, address) in instances {
        service(&mut yaml, name)?;
        slice(&mut yaml, name, name, *address)?;
    }
    service(&mut yaml, "both")?;
    for (name, address) in instances {
        slice(&mut yaml, "both", name, *address)?;
    }
    Ok(yaml)
}

fn service(yaml: &mut String, name: &str) -> std::fmt::Result {
    write!(
        yaml,
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: demo}}\nspec:\n  \
         ports:\n    - {{name: http, port: 80}}\n"
    )
}

fn slice(yaml: &mut String, service: &str, instance: &str, address: SocketAddr) -> std::fmt::Result {
    write!(
        yaml,
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {service}-{instance}\n  \
         namespace: demo\n  labels: {{kubernetes.io/service-name: {service}}}\naddressType: IPv4\nendpoints:\n  \
         - addresses: [{}]\nports:\n  - {{name: http, port: {}}}\n",
        address.ip(),
        address.port()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::manifests::parse;

    #[test]
    fn every_file_of_the_demo_is_a_good_manifest() {
        let instances = [("blue", 4001), ("green", 4002)]
            .map(|(name, port)| (name.to_owned(), ([127, 0, 0, 1], port).into()));
        let folder = Folder::write(None, &instances).expect("a folder");
        let mut read = 0;
        for entry in fs::read_dir(folder.path()).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|end| end == "yaml") {
                for document in parse(&fs::read(&path).expect("a file")) {
                    assert!(document.object.is_ok(), "{}: {:?}", path.display(), document.object);
                    read += 1;
                }
            }
        }
        assert_eq!(read, 2 + 1 + 3 + 4, "Distributions, a Secret, Services, EndpointSlices");
    }

    #[test]
    fn a_temporary_folder_goes_away_and_a_named_one_stays() {
        let temporary = Folder::write(None, &[]).expect("a folder");
        let path = temporary.path().to_owned();
        drop(temporary);
        assert!(!path.exists());

        let named = tempfile::tempdir().expect("a folder");
        let dir = named.path().join("mine");
        drop(Folder::write(Some(&dir), &[]).expect("a folder"));
        assert!(dir.join(HELLO_FILE).exists());
    }
}
