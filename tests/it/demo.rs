//! The demo as its user meets it: started on free ports, its three commands run by a shell as they were printed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// More than a start may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// The running demo, ended when dropped.
struct Demo {
    child: Child,
    commands: Vec<String>,
}

impl Demo {
    /// Starts the demo and waits for its guide.
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .arg("demo")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("a pipe");
        let (lines, guide) = mpsc::channel();
        // It ends with the pipe, which ends with the process.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nobody listens once the guide was read.
                let _nobody = lines.send(line);
            }
        });
        let mut demo = Self { child, commands: Vec::new() };
        loop {
            let line = guide.recv_timeout(LIMIT).expect("the guide to its end");
            if line.starts_with("Ctrl-C") {
                return demo;
            }
            // Commands are indented, all else is not.
            demo.commands.extend(line.strip_prefix("   ").map(str::to_owned));
        }
    }

    fn run(&self, command: usize) -> String {
        let command = &self.commands[command];
        let Output { status, stdout, stderr } =
            Command::new("sh").args(["-c", command]).stdin(Stdio::null()).output().expect("a shell");
        let told = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{command}\n{status}: {told}");
        String::from_utf8_lossy(&stdout).into_owned()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

#[test]
fn the_three_commands_work_as_printed_and_ctrl_c_leaves_nothing_behind() {
    let mut demo = Demo::start();
    assert_eq!(demo.commands.len(), 3, "{:?}", demo.commands);
    assert!(demo.run(0).contains(r#""instance": "blue""#));
    assert_eq!(demo.run(1), "hello\n");
    assert!(demo.run(2).contains(r#""instance": "green""#));

    let file =
        demo.commands[2].split(' ').find(|word| word.ends_with("hello.yaml")).expect("the edited file");
    assert!(std::path::Path::new(file).exists());
    let killed = Command::new("kill").args(["-INT", &demo.child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    assert!(demo.child.wait().expect("an end").success());
    assert!(!std::path::Path::new(file).exists(), "the folder is gone");
}
