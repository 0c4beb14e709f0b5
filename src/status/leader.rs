//! Who may write: the one replica that holds a Lease, and how long it may.
//!
//! Serving never depends on it. A candidate looks at the Lease every [`Limits::renew`]; the holder renews it, another
//! one takes it over once its record has not changed for as long as it says, counted by the candidate's own clock.
//! The holder stops to write long before: its term counts from before it asked, and [`Leadership::while_leading`]
//! looks at it before each step of a write, so that a process that was stopped meanwhile writes nothing stale.
//! Start at [`run`].

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::clock::Clock;
use crate::drain::Drain;
use crate::object::ObjectKey;
use crate::telemetry::metrics::Metrics;

/// The waits of an election; tests shrink them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From one look at the Lease to the next.
    pub renew: Duration,
    /// How long a Lease that is not renewed is respected.
    pub duration: Duration,
    /// How long a renewal allows to write: shorter than `duration`, since clocks need not run equally fast.
    pub term: Duration,
    /// How long a request may take.
    pub call: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            renew: Duration::from_secs(2),
            duration: Duration::from_secs(15),
            term: Duration::from_secs(10),
            call: Duration::from_secs(4),
        }
    }
}

/// A replica that would lead.
pub struct Candidate {
    /// Asks the API server.
    pub client: Client,
    /// The Lease that all candidates want.
    pub lease: ObjectKey,
    /// Who we are; no other process may be called so.
    pub holder: String,
    /// The time.
    pub clock: Clock,
    /// Tells whether we lead.
    pub metrics: Metrics,
    /// The waits.
    pub limits: Limits,
}

/// What is known of the election.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// Who holds the Lease, as it was last seen.
    holder: Option<String>,
    /// Until when this replica may write, in time since the machine started; none where another one leads.
    until: Option<Duration>,
}

/// The side of an election that decides.
#[derive(Debug)]
pub struct Reins(watch::Sender<Outcome>);

/// The side that asks; cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership {
    outcome: watch::Receiver<Outcome>,
    clock: Clock,
}

/// An election that nobody has won yet.
pub fn channel(clock: Clock) -> (Reins, Leadership) {
    let (sender, outcome) = watch::channel(Outcome::default());
    (Reins(sender), Leadership { outcome, clock })
}

impl Reins {
    /// Lets this replica, `holder`, write until this time since the machine started.
    pub fn hold(&self, holder: &str, until: Duration) {
        self.0.send_replace(Outcome { holder: Some(holder.to_owned()), until: Some(until) });
    }

    /// Another one leads, or nobody.
    pub fn leave_to(&self, holder: Option<&str>) {
        let outcome = Outcome { holder: holder.map(str::to_owned), until: None };
        self.0.send_if_modified(|present| {
            let changed = *present != outcome;
            *present = outcome;
            changed
        });
    }
}

impl Leadership {
    /// How long this replica may still write; none where it does not lead.
    pub fn remaining(&self) -> Option<Duration> {
        let until = self.outcome.borrow().until?;
        until.checked_sub(self.clock.uptime()).filter(|left| !left.is_zero())
    }

    /// Who holds the Lease, as it was last seen.
    pub fn holder(&self) -> Option<String> {
        self.outcome.borrow().holder.clone()
    }

