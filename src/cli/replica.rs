//! A replica that a command asks: its admin pages, by plain HTTP.
//!
//! What a page says is the command's business; here is only how it is got, and one sentence for whoever cannot get it.
//! Start at [`Replica::page`].

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use http::header::HOST;
use http::uri::Scheme;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long each step may take: to connect, and from one piece of a page to the next.
const LIMIT: Duration = Duration::from_secs(10);

/// Which replica to ask
#[derive(Clone, Debug, Args)]
pub(super) struct Replica {
    /// Where its admin pages are
    ///
    /// In a cluster, run the command in the pod (`kubectl exec deploy/tidegate -- tidegate ...`) or forward the port
    /// (`kubectl port-forward deploy/tidegate 9090`).
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090", value_parser = admin)]
    admin: Uri,
}

impl Replica {
    /// The text of the page at `path`, with its query.
    ///
    /// # Errors
    /// Nobody there, or an answer other than 200; the sentence says what to do.
    pub(super) async fn page(&self, path: &str) -> anyhow::Result<String> {
        let asked = self.ask(path).await;
        asked.with_context(|| format!("{} cannot be asked", self.admin.to_string().trim_end_matches('/')))
    }

    async fn ask(&self, path: &str) -> anyhow::Result<String> {
        let authority = self.admin.authority().context("it names no host")?;
        let address = (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80));
        let stream = limited(TcpStream::connect(address)).await?.map_err(|error| {
            anyhow!(
                "{error}; name the admin address of a running replica with --admin, or run this in its pod"
            )
        })?;
        let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the answer, or with the runtime.
        tokio::spawn(connection);
        let request = Request::get(path).header(HOST, authority.as_str()).body(Empty::<Bytes>::new())?;
        let mut response =
            limited(requests.send_request(request)).await?.context("it does not speak HTTP")?;
        let mut body = Vec::new();
        while let Some(frame) = limited(response.frame()).await? {
            let frame = frame.context("its answer broke off; ask again")?;
            body.extend(frame.into_data().unwrap_or_default());
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        match response.status() {
            StatusCode::OK => Ok(text),
            StatusCode::NOT_FOUND => {
                bail!("it has no such page; name the admin address of a replica of this version")
            }
            status => bail!("it answers {}: {}", status.as_u16(), text.trim_end()),
        }
    }
}

async fn limited<T>(step: impl Future<Output = T>) -> anyhow::Result<T> {
    let seconds = LIMIT.as_secs();
    timeout(LIMIT, step)
        .await
        .with_context(|| format!("no answer within {seconds} s; is it the admin address of a replica?"))
}

/// `http://HOST:PORT`, where the pages are at the root.
fn admin(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|_| "write http://HOST:PORT".to_owned())?;
    let is_root = uri.path() == "/" && uri.query().is_none();
    if uri.scheme() == Some(&Scheme::HTTP) && uri.authority().is_some() && is_root {
        Ok(uri)
    } else {
        Err("write http://HOST:PORT: admin pages are without TLS, and at the root".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_address_is_a_url_without_tls_and_without_a_path() {
        for good in ["http://127.0.0.1:9090", "http://[::1]:9090/", "http://tidegate"] {
            assert!(admin(good).is_ok(), "{good}");
        }
        for bad in ["127.0.0.1:9090", "https://127.0.0.1:9090", "http://tidegate/debug", "http://", "/x"] {
            assert!(admin(bad).unwrap_err().contains("write http://HOST:PORT"), "{bad}");
        }
    }
}
