//! Why a watch does not work, and when that is worth telling.
//!
//! Only judgement: no I/O, no log. Start at [`Outage::failed`].

use std::time::Duration;

use kube::core::Status;
use kube::runtime::watcher;
use tokio::time::Instant;

use super::kinds::Watched;
use super::scope::Scope;
use crate::snapshot::Kind;

/// Why a watch does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The version to watch from is too old: a fresh list heals it.
    Expired,
    /// RBAC does not allow it.
    Forbidden,
    /// The API server does not know the kind.
    Missing,
    /// Anything else, in words.
    Failing(String),
}

impl Fault {
    /// The fault behind a watcher's error.
    pub(crate) fn of(error: &watcher::Error) -> Self {
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => Self::of_request(error),
            watcher::Error::WatchError(status) => Self::of_status(status),
            watcher::Error::NoResourceVersion => Self::Failing(error.to_string()),
        }
    }

    fn of_request(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(status),
            other => Self::Failing(root_cause(other)),
        }
    }

    fn of_status(status: &Status) -> Self {
        match status.code {
            410 => Self::Expired,
            403 => Self::Forbidden,
            404 => Self::Missing,
            code => Self::Failing(format!("the API server answers {code}: {}", status.message)),
        }
    }

    /// The word for logs and metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Forbidden => "forbidden",
            Self::Missing => "missing",
            Self::Failing(_) => "failing",
        }
    }

    /// After a restart a real API server answers 403 and 404 until its RBAC and its CRDs have synced, so these
    /// count only when they last.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Forbidden | Self::Missing)
    }

    /// What is wrong and what to do about it.
    pub(crate) fn sentence<K: Watched>(&self, scope: &Scope) -> String {
        let (group, plural) = (K::group(&()), K::plural(&()));
        match self {
            Self::Forbidden => format!(
                "the API server forbids to list or watch {plural} in {scope}: the controller's role needs a rule \
                 with apiGroups [\"{group}\"], resources [\"{plural}\"], verbs [get, list, watch]"
            ),
            Self::Missing if K::KIND == Kind::Distribution => format!(
                "the API server does not know {plural}.{group}: install its CustomResourceDefinition, which \
                 `tidegate crd` prints"
            ),
            Self::Missing => format!("the API server does not know {plural} of group \"{group}\""),
            Self::Expired => format!("the version of {plural} to watch from is too old"),
            Self::Failing(what) => format!("cannot list or watch {plural} in {scope}: {what}"),
        }
    }
}

/// The innermost error, which is the one that tells; the outer ones only say where.
pub(crate) fn root_cause(error: &kube::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    if let kube::Error::Service(service) = error {
        cause = service.as_ref();
    }
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The time during which a watch does not work, from its first failure until it has been quiet again.
#[derive(Debug, Default)]
pub(crate) struct Outage(Option<Failing>);

#[derive(Debug)]
struct Failing {
    reason: &'static str,
    since: Instant,
    told: bool,
    /// Whether it was told of at all, for this reason or an earlier one.
    known: bool,
}

impl Outage {
    /// Whether it lasts.
    pub(crate) fn lasts(&self) -> bool {
        self.0.is_some()
    }

    /// How long it has lasted for its present reason.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |failing| now.duration_since(failing.since))
    }

    /// Notes a failure; true where it must be told now: once for each reason, and for what may pass only after
    /// `patience`.
    pub(crate) fn failed(&mut self, fault: &Fault, now: Instant, patience: Duration) -> bool {
        if *fault == Fault::Expired {
            return false;
        }
        let known = self.0.as_ref().is_some_and(|failing| failing.known);
        let reason = fault.reason();
        let fresh = || Failing { reason, since: now, told: false, known };
        let failing = match &mut self.0 {
            Some(failing) if failing.reason == reason => failing,
            other => other.insert(fresh()),
        };
        let ripe = !fault.may_pass() || now.duration_since(failing.since) >= patience;
        let tell = ripe && !failing.told;
        failing.told |= tell;
        failing.known |= tell;
        tell
    }

    /// Ends the outage; true where it had been told of.
    pub(crate) fn end(&mut self) -> bool {
        self.0.take().is_some_and(|failing| failing.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[test]
    fn a_403_is_told_once_and_only_when_it_lasts() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        assert!(!outage.failed(&Fault::Forbidden, start, PATIENCE));
        assert!(outage.failed(&Fault::Forbidden, start + PATIENCE, PATIENCE));
        assert!(!outage.failed(&Fault::Forbidden, start + PATIENCE * 2, PATIENCE));
        assert!(outage.end());
    }

    #[test]
    fn a_403_that_passes_is_never_told() {
        let mut outage = Outage::default();
        assert!(!outage.failed(&Fault::Forbidden, Instant::now(), PATIENCE));
        assert!(!outage.end());
    }

    #[test]
    fn a_cut_that_turns_into_a_403_is_told_as_both() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        assert!(outage.failed(&Fault::Failing("refused".to_owned()), start, PATIENCE));
        assert!(!outage.failed(&Fault::Forbidden, start, PATIENCE));
        assert!(outage.failed(&Fault::Forbidden, start + PATIENCE, PATIENCE));
    }

    #[test]
    fn an_expired_version_is_no_outage() {
        let mut outage = Outage::default();
        assert!(!outage.failed(&Fault::Expired, Instant::now(), PATIENCE));
        assert!(!outage.lasts());
    }
}
