//! The metrics of the process itself, read from `/proc` at each scrape. What cannot be read is left out.

use std::fmt;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::exposition::{Family, Labels};

/// The unit of times in `/proc/self/stat`: Linux shows 100 per second to programs on every architecture that we
/// build for, whatever the kernel uses inside (proc(5), `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads `/proc/self`.
#[derive(Debug)]
pub(super) struct Process {
    started: SystemTime,
}

impl Process {
    /// A process that started just now.
    pub(super) fn new() -> Self {
        Self { started: SystemTime::now() }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let none = Labels(Vec::new());
        let since_epoch = self.started.duration_since(SystemTime::UNIX_EPOCH).map(|at| at.as_secs_f64());
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kib = |field| status_number(&status, field).map(|kib| kib * 1024.0);
        let gauges = [
            (
                "process_start_time_seconds",
                "When the process started, in seconds since 1970",
                since_epoch.ok(),
            ),
            ("process_resident_memory_bytes", "Resident memory", kib("VmRSS:")),
            ("process_virtual_memory_bytes", "Virtual memory", kib("VmSize:")),
            ("process_threads", "Threads", status_number(&status, "Threads:")),
            ("process_open_fds", "Open file descriptors", open_files()),
            ("process_max_fds", "The limit of open file descriptors", most_open_files()),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                Family::begin(&mut encoder, name, help, MetricType::Gauge)?.gauge(&none, value)?;
            }
        }
        if let Some(seconds) = cpu_seconds() {
            let help = "Time on the processor, user and system";
            let mut family =
                encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
            family.encode_counter::<prometheus_client::encoding::NoLabelSet, f64, f64>(&seconds, None)?;
        }
        Ok(())
    }
}

fn status_number(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

fn open_files() -> Option<f64> {
    // The directory that is being read is itself one of them.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

fn most_open_files() -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    status_number(&limits, "Max open files")
}

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses and may hold spaces; utime and stime are 14 and 15.
    let (_, after_name) = stat.rsplit_once(')')?;
    let ticks: Vec<f64> =
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Some(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}
