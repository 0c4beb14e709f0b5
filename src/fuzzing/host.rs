//! Host fields, names and aliases, against the rules written once more.

use crate::table::host::{Authority, HostName, HostPattern};

/// A first line as the value of a Host field, a second one as an alias.
///
/// # Panics
/// Where the types of [`crate::table::host`] and the rules below disagree.
pub fn host(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (field, alias) = text.split_once('\n').unwrap_or((text, "*.example"));
    let authority = Authority::parse(field).ok();
    assert_eq!(authority.as_ref().map(ToString::to_string), canonical(field), "{field:?}");
    let Some(authority) = authority else { return };
    assert_eq!(Authority::parse(&authority.to_string()), Ok(authority.clone()), "it passes again");
    if let Ok(pattern) = HostPattern::parse(alias) {
        assert_eq!(pattern.matches(&authority.host), falls_under(&authority.host, alias), "{field} {alias}");
    }
}

/// The one form in which a Host is forwarded; none where it is refused.
fn canonical(field: &str) -> Option<String> {
    let mut parts = field.splitn(2, ':');
    let name = canonical_name(parts.next()?)?;
    let Some(port) = parts.next() else { return Some(name) };
    let number: u32 = port.chars().all(|c| c.is_ascii_digit()).then(|| port.parse().ok())??;
    // One form only, or the port that is forwarded would not be the text that was sent.
    ((1..65536).contains(&number) && port == number.to_string()).then(|| format!("{name}:{number}"))
}

fn canonical_name(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let label = |label: &str| {
        let hyphen_at_an_end = label.starts_with('-') || label.ends_with('-');
        !label.is_empty() && label.len() < 64 && label.chars().all(inner) && !hyphen_at_an_end
    };
    (name.len() < 254 && name.split('.').all(label)).then_some(name)
}

fn falls_under(name: &HostName, alias: &str) -> bool {
    let alias = alias.strip_suffix('.').unwrap_or(alias).to_ascii_lowercase();
    match alias.strip_prefix('*') {
        Some(ending) => name.as_str().len() > ending.len() && name.as_str().ends_with(ending),
        None => name.as_str() == alias,
    }
}
