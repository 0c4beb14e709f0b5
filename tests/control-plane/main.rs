//! `control-plane [--controllers] [COMMAND ARG...]`: runs COMMAND (else a shell) beside a real Kubernetes API server.
//!
//! Everything happens in user, network and process namespaces of its own, which need no root: no port of the machine is
//! used, nothing can leave, and when the command ends the kernel ends all that was started, whatever happened to it.
//! The programs must be on PATH (`./build` makes them), the chart is installed with helm, and the command finds
//!
//! * `KUBECONFIG`: the administrator;
//! * `TIDEGATE_KUBECONFIG`: the user of the chart's ServiceAccount, with the rights that the chart gives it. It is also the
//!   environment's way to say `tidegate serve --kubeconfig`;
//! * `TIDEGATE_CONTROL_PLANE`: the folder with both and with the logs, which tells the tests that they are inside.
//!
//! It knows nothing of Tidegate's tests. Start at `outside`, which becomes `inside` in the namespaces.

#![expect(clippy::print_stderr, reason = "a program for people at a terminal")]

mod components;
mod network;

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Instant;

use anyhow::{Context, bail};
use components::{ControlPlane, Controllers};

/// What the second life of this program, in the namespaces, is called with.
const INSIDE: &str = "--inside";

/// The namespaces; `--kill-child` ends the inside when the outside is killed.
const UNSHARE: [&str; 7] =
    ["--user", "--map-root-user", "--net", "--pid", "--mount", "--fork", "--kill-child"];

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let inside_already = arguments.first().is_some_and(|first| first == INSIDE);
    let result = if inside_already { inside(&arguments.split_off(1)) } else { outside(&arguments) };
    result.unwrap_or_else(|error| {
        eprintln!("control plane: {error:#}");
        ExitCode::FAILURE
    })
}

/// Replaces this process by itself in new namespaces.
fn outside(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let probe = Command::new("unshare")
        .args(UNSHARE)
        .arg("true")
        .output()
        .context("unshare (util-linux) does not start")?;
    if !probe.status.success() {
        bail!(
            "no user and network namespace to be had ({}): allow unprivileged user namespaces \
             (sysctl kernel.unprivileged_userns_clone=1, or kernel.apparmor_restrict_unprivileged_userns=0), \
             in a container start it with --security-opt seccomp=unconfined",
            String::from_utf8_lossy(&probe.stderr).trim()
        );
    }
    let this = env::current_exe()?;
    let error = Command::new("unshare").args(UNSHARE).arg(this).arg(INSIDE).args(arguments).exec();
    Err(error).context("unshare (util-linux) does not start")
}

/// Process 1 of the namespaces: starts the control plane, runs the command, ends both.
fn inside(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let (controllers, command) = match arguments.split_first() {
        Some((first, rest)) if first == "--controllers" => (Controllers::Run, rest),
        _ => (Controllers::Leave, arguments),
    };
    // So that `ps` shows this process space; where the kernel forbids it (some containers), `ps` shows too much.
    let _ = Command::new("mount").args(["-t", "proc", "proc", "/proc"]).output();
    network::bring_up().context("the namespace's network does not come up")?;

    let begun = Instant::now();
    let folder = tempfile::Builder::new().prefix("tidegate-control-plane-").tempdir()?;
    let plane = ControlPlane::start(folder.path(), controllers)?;
    plane.install_chart(&Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/tidegate"))?;
    eprintln!("control plane: ready after {:.1} s", begun.elapsed().as_secs_f32());

    let status = run(&plane, command)?;
    drop(plane);
    Ok(code(status))
}

/// Runs the command, or a shell, with the environment that the module's documentation promises.
fn run(plane: &ControlPlane, command: &[OsString]) -> anyhow::Result<ExitStatus> {
    let shell = env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    let (program, rest) = match command.split_first() {
        Some((program, rest)) => (program.as_os_str(), rest),
        None => {
            eprint!("{}", greeting(plane));
            (shell.as_os_str(), [].as_slice())
        }
    };
    Command::new(program)
        .args(rest)
        .env("PATH", path_with_tidegate()?)
        .env("KUBECONFIG", plane.admin_kubeconfig())
        .env("TIDEGATE_KUBECONFIG", plane.tidegate_kubeconfig())
        .env("TIDEGATE_CONTROL_PLANE", plane.folder())
        .env("POD_NAMESPACE", components::NAMESPACE)
        .env("POD_NAME", "by-hand")
        .status()
        .with_context(|| format!("{} does not start", program.display()))
}

/// PATH with the folder of the `tidegate` that was built with this program, `target/PROFILE`, in front.
fn path_with_tidegate() -> anyhow::Result<OsString> {
    let this = env::current_exe()?;
    let built = this.parent().and_then(Path::parent).map(Path::to_path_buf);
    let before = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(built.into_iter().chain(env::split_paths(&before)))?)
}

fn greeting(plane: &ControlPlane) -> String {
    format!(
        "
A Kubernetes API server without nodes, for this shell only; `exit` ends it and everything in it.
kubectl and helm are the administrator; the chart is installed in namespace {namespace}.
Any address in 10.99.0.0/16 is yours: let a backend listen on one, and name it in an EndpointSlice.

    tidegate serve &                              # as the chart's ServiceAccount, with the chart's rights
    kubectl apply -f manifests/examples/addresses.yaml
    kubectl wait --for=condition=Ready dist/legacy
    python3 -m http.server --bind 10.99.0.10 8000 &    # or whatever speaks HTTP
    curl --header 'Host: legacy.example.com' http://localhost:8080/
    curl http://localhost:9090/debug/status

Logs of the control plane: {folder}/*.log
",
        namespace = components::NAMESPACE,
        folder = plane.folder().display(),
    )
}

/// The command's own exit code; 128 + N for one that signal N ended, as shells say it.
fn code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}
