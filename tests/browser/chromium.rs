//! Chromium without a window, driven over the DevTools protocol: one tab, and what is asked of it.

use std::path::PathBuf;
use std::process::Stdio;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::LIMIT;

/// What the package is called by distributions.
const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const FLAGS: [&str; 9] = [
    "--headless=new",
    "--remote-debugging-port=0",
    // The certificate of the demo is signed by itself.
    "--ignore-certificate-errors",
    // Its sandbox wants rights that containers do not have; it meets nothing but the demo's page.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--no-proxy-server",
];

/// A tab of a browser of its own, which ends with it.
pub(crate) struct Tab {
    socket: WebSocketStream<TcpStream>,
    session: Option<String>,
    commands: u64,
    /// What the browser told without being asked, by method.
    events: Vec<(String, Value)>,
    _browser: Child,
    _profile: TempDir,
}

impl Tab {
    /// Opens a tab that shows `url`.
    pub(crate) async fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let mut browser = Command::new(program())
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Chromium starts");
        let told = browser.stderr.take().expect("a pipe");
        let address = timeout(LIMIT, address(told)).await.expect("Chromium listens soon");
        let authority = address.strip_prefix("ws://").and_then(|rest| rest.split('/').next());
        let stream = TcpStream::connect(authority.expect("a host and a port")).await.expect("it accepts");
        let (socket, _) = client_async(&address, stream).await.expect("it speaks DevTools");
        let mut tab = Self {
            socket,
            session: None,
            commands: 0,
            events: Vec::new(),
            _browser: browser,
            _profile: profile,
        };
        let target = tab.command("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = tab.command("Target.attachToTarget", attach).await;
        tab.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.command(&format!("{domain}.enable"), json!({})).await;
        }
        let shown = tab.command("Page.navigate", json!({ "url": url })).await;
        assert_eq!(shown.get("errorText"), None, "{url}: {shown}");
        let loaded = async {
            while tab.told("Page.loadEventFired").is_empty() {
                tab.hear().await;
            }
        };
        timeout(LIMIT, loaded).await.expect("the page loads");
        tab
    }

    /// Has the browser do something, and gives its result.
    pub(crate) async fn command(&mut self, method: &str, parameters: Value) -> Value {
        self.commands += 1;
        let mut command = json!({ "id": self.commands, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        self.socket.send(Message::text(command.to_string())).await.expect("the browser lives");
        let answered = async {
            loop {
                if let Some(answer) = self.hear().await.filter(|answer| answer["id"] == self.commands) {
                    return answer;
                }
            }
        };
        let mut answer = timeout(LIMIT, answered).await.unwrap_or_else(|_| panic!("{method}: no answer"));
        assert_eq!(answer.get("error"), None, "{method}: {answer}");
        answer["result"].take()
    }

    /// Waits for the next message, and gives it where it is an answer; what else there is to tell is kept.
    async fn hear(&mut self) -> Option<Value> {
        let message = self.socket.next().await.expect("the browser lives").expect("a message");
        let mut told: Value = serde_json::from_str(message.to_text().expect("text")).ok()?;
        match told["method"].as_str() {
            Some(event) => {
                self.events.push((event.to_owned(), told["params"].take()));
                None
            }
            None => Some(told),
        }
    }

    /// The value of an expression, awaited where it is a promise.
    pub(crate) async fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut evaluated = self.command("Runtime.evaluate", parameters).await;
        assert_eq!(evaluated.get("exceptionDetails"), None, "{expression}: {evaluated}");
        evaluated["result"]["value"].take()
    }

    /// Waits until a condition holds in the page.
    pub(crate) async fn until(&mut self, condition: &str) {
        let waiting = format!(
            "new Promise((done) => {{ const look = () => ({condition}) ? done() : setTimeout(look, 20); look(); }})"
        );
        if timeout(LIMIT, self.value(&waiting)).await.is_err() {
            panic!("{condition} never holds");
        }
    }

    /// The text of the element with this id.
    pub(crate) async fn text(&mut self, id: &str) -> String {
        let text = self.value(&format!("document.getElementById('{id}').textContent")).await;
        text.as_str().expect("a text").to_owned()
    }

    /// What the browser has told so far under this name.
    pub(crate) fn told(&self, event: &str) -> Vec<&Value> {
        self.events.iter().filter(|(name, _)| name == event).map(|(_, told)| told).collect()
    }
}

fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates =
        std::env::split_paths(&path).flat_map(|folder| PROGRAMS.map(|program| folder.join(program)));
    candidates.into_iter().find(|candidate| candidate.is_file()).expect(
        "there is no Chromium: `apt-get install chromium`, or leave these tests out with `--skip browser::`",
    )
}

/// Where the browser listens; what else it says is read and forgotten, so that it never waits.
async fn address(stderr: ChildStderr) -> String {
    let mut lines = BufReader::new(stderr).lines();
    let mut said = Vec::new();
    while let Some(line) = lines.next_line().await.expect("text") {
        if let Some(address) = line.strip_prefix("DevTools listening on ") {
            let address = address.to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return address;
        }
        said.push(line);
    }
    panic!("Chromium ended: {}", said.join("\n"));
}
