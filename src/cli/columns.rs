//! Rows for people: aligned columns, and amounts as they are said.

use std::time::Duration;

use crate::printable::printable;

/// How a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// The rows under their headings, one a line, each column as wide as its widest cell.
///
/// They are [`printable`]: names come from others.
pub(super) fn lines<const N: usize>(headings: [(&str, Align); N], rows: Vec<[String; N]>) -> Vec<String> {
    let heads = headings.map(|(name, _)| name.to_owned());
    let rows: Vec<_> =
        std::iter::once(heads).chain(rows.into_iter().map(|row| row.map(|cell| printable(&cell)))).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).zip(headings);
        let cells = cells.map(|((cell, width), (_, align))| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Bytes, to two or three digits.
pub(super) fn size(bytes: u64) -> String {
    let mut amount = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while amount >= 1024.0 {
        let Some(larger) = units.next() else { break };
        (amount, unit) = (amount / 1024.0, larger);
    }
    let decimals = usize::from(unit != "B" && amount < 10.0);
    format!("{amount:.decimals$} {unit}")
}

/// A time span in its two largest units.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_end_together() {
        let headings = [("NAME", Align::Left), ("N", Align::Right), ("LAST", Align::Left)];
        let row = |name: &str, number: &str| [name.to_owned(), number.to_owned(), String::new()];
        let lines = lines(headings, vec![row("a-long-name", "7"), row("\u{1b}[2J", "1234")]);
        assert_eq!(lines, ["NAME            N  LAST", "a-long-name     7", "?[2J         1234"]);
    }

    #[test]
    fn amounts_are_said_in_the_unit_that_fits() {
        let sizes = [0, 1023, 1024, 9 * 1024 + 512, 10 * 1024, 5 << 20, u64::MAX];
        let said = ["0 B", "1023 B", "1.0 KiB", "9.5 KiB", "10 KiB", "5.0 MiB", "16777216 TiB"];
        assert_eq!(sizes.map(size), said);
        let spans = [0, 59, 60, 3599, 3600, 86_399, 86_400, 1_000_000].map(Duration::from_secs);
        let said = ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "11d13h"];
        assert_eq!(spans.map(span), said);
    }
}
