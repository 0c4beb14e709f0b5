//! Text of others as a terminal may show it.
//!
//! It does not know what is told: names, paths and messages of files, objects and requests all go through
//! [`printable`].

/// The text with `?` for each character that moves the cursor, changes the direction of what follows or cannot be
/// seen, so that a line says what it seems to say.
pub(crate) fn printable(text: &str) -> String {
    text.replace(is_deceptive, "?")
}

/// Control characters, and of the format characters those without width and those for direction (Unicode, category
/// Cf; UAX #9 section 2).
fn is_deceptive(character: char) -> bool {
    let formats = matches!(
        character,
        '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    );
    formats || character.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_is_replaced_and_all_else_stays() {
        let rows = [
            ("a\u{1b}[2Jb\r\n\u{7f}\u{9b}", "a?[2Jb????"),
            ("\u{200b}\u{200f}\u{202a}\u{202e}\u{2060}\u{2064}\u{2066}\u{2069}\u{feff}", "?????????"),
            (
                "\u{200a}\u{2010}\u{2029}\u{202f}\u{205f}\u{2065}\u{206a}",
                "\u{200a}\u{2010}\u{2029}\u{202f}\u{205f}\u{2065}\u{206a}",
            ),
            ("käse/ビール.yaml: \"é\" שלום", "käse/ビール.yaml: \"é\" שלום"),
        ];
        for (text, expected) in rows {
            assert_eq!(printable(text), expected, "{}", text.escape_unicode());
        }
    }
}
