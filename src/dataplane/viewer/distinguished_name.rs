//! The name of a certificate's subject or issuer as text (RFC 4514): unambiguous, and visible ASCII throughout.
//!
//! It reads as OpenSSL's form `RFC2253` does, which nginx and others tell origins, too.

use std::fmt::Write;

use x509_parser::asn1_rs::{Any, Tag, ToDer};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The attributes that have short names (RFC 4514 section 3), with two that certificates of people and devices have.
const SHORT_NAMES: [(&str, &str); 11] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("2.5.4.5", "serialNumber"),
];

/// `CN=device-7,OU=Sensors,O=Example`: the most specific part first.
pub(super) fn text(name: &X509Name<'_>) -> String {
    let parts: Vec<String> = name.iter_rdn().map(|part| joined(part.iter().map(attribute), "+")).collect();
    joined(parts.into_iter().rev(), ",")
}

fn joined(parts: impl Iterator<Item = String>, separator: &str) -> String {
    parts.collect::<Vec<_>>().join(separator)
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let id = attribute.attr_type().to_id_string();
    let short = SHORT_NAMES.iter().find(|(known, _)| *known == id).map(|(_, short)| *short);
    let value = attribute.attr_value();
    match short.zip(string(value)) {
        Some((short, value)) => format!("{short}={}", escaped(&value)),
        // Of what has no name, a reader knows the type from its encoding only (RFC 4514 section 2.4).
        None => format!("{}=#{}", short.unwrap_or(&id), hexadecimal(&value.to_der_vec().unwrap_or_default())),
    }
}

/// The text of a string type; none for what is no text.
fn string(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::NumericString | Tag::Ia5String | Tag::VisibleString => {
            String::from_utf8(value.data.to_vec()).ok()
        }
        Tag::BmpString => {
            let (units, []) = value.data.as_chunks::<2>() else { return None };
            String::from_utf16(&units.iter().map(|unit| u16::from_be_bytes(*unit)).collect::<Vec<_>>()).ok()
        }
        _ => None,
    }
}

/// RFC 4514 section 2.4; beyond it, whatever is not visible ASCII is escaped, octet by octet.
fn escaped(value: &str) -> String {
    let last = value.len().saturating_sub(1);
    let mut escaped = String::with_capacity(value.len());
    for (position, byte) in value.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => escaped.extend(['\\', byte.into()]),
            b' ' if position == 0 || position == last => escaped.push_str("\\ "),
            b'#' if position == 0 => escaped.push_str("\\#"),
            b' '..=b'~' => escaped.push(byte.into()),
            // Writing into a string cannot fail.
            _ => drop(write!(escaped, "\\{byte:02X}")),
        }
    }
    escaped
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    fn subject(parts: Vec<(DnType, DnValue)>) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        parts.into_iter().for_each(|(kind, value)| params.distinguished_name.push(kind, value));
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        text(X509Certificate::from_der(made.der()).unwrap().1.subject())
    }

    #[test]
    fn the_most_specific_part_comes_first_and_has_its_short_name() {
        let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
        let parts = vec![
            (DnType::CountryName, DnValue::PrintableString("DE".try_into().unwrap())),
            (DnType::OrganizationName, utf8("Example")),
            (DnType::OrganizationalUnitName, utf8("Sensors")),
            (DnType::CommonName, utf8("device-7")),
        ];
        assert_eq!(subject(parts), "CN=device-7,OU=Sensors,O=Example,C=DE");
        assert_eq!(subject(Vec::new()), "");
    }

    #[test]
    fn a_value_cannot_pass_for_more_than_itself() {
        let rows = [
            ("a,O=admin", "CN=a\\,O=admin"),
            ("a+O=admin", "CN=a\\+O=admin"),
            ("\\,O=admin", "CN=\\\\\\,O=admin"),
            (" a b ", "CN=\\ a b\\ "),
            (" ", "CN=\\ "),
            ("#a#", "CN=\\#a#"),
            ("<\"a\">;", "CN=\\<\\\"a\\\"\\>\\;"),
            ("a\r\nx-admin: 1\0", "CN=a\\0D\\0Ax-admin: 1\\00"),
            ("Jürgen", "CN=J\\C3\\BCrgen"),
            ("", "CN="),
        ];
        for (value, expected) in rows {
            let value = DnValue::Utf8String(value.to_owned());
            assert_eq!(subject(vec![(DnType::CommonName, value)]), expected);
        }
    }

    #[test]
    fn other_types_are_told_as_text_or_as_they_are_encoded() {
        let bmp = DnValue::BmpString("Jü".try_into().unwrap());
        assert_eq!(subject(vec![(DnType::CommonName, bmp)]), "CN=J\\C3\\BC");
        let teletex = DnValue::TeletexString("a".try_into().unwrap());
        assert_eq!(subject(vec![(DnType::CommonName, teletex)]), "CN=#140161");
        let unnamed = (DnType::CustomDnType(vec![1, 3, 6, 1]), DnValue::Utf8String("a".to_owned()));
        assert_eq!(subject(vec![unnamed]), "1.3.6.1=#0c0161");
    }
}
