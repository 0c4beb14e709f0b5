//! What can be chosen; `make bench BENCH="..."` hands it on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;

use crate::rows::{Length, ROWS, Row};

/// Measures Tidegate beside nginx and HAProxy
#[derive(Debug, clap::Parser)]
#[command(name = "bench")]
pub(crate) struct Options {
    /// Only these rows, or those whose names begin so; without it all short ones, which also keeps the result in
    /// benches/RESULTS.md
    #[arg(long = "rows", value_name = "NAME,...", value_delimiter = ',')]
    names: Vec<String>,

    /// How often each proxy is measured in each row
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// How long a measurement of CPU time lasts
    #[arg(long, value_name = "N", default_value_t = 1.5)]
    seconds: f64,

    /// The build of Tidegate to measure, instead of this one
    #[arg(long, value_name = "PATH", default_value = env!("CARGO_BIN_EXE_tidegate"))]
    pub(crate) build: PathBuf,

    /// Another build of Tidegate to measure beside this one, for a change before it is made
    #[arg(long, value_name = "NAME=PATH", value_parser = named_path)]
    pub(crate) against: Vec<(String, PathBuf)>,

    /// Also write every sample here
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// What `cargo bench` says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// The rows that were chosen.
    pub(crate) fn rows(&self) -> anyhow::Result<Vec<&'static Row>> {
        if self.names.is_empty() {
            return Ok(ROWS.iter().filter(|row| row.length == Length::Short).collect());
        }
        let mut rows = Vec::new();
        for name in &self.names {
            let called = |row: &&Row| row.name == name;
            let begin_so = |row: &&Row| row.name.starts_with(name.as_str());
            let exact = ROWS.iter().any(|row| called(&row));
            let before = rows.len();
            rows.extend(ROWS.iter().filter(|row| if exact { called(row) } else { begin_so(row) }));
            if rows.len() == before {
                let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
                bail!("no row is called {name}; there are {}", names.join(", "));
            }
        }
        Ok(rows)
    }

    /// Whether the result stands for the project and not for an experiment.
    pub(crate) fn is_complete(&self) -> bool {
        self.names.is_empty()
            && self.against.is_empty()
            && self.build == Path::new(env!("CARGO_BIN_EXE_tidegate"))
    }

    /// How long a measurement of CPU time lasts.
    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

fn named_path(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("write NAME=PATH, such as before=/tmp/tidegate")?;
    Ok((name.to_owned(), path.into()))
}
