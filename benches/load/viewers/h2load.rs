//! Requests on connections that stay, by h2load of nghttp2.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::{Child, Command};

use crate::certificate::HOST;
use crate::proxy::Proxy;
use crate::rows::Transport;

/// Requests that are under way at any time, over all connections.
const UNDER_WAY: usize = 64;
/// Of which so many share a connection of HTTP/2.
const STREAMS: usize = 8;

/// A running h2load.
#[derive(Debug)]
pub(crate) struct H2load(Child);

/// Asks for `path` as fast as answers come, for `duration`.
pub(crate) fn start(
    proxy: &Proxy,
    transport: Transport,
    path: &str,
    duration: Duration,
) -> anyhow::Result<H2load> {
    let (scheme, address) = match transport {
        Transport::Http1 => ("http", proxy.http),
        Transport::Http1Tls | Transport::Http2Tls => ("https", proxy.https),
    };
    let (protocol, streams): (&[&str], usize) = match transport {
        Transport::Http1 | Transport::Http1Tls => (&["--h1"], 1),
        Transport::Http2Tls => (&["--npn-list=h2"], STREAMS),
    };
    let mut command = Command::new("h2load");
    command
        .args(protocol)
        .args(["-t", "1", "-c", &(UNDER_WAY / streams).to_string(), "-m", &streams.to_string()])
        .args(["-D", &format!("{}ms", duration.as_millis())])
        .arg("--tls13-ciphers=TLS_AES_128_GCM_SHA256")
        .arg(format!("--connect-to={address}"))
        .arg(format!("{scheme}://{HOST}{path}"));
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(H2load(child.spawn().context("h2load does not start: apt-get install nghttp2-client")?))
}

impl H2load {
    /// Waits for its end.
    ///
    /// # Errors
    /// A request that failed, or an answer other than 2xx.
    pub(crate) async fn finish(self) -> anyhow::Result<()> {
        let told = self.0.wait_with_output().await?;
        let text = String::from_utf8_lossy(&told.stdout);
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let (requests, statuses) = (line("requests: "), line("status codes: "));
        let clean = requests.contains(" 0 failed, 0 errored") && statuses.contains(" 0 3xx, 0 4xx, 0 5xx");
        if !clean || statuses.trim_start().starts_with("0 2xx") {
            bail!("h2load met failures: {requests}; {statuses}");
        }
        Ok(())
    }
}
