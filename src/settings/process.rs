//! The process itself: its threads, its logs, and the door for operators.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use clap::Args;
use ipnet::IpNet;

use super::network::network;
use crate::telemetry::access_log::Scope;
use crate::telemetry::log::Format;
use crate::telemetry::metrics::Detail;

/// More data-plane threads than this are used only when asked for.
const MOST_DEFAULT_WORKERS: usize = 16;

/// What the process is given.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Process")]
pub struct Process {
    /// Data-plane threads; without this flag one per core that the process may use, 16 at most
    #[arg(long, env = "TIDEGATE_WORKERS", value_name = "N")]
    workers: Option<NonZeroUsize>,

    /// Where health, metrics and debug pages are served; keep it off the public Service
    #[arg(long, env = "TIDEGATE_ADMIN_LISTEN", value_name = "ADDR", default_value = "[::]:9090")]
    pub admin_listen: SocketAddr,

    /// Who may read the debug pages: networks, or single addresses
    ///
    /// `kubectl port-forward` comes from loopback.
    #[arg(
        long,
        env = "TIDEGATE_DEBUG_FROM",
        value_name = "CIDR,...",
        value_delimiter = ',',
        default_value = "127.0.0.0/8,::1/128",
        value_parser = network
    )]
    pub debug_from: Vec<IpNet>,

    /// Which requests have a line in the access log, one JSON object each on stdout
    #[arg(long, env = "TIDEGATE_ACCESS_LOG", value_name = "SCOPE", default_value = "all", value_enum)]
    pub access_log: Scope,

    /// Whether the metrics of requests carry the behavior's pattern, too
    #[arg(
        long,
        env = "TIDEGATE_METRICS_DETAIL",
        value_name = "DETAIL",
        default_value = "distribution",
        value_enum
    )]
    pub metrics_detail: Detail,

    /// The name of this replica, in the access log and among the others; without this flag POD_NAME, else the name
    /// of the machine
    #[arg(long, env = "TIDEGATE_IDENTITY", value_name = "NAME")]
    identity: Option<String>,

    /// The namespace of this replica, where it and the others keep their Leases; without this flag POD_NAMESPACE,
    /// else that of the kubeconfig
    #[arg(long, env = "TIDEGATE_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,

    /// How the process's own log looks, on stderr; without this flag pretty on a terminal, else json
    #[arg(long, env = "TIDEGATE_LOG_FORMAT", value_name = "FORMAT", value_enum)]
    pub log_format: Option<Format>,

    /// How much is logged: a level, or levels by module (`info,tidegate::provider=debug`)
    #[arg(
        long,
        env = "TIDEGATE_LOG_LEVEL",
        value_name = "FILTER",
        default_value = "info",
        value_parser = log_filter
    )]
    pub log_level: String,
}

impl Process {
    /// What this replica is called.
    pub fn identity(&self) -> String {
        let of_pod = || of_environment("POD_NAME");
        let of_machine = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let name = self.identity.clone().or_else(of_pod).or_else(of_machine).unwrap_or_default();
        name.trim().to_owned()
    }

    /// Which namespace it is in, if that is said.
    pub fn namespace(&self) -> Option<String> {
        self.namespace.clone().or_else(|| of_environment("POD_NAMESPACE"))
    }

    /// The pod that it is, if it is one that was told so: name and uid.
    pub fn pod(&self) -> Option<(String, String)> {
        Some((of_environment("POD_NAME")?, of_environment("POD_UID")?))
    }

    /// How many data-plane threads there are.
    pub fn workers(&self) -> NonZeroUsize {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let most = NonZeroUsize::new(MOST_DEFAULT_WORKERS).unwrap_or(NonZeroUsize::MIN);
        self.workers.unwrap_or_else(|| cores().min(most))
    }
}

/// What the chart sets; a field that the pod does not have arrives empty.
fn of_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Only checks: a filter cannot be cloned, and the settings can.
fn log_filter(text: &str) -> Result<String, String> {
    match crate::telemetry::log::parse_filter(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("write a level (error, warn, info, debug, trace) or levels by module, such as info,tidegate::provider=debug".to_owned()),
    }
}
