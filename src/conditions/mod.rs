//! From facts to conditions: what translation found, plus the fleet and the time, told in the API's words.
//!
//! Pure: the clock and the fleet are parameters. The status writer, `/debug/status`, `check` and the golden
//! files share [`finish`], so they tell one story.

mod certificate;
pub mod digest;
pub mod facts;
pub mod reasons;
pub mod roster;
pub(crate) mod story;
mod verdict;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::{
    AliasState, AliasStatus, CertificateStatus, DistributionState, DistributionStatus, OriginState,
    OriginStatus,
};
use facts::{AliasHolder, DistributionFacts, Served};
use reasons::{ConditionType, Reason, Remedy};
use verdict::{Verdict, of_findings};

/// How many replicas serve what was judged.
///
/// Facts are handed on after their table was published, so a replica always counts itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// Live replicas that serve the judged generation.
    pub serving: u32,
    /// Live replicas.
    pub alive: u32,
    /// One that should long serve it and does not.
    pub lagging: Option<String>,
}

impl Fleet {
    /// A single replica, which serves what it judged.
    pub const ALONE: Self = Self { serving: 1, alive: 1, lagging: None };

    /// The fleet that a status tells of where all of it served this generation: that stays so, whoever joins or
    /// leaves.
    pub fn kept(status: &DistributionStatus, generation: i64) -> Option<Self> {
        let deployed = ConditionType::Deployed.to_string();
        let holds = |condition: &Condition| {
            condition.type_ == deployed
                && condition.status == "True"
                && condition.observed_generation == Some(generation)
        };
        let (serving, alive) = status.replicas.as_ref()?.split_once('/')?;
        let fleet = Self { serving: serving.parse().ok()?, alive: alive.parse().ok()?, lagging: None };
        (fleet.is_complete() && status.conditions.iter().any(holds)).then_some(fleet)
    }

    /// Whether all serve it.
    pub fn is_complete(&self) -> bool {
        self.serving >= self.alive
    }
}

/// A Distribution's status, and when it must be judged again though nothing changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The whole status; each condition's `lastTransitionTime` is `now`: who writes it keeps the time of a
    /// condition that did not flip. `loadBalancer` is the writer's to add.
    pub status: DistributionStatus,
    /// When a certificate comes near its end or reaches it.
    pub look_again_at: Option<Timestamp>,
}

/// Tells what was found about a Distribution, as of now and with this fleet.
pub fn finish(facts: &DistributionFacts, fleet: Fleet, now: Timestamp) -> Judgement {
    let accepted = of_findings(facts, ConditionType::Accepted, "The spec is served.").beside(&facts.warnings);
    let resolved = of_findings(facts, ConditionType::ResolvedRefs, "Everything that is named exists.");
    let certificate = certificate::judge(facts, now);
    let deployed = deployed(facts, &fleet);
    // What is switched off on purpose is ready whatever its parts miss, as soon as every replica has switched it
    // off; but not where the newest version could not even be read.
    let gates = if is_disabled(facts) {
        vec![&deployed]
    } else {
        vec![&accepted, &resolved, &certificate, &deployed]
    };
    let ready = ready(facts, &gates);
    let progress = progress(&gates);
    let origins = of_findings(facts, ConditionType::OriginsAvailable, "Every used origin has an endpoint.");
    let state = state(facts, &ready, &deployed, &origins);

    let verdicts = [accepted, resolved, certificate, origins, deployed, ready].into_iter().chain(progress);
    let conditions = verdicts.map(|verdict| condition(verdict, facts.generation, now)).collect();
    let status = DistributionStatus {
        observed_generation: Some(facts.generation),
        state: Some(state),
        domain_name: facts.domain_name.clone(),
        hosts: hosts(facts),
        replicas: Some(format!("{}/{}", fleet.serving, fleet.alive)),
        certificate: facts.first_to_expire().map(|certificate| CertificateStatus {
            not_after: Time(certificate.not_after),
            secret_name: certificate.secret.name.clone(),
        }),
        aliases: aliases(facts),
        origins: origin_statuses(facts),
        conditions,
        ..DistributionStatus::default()
    };
    Judgement { status, look_again_at: certificate::look_again_at(facts, now) }
}

