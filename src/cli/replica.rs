//! A replica that a command asks: its admin pages, by plain HTTP.
//!
//! What a page says is the command's business; here is only how it is got, and one sentence for whoever cannot get it.
//! Start at [`Replica::page`].

use anyhow::{Context, bail};
use clap::Args;
use http::StatusCode;
use http::uri::Authority;

use super::request;

/// What to do where nobody listens.
const REMEDY: &str = "name the admin address of a running replica with --admin, or run this in its pod";

/// Which replica to ask
#[derive(Clone, Debug, Args)]
pub(super) struct Replica {
    /// Where its admin pages are
    ///
    /// In a cluster, run the command in the pod (`kubectl exec deploy/tidegate -- tidegate ...`) or forward the port
    /// (`kubectl port-forward deploy/tidegate 9090`).
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090", value_parser = admin)]
    admin: Authority,
}

impl Replica {
    /// The text of the page at `path`, with its query.
    ///
    /// # Errors
    /// Nobody there, or an answer other than 200; the sentence says what to do.
    pub(super) async fn page(&self, path: &str) -> anyhow::Result<String> {
        let asked = self.ask(path).await;
        asked.with_context(|| format!("http://{} cannot be asked", self.admin))
    }

    async fn ask(&self, path: &str) -> anyhow::Result<String> {
        let answer = request::ask(&self.admin, self.admin.as_str(), path, REMEDY).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.text),
            StatusCode::NOT_FOUND => {
                bail!("it has no such page; name the admin address of a replica of this version")
            }
            status => bail!("it answers {}: {}", status.as_u16(), answer.text.trim_end()),
        }
    }
}

/// `http://HOST:PORT`, where the pages are at the root.
fn admin(text: &str) -> Result<Authority, String> {
    match request::plain_url(text) {
        Some((url, authority)) if url.path() == "/" && url.query().is_none() => Ok(authority),
        Some(_) => Err("write http://HOST:PORT: admin pages are at the root".to_owned()),
        None => Err("write http://HOST:PORT: admin pages are without TLS".to_owned()),
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
