//! What the demo prints: three commands that work as they stand.
//!
//! They are lines for a shell, so every path in them is quoted where it must be. Start with [`text`].

use std::borrow::Cow;
use std::env;
use std::net::SocketAddr;
use std::path::Path;

use super::folder::{CA_FILE, CHAT, HELLO, HELLO_FILE};

/// The guide for a demo that listens with TLS at `https` and for operators at `admin`, and serves `folder`.
pub(super) fn text(program: &str, folder: &Path, https: SocketAddr, admin: SocketAddr) -> String {
    let (ip, port) = (https.ip(), https.port());
    let ca = quoted(&folder.join(CA_FILE).to_string_lossy()).into_owned();
    let hello = quoted(&folder.join(HELLO_FILE).to_string_lossy()).into_owned();
    let program = quoted(program);
    let curl = format!("curl -sS --cacert {ca} --resolve {HELLO}:{port}:{ip} https://{HELLO}:{port}/");
    format!(
        "Tidegate serves the manifests in {folder}

1. HTTPS, answered by the instance \"blue\":

   {curl}

2. A WebSocket echo over TLS:

   {program} demo websocket --cacert {ca} --connect {https} wss://{CHAT}:{port}/echo hello

3. An edit that moves the traffic to \"green\" while everything goes on:

   sed -i.bak 's/targetOriginId: blue/targetOriginId: green/' {hello} && sleep 1 && {curl}

In a browser, https://{CHAT}:{port}/ shows a WebSocket that no edit closes; the certificate is signed by itself.
From the other side, {program} connections --watch --admin http://{admin} shows it, too.

Ctrl-C ends the demo.
",
        folder = folder.display(),
    )
}

/// How a shell calls the running program: by its name where that finds it, else by its path.
pub(super) fn program() -> String {
    let Ok(own) = env::current_exe() else { return "tidegate".to_owned() };
    let path = env::var_os("PATH").unwrap_or_default();
    let found =
        env::split_paths(&path).map(|folder| folder.join("tidegate")).find(|candidate| candidate.is_file());
    let same = |found: &Path| found.canonicalize().ok() == own.canonicalize().ok();
    if found.is_some_and(|found| same(&found)) {
        "tidegate".to_owned()
    } else {
        own.to_string_lossy().into_owned()
    }
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(quoted("/tmp/demo"), "/tmp/demo");
        assert_eq!(quoted("/tmp/my demo"), "'/tmp/my demo'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn the_guide_has_three_commands() {
        let text = text(
            "tidegate",
            Path::new("/tmp/demo"),
            ([127, 0, 0, 1], 8443).into(),
            ([127, 0, 0, 1], 9090).into(),
        );
        let commands: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("   ")).collect();
        assert_eq!(commands.len(), 3, "{text}");
        assert!(commands[0].starts_with("curl "));
        assert!(commands[1].starts_with("tidegate demo websocket "));
        assert!(commands[2].starts_with("sed "));
    }
}
