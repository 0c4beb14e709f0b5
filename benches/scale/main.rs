//! Thousands of Distributions, of which one changes: how long until workers serve the new table, and what all of
//! them cost in time and memory. `cargo bench --bench scale` runs it; `-- --distributions 10000` says how many.
//!
//! Everything but Kubernetes is real: the translation, the data plane with its workers, certificates that are
//! parsed. What the API server adds is another matter.

mod world;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use tidegate::dataplane::{self, Config, Entrance, Handle, Limits};
use tidegate::overload;
use tidegate::snapshot::Snapshot;
use tidegate::telemetry::access_log::{self, Scope};
use tidegate::telemetry::metrics::{Build, Metrics};
use tidegate::translate::{EndpointAddresses, Memory, Options, translate};
use world::{Edit, World};

/// One Distribution among thousands changes.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many there are, each with an alias, a certificate, a Service and five endpoints.
    #[arg(long, default_value_t = 5_000)]
    distributions: usize,
    /// How often each kind of change is made.
    #[arg(long, default_value_t = 300)]
    changes: usize,
    /// Cargo says it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[expect(clippy::print_stdout, reason = "it is a program for people")]
fn main() -> anyhow::Result<()> {
    let Arguments { distributions, changes, bench: _ } = Arguments::parse();
    let began = Instant::now();
    let mut world = World::new(distributions)?;
    println!("{distributions} Distributions written in {:.1} s", began.elapsed().as_secs_f64());
    let without = resident()?;
    let plane = start()?;
    let mut served = Served { plane, options: options(), memory: Memory::default() };
    let cold = served.serve(world.snapshot());
    println!("from nothing: {:.0} ms", milliseconds(cold));
    println!("memory: {} MiB above the objects themselves", (resident()? - without) >> 20);
    println!("| one changes | p50 ms | p99 ms | most ms |\n|---|---|---|---|");
    for edit in Edit::ALL {
        let mut took: Vec<Duration> = (0..changes)
            .map(|round| {
                world.apply(edit, round)?;
                Ok(served.serve(world.snapshot()))
            })
            .collect::<anyhow::Result<_>>()?;
        took.sort_unstable();
        let at = |share: usize| milliseconds(took[(took.len() * share / 100).min(took.len() - 1)]);
        println!("| {edit} | {:.1} | {:.1} | {:.1} |", at(50), at(99), at(100));
    }
    println!("memory after them: {} MiB above the objects themselves", (resident()? - without) >> 20);
    Ok(())
}

/// What serves, and what it remembers.
struct Served {
    plane: Handle,
    options: Options,
    memory: Memory,
}

impl Served {
    /// Translates and publishes; how long both took.
    fn serve(&mut self, snapshot: &Snapshot) -> Duration {
        let began = Instant::now();
        let translation = translate(snapshot, &self.options, std::mem::take(&mut self.memory));
        self.memory = translation.memory;
        assert!(self.plane.publish(translation.table), "every change changes the table");
        began.elapsed()
    }
}

fn options() -> Options {
    Options {
        default_certificate: None,
        base_domain: None,
        endpoint_addresses: EndpointAddresses::Cluster,
        zone: None,
        acme_unclaimed_hosts: false,
    }
}

fn start() -> anyhow::Result<Handle> {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = Config {
        http: vec![local],
        https: vec![local],
        workers: NonZeroUsize::MIN,
        limits: Limits::default(),
        entrance: Entrance::default(),
        https_redirect_port: 443,
        overload: overload::channel().1,
    };
    let metrics = Metrics::new(Build { version: "0", commit: "0" });
    let (log, _writer) = access_log::start(Scope::Off, "bench", std::io::sink(), metrics.clone())?;
    let (_controller, drain) = tidegate::drain::channel();
    Ok(dataplane::start(&config, &drain, &metrics, &log)?)
}

/// Bytes of this process that are in memory.
fn resident() -> anyhow::Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let fields: BTreeMap<_, _> = status.lines().filter_map(|line| line.split_once(':')).collect();
    let kibibytes = fields.get("VmRSS").context("the kernel does not say VmRSS")?;
    let kibibytes: usize = kibibytes.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes << 10)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
