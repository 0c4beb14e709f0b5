//! This machine: its description, who runs on which core, and what the kernel knows of a process.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many files each process should be allowed to have open.
const DESCRIPTORS: u64 = 50_000;

/// Which cores are whose: the last one is the proxy's alone, the others are the load's and the origin's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    proxy: usize,
}

impl Cores {
    pub(crate) fn of_this_machine() -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        if cores < 2 {
            bail!("two cores are needed: one for the proxy and one for the load");
        }
        Ok(Self { proxy: cores - 1 })
    }

    /// Keeps this process, and what it starts without [`Self::on_proxy_core`], off the proxy's core.
    pub(crate) fn pin_load(self) -> anyhow::Result<()> {
        let cores = format!("0-{}", self.proxy - 1);
        let own = std::process::id().to_string();
        let pinned = Command::new("taskset").args(["-apc", &cores, &own]).stdout(Stdio::null()).status();
        if !pinned.context("taskset (util-linux) does not start")?.success() {
            bail!("taskset cannot move this process to the cores {cores}");
        }
        Ok(())
    }

    /// A command that runs on the proxy's core.
    pub(crate) fn on_proxy_core(self, program: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("taskset");
        command.args(["-c", &self.proxy.to_string(), program]);
        command
    }
}

/// Raises the limit of open files as far as it goes, for this process and what it starts; says what it is.
pub(crate) fn raise_descriptors() -> u64 {
    let before = getrlimit(Resource::Nofile);
    let wanted = before.maximum.map(|most| most.max(DESCRIPTORS));
    // Only root may raise the hard limit, and not everywhere.
    if setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum: wanted }).is_err() {
        let _as_many_as_may_be =
            setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(DESCRIPTORS)
}

/// How many connections can be passed on, each of which is two files: for the proxy, and for viewers and origin in
/// this process.
pub(crate) fn passable(descriptors: u64) -> usize {
    // Listeners, logs, libraries.
    const OTHERS: u64 = 200;
    usize::try_from(descriptors.saturating_sub(OTHERS) / 2).unwrap_or(usize::MAX)
}

/// The machine in one line.
pub(crate) fn description() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let model = model.map_or("unknown CPU", |(_, model)| model);
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

/// How much CPU time a process and its children have used, all threads that live.
///
/// # Errors
/// The process is gone.
pub(crate) fn cpu_time(process: u32) -> anyhow::Result<Duration> {
    let mut total = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{process}/task")).context("the proxy has ended")? {
        // A thread may end in between.
        let accounted = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let on_cpu = accounted.split_whitespace().next().and_then(|number| number.parse().ok());
        total += Duration::from_nanos(on_cpu.unwrap_or_default());
    }
    for child in children(process) {
        total += cpu_time(child)?;
    }
    Ok(total)
}

/// The memory of a process and its children, in KiB; what they share is counted once.
///
/// # Errors
/// The process is gone.
pub(crate) fn memory_kib(process: u32) -> anyhow::Result<u64> {
    let map = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).context("the proxy has ended")?;
    let share = map.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"));
    let mut total = share.context("no Pss in smaps_rollup")?.trim().parse()?;
    for child in children(process) {
        total += memory_kib(child)?;
    }
    Ok(total)
}

fn children(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}
