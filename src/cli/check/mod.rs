//! `tidegate check`: what is wrong with manifests, found by the very parsing and translation that serve.
//!
//! [`judge`] says how much each finding weighs, [`report`] how it is printed. Start with [`run`].

mod judge;
mod report;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::{End, print};
use crate::provider::manifests::Reading;
use judge::{Missing, Severity};

/// Validate manifests offline, with the very translation that serves
///
/// Every problem is told with its file, line, column and field. Errors are what the API server or the controller
/// would refuse; warnings are odd but work.
///
/// What a Distribution names and the files do not have (a Service, a Secret, a ConfigMap) is a note: it may be in
/// the cluster. With --complete it is an error, and so is an origin without endpoints. Documents of other kinds,
/// such as Deployments, are left out. Distributions of each class are looked at together, as their fleet would.
///
/// Exit status: 0 without errors, 1 with some or when a file cannot be read, 2 on a usage error.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// YAML files, or folders of them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The files are all there is: what they name and do not have is an error
    #[arg(long)]
    complete: bool,

    /// For people, for scripts, or as annotations of a GitHub workflow
    #[arg(long, value_name = "FORMAT", default_value = "text", value_enum)]
    format: Format,
}

/// How problems are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One a line, and a summary.
    Text,
    /// One JSON object.
    Json,
    /// Workflow commands, and a summary.
    Github,
}

/// Looks at the files, and prints what it found.
///
/// # Errors
/// A path that does not exist.
pub(super) fn run(asked: &Check) -> anyhow::Result<End> {
    let missing = if asked.complete { Missing::IsAnError } else { Missing::MayBeInTheCluster };
    let judged = judge::all(&Reading::of(&asked.files)?, missing, Timestamp::now());
    print(&match asked.format {
        Format::Text => report::text(&judged),
        Format::Json => report::json(&judged),
        Format::Github => report::github(&judged),
    })?;
    let flawed = judged.problems.iter().any(|problem| problem.severity == Severity::Error);
    Ok(if flawed { End::Flawed } else { End::Well })
}
