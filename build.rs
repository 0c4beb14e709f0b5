//! Names the commit that is built: `TIDEGATE_COMMIT` where it is set (image builds have no repository), else
//! that of the working tree in a release build. Debug builds say `dev`, so that a commit rebuilds nothing.

use std::process::Command;

fn main() {
    tell("rerun-if-env-changed=TIDEGATE_COMMIT");
    let given = std::env::var("TIDEGATE_COMMIT").ok().filter(|commit| !commit.is_empty());
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = given.or_else(|| is_release.then(of_working_tree).flatten());
    tell(&format!("rustc-env=TIDEGATE_COMMIT={}", commit.as_deref().unwrap_or("dev")));
}

fn of_working_tree() -> Option<String> {
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    tell(&format!("rerun-if-changed={log}"));
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn tell(answer: &str) {
    println!("cargo::{answer}");
}
