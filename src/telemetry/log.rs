//! The process's own log: one line per change of state, on stderr, apart from the access log on stdout.
//!
//! Events that scripts look for carry a stable name in the field `event` (`config.published`, `drain.start`).

use std::any::Any;
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

impl Format {
    /// What suits stderr: people read terminals, machines the rest.
    pub fn for_stderr() -> Self {
        if io::stderr().is_terminal() { Self::Pretty } else { Self::Json }
    }
}

/// What the Kubernetes client says of itself is left out unless it is asked for by name: it repeats each failure
/// that we tell once, and quotes answers that it cannot read, Secrets among them.
const QUIET: &str = "kube_client=off,kube_runtime=off";

/// A level (`info`), or levels by module (`info,tidegate::provider=debug`).
///
/// # Errors
/// Where the text is neither.
pub fn parse_filter(text: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("{QUIET},{text}"))
}

/// Sends everything that the process logs from now on to stderr, panics included; a second call changes nothing.
pub fn start(format: Format, filter: EnvFilter) {
    // Only fails where a subscriber is already in place: tests start several servers in one process.
    let _already_started = match format {
        Format::Json => tracing::subscriber::set_global_default(json(filter, io::stderr)),
        Format::Pretty => tracing::subscriber::set_global_default(
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).compact().finish(),
        ),
    };
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(event = "panic", location, said = said(panic.payload()), "a fault of ours");
    }));
}

/// What a panic says, where that is a text of ours: one that was put together may quote what somebody has sent.
fn said(payload: &dyn Any) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("(not shown: it may quote a message)")
}

fn json<W>(filter: EnvFilter, writer: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::page::Page;

    #[test]
    fn a_panic_is_quoted_only_where_its_text_is_ours() {
        let payload = |panics: fn()| std::panic::catch_unwind(panics).unwrap_err();
        assert_eq!(said(&*payload(|| panic!("no such place"))), "no such place");
        let cookie = payload(|| panic!("no such place: {}", std::hint::black_box("cookie")));
        assert!(!said(&*cookie).contains("cookie"));
    }

    #[test]
    fn the_client_of_the_cluster_is_quiet_unless_it_is_named() {
        let lines = |filter: &str| {
            let page = Page::default();
            let writer = page.clone();
            let filter = parse_filter(filter).unwrap();
            tracing::subscriber::with_default(json(filter, move || writer.clone()), || {
                tracing::error!(target: "kube_client::client", "an answer");
            });
            page.text().len()
        };
        assert_eq!(lines("debug"), 0);
        assert_ne!(lines("info,kube_client=warn"), 0);
    }

    #[test]
    fn a_json_line_carries_the_event_beside_its_message() {
        let page = Page::default();
        let writer = page.clone();
        tracing::subscriber::with_default(json(EnvFilter::new("info"), move || writer.clone()), || {
            tracing::info!(event = "drain.start", "draining");
            tracing::debug!("not shown");
        });
        let lines = page.text();
        let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(line["event"], "drain.start");
        assert_eq!(line["message"], "draining");
        assert_eq!(line["level"], "INFO");
    }
}
