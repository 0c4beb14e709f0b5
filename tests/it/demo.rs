//! The demo as its user meets it: started on free ports, its three commands run by a shell as they were printed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// More than a start may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Two that start at once may choose the same port.
static STARTING: Mutex<()> = Mutex::new(());

/// The running demo, ended when dropped.
pub(crate) struct Demo {
    child: Child,
    /// What it printed, line by line.
    pub(crate) guide: Vec<String>,
}

impl Demo {
    /// Starts the demo and waits for its guide.
    pub(crate) fn start() -> Self {
        let _alone = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut demo = Self { child, guide: Vec::new() };
        loop {
            let line = guide.recv_timeout(LIMIT).expect("the guide to its end");
            if line.starts_with("Ctrl-C") {
                return demo;
            }
            demo.guide.push(line);
        }
    }

    /// Commands are indented, all else is not.
    fn commands(&self) -> Vec<&str> {
        self.guide.iter().filter_map(|line| line.strip_prefix("   ")).collect()
    }

    /// The first word of the guide that begins so.
    pub(crate) fn word(&self, beginning: &str) -> &str {
        let mut words = self.guide.iter().flat_map(|line| line.split_whitespace());
        words.find(|word| word.starts_with(beginning)).unwrap_or_else(|| panic!("{:?}", self.guide))
    }

    /// Where its manifests are.
    pub(crate) fn folder(&self) -> PathBuf {
        let file = self.commands()[2].split(' ').find(|word| word.ends_with("hello.yaml"));
        file.and_then(|file| Path::new(file).parent()).expect("the edited file").to_owned()
    }

    /// What `tidegate connections` prints.
    pub(crate) fn connections(&self) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        let Output { status, stdout, .. } =
            command.args(["connections", "--admin", self.admin()]).output().expect("the binary starts");
        assert!(status.success(), "{status}");
        String::from_utf8(stdout).expect("text")
    }

    /// Waits until an admin page has this text.
    pub(crate) fn shows(&self, path: &str, text: &str) {
        let begun = Instant::now();
        loop {
            let authority = self.admin().strip_prefix("http://").expect("a URL");
            let mut stream = TcpStream::connect(authority).expect("the admin listens");
            write!(stream, "GET {path} HTTP/1.0\r\nhost: demo\r\n\r\n").expect("it reads");
            let mut page = String::new();
            stream.read_to_string(&mut page).expect("it answers");
            if page.contains(text) {
                return;
            }
            assert!(begun.elapsed() < LIMIT, "no {text} in {page}");
        }
    }

    fn admin(&self) -> &str {
        self.word("http://127.")
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let killed = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(killed.expect("kill").success());
    }

    /// Waits for the end, and says whether it was a good one.
    pub(crate) fn ends_well(&mut self) -> bool {
        self.child.wait().expect("an end").success()
    }

    fn run(&self, command: usize) -> String {
        let command = self.commands()[command];
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
    assert_eq!(demo.commands().len(), 3, "{:?}", demo.guide);
    assert!(demo.run(0).contains(r#""instance": "blue""#));
    assert_eq!(demo.run(1), "hello\n");
    assert!(demo.run(2).contains(r#""instance": "green""#));

    let folder = demo.folder();
    assert!(folder.exists());
    demo.interrupt();
    assert!(demo.ends_well());
    assert!(!folder.exists(), "the folder is gone");
}
