//! The command line as scripts meet it: exit statuses, and one sentence that says what to do.

mod checking;
mod connections;
mod descriptors;
mod ending;
mod explaining;
mod probing;
mod serving;

use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The limit for commands that are to end by themselves.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs `tidegate` with these arguments and a clean environment.
fn tidegate(arguments: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // Read beside the wait, so that a full pipe cannot hold the process up.
    let [stdout, stderr] = [
        read_all(child.stdout.take().expect("stdout is piped")),
        read_all(child.stderr.take().expect("stderr is piped")),
    ];
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("the process can be waited for") {
            break status;
        }
        if started.elapsed() > LIMIT {
            child.kill().expect("the process can be killed");
            panic!("`tidegate {}` did not end within {LIMIT:?}", arguments.join(" "));
        }
        std::thread::park_timeout(Duration::from_millis(10));
    };
    let joined = |reader: std::thread::JoinHandle<Vec<u8>>| reader.join().expect("the pipe can be read");
    Output { status, stdout: joined(stdout), stderr: joined(stderr) }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("the pipe can be read");
        bytes
    })
}

/// Asserts how the command ends and what its last line on stderr says.
fn assert_fails(arguments: &[&str], code: i32, sentence: &str) {
    let output = tidegate(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(sentence), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
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
    assert_fails(&["srve"], 2, "unrecognized subcommand 'srve'");
}

#[test]
fn an_unknown_flag_is_a_usage_error_that_names_the_nearest() {
    assert_fails(&["serve", "--manifest", "x"], 2, "--manifests");
}

#[test]
fn a_contradiction_is_a_usage_error_that_says_what_to_write() {
    let arguments = ["serve", "--manifests", ".", "--drain-timeout", "20s"];
    assert_fails(&arguments, 2, "write --drain-timeout 35s or more, or a shorter spread");
    assert_fails(&["serve", "--manifests", ".", "--kubeconfig", "x"], 2, "keep one of them");
    assert_fails(&["serve", "--manifests", ".", "--proxy-protocol", "require"], 2, "in --trusted-proxies");
}

#[test]
fn a_missing_kubeconfig_ends_with_one_sentence() {
    let listeners =
        ["--http-listen", "127.0.0.1:0", "--https-listen", "off", "--admin-listen", "127.0.0.1:0"];
    let arguments = [&["serve", "--kubeconfig", "/no/such/file"], listeners.as_slice()].concat();
    assert_fails(&arguments, 1, "error: kubeconfig /no/such/file does not exist; name an existing file");
}

#[test]
fn a_missing_folder_ends_with_one_sentence() {
    let listeners =
        ["--http-listen", "127.0.0.1:0", "--https-listen", "off", "--admin-listen", "127.0.0.1:0"];
    let arguments = [&["serve", "--manifests", "/no/such/folder"], listeners.as_slice()].concat();
    assert_fails(&arguments, 1, "error: --manifests /no/such/folder");
}

#[test]
fn a_port_that_is_taken_ends_with_one_sentence() {
    for flag in ["--http-listen", "--https-listen", "--admin-listen"] {
        let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let taken = holder.local_addr().expect("its address").to_string();
        let mut listen = BTreeMap::from([
            ("--http-listen", "127.0.0.1:0"),
            ("--https-listen", "127.0.0.1:0"),
            ("--admin-listen", "127.0.0.1:0"),
        ]);
        listen.insert(flag, &taken);
        let listeners: Vec<&str> = listen.iter().flat_map(|(flag, address)| [*flag, *address]).collect();
        let arguments = [&["serve", "--manifests", "."], listeners.as_slice()].concat();
        assert_fails(&arguments, 1, &format!("error: cannot listen on {taken}"));
    }
}
