//! Tidegate, as `serve` runs it on a folder of manifests.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use tokio::process::Command;

use super::Setting;
use crate::certificate::{Certificate, HOST};
use crate::machine::Cores;
use crate::rows::AccessLog;

pub(super) fn command(cores: Cores, binary: &Path, setting: &Setting<'_>) -> anyhow::Result<Command> {
    let manifests = setting.file("site.yaml", &manifests(setting)?)?;
    let binary = binary.to_str().context("the path of the binary is not UTF-8")?;
    let mut command = cores.on_proxy_core(binary);
    command
        .args(["serve", "--workers", "1", "--admin-listen", "127.0.0.1:0"])
        .args(["--http-listen", &setting.http.to_string(), "--https-listen", &setting.https.to_string()])
        .args(["--drain-delay", "0s", "--drain-timeout", "5s", "--websocket-drain-spread", "0s"])
        .args(["--access-log", if setting.access_log == AccessLog::On { "all" } else { "off" }])
        .arg("--manifests")
        .arg(manifests);
    Ok(command)
}

fn manifests(setting: &Setting<'_>) -> anyhow::Result<String> {
    let secret = secret(setting.certificate)?;
    let (address, port) = (setting.origin.ip(), setting.origin.port());
    Ok(format!(
        "apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {{name: site, namespace: bench}}
spec:
  aliases: [{HOST}]
  viewerCertificate: {{secretName: tls}}
  origins: [{{id: origin, service: {{name: origin}}}}]
  defaultCacheBehavior: {{targetOriginId: origin, viewerProtocolPolicy: allow-all}}
---
apiVersion: v1
kind: Service
metadata: {{name: origin, namespace: bench}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: origin-1, namespace: bench, labels: {{kubernetes.io/service-name: origin}}}}
addressType: IPv4
endpoints: [{{addresses: [{address}]}}]
ports: [{{name: http, port: {port}}}]
---
{secret}"
    ))
}

fn secret(certificate: &Certificate) -> anyhow::Result<String> {
    let mut secret = String::from(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: tls, namespace: bench}\ntype: kubernetes.io/tls\nstringData:\n",
    );
    for (name, pem) in [("tls.crt", &certificate.chain), ("tls.key", &certificate.key)] {
        writeln!(secret, "  {name}: |")?;
        for line in pem.lines() {
            writeln!(secret, "    {line}")?;
        }
    }
    Ok(secret)
}
