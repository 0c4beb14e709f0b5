//! Certificates of the scenarios, signed by themselves, and the Secrets around them.

use std::fmt::Write;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;

/// One certificate with its key.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// The certificate alone.
    pub(crate) der: CertificateDer<'static>,
    pem: String,
    key: String,
}

impl Certificate {
    /// A fresh one for these names.
    pub(crate) fn of(names: &[String]) -> Self {
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new(names.to_vec()).expect("names");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        Self { der: certificate.der().clone(), pem: certificate.pem(), key: key.serialize_pem() }
    }

    /// The Secret with it.
    pub(crate) fn secret(&self, name: &str) -> String {
        let mut yaml = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/tls\nstringData:\n"
        );
        for (field, pem) in [("tls.crt", &self.pem), ("tls.key", &self.key)] {
            writeln!(yaml, "  {field}: |").expect("a text");
            for line in pem.lines() {
                writeln!(yaml, "    {line}").expect("a text");
            }
        }
        yaml
    }
}
