//! The header of the PROXY protocol: it is the same however its bytes arrive, and what follows it is not looked at.

use crate::dataplane::inside::proxy_protocol::{Beginning, For, read};

/// What a connection begins with.
///
/// # Panics
/// Where a byte more changes what was already told, a header reaches behind itself, or version 1 is misread.
pub fn proxy_header(input: &[u8]) {
    let whole = read(input);
    let mut told = Ok(Beginning::Open);
    // A header is longer than this only where it is refused.
    for length in 0..input.len().min(600) {
        let begin = input.get(..length).unwrap_or_default();
        let next = read(begin);
        assert!(told == Ok(Beginning::Open) || next == told, "{told:?} became {next:?} at byte {length}");
        if let (Ok(Beginning::Open), Ok(Beginning::Header(end, _))) = (told, next) {
            assert_eq!(end, length, "a header is told with its last byte");
            assert_eq!(whole, next, "what follows it is not looked at");
        }
        told = next;
    }
    if let Ok(Beginning::Header(end, whom)) = whole {
        assert!(end <= input.len(), "a header that has not come");
        assert_eq!(read(input.get(..end).unwrap_or_default()), whole, "nothing behind it is needed");
        if let (For::Viewer(viewer), Some(line)) = (whom, text(input)) {
            let words: Vec<_> = line.split(' ').collect();
            assert_eq!(words.get(2).and_then(|ip| ip.parse().ok()), Some(viewer.ip()), "{line}");
            assert_eq!(words.get(4).and_then(|port| port.parse().ok()), Some(viewer.port()), "{line}");
        }
    }
}

/// The line of version 1.
fn text(input: &[u8]) -> Option<&str> {
    let end = input.windows(2).position(|window| window == b"\r\n")?;
    let line = std::str::from_utf8(input.get(..end)?).ok()?;
    line.starts_with("PROXY ").then_some(line)
}
