//! Request targets, against the rules written once more: what passes has no segment that any origin walks up with.

use crate::table::target::{BadTarget, Target};

/// Any text as path and query.
///
/// # Panics
/// Where [`Target`] and the rules below disagree.
pub fn target(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let parsed = Target::parse(text);
    assert_eq!(parsed.as_ref().err().copied(), wrong_with(text), "{text:?}");
    let Ok(parsed) = parsed else { return };
    assert_eq!(parsed.as_str(), text, "what is matched is what is forwarded");
    assert!(text.starts_with(parsed.path()) && !parsed.path().contains('?'), "{parsed:?}");
    assert_eq!(Target::parse(parsed.as_str()), Ok(parsed.clone()), "it passes again");
    let moved = parsed.with_path("/index.html");
    assert_eq!(Target::parse(moved.as_str()), Ok(moved.clone()), "with another path, too");
    let query = |target: &Target| target.as_str().split_once('?').map(|(_, query)| query.to_owned());
    assert_eq!(query(&moved), query(&parsed), "{moved}");
}

/// What the rules say, in the order in which they are told.
fn wrong_with(text: &str) -> Option<BadTarget> {
    let path = text.split('?').next().unwrap_or_default();
    if !path.starts_with('/') {
        return Some(BadTarget::Form);
    }
    let visible = text.chars().all(|c| c.is_ascii_graphic());
    let Some(whole) = decoded(path) else { return Some(BadTarget::Octet) };
    if !visible || path.contains('\\') || whole.contains(&0) {
        return Some(BadTarget::Octet);
    }
    let slashed =
        ["%2f", "%2F", "%5c", "%5C"].iter().fold(path.to_owned(), |path, slash| path.replace(slash, "/"));
    // Parameters are cut off before anything is decoded.
    let names = slashed.split('/').filter_map(|segment| decoded(segment.split(';').next()?));
    names.into_iter().any(|name| name == b"." || name == b"..").then_some(BadTarget::DotSegment)
}

/// A path, or a part of one, as an origin decodes it; none where an escape is malformed.
fn decoded(escaped: &str) -> Option<Vec<u8>> {
    let mut bytes = escaped.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        decoded.push(u8::try_from(value).ok()?);
    }
    Some(decoded)
}
