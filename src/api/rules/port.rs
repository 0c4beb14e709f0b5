//! What may stand for a port.

use super::super::rule::Rule;

/// On a port: a number that a port can have, or a name that a Service port can have (RFC 6335 section 5.1).
pub(in crate::api) const PORT: &[Rule] = &[
    Rule::new(
        "type(self) == int || !self.matches('^[0-9]+$')",
        "must be written without quotes, since a number in quotes is the name of a port",
        |port| !port.as_str().is_some_and(is_number),
    ),
    Rule::new(
        "type(self) == int ? self >= 1 && self <= 65535 : self.matches(r'^([0-9]+|[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?)$')",
        "must be a port number from 1 to 65535, or the name of a Service port: up to 15 lower-case letters, digits and -",
        |port| match port.as_str() {
            Some(name) => is_number(name) || is_port_name(name),
            None => port.as_i64().is_some_and(|number| (1..=65_535).contains(&number)),
        },
    ),
];

fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_port_name(name: &str) -> bool {
    let in_names = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let ends = !name.starts_with('-') && !name.ends_with('-');
    (1..=15).contains(&name.len()) && name.bytes().all(in_names) && ends
}
