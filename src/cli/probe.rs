//! `tidegate probe URL`: asks as a viewer does, and says what answers.
//!
//! For where there is no other client: the image has none, and the chart's test runs in it.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use http::Uri;
use http::uri::Authority;
use tokio::time::{Instant, sleep};

use super::request::{self, Answer};
use super::{End, print};
use crate::printable::printable;
use crate::settings::duration;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Ask a URL as a viewer does, and say what answers
///
/// Exit status: 0 where it answers with 2xx, 1 where it answers otherwise or not at all.
#[derive(Debug, Args)]
pub(super) struct Probe {
    /// What to ask, such as `http://tidegate.tidegate/` or `http://127.0.0.1:9090/readyz`
    #[arg(value_name = "URL", value_parser = url)]
    url: Url,

    /// The host to ask for, where it is not the URL's
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// Ask again for so long, until it answers with 2xx
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    within: Duration,
}

/// An `http://` URL.
#[derive(Clone, Debug)]
struct Url {
    uri: Uri,
    authority: Authority,
}

/// Asks.
///
/// # Errors
/// No answer, or none with 2xx.
pub(super) fn run(asked: &Probe) -> anyhow::Result<End> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(success(asked));
    print(&answer.with_context(|| asked.url.uri.to_string())?)
}

/// What the first answer with 2xx says, or what was wrong with the last attempt.
async fn success(asked: &Probe) -> anyhow::Result<String> {
    let begun = Instant::now();
    loop {
        match attempt(asked).await {
            Err(_) if begun.elapsed() + PAUSE <= asked.within => sleep(PAUSE).await,
            last => return last,
        }
    }
}

async fn attempt(asked: &Probe) -> anyhow::Result<String> {
    let Url { uri, authority } = &asked.url;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = asked.host.as_deref().unwrap_or(authority.as_str());
    let answer = request::ask(authority, host, path, "is it the right address?").await?;
    let told = tell(&answer);
    if !answer.status.is_success() {
        bail!("it answers {}", told.trim_end());
    }
    Ok(told)
}

/// The status, why Tidegate answers by itself where it does, and what stands in the answer.
fn tell(answer: &Answer) -> String {
    let mut told = answer.status.to_string();
    if let Some(reason) = answer.headers.get("x-tidegate-error").and_then(|reason| reason.to_str().ok()) {
        let _infallible = write!(told, " ({reason})");
    }
    for line in answer.text.lines() {
        let _infallible = write!(told, "\n{}", printable(line));
    }
    told + "\n"
}

fn url(text: &str) -> Result<Url, String> {
    let parsed = request::plain_url(text).map(|(uri, authority)| Url { uri, authority });
    parsed.ok_or_else(|| "write http://HOST:PORT/PATH, without TLS".to_owned())
}
