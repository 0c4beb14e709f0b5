//! Chooses the allocator and the cryptography, and hands over to the command line.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// What connections leave behind goes back to the system within seconds, by a thread of its own
/// (`docs/decisions/0015-jemalloc.md`).
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    // Only fails where a provider is already in place, and nothing ran before us.
    let _already_installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tidegate::cli::run(std::env::args_os())
}