fn deployed(facts: &DistributionFacts, fleet: &Fleet) -> Verdict {
    let Fleet { serving, alive, lagging } = fleet;
    let what = match facts.served {
        Served::Yes => "serve",
        Served::Nothing => "have judged",
    };
    let message = format!("{serving} of {alive} replicas {what} generation {}.", facts.generation);
    match lagging {
        _ if fleet.is_complete() => Verdict::holds(ConditionType::Deployed, message),
        None => Verdict::fails(Reason::InProgress, message),
        Some(replica) => {
            let message =
                format!("{message} Replica {replica} has not taken it for 10 s or more; see its log.");
            Verdict::fails(Reason::ReplicaLagging, message)
        }
    }
}

/// The first failing gate decides.
fn ready(facts: &DistributionFacts, gates: &[&Verdict]) -> Verdict {
    if let Some(gate) = gates.iter().find(|gate| !gate.holds) {
        return gate.as_condition(ConditionType::Ready);
    }
    if is_disabled(facts) {
        let message = "spec.enabled is false: its hosts answer 404.".to_owned();
        return Verdict::because(ConditionType::Ready, Reason::Disabled, message);
    }
    Verdict::holds(ConditionType::Ready, "The Distribution is served as its spec says.".to_owned())
}

fn is_disabled(facts: &DistributionFacts) -> bool {
    !facts.enabled && facts.findings.iter().all(|finding| finding.reason != Reason::Invalid)
}

/// `Stalled` where a person must edit the spec, whatever else is awaited: waiting alone would not help.
fn progress(gates: &[&Verdict]) -> Option<Verdict> {
    let asks = |remedy| {
        let gate = gates.iter().find(|gate| gate.remedies.iter().any(|(_, asked)| *asked == remedy))?;
        let (reason, _) = gate.remedies.iter().find(|(_, asked)| *asked == remedy)?;
        Some((*reason, gate.message.clone()))
    };
    let stalled = asks(Remedy::Edit).map(|asked| (ConditionType::Stalled, asked));
    let (condition, (reason, message)) =
        stalled.or_else(|| Some((ConditionType::Reconciling, asks(Remedy::Wait)?)))?;
    Some(Verdict::because(condition, reason, message))
}

fn state(
    facts: &DistributionFacts,
    ready: &Verdict,
    deployed: &Verdict,
    origins: &Verdict,
) -> DistributionState {
    if is_disabled(facts) {
        DistributionState::Disabled
    } else if facts.served == Served::Nothing {
        DistributionState::Rejected
    } else if !deployed.holds {
        DistributionState::InProgress
    } else if !ready.holds || !origins.holds {
        DistributionState::Degraded
    } else {
        DistributionState::Deployed
    }
}

fn condition(verdict: Verdict, generation: i64, now: Timestamp) -> Condition {
    let reason = verdict.reason.map_or_else(|| verdict.condition.to_string(), |reason| reason.to_string());
    Condition {
        type_: verdict.condition.to_string(),
        status: if verdict.holds { "True" } else { "False" }.to_owned(),
        reason,
        message: verdict.message,
        observed_generation: Some(generation),
        last_transition_time: Time(now),
    }
}

/// `a.example.com +2`; without aliases the name under the base domain.
fn hosts(facts: &DistributionFacts) -> Option<String> {
    let Some((first, others)) = facts.aliases.split_first() else { return facts.domain_name.clone() };
    Some(match others.len() {
        0 => first.name.clone(),
        more => format!("{} +{more}", first.name),
    })
}

