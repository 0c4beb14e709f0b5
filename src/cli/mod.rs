//! The command line: one file a command, wiring only.
//!
//! What is typed wrongly ends with 2 and says what to write instead, what fails later with 1 and one sentence.

mod check;
mod columns;
mod connections;
mod crd;
mod demo;
mod descriptors;
mod dump;
mod ending;
mod explain;
mod offline;
mod probe;
mod replica;
mod request;
mod serve;
mod signals;
mod source;
mod status;
mod tasks;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::printable::printable;
use crate::settings::Settings;
use crate::telemetry::metrics::Build;

/// What this binary is.
pub(crate) const BUILD: Build = Build { version: env!("CARGO_PKG_VERSION"), commit: env!("TIDEGATE_COMMIT") };

/// A Kubernetes ingress controller for WebSocket and HTTP, with CloudFront's Distribution model
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("TIDEGATE_COMMIT"), ")"),
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the ingress controller
    ///
    /// Watches a cluster, or a folder with --manifests, and serves what its Distributions say. SIGTERM and SIGINT
    /// drain, a second one ends at once. Exit status: 0 after a clean drain, 1 on an error, 2 on a usage error,
    /// 3 when the drain's deadline cut connections.
    Serve(Box<Settings>),
    Demo(demo::Demo),
    Status(status::Status),
    Connections(connections::Connections),
    Check(check::Check),
    Explain(explain::Explain),
    Dump(dump::Dump),
    Probe(probe::Probe),
    Crd(crd::Crd),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As it should.
    Well,
    /// The drain's deadline cut connections.
    Cut,
    /// What was looked at has errors, which are told.
    Flawed,
}

/// Runs the command that `arguments` (with the program's name first) ask for, and says how it ended: 0 well,
/// 1 with an error, 2 with a usage error, 3 when the drain's deadline cut connections.
pub fn run(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let command = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line.command,
        Err(usage) => return tell_usage(&usage),
    };
    match execute(command) {
        Ok(End::Well) => ExitCode::SUCCESS,
        Ok(End::Cut) => ExitCode::from(3),
        Ok(End::Flawed) => ExitCode::FAILURE,
        Err(error) => match error.downcast_ref::<clap::Error>() {
            Some(usage) => tell_usage(usage),
            None => fail(&error),
        },
    }
}

fn execute(command: Command) -> anyhow::Result<End> {
    match command {
        Command::Serve(settings) => serve::run(&settings),
        Command::Demo(demo) => demo::run(&demo),
        Command::Status(asked) => status::run(&asked),
        Command::Connections(asked) => connections::run(&asked),
        Command::Check(asked) => check::run(&asked),
        Command::Explain(asked) => explain::run(&asked),
        Command::Dump(asked) => dump::run(&asked),
        Command::Probe(asked) => probe::run(&asked),
        Command::Crd(asked) => crd::run(&asked),
    }
}

/// Prints what a command found out.
fn print(text: &str) -> anyhow::Result<End> {
    taken(io::stdout().lock().write_all(text.as_bytes())).map(|_taken| End::Well)
}

/// Whether there is anybody left to write to.
fn taken(written: io::Result<()>) -> anyhow::Result<ControlFlow<End>> {
    match written {
        // Whoever reads, as `head` does, has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(End::Well)),
        written => written.map(ControlFlow::Continue).context("stdout does not take the output"),
    }
}

/// What was typed is wrong in a way that only its meaning tells.
fn usage(wrong: impl Display) -> anyhow::Error {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{wrong}\n")).into()
}

/// Tells one line beside the output, which scripts read.
#[expect(clippy::print_stderr, reason = "stdout has the answer")]
fn note(told: impl Display) {
    eprintln!("{}", printable(&told.to_string()));
}

/// Help and version go to stdout and end well; usage errors go to stderr and end with 2.
fn tell_usage(usage: &clap::Error) -> ExitCode {
    // Nobody is left to tell when the terminal itself is gone.
    let _terminal_gone = usage.print();
    u8::try_from(usage.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[expect(clippy::print_stderr, reason = "the one sentence that a failed command leaves behind")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", sentence(error));
    ExitCode::FAILURE
}

/// The error with its causes, as far as the last one: some messages name it themselves, before the remedy.
fn sentence(error: &anyhow::Error) -> String {
    let root = error.root_cause().to_string();
    let mut sentence = error.to_string();
    let mut causes = error.chain().skip(1);
    while let Some(cause) = causes.next().filter(|_| !sentence.contains(&root)) {
        sentence = format!("{sentence}: {cause}");
    }
    sentence
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_cause_that_the_message_names_is_not_said_twice() {
        let cause = "permission denied";
        let named = anyhow!(cause).context(format!("cannot listen: {cause}; choose another port"));
        assert_eq!(sentence(&named), "cannot listen: permission denied; choose another port");
        let between = anyhow!(cause).context("bind failed").context(format!("cannot listen: {cause}; retry"));
        assert_eq!(sentence(&between), "cannot listen: permission denied; retry");
        let unnamed = anyhow!(cause).context("cannot listen");
        assert_eq!(sentence(&unnamed), "cannot listen: permission denied");
    }
}