    /// Wakes when a term began, was prolonged or ended; for ever silent when the election is over.
    pub async fn changed(&mut self) {
        if self.outcome.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Runs `write` for as long as this replica leads; none where it does not, or no longer, and then the write may
    /// have happened or not.
    ///
    /// The term is looked at before each step: when a process goes on that had been stopped, what it waited for may
    /// be there and its timers due, all at once.
    pub async fn while_leading<T>(&self, write: impl Future<Output = T>) -> Option<T> {
        let (mut write, mut end) = (pin!(write), pin!(sleep(self.remaining()?)));
        poll_fn(|context| {
            if self.remaining().is_none() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(written) = write.as_mut().poll(context) {
                return Poll::Ready(Some(written));
            }
            end.as_mut().poll(context).map(|()| None)
        })
        .await
    }
}

/// Stands for election until the process leaves, and gives the Lease back then.
pub async fn run(candidate: Candidate, reins: Reins, mut drain: Drain) {
    let mut election = Election::new(candidate, reins);
    let leaving = pin!(drain.leaving());
    tokio::select! {
        _ = leaving => {}
        never = election.stand() => match never {},
    }
    election.resign().await;
}

struct Election {
    candidate: Candidate,
    api: Api<Lease>,
    reins: Reins,
    /// The record as it was last seen to change, and when that was.
    seen: Option<(LeaseSpec, Duration)>,
    /// Our own last version of the Lease; none where it must be read first.
    ours: Option<Lease>,
    /// Until when we may write; none where we do not lead.
    until: Option<Duration>,
    /// What was last told of failures.
    told: Option<Fault>,
}

/// Why a request about the Lease failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("another one was faster")]
    Conflict,
    #[error(
        "the API server forbids to elect a leader, so no status is written: a Role in namespace {0} needs a rule with \
         apiGroups [\"coordination.k8s.io\"], resources [\"leases\"], verbs [get, create, update]"
    )]
    Forbidden(String),
    #[error("the API server does not take part in the election now: {0}")]
    Unavailable(String),
}

impl Election {
    fn new(candidate: Candidate, reins: Reins) -> Self {
        let api = Api::namespaced(candidate.client.clone(), &candidate.lease.namespace);
        Self { candidate, api, reins, seen: None, ours: None, until: None, told: None }
    }

    async fn stand(&mut self) -> std::convert::Infallible {
        loop {
            let result = self.look().await;
            self.notice_the_end();
            self.tell(result.err());
            sleep(self.next_look()).await;
            self.notice_the_end();
        }
    }

    /// Reads the Lease, unless our own last version is known, and claims it where that is allowed.
    async fn look(&mut self) -> Result<(), Fault> {
        let present = match self.ours.take() {
            Some(lease) => Some(lease),
            None => self.limited(self.api.get_opt(&self.candidate.lease.name)).await?,
        };
        if let Some(lease) = &present {
            self.observe(lease);
            if !self.is_free(lease) {
                self.leave_to(holder(lease));
                return Ok(());
            }
        }
        // From before the request: others count from when they see its effect.
        let asked = self.candidate.clock.uptime();
        let claim = self.claim(present.as_ref());
        let (name, parameters) = (&self.candidate.lease.name, PostParams::default());
        let taken = match &present {
            // The version in it makes this a conflict where anybody else was faster.
            Some(_) => self.limited(self.api.replace(name, &parameters, &claim)).await?,
            None => self.limited(self.api.create(&parameters, &claim)).await?,
        };
        self.observe(&taken);
        self.ours = Some(taken);
        self.lead(asked + self.candidate.limits.term);
        Ok(())
    }

    async fn limited<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, Fault> {
        let limit = self.candidate.limits.call;
        match timeout(limit, request).await {
            Ok(answer) => answer.map_err(|error| self.fault(error)),
            Err(_) => Err(Fault::Unavailable(format!("no answer within {limit:?}"))),
        }
    }

    fn fault(&self, error: kube::Error) -> Fault {
        match error {
            kube::Error::Api(status) if status.code == 409 => Fault::Conflict,
            kube::Error::Api(status) if status.code == 403 => {
                Fault::Forbidden(self.candidate.lease.namespace.clone())
            }
            kube::Error::Api(status) => Fault::Unavailable(format!("{} {}", status.code, status.message)),
            other => Fault::Unavailable(other.to_string()),
        }
    }

