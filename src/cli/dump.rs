//! `tidegate dump`: the live routing table of a replica, the page `/debug/table`.

use clap::Args;

use super::replica::Replica;
use super::{End, print};

/// Print the live routing table of a replica, as JSON
///
/// By Distribution: its aliases, certificate, behaviors, origins and endpoints, as requests are served from them
/// right now. Certificates are fingerprints, and values of headers are left out, since they may come from Secrets.
#[derive(Debug, Args)]
pub(super) struct Dump {
    #[command(flatten)]
    replica: Replica,
}

/// Prints the page.
///
/// # Errors
/// A replica that cannot be asked.
pub(super) fn run(asked: &Dump) -> anyhow::Result<End> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    print(&runtime.block_on(asked.replica.page("/debug/table"))?)
}
