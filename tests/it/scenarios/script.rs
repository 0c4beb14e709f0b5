//! The form of a scenario file.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One file of `tests/scenarios`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    /// Origins to start. Each is a Service of its name in the namespace `default`, port 80 named `http`, with one
    /// endpoint that says in JSON how a request reached it. Told so by `X-NAME-Answers: 503`, it answers that.
    #[serde(default)]
    pub(crate) backends: Vec<String>,
    /// `kubernetes.io/tls` Secrets to write, with the names that their certificates cover.
    #[serde(default)]
    pub(crate) certificates: BTreeMap<String, Vec<String>>,
    /// Further flags of `tidegate serve`.
    #[serde(default)]
    pub(crate) flags: Vec<String>,
    /// The manifests by file name.
    pub(crate) files: BTreeMap<String, String>,
    /// What happens then, in this order.
    pub(crate) steps: Vec<Step>,
}

/// One thing that happens, and what is seen then.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// A change to the folder, before anything is sent.
    pub(crate) edit: Option<Edit>,
    /// `METHOD URL`; the host of an `http` or `https` URL is sent as Host and SNI, `admin:/path` asks the admin page.
    pub(crate) request: Option<String>,
    /// The URL of a WebSocket, on which `hello` is sent.
    pub(crate) websocket: Option<String>,
    /// Headers of the request.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Whether the request says HTTP/1.0.
    #[serde(default)]
    pub(crate) http10: bool,
    /// What must be seen at once.
    pub(crate) expect: Option<Expect>,
    /// What must be seen soon, as after an edit.
    pub(crate) until: Option<Expect>,
}

/// A change to one file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    /// The file's name; for `certificate` the Secret's.
    pub(crate) file: String,
    /// A text in it that is replaced by `with`.
    pub(crate) replace: Option<String>,
    /// What stands there then.
    #[serde(default)]
    pub(crate) with: String,
    /// Removes the file.
    #[serde(default)]
    pub(crate) remove: bool,
    /// Writes a new certificate for these names into the Secret.
    pub(crate) certificate: Option<Vec<String>>,
}

/// What is seen; what is left out does not matter.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// The status.
    pub(crate) status: Option<u16>,
    /// Headers with their exact values; null for one that must be missing.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Option<String>>,
    /// Texts that the body holds.
    #[serde(default)]
    pub(crate) body: Vec<String>,
    /// Texts that the body does not hold.
    #[serde(default)]
    pub(crate) body_without: Vec<String>,
    /// What came back over the WebSocket.
    pub(crate) echo: Option<String>,
    /// The Secret whose present certificate the handshake showed.
    pub(crate) certificate: Option<String>,
    /// Whether the TLS handshake was refused.
    #[serde(default)]
    pub(crate) refused: bool,
}
