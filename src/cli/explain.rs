//! `tidegate explain`: what a request would meet, asked of a replica or of manifests.
//!
//! The answer is `table::explain`'s in both cases: a replica gives it as a page. Start with [`run`].

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::offline::{DEFAULT_CLASS, translated};
use super::replica::Replica;
use super::{End, note, print, usage};
use crate::object::ObjectKey;
use crate::provider::manifests::Reading;
use crate::snapshot::FileProblem;
use crate::table::explain::{Explanation, Kind, Question, explain};
use crate::translate::{BaseDomain, Translation};

/// Where redirects to HTTPS lead by default.
const HTTPS: u16 = 443;

/// Say which Distribution, behavior, origin and pods a request would reach, and why
///
/// Asks a replica what its live table does with the request, or with --manifests what these files would do, with
/// nothing running. The same judgement that serves is told: the alias that matched, the certificate, the behavior
/// and why those before it did not match, what its policies say, the target that the origin sees, and the endpoints.
/// No request is made.
///
/// Exit status: 0 with an answer, whatever the request would meet; 1 when there is none; 2 on a usage error.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The URL, such as `https://shop.example.com/api/x?y=1`; with ws:// or wss:// a WebSocket handshake
    ///
    /// Taken as a viewer would send it: browsers and curl remove dot segments and escape spaces before they do.
    url: String,

    /// The method of the request
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,

    /// Ask about a WebSocket handshake
    #[arg(long)]
    websocket: bool,

    /// What the request says in Origin: the page that sends it, or opens the WebSocket
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,

    /// Ask about the preflight that a browser sends before such a request of the page in --origin
    #[arg(long, value_name = "METHOD", conflicts_with = "method")]
    preflight: Option<String>,

    /// Who asks: the address that `sourceRanges` judge; without it they judge nobody
    #[arg(long, value_name = "ADDRESS")]
    viewer: Option<String>,

    #[command(flatten)]
    replica: Replica,

    /// Ask the YAML under PATH (a file or a folder) instead of a replica; may be given several times
    ///
    /// Documents of kinds that Tidegate does not read are left out.
    #[arg(long, value_name = "PATH", conflicts_with = "admin")]
    manifests: Vec<PathBuf>,

    /// With --manifests: the class whose Distributions are asked; those without one belong to `tidegate`
    #[arg(long, value_name = "NAME", default_value = DEFAULT_CLASS, requires = "manifests")]
    class_name: String,

    /// With --manifests: the Secret for Distributions without `viewerCertificate`, as in `tidegate serve`
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "manifests")]
    default_certificate: Option<ObjectKey>,

    /// With --manifests: the domain below which every Distribution has a name, as in `tidegate serve`
    #[arg(long, value_name = "DOMAIN", requires = "manifests", value_parser = BaseDomain::parse)]
    base_domain: Option<BaseDomain>,

    /// For people, or the JSON of the page /explain
    #[arg(long, value_name = "FORMAT", default_value = "text", value_enum)]
    format: Format,
}

/// How the answer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A fact a line.
    Text,
    /// One JSON object.
    Json,
}

/// Asks, and prints the answer.
///
/// # Errors
/// A question that cannot be asked (a usage error), a replica or a path that does not answer.
pub(super) fn run(asked: &Explain) -> anyhow::Result<End> {
    let kind = if asked.websocket { Kind::WebSocket } else { Kind::AsTheUrlSays };
    let question =
        Question::parse(&asked.url, &asked.method, kind, asked.origin.as_deref()).map_err(usage)?;
    let question = match &asked.viewer {
        Some(viewer) => question.of_viewer(viewer).map_err(usage)?,
        None => question,
    };
    let question = match &asked.preflight {
        Some(method) => question.as_preflight_for(method).map_err(usage)?,
        None => question,
    };
    let explanation =
        if asked.manifests.is_empty() { of_replica(asked)? } else { of_manifests(asked, &question)? };
    match asked.format {
        Format::Text => print(&explanation.to_string()),
        Format::Json => {
            let json = serde_json::to_string_pretty(&explanation).context("the answer is no JSON")?;
            print(&format!("{json}\n"))
        }
    }
}

fn of_replica(asked: &Explain) -> anyhow::Result<Explanation> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("url", &asked.url).append_pair("method", &asked.method);
    if asked.websocket {
        query.append_pair("websocket", "true");
    }
    if let Some(origin) = &asked.origin {
        query.append_pair("origin", origin);
    }
    if let Some(viewer) = &asked.viewer {
        query.append_pair("viewer", viewer);
    }
    if let Some(method) = &asked.preflight {
        query.append_pair("preflight", method);
    }
    let path = format!("/explain?{}", query.finish());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let page = runtime.block_on(asked.replica.page(&path))?;
    serde_json::from_str(&page).context("the replica is of another version; use its own `tidegate`")
}

fn of_manifests(asked: &Explain, question: &Question) -> anyhow::Result<Explanation> {
    let reading = Reading::of(&asked.manifests)?;
    for FileProblem { path, line, column, field, message } in reading.problems() {
        note(format_args!("{}:{line}:{column}: {field}: {message}", path.display()));
    }
    let (certificate, domain) = (asked.default_certificate.clone(), asked.base_domain.clone());
    let Translation { table, facts, .. } = translated(&reading, &asked.class_name, certificate, domain);
    Ok(explain(&table, question, HTTPS).with_findings(|key| facts.told(key)))
}
