//! ACME challenges, in a cluster that gets cert-manager's kind while Tidegate runs.

use anyhow::ensure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::{Cluster, Tidegate, eventually};

const HOST: &str = "shop.example.com";

/// What of cert-manager's own definition matters here.
const KIND: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: challenges.acme.cert-manager.io}
spec:
  group: acme.cert-manager.io
  scope: Namespaced
  names: {kind: Challenge, listKind: ChallengeList, plural: challenges, singular: challenge}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

fn challenge(name: &str, host: &str, token: &str) -> String {
    format!(
        "
apiVersion: acme.cert-manager.io/v1
kind: Challenge
metadata: {{name: {name}}}
spec:
  dnsName: {host}
  type: HTTP-01
  token: {token}
  key: {token}.thumbprint
  solver: {{http01: {{ingress: {{ingressClassName: tidegate}}}}}}
  issuerRef: {{name: letsencrypt}}
"
    )
}

/// The status and body of what plain HTTP gives to who asks for this token.
async fn ask(tidegate: &Tidegate, host: &str, token: &str) -> anyhow::Result<(String, String)> {
    let mut stream = TcpStream::connect(tidegate.http()).await?;
    let head = format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {host}\r\n");
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok((status, body))
}

#[tokio::test]
async fn a_challenge_is_answered_as_long_as_it_exists() -> anyhow::Result<()> {
    let cluster = Cluster::join("challenges").await?;
    let tidegate = Tidegate::serve(&cluster).await?;
    cluster
        .apply(&format!(
            "
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {{name: shop}}
spec:
  aliases: [{HOST}]
  origins: [{{id: web, service: {{name: web}}}}]
  defaultCacheBehavior: {{targetOriginId: web, viewerProtocolPolicy: redirect-to-https}}
"
        ))
        .await?;
    eventually("the host redirects", async || {
        let (status, _) = ask(&tidegate, HOST, "token").await?;
        ensure!(status == "301", "{status}");
        Ok(())
    })
    .await?;

    cluster.apply(KIND).await?;
    let both = [challenge("own", HOST, "token"), challenge("unclaimed", "elsewhere.example.com", "token")];
    eventually("the kind is known", async || cluster.apply(&both.join("---")).await).await?;
    eventually("the challenge is answered", async || {
        let answer = ask(&tidegate, HOST, "token").await?;
        ensure!(answer == ("200".to_owned(), "token.thumbprint".to_owned()), "{answer:?}");
        Ok(())
    })
    .await?;
    let (status, _) = ask(&tidegate, "elsewhere.example.com", "token").await?;
    ensure!(status == "404", "nobody has that host: {status}");

    cluster.kubectl(&["delete", "challenges.acme.cert-manager.io/own"]).await?;
    eventually("what is gone is not answered", async || {
        let (status, _) = ask(&tidegate, HOST, "token").await?;
        ensure!(status == "301", "{status}");
        Ok(())
    })
    .await
}
