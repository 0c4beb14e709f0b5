//! The command line as scripts meet it: exit statuses, and one sentence that says what to do.

use std::process::{Command, Output};

/// Runs `tidegate` with these arguments and a clean environment.
fn tidegate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(arguments)
        .env_clear()
        .output()
        .expect("the binary starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn version_names_release_and_commit() {
    let output = tidegate(&["--version"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success());
    assert!(text.starts_with(&format!("tidegate {} (", env!("CARGO_PKG_VERSION"))), "{text}");
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    let output = tidegate(&["srve"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("unrecognized subcommand 'srve'"), "{}", stderr(&output));
}
