//! `tidegate connections`: the WebSockets that are open on a replica, as a table.
//!
//! The replica tells one JSON line for each; `docs/connections.md` says what is in it. Start with [`run`].

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde::Deserialize;
use tokio::time::sleep;

use super::columns::{self, Align, size, span};
use super::replica::Replica;
use super::signals::Signals;
use super::{End, print, taken};
use crate::object::ObjectKey;

/// How often --watch looks again.
const REFRESH: Duration = Duration::from_secs(2);

/// From the first line of a screen on, in front of what was there.
const HOME: &str = "\x1b[H";
/// Removes what is left of a line, and of the screen behind the last one.
const REST_OF_LINE: &str = "\x1b[K\n";
const REST_OF_SCREEN: &str = "\x1b[J";

/// List the WebSockets that are open on a replica, oldest first
///
/// IN is what came from the viewer, OUT what came from the origin. The same with more, one JSON object a line, is at
/// /debug/connections.
#[derive(Debug, Args)]
pub(super) struct Connections {
    #[command(flatten)]
    replica: Replica,

    /// Only those of this Distribution
    #[arg(long, value_name = "NAMESPACE/NAME")]
    distribution: Option<ObjectKey>,

    /// Look again every 2 seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

/// One WebSocket, as the replica tells of it.
#[derive(Debug, Deserialize)]
struct Connection {
    id: u64,
    distribution: String,
    behavior: String,
    origin: String,
    endpoint: String,
    viewer: String,
    protocol: String,
    age: f64,
    idle: f64,
    bytes: BothWays,
    messages: BothWays,
    subprotocol: Option<String>,
}

#[derive(Debug, Deserialize)]
struct BothWays {
    to_origin: u64,
    to_viewer: u64,
}

/// Prints the table, once or until a signal.
///
/// # Errors
/// A replica that cannot be asked.
pub(super) fn run(asked: &Connections) -> anyhow::Result<End> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime
        .block_on(async { if asked.watch { watch(asked).await } else { print(&text(&table(asked).await?)) } })
}

async fn watch(asked: &Connections) -> anyhow::Result<End> {
    let mut signals = Signals::listen().context("signals cannot be listened for")?;
    let mut screen = Screen::new();
    loop {
        let look = async {
            let shown = screen.show(&table(asked).await?)?;
            sleep(REFRESH).await;
            anyhow::Ok(shown)
        };
        tokio::select! {
            looked = look => if let ControlFlow::Break(end) = looked? {
                return Ok(end);
            },
            _ = signals.next() => return Ok(End::Well),
        }
    }
}

/// The lines of the table, and how many WebSockets there are.
async fn table(asked: &Connections) -> anyhow::Result<Vec<String>> {
    let query = asked.distribution.as_ref().map(|key| format!("?distribution={key}")).unwrap_or_default();
    let page = asked.replica.page(&format!("/debug/connections{query}")).await?;
    let connections = page.lines().map(serde_json::from_str).collect::<Result<Vec<Connection>, _>>();
    let mut connections = connections.context("the replica is of another version; use its own `tidegate`")?;
    connections.sort_by_key(|connection| connection.id);
    let count = match connections.len() {
        0 => return Ok(vec!["No WebSocket is open.".to_owned()]),
        1 => "1 WebSocket is open.".to_owned(),
        more => format!("{more} WebSockets are open."),
    };
    let headings = [
        ("ID", Align::Right),
        ("DISTRIBUTION", Align::Left),
        ("BEHAVIOR", Align::Left),
        ("ORIGIN", Align::Left),
        ("ENDPOINT", Align::Left),
        ("VIEWER", Align::Left),
        ("HTTP", Align::Left),
        ("OPEN", Align::Right),
        ("IDLE", Align::Right),
        ("IN", Align::Right),
        ("OUT", Align::Right),
        ("MSGS-IN", Align::Right),
        ("MSGS-OUT", Align::Right),
        ("SUBPROTOCOL", Align::Left),
    ];
    let mut lines = columns::lines(headings, connections.into_iter().map(Connection::row).collect());
    lines.extend([String::new(), count]);
    Ok(lines)
}

impl Connection {
    fn row(self) -> [String; 14] {
        [
            self.id.to_string(),
            self.distribution,
            self.behavior,
            self.origin,
            self.endpoint,
            self.viewer,
            self.protocol,
            seconds(self.age),
            seconds(self.idle),
            size(self.bytes.to_origin),
            size(self.bytes.to_viewer),
            self.messages.to_origin.to_string(),
            self.messages.to_viewer.to_string(),
            self.subprotocol.unwrap_or_default(),
        ]
    }
}

fn seconds(amount: f64) -> String {
    Duration::try_from_secs_f64(amount).map(span).unwrap_or_default()
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Where --watch shows its tables: over each other on a terminal, else one after the other.
enum Screen {
    Terminal,
    Pipe,
}

impl Screen {
    fn new() -> Self {
        if io::stdout().is_terminal() { Self::Terminal } else { Self::Pipe }
    }

    /// Whether somebody still reads.
    fn show(&mut self, lines: &[String]) -> anyhow::Result<ControlFlow<End>> {
        let text = match self {
            Self::Pipe => text(lines) + "\n",
            Self::Terminal => {
                let shown = fitting(lines);
                shown.iter().fold(HOME.to_owned(), |text, line| text + line + REST_OF_LINE) + REST_OF_SCREEN
            }
        };
        let mut stdout = io::stdout().lock();
        taken(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
    }
}

/// As much of the lines as the terminal has room for; the last one is always the last.
fn fitting(lines: &[String]) -> Vec<String> {
    let Ok(size) = rustix::termios::tcgetwinsize(io::stdout()) else { return lines.to_vec() };
    // The cursor stands in a line of its own.
    cut(lines, usize::from(size.ws_row).saturating_sub(1), usize::from(size.ws_col))
}

fn cut(lines: &[String], rows: usize, columns: usize) -> Vec<String> {
    let narrow = |line: &String| line.chars().take(columns.max(1)).collect();
    match lines.split_last() {
        Some((last, others)) if lines.len() > rows => {
            others.iter().take(rows.saturating_sub(1)).chain([last]).map(narrow).collect()
        }
        _ => lines.iter().map(narrow).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_too_large_keeps_its_head_and_its_last_line() {
        let lines = ["HEAD", "one", "two", "", "2 are open"].map(str::to_owned);
        assert_eq!(cut(&lines, 5, 80), lines);
        assert_eq!(cut(&lines, 3, 80), ["HEAD", "one", "2 are open"]);
        assert_eq!(cut(&lines, 2, 3), ["HEA", "2 a"]);
    }
}
