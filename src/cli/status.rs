//! `tidegate status`: the fleet, and what of it is not as it should be, from the page `/debug/status`.

use std::collections::BTreeMap;

use anyhow::Context;
use clap::Args;
use serde::Deserialize;

use super::columns::{self, Align};
use super::replica::Replica;
use super::{End, print};

/// Show the fleet: its replicas, its leader, and the Distributions that are not Ready or have an origin without endpoints
///
/// As the replica sees it that is asked. The same with more, as JSON, is at /debug/status.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    replica: Replica,
}

/// The page, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Page {
    fleet: Option<Fleet>,
    distributions: Vec<Distribution>,
    files: Vec<File>,
    kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Fleet {
    replica: String,
    leader: Option<String>,
    replicas: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    name: String,
    state: String,
}

#[derive(Debug, Deserialize)]
struct Distribution {
    namespace: String,
    name: String,
    state: Option<String>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: String,
    message: String,
}

#[derive(Debug, Deserialize)]
struct File {
    path: String,
    line: u64,
    column: u64,
    message: String,
}

#[derive(Debug, Deserialize)]
struct Kind {
    kind: String,
    message: String,
}

/// Prints the fleet, the counts, and what is not Ready.
///
/// # Errors
/// A replica that cannot be asked.
pub(super) fn run(asked: &Status) -> anyhow::Result<End> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let page = runtime.block_on(asked.replica.page("/debug/status"))?;
    let page =
        serde_json::from_str(&page).context("the replica is of another version; use its own `tidegate`")?;
    let lines = told(&page);
    print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

fn told(page: &Page) -> Vec<String> {
    let mut lines = replicas(page.fleet.as_ref());
    lines.extend([String::new(), counts(&page.distributions)]);
    let mut section = |more: Vec<String>| {
        if !more.is_empty() {
            lines.push(String::new());
            lines.extend(more);
        }
    };
    section(faulty(&page.distributions));
    section(unreadable(page));
    lines
}

fn replicas(fleet: Option<&Fleet>) -> Vec<String> {
    let Some(fleet) = fleet else { return vec!["The other replicas are not known yet.".to_owned()] };
    let row = |member: &Member| {
        let is_leader = fleet.leader.as_ref() == Some(&member.name);
        let asked = member.name == fleet.replica;
        let roles = [(is_leader, "leader"), (asked, "asked")].into_iter().filter(|(has, _)| *has);
        let roles: Vec<_> = roles.map(|(_, role)| role).collect();
        [member.name.clone(), member.state.clone(), roles.join(", ")]
    };
    let headings = [("REPLICA", Align::Left), ("STATE", Align::Left), ("ROLE", Align::Left)];
    columns::lines(headings, fleet.replicas.iter().map(row).collect())
}

/// `3 Distributions: 2 Deployed, 1 Degraded.`
fn counts(distributions: &[Distribution]) -> String {
    let mut states = BTreeMap::<&str, usize>::new();
    for distribution in distributions {
        *states.entry(distribution.state.as_deref().unwrap_or("Pending")).or_default() += 1;
    }
    let states: Vec<_> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    match distributions.len() {
        0 => "No Distribution.".to_owned(),
        1 => format!("1 Distribution: {}.", states.join(", ")),
        more => format!("{more} Distributions: {}.", states.join(", ")),
    }
}

/// Those that are not Ready, and those that are, but have nobody to ask.
fn faulty(distributions: &[Distribution]) -> Vec<String> {
    let row = |distribution: &Distribution| {
        let unmet = |kind: &str| {
            distribution
                .conditions
                .iter()
                .find(|condition| condition.kind == kind && condition.status != "True")
        };
        let Condition { reason, message, .. } = unmet("Ready").or_else(|| unmet("OriginsAvailable"))?;
        Some([distribution.namespace.clone(), distribution.name.clone(), reason.clone(), message.clone()])
    };
    let rows: Vec<_> = distributions.iter().filter_map(row).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let headings = ["NAMESPACE", "NAME", "REASON", "MESSAGE"].map(|name| (name, Align::Left));
    columns::lines(headings, rows)
}

/// What could not be read: kinds of a cluster, files of a folder.
fn unreadable(page: &Page) -> Vec<String> {
    let kinds = page.kinds.iter().map(|Kind { kind, message }| [kind.clone(), message.clone()]);
    let files = page.files.iter().map(|file| {
        let File { path, line, column, message } = file;
        [format!("{path}:{line}:{column}"), message.clone()]
    });
    let rows: Vec<_> = kinds.chain(files).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    columns::lines([("UNREADABLE", Align::Left), ("BECAUSE", Align::Left)], rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_fleet_comes_first_and_then_what_is_not_ready_or_has_no_endpoints() {
        let condition = |kind: &str, status: &str, reason: &str, message: &str| json!({"type": kind, "status": status, "reason": reason, "message": message});
        let page = json!({
            "fleet": {
                "replica": "edge-2", "leader": "edge-1",
                "replicas": [
                    {"name": "edge-2", "state": "Serving"},
                    {"name": "edge-1", "state": "Serving"},
                    {"name": "edge-3", "state": "Lagging"},
                ],
            },
            "distributions": [
                {"namespace": "shop", "name": "web", "state": "Deployed", "conditions": [condition("Ready", "True", "Ready", "")]},
                {"namespace": "shop", "name": "api", "state": "Degraded",
                 "conditions": [condition("OriginsAvailable", "False", "NoEndpoints", "it cannot be used"),
                                condition("Ready", "False", "BackendNotFound", "no such Service")]},
                {"namespace": "shop", "name": "cart", "state": "Degraded",
                 "conditions": [condition("OriginsAvailable", "False", "NoEndpoints", "no endpoint is ready"),
                                condition("Ready", "True", "Ready", "")]},
            ],
            "files": [],
            "kinds": [{"kind": "Secret", "message": "grant it"}],
        });
        let expected = [
            "REPLICA  STATE    ROLE",
            "edge-2   Serving  asked",
            "edge-1   Serving  leader",
            "edge-3   Lagging",
            "",
            "3 Distributions: 2 Degraded, 1 Deployed.",
            "",
            "NAMESPACE  NAME  REASON           MESSAGE",
            "shop       api   BackendNotFound  no such Service",
            "shop       cart  NoEndpoints      no endpoint is ready",
            "",
            "UNREADABLE  BECAUSE",
            "Secret      grant it",
        ];
        assert_eq!(told(&serde_json::from_value(page).unwrap()), expected);
    }

    #[test]
    fn where_all_is_well_nothing_is_listed() {
        let page = json!({
            "fleet": {"replica": "edge-1", "leader": null, "replicas": [{"name": "edge-1", "state": "Serving"}]},
            "distributions": [], "files": [], "kinds": [],
        });
        let expected = ["REPLICA  STATE    ROLE", "edge-1   Serving  asked", "", "No Distribution."];
        assert_eq!(told(&serde_json::from_value(page).unwrap()), expected);
    }
}
