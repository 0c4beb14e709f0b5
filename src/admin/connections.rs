//! The live view of WebSockets: one JSON line for each that is open, written as the workers tell of them.
//!
//! There may be tens of thousands: neither the page nor a worker ever holds them all. `docs/connections.md` says what
//! stands in a line. Start at [`list`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use jiff::{SignedDuration, Timestamp, Unit};
use serde::Serialize;

use super::{Page, page, text};
use crate::dataplane::websocket::{Listed, Tally};
use crate::dataplane::{Handle, Tunnels};
use crate::object::ObjectKey;
use crate::telemetry::Address;

/// As much is gathered before it is sent.
const PIECE: usize = 16 * 1024;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Query {
    distribution: Option<ObjectKey>,
    limit: usize,
}

/// The WebSockets of all workers that the query asks for.
pub(super) fn list(plane: &Handle, query: Option<&str>) -> Page {
    let Query { distribution, limit } = match parse(query.unwrap_or_default()) {
        Ok(query) => query,
        Err(complaint) => return text(StatusCode::BAD_REQUEST, format!("{complaint}\n")),
    };
    let pieces = stream::unfold((plane.tunnels(distribution), limit), |(mut tunnels, mut left)| async move {
        let piece = piece(&mut tunnels, &mut left).await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), (tunnels, left)))
    });
    page(StatusCode::OK, "application/jsonl", StreamBody::new(pieces).boxed_unsync())
}

/// The next lines, at most `left`; none after the last.
async fn piece(tunnels: &mut Tunnels, left: &mut usize) -> Option<Bytes> {
    let mut lines = Vec::with_capacity(PIECE);
    while *left > 0 && lines.len() < PIECE {
        let Some(tunnel) = tunnels.next().await else { break };
        *left -= 1;
        serde_json::to_writer(&mut lines, &line(&tunnel, Timestamp::now())).ok()?;
        lines.push(b'\n');
    }
    (!lines.is_empty()).then(|| lines.into())
}

/// `distribution=NAMESPACE/NAME` and `limit=N`, each at most once; the error is for whoever asked.
fn parse(query: &str) -> Result<Query, String> {
    let mut parsed = Query { distribution: None, limit: usize::MAX };
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            // No other character of a name needs to be encoded.
            Some(("distribution", key)) => {
                let key = key.replace("%2F", "/").replace("%2f", "/");
                parsed.distribution = Some(key.parse().map_err(|error| format!("distribution: {error}"))?);
            }
            Some(("limit", number)) => {
                parsed.limit =
                    number.parse().map_err(|_| format!("limit: `{number}` is no number of WebSockets"))?;
            }
            _ => {
                return Err(format!(
                    "`{parameter}` is unknown; there are distribution=NAMESPACE/NAME and limit=N"
                ));
            }
        }
    }
    Ok(parsed)
}

/// One WebSocket, as scripts read it.
#[derive(Serialize)]
struct Line<'t> {
    id: u64,
    connection_id: u64,
    distribution: String,
    behavior: &'t str,
    origin: &'t str,
    endpoint: SocketAddr,
    viewer: Address,
    protocol: &'static str,
    opened: Timestamp,
    age: f64,
    idle: f64,
    bytes: BothWays,
    frames: BothWays,
    messages: BothWays,
    subprotocol: Option<&'t str>,
    extensions: Option<&'t str>,
}

#[derive(Serialize)]
struct BothWays {
    to_origin: u64,
    to_viewer: u64,
}

fn line(tunnel: &Listed, now: Timestamp) -> Line<'_> {
    let Listed { number, distribution, labels, age, idle, to_origin, to_viewer } = tunnel;
    let both =
        |count: fn(&Tally) -> u64| BothWays { to_origin: count(to_origin), to_viewer: count(to_viewer) };
    Line {
        id: *number,
        connection_id: labels.connection,
        distribution: distribution.to_string(),
        behavior: &labels.behavior,
        origin: &labels.origin,
        endpoint: labels.endpoint,
        viewer: labels.viewer,
        protocol: labels.protocol,
        opened: opened(now, *age),
        age: seconds(*age),
        idle: seconds(*idle),
        bytes: both(|tally| tally.bytes),
        frames: both(|tally| tally.frames),
        messages: both(|tally| tally.messages),
        subprotocol: labels.subprotocol.as_deref(),
        extensions: labels.extensions.as_deref(),
    }
}

/// To the millisecond; what is older than the calendar is as old as that.
fn opened(now: Timestamp, age: Duration) -> Timestamp {
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    let opened = now.saturating_sub(age).unwrap_or(Timestamp::MIN);
    opened.round(Unit::Millisecond).unwrap_or(opened)
}

/// Seconds, to the millisecond.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_asks_for_a_distribution_and_for_so_many() {
        let all = Query { distribution: None, limit: usize::MAX };
        assert_eq!(parse(""), Ok(all.clone()));
        assert_eq!(parse("limit=3"), Ok(Query { limit: 3, ..all.clone() }));
        let web = Query { distribution: Some(ObjectKey::new("shop", "web")), ..all };
        assert_eq!(parse("distribution=shop/web"), Ok(web.clone()));
        assert_eq!(parse("distribution=shop%2Fweb&limit=7"), Ok(Query { limit: 7, ..web }));
    }

    #[test]
    fn a_query_that_asks_for_something_else_is_told_what_there_is() {
        for (query, complaint) in [
            ("distribution=web", "`web` is not NAMESPACE/NAME"),
            ("limit=all", "`all` is no number"),
            ("limit=-1", "`-1` is no number"),
            ("distributions=shop/web", "there are distribution=NAMESPACE/NAME and limit=N"),
            ("limit", "there are distribution=NAMESPACE/NAME and limit=N"),
        ] {
            assert!(parse(query).unwrap_err().contains(complaint), "{query}: {:?}", parse(query));
        }
    }

    #[test]
    fn a_time_is_told_to_the_millisecond() {
        let now: Timestamp = "2026-06-01T00:00:10Z".parse().unwrap();
        assert_eq!(opened(now, Duration::from_micros(1_234_567)).to_string(), "2026-06-01T00:00:08.765Z");
        assert_eq!(opened(now, Duration::MAX), Timestamp::MIN);
        assert_eq!(seconds(Duration::from_micros(1_234_567)), 1.235);
    }
}
