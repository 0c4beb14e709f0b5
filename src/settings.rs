//! What `tidegate serve` was told, by flags and environment: read, checked and typed once, at the start.
//!
//! It does not act on anything. Start with [`Settings`]; [`Settings::contradiction`] is what no single flag can
//! tell.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Args, Command, FromArgMatches};
use ipnet::IpNet;
use jiff::SignedDuration;

use crate::object::ObjectKey;
use crate::telemetry::access_log::Scope;
use crate::telemetry::log::Format;

/// A peer that got a Close frame has this long to answer it, so the last close must begin that much earlier than
/// the drain's end.
const CLOSE_ECHO: Duration = Duration::from_secs(5);

/// More data-plane threads than this are used only when asked for.
const MOST_DEFAULT_WORKERS: usize = 16;

/// The settings of `tidegate serve`.
///
/// Every flag can also be set as an environment variable, named in brackets.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Serve the YAML under PATH (a file or a directory) instead of a cluster, and reload it when it changes
    ///
    /// May be given several times. The same kinds as in a cluster: Distribution, Service, EndpointSlice, Secret.
    #[arg(long, env = "TIDEGATE_MANIFESTS", value_name = "PATH", help_heading = "Where objects come from")]
    pub manifests: Vec<PathBuf>,

    /// Which API server to watch; without this flag the pod's own, else the usual kubeconfig
    #[arg(long, env = "TIDEGATE_KUBECONFIG", value_name = "FILE", help_heading = "Where objects come from")]
    pub kubeconfig: Option<PathBuf>,

    /// Serve Distributions whose `spec.className` is NAME
    #[arg(
        long,
        env = "TIDEGATE_CLASS_NAME",
        value_name = "NAME",
        default_value = "tidegate",
        help_heading = "Where objects come from"
    )]
    pub class_name: String,

    /// Also serve Distributions that name no class; say false for a second installation
    #[arg(
        long,
        env = "TIDEGATE_DEFAULT_CLASS",
        value_name = "true|false",
        default_value_t = true,
        action = ArgAction::Set,
        hide_possible_values = true,
        help_heading = "Where objects come from"
    )]
    pub default_class: bool,

    /// Watch only these namespaces; all without this flag
    #[arg(
        long,
        env = "TIDEGATE_WATCH_NAMESPACES",
        value_name = "A,B",
        value_delimiter = ',',
        value_parser = namespace,
        help_heading = "Where objects come from"
    )]
    pub watch_namespaces: Vec<String>,

    /// Where viewers come without TLS; `off` for nowhere
    ///
    /// May be given several times.
    #[arg(
        long,
        env = "TIDEGATE_HTTP_LISTEN",
        value_name = "ADDR",
        value_delimiter = ',',
        default_value = "[::]:8080",
        help_heading = "Viewers"
    )]
    http_listen: Vec<Listen>,

    /// Where viewers come with TLS; `off` for nowhere
    ///
    /// May be given several times.
    #[arg(
        long,
        env = "TIDEGATE_HTTPS_LISTEN",
        value_name = "ADDR",
        value_delimiter = ',',
        default_value = "[::]:8443",
        help_heading = "Viewers"
    )]
    https_listen: Vec<Listen>,

    /// The Secret for Distributions without `viewerCertificate` and for names that nobody owns
    ///
    /// Without it such handshakes are refused.
    #[arg(
        long,
        env = "TIDEGATE_DEFAULT_CERTIFICATE",
        value_name = "NAMESPACE/NAME",
        help_heading = "Viewers"
    )]
    pub default_certificate: Option<ObjectKey>,

    /// The port in the Location of a redirect to HTTPS; 443 is left out of it
    #[arg(
        long,
        env = "TIDEGATE_HTTPS_REDIRECT_PORT",
        value_name = "N",
        default_value_t = 443,
        help_heading = "Viewers"
    )]
    pub https_redirect_port: u16,

    /// How long a viewer may take to send a request's head
    #[arg(
        long,
        env = "TIDEGATE_VIEWER_HEADER_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration,
        help_heading = "Viewers"
    )]
    pub viewer_header_timeout: Duration,

    /// How long a viewer's connection is kept between two requests
    ///
    /// The default is above the 60 s of common load balancers, so that they close first.
    #[arg(
        long,
        env = "TIDEGATE_VIEWER_IDLE_TIMEOUT",
        value_name = "DURATION",
        default_value = "75s",
        value_parser = duration,
        help_heading = "Viewers"
    )]
    pub viewer_idle_timeout: Duration,

    /// How long a TLS handshake may take
    #[arg(
        long,
        env = "TIDEGATE_TLS_HANDSHAKE_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration,
        help_heading = "Viewers"
    )]
    pub tls_handshake_timeout: Duration,

    /// Data-plane threads; without this flag one per core that the process may use, 16 at most
    #[arg(long, env = "TIDEGATE_WORKERS", value_name = "N", help_heading = "Process")]
    workers: Option<NonZeroUsize>,

    /// Where health, metrics and debug pages are served; keep it off the public Service
    #[arg(
        long,
        env = "TIDEGATE_ADMIN_LISTEN",
        value_name = "ADDR",
        default_value = "[::]:9090",
        help_heading = "Process"
    )]
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
        value_parser = network,
        help_heading = "Process"
    )]
    pub debug_from: Vec<IpNet>,

    /// Which requests have a line in the access log, one JSON object each on stdout
    #[arg(
        long,
        env = "TIDEGATE_ACCESS_LOG",
        value_name = "SCOPE",
        default_value = "all",
        value_enum,
        help_heading = "Process"
    )]
    pub access_log: Scope,

    /// How the process's own log looks, on stderr; without this flag pretty on a terminal, else json
    #[arg(long, env = "TIDEGATE_LOG_FORMAT", value_name = "FORMAT", value_enum, help_heading = "Process")]
    pub log_format: Option<Format>,

    /// How much is logged: a level, or levels by module (`info,tidegate::provider=debug`)
    #[arg(
        long,
        env = "TIDEGATE_LOG_LEVEL",
        value_name = "FILTER",
        default_value = "info",
        value_parser = log_filter,
        help_heading = "Process"
    )]
    pub log_level: String,

    /// After SIGTERM: how long everything goes on, while answers ask viewers to leave (`Connection: close`)
    #[arg(
        long,
        env = "TIDEGATE_DRAIN_DELAY",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration,
        help_heading = "Ending"
    )]
    pub drain_delay: Duration,

    /// Then: how long requests are still served and WebSockets closed in pace, before the rest is cut
    #[arg(
        long,
        env = "TIDEGATE_DRAIN_TIMEOUT",
        value_name = "DURATION",
        default_value = "45s",
        value_parser = duration,
        help_heading = "Ending"
    )]
    pub drain_timeout: Duration,

    /// The time over which those closes of WebSockets are spread, so that clients do not come back as one wave
    #[arg(
        long,
        env = "TIDEGATE_WEBSOCKET_DRAIN_SPREAD",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration,
        help_heading = "Ending"
    )]
    pub websocket_drain_spread: Duration,
}

