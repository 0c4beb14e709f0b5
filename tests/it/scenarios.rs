//! Scenarios: a folder of manifests, and what viewers then see, against the whole process in standalone mode.
//!
//! Each file in `tests/scenarios` is one test here. The real binary serves on ports that the system chooses, with
//! origins of this suite behind it; [`play`] goes through the steps. The form of a file is [`script::Script`].

mod backend;
mod certificate;
mod client;
mod play;
mod process;
mod script;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

async fn play(name: &str) {
    let path = folder().join(format!("{name}.yaml"));
    let text = fs::read_to_string(&path).expect("a scenario");
    let script = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    play::play(script).await;
}

#[test]
fn every_file_is_played_and_begins_with_its_claim() {
    let own = include_str!("scenarios.rs");
    let played: BTreeSet<_> =
        own.split("play(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    for entry in fs::read_dir(folder()).expect("the folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        assert!(
            played.contains(name.as_str()),
            "{name} is never played; add its test to tests/it/scenarios.rs"
        );
        let text = fs::read_to_string(&path).expect("a scenario");
        assert!(text.starts_with("# "), "{name}: begin with a comment that says the claim");
    }
}

#[tokio::test]
async fn alias_conflict() {
    play("alias_conflict").await;
}

#[tokio::test]
async fn bad_document() {
    play("bad_document").await;
}

#[tokio::test]
async fn base_domain() {
    play("base_domain").await;
}

#[tokio::test]
async fn broken_behavior() {
    play("broken_behavior").await;
}

#[tokio::test]
async fn broken_syntax() {
    play("broken_syntax").await;
}

#[tokio::test]
async fn certificate_swap() {
    play("certificate_swap").await;
}

#[tokio::test]
async fn client_certificates() {
    play("client_certificates").await;
}

#[tokio::test]
async fn custom_headers() {
    play("custom_headers").await;
}

#[tokio::test]
async fn default_root_object() {
    play("default_root_object").await;
}

#[tokio::test]
async fn delegated_aliases() {
    play("delegated_aliases").await;
}

#[tokio::test]
async fn endpoints_move() {
    play("endpoints_move").await;
}

#[tokio::test]
async fn failover() {
    play("failover").await;
}

#[tokio::test]
async fn first_match_wins() {
    play("first_match_wins").await;
}

#[tokio::test]
async fn forwarded_headers() {
    play("forwarded_headers").await;
}

#[tokio::test]
async fn methods() {
    play("methods").await;
}

#[tokio::test]
async fn path_patterns() {
    play("path_patterns").await;
}

#[tokio::test]
async fn reference_grants() {
    play("reference_grants").await;
}

#[tokio::test]
async fn several_certificates() {
    play("several_certificates").await;
}

#[tokio::test]
async fn sni() {
    play("sni").await;
}

#[tokio::test]
async fn source_ranges() {
    play("source_ranges").await;
}

#[tokio::test]
async fn traffic_moves() {
    play("traffic_moves").await;
}

#[tokio::test]
async fn unknown_hosts() {
    play("unknown_hosts").await;
}

#[tokio::test]
async fn viewer_protocol_policy() {
    play("viewer_protocol_policy").await;
}

#[tokio::test]
async fn websocket() {
    play("websocket").await;
}

#[tokio::test]
async fn websocket_disabled() {
    play("websocket_disabled").await;
}
