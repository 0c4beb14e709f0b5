//! What `tidegate serve` was told, by flags and environment: read, checked and typed once, at the start.
//!
//! It does not act on anything. Start with [`Settings`], which has one part for each heading of the help;
//! [`Settings::contradiction`] is what no single flag can tell.

mod contradiction;
mod duration;
mod ending;
mod entrance;
mod network;
mod objects;
mod process;
mod published;
mod viewers;

use std::ffi::OsString;

use clap::{Args, Command, FromArgMatches};

pub use self::contradiction::Contradiction;
pub(crate) use self::duration::duration;
pub use self::ending::Ending;
pub use self::entrance::{Entrance, ProxyProtocol, UnderscoreHeaders};
pub use self::objects::Objects;
pub use self::process::Process;
pub use self::published::{Published, PublishedAddress};
pub use self::viewers::Viewers;

/// The settings of `tidegate serve`.
///
/// Every flag can also be set as an environment variable, named in brackets.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Where objects come from.
    #[command(flatten)]
    pub objects: Objects,
    /// How viewers are served.
    #[command(flatten)]
    pub viewers: Viewers,
    /// Who is let in.
    #[command(flatten)]
    pub entrance: Entrance,
    /// What statuses tell.
    #[command(flatten)]
    pub published: Published,
    /// What the process is given.
    #[command(flatten)]
    pub process: Process,
    /// The end of the process.
    #[command(flatten)]
    pub ending: Ending,
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
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ipnet::IpNet;

    use super::*;

    fn settings(flags: &[&str]) -> Settings {
        Settings::from_flags(flags).unwrap()
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let settings = settings(&[]);
        assert_eq!(settings.contradiction(), None);
        assert_eq!(settings.viewers.http_listen(), ["[::]:8080".parse().unwrap()]);
        assert_eq!(settings.viewers.https_listen(), ["[::]:8443".parse().unwrap()]);
        assert_eq!(settings.ending.drain_timeout, Duration::from_secs(45));
        assert_eq!(settings.objects.class_name, "tidegate");
        assert!(settings.objects.default_class);
        assert!(settings.entrance.trusted_proxies.is_empty());
        assert_eq!(settings.entrance.proxy_protocol, ProxyProtocol::Off);
        assert_eq!(settings.entrance.underscore_headers, UnderscoreHeaders::Drop);
        assert_eq!(settings.entrance.max_connections, None);
        assert_eq!(settings.entrance.max_connections_per_ip(), None);
        assert!((1..=16).contains(&settings.process.workers().get()));
    }

    #[test]
    fn listeners_repeat_and_go_off() {
        let settings = settings(&["--http-listen", "off", "--https-listen", "127.0.0.1:1,127.0.0.1:2"]);
        assert!(settings.viewers.http_listen().is_empty());
        assert_eq!(settings.viewers.https_listen().len(), 2);
        assert_eq!(settings.contradiction(), None);
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
            (vec!["--class-name", "Shop"], "write a name such as tidegate"),
            (vec!["--class-name", "a..b"], "write a name such as tidegate"),
            (vec!["--class-name="], "write a name such as tidegate"),
            (vec!["--debug-from", "here"], "write a network such as 10.0.0.0/8"),
            (vec!["--trusted-proxies", "here"], "write a network such as 10.0.0.0/8"),
            (vec!["--proxy-protocol", "on"], "[possible values: off, accept, require]"),
            (vec!["--underscore-headers", "keep"], "[possible values: drop, refuse]"),
            (vec!["--max-connections", "0"], "non-zero"),
            (vec!["--viewer-health-path", "healthz"], "such as /healthz"),
            (vec!["--viewer-health-path", "/healthz?x"], "such as /healthz"),
            (vec!["--log-level", "a=b=c"], "write a level"),
        ];
        for (flags, expected) in rows {
            let error = Settings::from_flags(&flags).unwrap_err().to_string();
            assert!(error.contains(expected), "{flags:?}: {error}");
        }
    }

    #[test]
    fn what_names_a_lease_twice_or_a_class_twice_is_refused() {
        let told = |flags: &[&str]| settings(flags).contradiction().map(|wrong| wrong.to_string());
        let called_as_class = told(&["--class-name", "edge", "--identity", "edge"]);
        assert!(called_as_class.is_some_and(|told| told.contains("choose another --identity")));
        let also = told(&["--class-name", "edge", "--also-serve-class", "edge"]);
        assert!(also.is_some_and(|told| told.contains("which is served anyway")));
        assert_eq!(
            told(&["--class-name", "edge", "--identity", "edge-1", "--also-serve-class", "old"]),
            None
        );
    }

    #[test]
    fn an_address_stands_for_its_own_network() {
        let settings = settings(&["--debug-from", "10.0.0.0/8,192.0.2.7"]);
        assert_eq!(
            settings.process.debug_from,
            ["10.0.0.0/8".parse().unwrap(), "192.0.2.7/32".parse::<IpNet>().unwrap()]
        );
    }
}