/// A combination of settings that cannot be meant; the text says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// Two sources of objects.
    #[error("--manifests and --kubeconfig are two sources of objects; keep one of them")]
    TwoSources,
    /// Files have no watches that could be narrowed.
    #[error(
        "--watch-namespaces narrows a cluster, and --manifests serves every namespace in its files; leave out one of them"
    )]
    NamespacesOfFiles,
    /// `off` beside an address.
    #[error("{flag} is `off` and an address at once; keep either `off` or the addresses")]
    OffAndOn {
        /// The flag.
        flag: &'static str,
    },
    /// Nothing is listened on.
    #[error(
        "--http-listen and --https-listen are both `off`, so nothing would be served; give one of them an address"
    )]
    NoListener,
    /// The last close would begin too late.
    #[error(
        "--websocket-drain-spread {spread:?} and 5s for the last answers do not fit into --drain-timeout {timeout:?}; \
         write --drain-timeout {fitting:?} or more, or a shorter spread"
    )]
    SpreadTooLong {
        /// `--websocket-drain-spread`.
        spread: Duration,
        /// `--drain-timeout`.
        timeout: Duration,
        /// The shortest `--drain-timeout` that fits.
        fitting: Duration,
    },
}

impl Settings {
    /// The settings that `flags` (without a program's name) and the environment give, unchecked.
    ///
    /// # Errors
    /// What clap has to say of a flag that is unknown or does not parse.
    pub fn from_flags<I>(flags: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator,
        I::Item: Into<OsString> + Clone,
    {
        let command = Self::augment_args(Command::new("tidegate serve").no_binary_name(true));
        Self::from_arg_matches(&command.try_get_matches_from(flags)?)
    }

    /// What no single flag can tell: two that cannot both be meant.
    pub fn contradiction(&self) -> Option<Contradiction> {
        if !self.manifests.is_empty() && self.kubeconfig.is_some() {
            return Some(Contradiction::TwoSources);
        }
        if !self.manifests.is_empty() && !self.watch_namespaces.is_empty() {
            return Some(Contradiction::NamespacesOfFiles);
        }
        for (flag, listen) in [("--http-listen", &self.http_listen), ("--https-listen", &self.https_listen)] {
            if listen.len() > 1 && listen.contains(&Listen::Off) {
                return Some(Contradiction::OffAndOn { flag });
            }
        }
        if self.http_listen().is_empty() && self.https_listen().is_empty() {
            return Some(Contradiction::NoListener);
        }
        let fitting = self.websocket_drain_spread.saturating_add(CLOSE_ECHO);
        (fitting > self.drain_timeout).then_some(Contradiction::SpreadTooLong {
            spread: self.websocket_drain_spread,
            timeout: self.drain_timeout,
            fitting,
        })
    }

    /// The addresses for viewers without TLS.
    pub fn http_listen(&self) -> Vec<SocketAddr> {
        addresses(&self.http_listen)
    }

    /// The addresses for viewers with TLS.
    pub fn https_listen(&self) -> Vec<SocketAddr> {
        addresses(&self.https_listen)
    }

    /// How many data-plane threads there are.
    pub fn workers(&self) -> NonZeroUsize {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let most = NonZeroUsize::new(MOST_DEFAULT_WORKERS).unwrap_or(NonZeroUsize::MIN);
        self.workers.unwrap_or_else(|| cores().min(most))
    }
}

/// A value of `--http-listen` or `--https-listen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listen {
    Off,
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let address = text
            .parse()
            .map_err(|_| "write an address with its port, such as 0.0.0.0:8080 or [::]:8080, or `off`");
        Ok(Self::At(address?))
    }
}

