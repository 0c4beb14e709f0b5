//! Settings that are each right and cannot be meant together.

use std::time::Duration;

use super::viewers::Listen;
use super::{ProxyProtocol, Settings};

/// A peer that got a Close frame has this long to answer it, so the last close must begin that much earlier than
/// the drain's end.
const CLOSE_ECHO: Duration = Duration::from_secs(5);

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
    /// The Lease of the replica would be that of the leader.
    #[error("--identity and --class-name are both {0}, and each names a Lease; choose another --identity")]
    ReplicaCalledAsClass(String),
    /// The own class is served with its status.
    #[error(
        "--also-serve-class names the class of --class-name, {0}, which is served anyway; name another one or leave it out"
    )]
    AlsoTheSameClass(String),
    /// Files have no status.
    #[error(
        "--publish-service and --publish-address are for the status of objects in a cluster, and --manifests \
         reads files, which have none; leave them out"
    )]
    PublishedInFiles,
    /// Files are there at the next start, too.
    #[error(
        "--snapshot-path is for a start without an API server, and --manifests needs none; leave out one of them"
    )]
    SnapshotOfFiles,
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
    /// Headers are required, and nobody's are read.
    #[error(
        "--proxy-protocol require reads headers from trusted proxies only, and there are none; \
         write their networks in --trusted-proxies, such as 10.0.0.0/8"
    )]
    HeadersOfNobody,
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
    /// What no single flag can tell: two that cannot both be meant.
    pub fn contradiction(&self) -> Option<Contradiction> {
        let Self { objects, viewers, entrance, published, process, ending } = self;
        if !objects.manifests.is_empty() && objects.kubeconfig.is_some() {
            return Some(Contradiction::TwoSources);
        }
        if !objects.manifests.is_empty() && !objects.watch_namespaces.is_empty() {
            return Some(Contradiction::NamespacesOfFiles);
        }
        let publishes = published.publish_service.is_some() || !published.publish_address.is_empty();
        if !objects.manifests.is_empty() && publishes {
            return Some(Contradiction::PublishedInFiles);
        }
        if objects.manifests.is_empty() && process.identity() == objects.class_name {
            return Some(Contradiction::ReplicaCalledAsClass(objects.class_name.clone()));
        }
        if objects.also_serve_class.as_ref() == Some(&objects.class_name) {
            return Some(Contradiction::AlsoTheSameClass(objects.class_name.clone()));
        }
        if !objects.manifests.is_empty() && objects.snapshot_path.is_some() {
            return Some(Contradiction::SnapshotOfFiles);
        }
        for (flag, listen) in
            [("--http-listen", &viewers.http_listen), ("--https-listen", &viewers.https_listen)]
        {
            if listen.len() > 1 && listen.contains(&Listen::Off) {
                return Some(Contradiction::OffAndOn { flag });
            }
        }
        if viewers.http_listen().is_empty() && viewers.https_listen().is_empty() {
            return Some(Contradiction::NoListener);
        }
        if entrance.proxy_protocol == ProxyProtocol::Require && entrance.trusted_proxies.is_empty() {
            return Some(Contradiction::HeadersOfNobody);
        }
        let fitting = ending.websocket_drain_spread.saturating_add(CLOSE_ECHO);
        (fitting > ending.drain_timeout).then_some(Contradiction::SpreadTooLong {
            spread: ending.websocket_drain_spread,
            timeout: ending.drain_timeout,
            fitting,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_found_and_say_what_to_write() {
        let of = |flags: &[&str]| Settings::from_flags(flags).unwrap().contradiction();
        assert_eq!(of(&["--manifests", "a", "--kubeconfig", "b"]), Some(Contradiction::TwoSources));
        assert_eq!(
            of(&["--manifests", "a", "--watch-namespaces", "b"]),
            Some(Contradiction::NamespacesOfFiles)
        );
        for flag in ["--publish-service=edge/gate", "--publish-address=192.0.2.7"] {
            assert_eq!(of(&["--manifests", "a", flag]), Some(Contradiction::PublishedInFiles));
            assert_eq!(of(&[flag]), None);
        }
        assert_eq!(of(&["--manifests", "a", "--snapshot-path", "b"]), Some(Contradiction::SnapshotOfFiles));
        assert_eq!(of(&["--http-listen", "off", "--https-listen", "off"]), Some(Contradiction::NoListener));
        assert_eq!(of(&["--proxy-protocol", "require"]), Some(Contradiction::HeadersOfNobody));
        assert_eq!(of(&["--proxy-protocol", "require", "--trusted-proxies", "10.0.0.0/8"]), None);
        assert_eq!(of(&["--proxy-protocol", "accept"]), None);
        let both = Contradiction::OffAndOn { flag: "--http-listen" };
        assert_eq!(of(&["--http-listen", "off,127.0.0.1:1"]), Some(both));
        assert_eq!(of(&["--drain-timeout", "35s"]), None);
        assert_eq!(
            of(&["--drain-timeout", "34s"]).unwrap().to_string(),
            "--websocket-drain-spread 30s and 5s for the last answers do not fit into --drain-timeout 34s; \
             write --drain-timeout 35s or more, or a shorter spread"
        );
    }
}
