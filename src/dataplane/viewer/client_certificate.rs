//! What the origin is told of a viewer's certificate: `X-Client-Cert-*`.
//!
//! The formats are those of CloudFront's `CloudFront-Viewer-Cert-*` (Developer Guide, "Viewer mTLS headers"), under
//! names that no product owns. A certificate is read once, after its handshake: whoever sends requests over the
//! connection shares the values.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::distinguished_name::{self, hexadecimal};
use super::forwarded::value;

const PRESENT: HeaderName = HeaderName::from_static("x-client-cert-present");
const SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
const ISSUER: HeaderName = HeaderName::from_static("x-client-cert-issuer");
const SERIAL_NUMBER: HeaderName = HeaderName::from_static("x-client-cert-serial-number");
const SHA256: HeaderName = HeaderName::from_static("x-client-cert-sha256");
const PEM: HeaderName = HeaderName::from_static("x-client-cert-pem");

/// How long a line of PEM is, in characters (RFC 7468 section 2).
const LINE: usize = 64;

/// A viewer's certificate that was verified at the handshake of its session.
#[derive(Clone, Debug)]
pub(crate) struct ClientCertificate {
    fields: [(HeaderName, HeaderValue); 5],
    /// The end of its validity, in seconds since 1970.
    not_after: i64,
}

/// What an origin is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told<'c> {
    /// Nothing, since viewers are not asked.
    Nothing,
    /// That the viewer showed none.
    Absent,
    /// What the viewer showed.
    Verified(&'c ClientCertificate),
}

impl ClientCertificate {
    /// Reads a certificate; none where it cannot be read.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let fields = [
            (SUBJECT, distinguished_name::text(certificate.subject())),
            (ISSUER, distinguished_name::text(certificate.issuer())),
            (SERIAL_NUMBER, serial_number(certificate.raw_serial())),
            (SHA256, hexadecimal(digest::digest(&digest::SHA256, der).as_ref())),
            (PEM, pem(der)),
        ];
        let fields = fields.map(|(name, text)| (name, value(text)));
        Some(Self { fields, not_after: certificate.validity().not_after.timestamp() })
    }

    /// Whether it was valid for long enough; resuming a session does not look at that.
    pub(crate) fn has_expired(&self, now: UnixTime) -> bool {
        i64::try_from(now.as_secs()).map_or(true, |now| now > self.not_after)
    }
}

/// Says to the origin what is known of the viewer's certificate, in a head that claims nothing of its own.
pub(crate) fn tell(headers: &mut HeaderMap, told: Told<'_>) {
    let fields = match told {
        Told::Nothing => return,
        Told::Absent => &[][..],
        Told::Verified(certificate) => &certificate.fields,
    };
    headers.insert(PRESENT, HeaderValue::from_static(if fields.is_empty() { "0" } else { "1" }));
    for (name, value) in fields {
        headers.insert(name, value.clone());
    }
}

/// `4a:3f:5c`, without the zero in front that keeps a number positive.
fn serial_number(number: &[u8]) -> String {
    let number = match number {
        [0, rest @ ..] if !rest.is_empty() => rest,
        whole => whole,
    };
    number.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// PEM (RFC 7468) as part of a URL (RFC 3986 section 2.1): a field cannot hold the line ends.
fn pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut pem = "-----BEGIN%20CERTIFICATE-----%0A".to_owned();
    for line in base64.as_bytes().chunks(LINE) {
        for byte in line {
            match byte {
                b'+' => pem.push_str("%2B"),
                b'/' => pem.push_str("%2F"),
                b'=' => pem.push_str("%3D"),
                _ => pem.push(char::from(*byte)),
            }
        }
        pem.push_str("%0A");
    }
    pem + "-----END%20CERTIFICATE-----%0A"
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, Issuer, KeyPair, SerialNumber};
    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn certificate() -> CertificateDer<'static> {
        let key = || KeyPair::generate().unwrap();
        let mut authority = CertificateParams::default();
        authority.distinguished_name = rcgen::DistinguishedName::new();
        authority.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
        let issuer = Issuer::new(authority, key());
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "device-7");
        params.serial_number = Some(SerialNumber::from_slice(&[0x9a, 0x3f, 0x05]));
        params.not_after = rcgen::date_time_ymd(2001, 9, 9);
        params.signed_by(&key(), &issuer).unwrap().der().clone()
    }

    #[test]
    fn everything_that_was_verified_is_told() {
        let der = certificate();
        let mut headers = HeaderMap::new();
        tell(&mut headers, Told::Verified(&ClientCertificate::read(&der).unwrap()));
        let field = |name: &str| headers[name].to_str().unwrap();
        assert_eq!(field("x-client-cert-present"), "1");
        assert_eq!(field("x-client-cert-subject"), "CN=device-7");
        assert_eq!(field("x-client-cert-issuer"), "O=Example\\, Inc.");
        assert_eq!(field("x-client-cert-serial-number"), "9a:3f:05");
        assert_eq!(field("x-client-cert-sha256").len(), 64);
        let pem = field("x-client-cert-pem");
        assert!(!pem.contains(['+', '/', '=', ' ']), "{pem}");
        let escapes = [("%0A", "\n"), ("%20", " "), ("%2B", "+"), ("%2F", "/"), ("%3D", "=")];
        let pem = escapes.into_iter().fold(pem.to_owned(), |pem, (from, to)| pem.replace(from, to));
        assert_eq!(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap(), der);
        assert!(pem.lines().all(|line| line.len() <= LINE), "{pem}");
    }

    #[test]
    fn who_showed_nothing_is_told_apart_from_who_was_not_asked() {
        let mut headers = HeaderMap::new();
        tell(&mut headers, Told::Nothing);
        assert!(headers.is_empty());
        tell(&mut headers, Told::Absent);
        assert_eq!((headers.len(), headers["x-client-cert-present"].to_str().unwrap()), (1, "0"));
    }

    #[test]
    fn a_certificate_has_expired_after_its_last_second() {
        let certificate = ClientCertificate::read(&certificate()).unwrap();
        let at = |second| UnixTime::since_unix_epoch(std::time::Duration::from_secs(second));
        let end = 999_993_600;
        assert!(!certificate.has_expired(at(end)));
        assert!(certificate.has_expired(at(end + 1)));
    }
}
