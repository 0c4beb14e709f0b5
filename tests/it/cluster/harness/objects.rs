//! The objects that a user has beside a Distribution, as YAML.

use std::net::IpAddr;

use rcgen::CertifiedKey;

use super::PORT;

/// A Service without a selector and its EndpointSlice: a backend that needs no kubelet.
pub(crate) fn service(name: &str, endpoint: IpAddr) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{{name: http, port: 80, targetPort: {PORT}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: http, port: {PORT}, protocol: TCP}}]
endpoints: [{{addresses: [{endpoint}]}}]
---
"
    )
}

/// A certificate of its own authority for `host`.
pub(crate) fn certificate(host: &str) -> anyhow::Result<CertifiedKey<rcgen::KeyPair>> {
    Ok(rcgen::generate_simple_self_signed([host.to_owned()])?)
}

/// The Secret of a certificate.
pub(crate) fn secret(name: &str, certificate: &CertifiedKey<rcgen::KeyPair>) -> String {
    let (chain, key) = (certificate.cert.pem(), certificate.signing_key.serialize_pem());
    format!(
        "
apiVersion: v1
kind: Secret
metadata: {{name: {name}}}
type: kubernetes.io/tls
stringData: {{tls.crt: {chain:?}, tls.key: {key:?}}}
---
"
    )
}
