//! Which ACME challenges are answered: those for a host of a Distribution in the Challenge's own namespace.
//!
//! An ACME server gives a certificate to whoever answers for a host, so a Challenge of another namespace than the
//! host's would give its tenant a certificate for what is not theirs. It does not matter whether the Distribution is
//! enabled: its name is held all the same, and its certificate must not expire meanwhile.

use super::Options;
use crate::snapshot::Snapshot;
use crate::table::Hosts;
use crate::table::challenges::{Challenges, KeyAuthorization, Token};
use crate::table::host::HostName;

/// What cert-manager calls the challenges that are answered over HTTP.
const HTTP: &str = "HTTP-01";

/// The challenges that are answered. One that is no such challenge, or none at all, is left out: who asked cert-manager
/// for the certificate is told by it that nobody answers.
pub(super) fn compile(snapshot: &Snapshot, hosts: &Hosts, options: &Options) -> Challenges {
    let answered = snapshot.challenges.iter().filter_map(|(key, challenge)| {
        let spec = &challenge.spec;
        let host = HostName::parse(&spec.dns_name).ok().filter(|_| spec.method == HTTP)?;
        let may_answer = match hosts.find(&host) {
            Some((_, routes)) => routes.distribution.namespace == key.namespace,
            None => options.acme_unclaimed_hosts,
        };
        let (token, answer) = (Token::parse(&spec.token)?, KeyAuthorization::parse(&spec.key)?);
        may_answer.then_some((host, token, answer))
    });
    Challenges::new(answered)
}
