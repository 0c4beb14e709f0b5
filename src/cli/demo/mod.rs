//! `tidegate demo`: the main job with nothing else installed.
//!
//! Two instances of an embedded [`origin`], a [`folder`] of manifests that points at them, the very serving of
//! `tidegate serve` on free loopback [`ports`], and a [`guide`] of commands to try. Nothing here knows how a request
//! is served. Start with [`run`].

mod folder;
mod guide;
mod origin;
mod ports;
mod websocket;

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};

use self::folder::Folder;
use self::origin::Origins;
use super::{End, serve};
use crate::settings::Settings;
use crate::telemetry::log::{self, Format};

/// Try Tidegate with nothing else installed: no cluster, no root, no network
///
/// Starts two instances of a small HTTP and WebSocket origin, writes a folder of manifests with two Distributions and
/// a self-signed certificate, serves it on loopback and prints three commands to try.
/// Ctrl-C ends it and removes the folder, unless --dir named one.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Demo {
    /// Write the manifests here, and leave them there at the end; files of the same names are replaced
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send messages over a WebSocket and print what comes back
    Websocket(websocket::Websocket),
}

/// Runs the demo until a signal ends it, or the client that its guide uses.
///
/// # Errors
/// No port, no folder; and whatever ends serving.
pub(super) fn run(demo: &Demo) -> anyhow::Result<End> {
    match &demo.command {
        Some(Command::Websocket(asked)) => websocket::run(asked).map(|()| End::Well),
        None => serve_demo(demo.dir.as_deref()),
    }
}

fn serve_demo(dir: Option<&Path>) -> anyhow::Result<End> {
    let addresses = Addresses::free().context("no free port on loopback")?;
    let origins = Origins::start(&["blue", "green"]).context("the demo's origin did not start")?;
    let folder = Folder::write(dir, origins.instances())?;
    let settings = Settings::from_flags(flags(folder.path(), &addresses))?;
    log::start(Format::for_stderr(), log::parse_filter(&settings.process.log_level)?);
    let text = guide::text(&guide::program(), folder.path(), addresses.https, addresses.admin);
    serve::serve(&settings, |_| {
        if let Err(error) = io::stdout().lock().write_all(text.as_bytes()) {
            tracing::warn!(%error, "the guide cannot be printed");
        }
    })
}

/// Where the demo listens.
struct Addresses {
    http: SocketAddr,
    https: SocketAddr,
    admin: SocketAddr,
}

impl Addresses {
    fn free() -> io::Result<Self> {
        Ok(Self {
            http: ports::next_free(8080)?,
            https: ports::next_free(8443)?,
            admin: ports::next_free(9090)?,
        })
    }
}

/// What somebody would type after `tidegate serve` for the same.
///
/// Nobody sends the demo's viewers elsewhere, so the drain begins at once and is short. Standard output belongs to
/// the guide.
fn flags(folder: &Path, addresses: &Addresses) -> Vec<OsString> {
    let Addresses { http, https, admin } = addresses;
    let mut flags: Vec<OsString> = [
        format!("--http-listen={http}"),
        format!("--https-listen={https}"),
        format!("--admin-listen={admin}"),
        format!("--https-redirect-port={}", https.port()),
        "--access-log=off".to_owned(),
        "--drain-delay=0s".to_owned(),
        "--drain-timeout=6s".to_owned(),
        "--websocket-drain-spread=1s".to_owned(),
    ]
    .map(OsString::from)
    .into();
    flags.extend(["--manifests".into(), folder.as_os_str().to_owned()]);
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_is_something_that_serve_accepts() {
        let addresses = Addresses::free().expect("ports");
        let settings = Settings::from_flags(flags(Path::new("/tmp/demo"), &addresses)).expect("settings");
        assert_eq!(settings.contradiction(), None);
        assert_eq!(settings.viewers.https_redirect_port, addresses.https.port());
        assert_eq!(settings.objects.manifests, [Path::new("/tmp/demo")]);
    }
}