fn aliases(facts: &DistributionFacts) -> Vec<AliasStatus> {
    let state = |holder| match holder {
        AliasHolder::Ours => AliasState::Active,
        AliasHolder::Another => AliasState::Conflict,
    };
    let status =
        |alias: &facts::AliasFact| AliasStatus { name: alias.name.clone(), state: state(alias.holder) };
    facts.aliases.iter().map(status).collect()
}

fn origin_statuses(facts: &DistributionFacts) -> Vec<OriginStatus> {
    let state = |state| match state {
        facts::OriginState::Available => OriginState::Available,
        facts::OriginState::NoEndpoints => OriginState::NoEndpoints,
        facts::OriginState::NotFound => OriginState::NotFound,
    };
    let status = |origin: &facts::OriginFact| OriginStatus {
        id: origin.id.clone(),
        state: state(origin.state),
        reason: origin.reason.map(|reason| reason.to_string()),
    };
    facts.origins.iter().map(status).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::{AliasFact, CertificateFact, Finding};

    use crate::object::ObjectKey;

    fn facts(reasons: &[Reason]) -> DistributionFacts {
        let finding = |reason: &Reason| Finding {
            reason: *reason,
            field: String::new(),
            message: format!("{reason} told."),
        };
        DistributionFacts {
            uid: None,
            generation: 4,
            enabled: true,
            served: Served::Yes,
            aliases: vec![AliasFact { name: "a.example.com".to_owned(), holder: AliasHolder::Ours }],
            domain_name: None,
            origins: Vec::new(),
            certificates: Vec::new(),
            findings: reasons.iter().map(finding).collect(),
            warnings: Vec::new(),
        }
    }

    /// `Ready=False/BackendNotFound` and so on, but of those that simply hold only the type.
    fn told(facts: &DistributionFacts, fleet: Fleet) -> String {
        let status = finish(facts, fleet, Timestamp::UNIX_EPOCH).status;
        let tell = |condition: &Condition| match condition.reason == condition.type_ {
            true => condition.type_.clone(),
            false => format!("{}={}/{}", condition.type_, condition.status, condition.reason),
        };
        status.conditions.iter().map(tell).collect::<Vec<_>>().join(" ")
    }

    fn state(facts: &DistributionFacts, fleet: Fleet) -> Option<DistributionState> {
        finish(facts, fleet, Timestamp::UNIX_EPOCH).status.state
    }

    const LAGGING: Fleet = Fleet { serving: 1, alive: 2, lagging: None };

    #[test]
    fn all_well_is_six_true_conditions() {
        let facts = facts(&[]);
        let expected = "Accepted ResolvedRefs CertificateValid OriginsAvailable Deployed Ready";
        assert_eq!(told(&facts, Fleet::ALONE), expected);
        assert_eq!(state(&facts, Fleet::ALONE), Some(DistributionState::Deployed));
    }

    #[test]
    fn what_waits_for_the_fleet_is_reconciling() {
        let facts = facts(&[]);
        assert_eq!(
            told(&facts, LAGGING),
            "Accepted ResolvedRefs CertificateValid OriginsAvailable Deployed=False/InProgress \
             Ready=False/InProgress Reconciling=True/InProgress"
        );
        assert_eq!(state(&facts, LAGGING), Some(DistributionState::InProgress));
        let status = finish(&facts, LAGGING, Timestamp::UNIX_EPOCH).status;
        assert_eq!(status.replicas.as_deref(), Some("1/2"));
    }

    #[test]
    fn a_replica_that_lags_is_named() {
        let fleet = Fleet { serving: 2, alive: 3, lagging: Some("edge-2".to_owned()) };
        assert!(told(&facts(&[]), fleet.clone()).ends_with("Reconciling=True/ReplicaLagging"));
        let status = finish(&facts(&[]), fleet, Timestamp::UNIX_EPOCH).status;
        let deployed = status.conditions.iter().find(|condition| condition.type_ == "Deployed");
        let message = deployed.map(|condition| condition.message.as_str());
        let expected = "2 of 3 replicas serve generation 4. Replica edge-2 has not taken it for 10 s or more; see its log.";
        assert_eq!(message, Some(expected));
    }

    #[test]
    fn what_all_have_served_is_kept_for_its_generation_alone() {
        let status = |fleet| finish(&facts(&[]), fleet, Timestamp::UNIX_EPOCH).status;
        let all = Fleet { serving: 2, alive: 2, lagging: None };
        assert_eq!(Fleet::kept(&status(all.clone()), 4), Some(all.clone()));
        assert_eq!(Fleet::kept(&status(all), 5), None);
        assert_eq!(Fleet::kept(&status(LAGGING), 4), None);
        assert_eq!(Fleet::kept(&DistributionStatus::default(), 4), None);
    }

    #[test]
    fn what_a_person_must_edit_is_stalled_whatever_else_is_awaited() {
        let facts = facts(&[Reason::AliasConflict, Reason::SecretNotFound, Reason::ExternalNameForbidden]);
        assert_eq!(
            told(&facts, Fleet::ALONE),
            "Accepted=False/AliasConflict ResolvedRefs=False/SecretNotFound CertificateValid OriginsAvailable \
             Deployed Ready=False/AliasConflict Stalled=True/ExternalNameForbidden"
        );
    }

    #[test]
    fn missing_endpoints_degrade_but_leave_it_ready() {
        let facts = facts(&[Reason::NoEndpoints]);
        let expected =
            "Accepted ResolvedRefs CertificateValid OriginsAvailable=False/NoEndpoints Deployed Ready";
        assert_eq!(told(&facts, Fleet::ALONE), expected);
        assert_eq!(state(&facts, Fleet::ALONE), Some(DistributionState::Degraded));
    }

    #[test]
    fn what_is_disabled_is_ready_once_every_replica_knows_it() {
        let disabled = DistributionFacts { enabled: false, ..facts(&[Reason::BackendNotFound]) };
        assert!(told(&disabled, Fleet::ALONE).ends_with("Ready=True/Disabled"));
        assert!(told(&disabled, LAGGING).ends_with("Ready=False/InProgress Reconciling=True/InProgress"));
        let unread = DistributionFacts { enabled: false, ..facts(&[Reason::Invalid]) };
        assert!(told(&unread, Fleet::ALONE).ends_with("Ready=False/Invalid Stalled=True/Invalid"));
    }

    #[test]
    fn a_certificate_is_looked_at_again_before_and_at_its_end() {
        let second = |second| Timestamp::from_second(second).expect("a time");
        let certificate = CertificateFact {
            secret: ObjectKey::new("shop", "web-tls"),
            not_before: second(0),
            not_after: second(100),
        };
        let facts = DistributionFacts { certificates: vec![certificate], ..facts(&[]) };
        let at = |now| {
            let judgement = finish(&facts, Fleet::ALONE, second(now));
            let valid =
                judgement.status.conditions.iter().find(|condition| condition.type_ == "CertificateValid");
            let valid = valid.map(|condition| (condition.status.clone(), condition.reason.clone()));
            (valid.expect("always there"), judgement.look_again_at)
        };
        let row = |status: &str, reason: &str, again: Option<i64>| {
            ((status.to_owned(), reason.to_owned()), again.map(second))
        };
        assert_eq!(at(79), row("True", "CertificateValid", Some(80)));
        assert_eq!(at(80), row("True", "ExpiringSoon", Some(100)));
        assert_eq!(at(100), row("False", "Expired", None));
    }

    #[test]
    fn many_problems_are_counted_and_not_all_told() {
        let facts = facts(&[Reason::BackendNotFound; 20]);
        let status = finish(&facts, Fleet::ALONE, Timestamp::UNIX_EPOCH).status;
        let message = status.conditions.iter().find(|condition| condition.type_ == "ResolvedRefs");
        assert!(message.is_some_and(|condition| condition.message.ends_with("told. And 12 more.")));
    }
}