    /// Notes when the record changed; a note on the Lease, such as an annotation, is no renewal.
    fn observe(&mut self, lease: &Lease) {
        let record = lease.spec.clone().unwrap_or_default();
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != record) {
            self.seen = Some((record, self.candidate.clock.uptime()));
        }
    }

    fn is_free(&self, lease: &Lease) -> bool {
        match holder(lease) {
            None => true,
            Some(holder) if holder == self.candidate.holder => true,
            Some(_) => self.until_free().is_none_or(|wait| wait.is_zero()),
        }
    }

    /// How long the record that was last seen must still be respected.
    fn until_free(&self) -> Option<Duration> {
        let (record, since) = self.seen.as_ref()?;
        let seconds = record.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let duration = seconds.map_or(self.candidate.limits.duration, Duration::from_secs);
        Some((*since + duration).saturating_sub(self.candidate.clock.uptime()))
    }

    /// The Lease as it is when we hold it; what others wrote on it stays.
    fn claim(&self, present: Option<&Lease>) -> Lease {
        let now = self.candidate.clock.calendar();
        let mut lease = present.cloned().unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.candidate.lease.name.clone()), ..ObjectMeta::default() },
            spec: None,
        });
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() != Some(&self.candidate.holder) {
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
            spec.acquire_time = Some(now.clone());
            spec.holder_identity = Some(self.candidate.holder.clone());
        }
        spec.lease_duration_seconds = Some(whole_seconds(self.candidate.limits.duration));
        spec.renew_time = Some(now);
        lease
    }

    fn lead(&mut self, until: Duration) {
        self.notice_the_end();
        if until <= self.candidate.clock.uptime() {
            return; // We were stopped for so long that the answer is worth nothing.
        }
        self.reins.hold(&self.candidate.holder, until);
        if self.until.replace(until).is_none() {
            self.candidate.metrics.leader_acquired();
            let (lease, holder) = (&self.candidate.lease, &self.candidate.holder);
            tracing::info!(event = "leader.acquired", %lease, holder, "this replica writes status");
        }
    }

    fn leave_to(&mut self, holder: Option<&str>) {
        self.reins.leave_to(holder);
        self.lose("another replica holds the lease");
    }

    /// A term that nobody prolonged ends by itself; here it is told.
    fn notice_the_end(&mut self) {
        let now = self.candidate.clock.uptime();
        if self.until.is_some_and(|until| until <= now) {
            self.reins.leave_to(None);
            self.lose("the lease could not be renewed in time");
        }
    }

    fn lose(&mut self, reason: &'static str) {
        if self.until.take().is_some() {
            self.candidate.metrics.leader_lost();
            tracing::info!(event = "leader.lost", lease = %self.candidate.lease, reason);
        }
    }

    /// Until the next look: a Lease is taken over when it ends, and the end of our own term is noticed then.
    fn next_look(&self) -> Duration {
        let ends = match self.until {
            Some(until) => Some(until.saturating_sub(self.candidate.clock.uptime())),
            None => self.until_free().filter(|wait| !wait.is_zero()),
        };
        self.candidate.limits.renew.min(ends.unwrap_or(Duration::MAX))
    }

    /// What lasts is told once.
    fn tell(&mut self, fault: Option<Fault>) {
        let new = fault.as_ref().filter(|fault| {
            let same = |told: &Fault| std::mem::discriminant(told) == std::mem::discriminant(*fault);
            **fault != Fault::Conflict && !self.told.as_ref().is_some_and(same)
        });
        if let Some(fault) = new {
            tracing::warn!(event = "leader.unavailable", lease = %self.candidate.lease, "{fault}");
        }
        if fault != Some(Fault::Conflict) {
            self.told = fault;
        }
    }

    /// Ends our term, and then the Lease, so that another one need not wait for its end.
    async fn resign(&mut self) {
        self.reins.leave_to(None);
        if self.until.is_none() {
            return;
        }
        self.lose("this replica leaves");
        let mut given_back = self.give_back().await;
        if given_back == Err(Fault::Conflict) {
            // A renewal was on its way.
            given_back = self.give_back().await;
        }
        if let Err(fault) = given_back {
            tracing::debug!(%fault, "the lease was not given back and ends by itself");
        }
    }

    async fn give_back(&self) -> Result<(), Fault> {
        let name = &self.candidate.lease.name;
        let present = self.limited(self.api.get_opt(name)).await?;
        let ours = |lease: &Lease| holder(lease) == Some(&self.candidate.holder);
        let Some(mut lease) = present.filter(ours) else { return Ok(()) };
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(self.candidate.clock.calendar());
        self.limited(self.api.replace(name, &PostParams::default(), &lease)).await.map(drop)
    }
}

/// Who holds a Lease; one that was given back has no holder, or an empty one.
fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// What the API has for a duration.
fn whole_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX).max(1)
}
