//! 10,000 WebSockets, half of them over TLS, through 1,000 edits of other Distributions and 50 new certificates, and
//! then through a drain: none may close before it, and in it all are closed with 1012 and in pace.
//! `cargo bench --bench sockets` runs it; `-- --help` lists what can be chosen. It ends with 1 where a socket was
//! closed too early, without a word or out of pace, and where the drain did not end with 0.

#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

#[path = "../load/certificate.rs"]
mod certificate;
mod origin;
mod proxy;
mod viewer;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::{sleep, timeout};

use certificate::Certificate;
use proxy::Proxy;
use viewer::{Ended, Viewers};

/// Holds WebSockets through edits, new certificates and a drain
#[derive(Debug, Parser)]
#[command(name = "sockets")]
struct Options {
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    sockets: usize,

    /// Edits of Distributions that the sockets do not belong to
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    edits: usize,

    /// New certificates of the Distribution that they do belong to
    #[arg(long, value_name = "N", default_value_t = 50)]
    certificates: usize,

    /// Over how many seconds the drain closes them
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    spread: u64,

    /// What `cargo bench` says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// From one edit to the next: longer than what a burst is built in, so that each is a change of its own.
const BETWEEN_EDITS: Duration = Duration::from_millis(60);
/// How long memory may take to be as it will be.
const SETTLE: Duration = Duration::from_secs(15);
/// How much longer than its spread a drain may take: the echoes of the last closes, and some air.
const GRACE: Duration = Duration::from_secs(15);

/// How many closes a second there have to be for their pace to be judged.
const LEAST_PACED: f64 = 100.0;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    raise_descriptors(options.sockets)?;
    let certificate = Certificate::make()?;
    let origin = origin::start().await?;
    let spread = Duration::from_secs(options.spread);
    let mut proxy = Proxy::start(origin, &certificate, spread, spread + GRACE).await?;
    let bare = proxy.memory_kib()?;
    let mut viewers = Viewers::open(&proxy, &certificate, options.sockets).await?;
    ensure!(viewers.echo().await == options.sockets, "not every socket echoes");
    sleep(SETTLE).await;
    let open = proxy.memory_kib()?;
    println!(
        "{} sockets open: {:.1} KiB each",
        options.sockets,
        (open - bare) as f64 / options.sockets as f64
    );

    edit(&proxy, &options).await?;
    sleep(SETTLE).await;
    let early = viewers.ended().len();
    let echoed = viewers.echo().await;
    println!(
        "{} edits and {} certificates, {} tables published: {early} closed, {echoed} echo, {:+.1} MiB",
        options.edits,
        options.certificates,
        proxy.published().await?,
        (proxy.memory_kib()? as f64 - open as f64) / 1024.0,
    );

    let began = Instant::now();
    proxy.terminate().await?;
    let status = timeout(spread + 2 * GRACE, proxy.ended()).await.context("the drain does not end")??;
    println!("drained in {:.1} s with exit status {status}", began.elapsed().as_secs_f64());
    let in_pace = tell_drain(&viewers.all_ended().await, began, &options);
    let kept = early == 0 && echoed == options.sockets;
    Ok(if kept && status.success() && in_pace { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The proxy needs two descriptors a socket, and so do we.
fn raise_descriptors(sockets: usize) -> anyhow::Result<()> {
    let needed = 2 * sockets as u64 + 1_000;
    if getrlimit(Resource::Nofile).current.is_none_or(|limit| limit >= needed) {
        return Ok(());
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: Some(needed) }).with_context(|| {
        format!("{needed} file descriptors are needed: ulimit -n {needed}, or fewer --sockets")
    })
}

async fn edit(proxy: &Proxy, options: &Options) -> anyhow::Result<()> {
    let every = options.edits.checked_div(options.certificates).unwrap_or(usize::MAX).max(1);
    for edit in 0..options.edits {
        proxy.edit_another(edit)?;
        if edit % every == 0 && edit / every < options.certificates {
            proxy.swap_certificate(&Certificate::make()?)?;
        }
        sleep(BETWEEN_EDITS).await;
    }
    Ok(())
}

/// Says how the sockets were closed; whether all were told to come back, and in pace.
fn tell_drain(ended: &[(Ended, Instant)], began: Instant, options: &Options) -> bool {
    let told = ended.iter().filter(|(how, _)| *how == Ended::Close(1012)).count();
    let mut by_second = vec![0; usize::try_from(options.spread).unwrap_or_default()];
    for (_, at) in ended {
        let second = usize::try_from(at.duration_since(began).as_secs()).unwrap_or(usize::MAX);
        if let Some(closed) = by_second.get_mut(second) {
            *closed += 1;
        }
    }
    let plan = options.sockets as f64 / options.spread as f64;
    let off = |closed: &usize| (*closed as f64 / plan - 1.0).abs();
    let near = by_second.iter().filter(|closed| off(closed) <= 0.2).count();
    println!(
        "closed with 1012: {told} of {}; a second: {:.0} planned, {} to {}, {near} of {} seconds within 20 %",
        ended.len(),
        plan,
        by_second.iter().min().unwrap_or(&0),
        by_second.iter().max().unwrap_or(&0),
        by_second.len(),
    );
    // Of few sockets a second the jitter alone is more than that.
    let paced = near == by_second.len() || plan < LEAST_PACED;
    told == options.sockets && paced
}
