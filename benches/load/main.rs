//! `make bench`: Tidegate, nginx and HAProxy side by side, one worker each, before the same origin and behind the
//! same load.
//!
//! What is compared is the proxy's own CPU time for one request, connection or handshake, as the scheduler accounts
//! it, since that survives a noisy machine; and the memory of idle connections. The rounds of all proxies are
//! interleaved, medians and ratios are told. Nothing here asserts: numbers are read by people.
//!
//! Start at [`rows::ROWS`], which is what is measured; `measure` is how, `proxy` is who.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod certificate;
mod echo;
mod machine;
mod measure;
mod options;
mod origin;
mod proxy;
mod report;
mod rows;
mod viewers;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use certificate::Certificate;
use machine::Cores;
use options::Options;
use origin::Origin;
use proxy::Program;
use report::Report;

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.context("no runtime").and_then(|runtime| runtime.block_on(run(&options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let rows = options.rows()?;
    let cores = Cores::of_this_machine()?;
    cores.pin_load()?;
    let passable = machine::passable(machine::raise_descriptors());
    let (programs, absent) = Program::find(&options.build, &options.against);
    let origin = Origin::start()?;
    let certificate = Certificate::make()?;
    let bench = measure::Bench { options, cores, passable, origin, certificate, programs };
    let mut report = Report::new(&bench);
    for row in rows {
        report.add(row, bench.measure(row).await.with_context(|| format!("row {}", row.name))?);
    }
    println!("\n{}", report.markdown());
    if let Some(path) = &options.json {
        report.write_json(path)?;
    }
    if options.is_complete() {
        println!("kept in {}", report.keep()?.display());
    }
    for peer in absent {
        println!("{peer}");
    }
    Ok(())
}