fn addresses(listen: &[Listen]) -> Vec<SocketAddr> {
    let at = |listen: &Listen| match listen {
        Listen::Off => None,
        Listen::At(address) => Some(*address),
    };
    listen.iter().filter_map(at).collect()
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

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Option<SignedDuration> = text.parse().ok();
    let positive = parsed.and_then(|duration| Duration::try_from(duration).ok());
    positive.ok_or_else(|| "write a number with a unit (ms, s, m, h), such as 500ms, 30s or 1h30m".to_owned())
}

fn network(text: &str) -> Result<IpNet, String> {
    let single = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse()
        .or_else(|_| single())
        .map_err(|_| "write a network such as 10.0.0.0/8, or an address".to_owned())
}

/// Only checks: a filter cannot be cloned, and the settings can.
fn log_filter(text: &str) -> Result<String, String> {
    match crate::telemetry::log::parse_filter(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("write a level (error, warn, info, debug, trace) or levels by module, such as info,tidegate::provider=debug".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(flags: &[&str]) -> Settings {
        Settings::from_flags(flags).unwrap()
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let settings = settings(&[]);
        assert_eq!(settings.contradiction(), None);
        assert_eq!(settings.http_listen(), ["[::]:8080".parse().unwrap()]);
        assert_eq!(settings.https_listen(), ["[::]:8443".parse().unwrap()]);
        assert_eq!(settings.drain_timeout, Duration::from_secs(45));
        assert_eq!(settings.class_name, "tidegate");
        assert!(settings.default_class);
        assert!((1..=16).contains(&settings.workers().get()));
    }

    #[test]
    fn listeners_repeat_and_go_off() {
        let settings = settings(&["--http-listen", "off", "--https-listen", "127.0.0.1:1,127.0.0.1:2"]);
        assert!(settings.http_listen().is_empty());
        assert_eq!(settings.https_listen().len(), 2);
        assert_eq!(settings.contradiction(), None);
    }

    #[test]
    fn contradictions_are_found_and_say_what_to_write() {
        let of = |flags: &[&str]| settings(flags).contradiction();
        assert_eq!(of(&["--manifests", "a", "--kubeconfig", "b"]), Some(Contradiction::TwoSources));
        assert_eq!(
            of(&["--manifests", "a", "--watch-namespaces", "b"]),
            Some(Contradiction::NamespacesOfFiles)
        );
        assert_eq!(of(&["--http-listen", "off", "--https-listen", "off"]), Some(Contradiction::NoListener));
        let both = Contradiction::OffAndOn { flag: "--http-listen" };
        assert_eq!(of(&["--http-listen", "off,127.0.0.1:1"]), Some(both));
        assert_eq!(of(&["--drain-timeout", "35s"]), None);
        assert_eq!(
            of(&["--drain-timeout", "34s"]).unwrap().to_string(),
            "--websocket-drain-spread 30s and 5s for the last answers do not fit into --drain-timeout 34s; \
             write --drain-timeout 35s or more, or a shorter spread"
        );
    }

    #[test]
    fn a_bad_value_names_the_form_that_is_wanted() {
        let rows = [
            (vec!["--drain-delay", "10"], "such as 500ms, 30s or 1h30m"),
            (vec!["--drain-delay=-1s"], "such as 500ms, 30s or 1h30m"),
            (vec!["--http-listen", "8080"], "such as 0.0.0.0:8080"),
            (vec!["--default-certificate", "tls"], "is not NAMESPACE/NAME"),
            (vec!["--watch-namespaces", "shop,"], "write the names of namespaces"),
            (vec!["--watch-namespaces="], "write the names of namespaces"),
            (vec!["--debug-from", "here"], "write a network such as 10.0.0.0/8"),
            (vec!["--log-level", "a=b=c"], "write a level"),
        ];
        for (flags, expected) in rows {
            let error = Settings::from_flags(&flags).unwrap_err().to_string();
            assert!(error.contains(expected), "{flags:?}: {error}");
        }
    }

    #[test]
    fn an_address_stands_for_its_own_network() {
        let settings = settings(&["--debug-from", "10.0.0.0/8,192.0.2.7"]);
        assert_eq!(
            settings.debug_from,
            ["10.0.0.0/8".parse().unwrap(), "192.0.2.7/32".parse::<IpNet>().unwrap()]
        );
    }
}
