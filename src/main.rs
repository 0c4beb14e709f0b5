//! Chooses the cryptography and hands over to the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Only fails where a provider is already in place, and nothing ran before us.
    let _already_installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tidegate::cli::run(std::env::args_os())
}
