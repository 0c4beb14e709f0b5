//! Which objects are served, and from where.

use std::path::PathBuf;

use clap::{ArgAction, Args};

/// Where objects come from.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Where objects come from")]
pub struct Objects {
    /// Serve the YAML under PATH (a file or a directory) instead of a cluster, and reload it when it changes
    ///
    /// May be given several times. The same kinds as in a cluster: Distribution, Service, EndpointSlice, Secret,
    /// ConfigMap, ReferenceGrant, Challenge.
    #[arg(long, env = "TIDEGATE_MANIFESTS", value_name = "PATH")]
    pub manifests: Vec<PathBuf>,

    /// Which API server to watch; without this flag the pod's own, else the usual kubeconfig
    #[arg(long, env = "TIDEGATE_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Serve Distributions whose `spec.className` is NAME
    ///
    /// The Lease that elects the replica which writes their status has the same name.
    #[arg(
        long,
        env = "TIDEGATE_CLASS_NAME",
        value_name = "NAME",
        default_value = "tidegate",
        value_parser = class
    )]
    pub class_name: String,

    /// Also serve Distributions that name no class; say false for a second installation
    #[arg(
        long,
        env = "TIDEGATE_DEFAULT_CLASS",
        value_name = "true|false",
        default_value_t = true,
        action = ArgAction::Set,
        hide_possible_values = true
    )]
    pub default_class: bool,

    /// Serve another class, too, and leave its status to whoever else serves it
    ///
    /// For moving from one fleet to another: the new one serves before the old one ends.
    #[arg(long, env = "TIDEGATE_ALSO_SERVE_CLASS", value_name = "NAME", value_parser = class)]
    pub also_serve_class: Option<String>,

    /// Watch only these namespaces; all without this flag
    #[arg(
        long,
        env = "TIDEGATE_WATCH_NAMESPACES",
        value_name = "A,B",
        value_delimiter = ',',
        value_parser = namespace
    )]
    pub watch_namespaces: Vec<String>,

    /// Also answer ACME challenges (HTTP-01) for hosts that no Distribution has
    ///
    /// Those of other hosts are answered where a Distribution of the Challenge's own namespace has the host. With this
    /// flag whoever may create Challenges can have a certificate issued for any other host that leads here.
    #[arg(long, env = "TIDEGATE_ACME_UNCLAIMED_HOSTS")]
    pub acme_unclaimed_hosts: bool,
    /// Keep the last good configuration in FILE, for a start while the API server is away
    ///
    /// A start that has not heard everything from the API server within 10 s serves from it until it has. It holds
    /// private keys, so give it a volume in memory, which outlives the container and nothing else.
    #[arg(long, env = "TIDEGATE_SNAPSHOT_PATH", value_name = "FILE")]
    pub snapshot_path: Option<PathBuf>,

    /// Whether the file has what stands in Secrets; a replica that starts from one without is not ready
    #[arg(
        long,
        env = "TIDEGATE_SNAPSHOT_KEYS",
        value_name = "true|false",
        default_value_t = true,
        action = ArgAction::Set,
        hide_possible_values = true
    )]
    pub snapshot_keys: bool,

    /// The zone that this replica is in: endpoints that are hinted for it are asked before others
    ///
    /// The chart takes it from the pod's label topology.kubernetes.io/zone, where the cluster sets that.
    #[arg(long, env = "TIDEGATE_ZONE", value_name = "NAME")]
    zone: Option<String>,
}

impl Objects {
    /// The zone of this replica, if it is known: a label that the pod does not have arrives empty.
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref().filter(|zone| !zone.is_empty())
    }
}

/// It names a Lease, and is the value of a label.
fn class(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_plain =
        |part: &str| part.bytes().next().is_some_and(plain) && part.bytes().last().is_some_and(plain);
    let inner = |byte: u8| plain(byte) || byte == b'-' || byte == b'.';
    if text.len() > 63 || !text.bytes().all(inner) || !text.split('.').all(ends_plain) {
        return Err("write a name such as tidegate or internal-sites: up to 63 lower-case letters, digits, `-` and `.`"
            .to_owned());
    }
    Ok(text.to_owned())
}

/// An empty name would mean all namespaces to the API server.
fn namespace(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() || !text.bytes().all(plain) {
        return Err("write the names of namespaces with commas between, such as shop,blog; \
                    or leave the flag out for all"
            .to_owned());
    }
    Ok(text.to_owned())
}
