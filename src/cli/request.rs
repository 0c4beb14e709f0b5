//! One request over plain HTTP, for the commands that ask somebody.
//!
//! It does not know what the answer means. Start at [`ask`].

use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long each step may take: to connect, and from one piece of an answer to the next.
const LIMIT: Duration = Duration::from_secs(10);

/// What answered.
pub(super) struct Answer {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its header fields.
    pub(super) headers: HeaderMap,
    /// Its body.
    pub(super) text: String,
}

/// Asks `whom` for `path`, with its query, as `host`.
///
/// # Errors
/// Nobody there, for which `remedy` says what to do, or something that does not answer as HTTP does.
pub(super) async fn ask(whom: &Authority, host: &str, path: &str, remedy: &str) -> anyhow::Result<Answer> {
    let address = (whom.host().trim_matches(['[', ']']), whom.port_u16().unwrap_or(80));
    let stream = limited(TcpStream::connect(address)).await?.map_err(|error| anyhow!("{error}; {remedy}"))?;
    let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer, or with the runtime.
    tokio::spawn(connection);
    let request = Request::get(path).header(HOST, host).body(Empty::<Bytes>::new())?;
    let mut response = limited(requests.send_request(request)).await?.context("it does not speak HTTP")?;
    let mut body = Vec::new();
    while let Some(frame) = limited(response.frame()).await? {
        let frame = frame.context("its answer broke off; ask again")?;
        body.extend(frame.into_data().unwrap_or_default());
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    Ok(Answer { status: response.status(), headers: response.headers().clone(), text })
}

async fn limited<T>(step: impl Future<Output = T>) -> anyhow::Result<T> {
    let seconds = LIMIT.as_secs();
    timeout(LIMIT, step)
        .await
        .with_context(|| format!("no answer within {seconds} s; is it the right address?"))
}

/// `http://HOST:PORT`, with whatever path.
pub(super) fn plain_url(text: &str) -> Option<(Uri, Authority)> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?.clone();
    (uri.scheme() == Some(&Scheme::HTTP)).then_some((uri, authority))
}
