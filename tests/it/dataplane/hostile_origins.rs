//! Hostile answers of origins, as raw bytes, each with a harmless neighbour: what is ambiguous is a 502 and what is
//! cut off is seen to be, whichever HTTP the viewer speaks.
//!
//! Behind every row another request is sent: it comes on a new connection wherever anything was in doubt, so no
//! byte of a row can become the answer to somebody else.

mod delivery;
mod rows;

use tidegate::dataplane::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::hostile_http1::recorder::{self, Fields};
use super::http2::{Client, Door, read};
use super::rig::{Plane, RawOrigin, Site, Viewer, soon};
use rows::ROWS;

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is a 502 with this reason, and its connection is closed.
    Refused(&'static str),
    /// The viewer sees this message: the status, the sorted fields but for `Date` and those of one connection, a
    /// blank line and the body. The connection is used again.
    Passes(&'static str),
    /// The same, and the connection is closed.
    PassesLast(&'static str),
    /// The viewer sees an answer that has no end, and the connection is closed.
    Cut,
}

/// What the origin does behind its bytes.
#[derive(Clone, Copy, Debug)]
enum Then {
    Stays,
    Closes,
    Resets,
}

/// An answer to a request of this method.
type Sent = (&'static str, &'static [u8], Then, Fate);

/// A name, an answer, and its neighbour.
type Row = (&'static str, Sent, Sent);

/// What a viewer saw: a message, or one without an end.
type Seen = Result<String, String>;

/// A viewer that sees messages.
enum Asking {
    Http1(Plane),
    Http2 { _door: Door, client: Client },
}

impl Asking {
    async fn http1(origin: &RawOrigin) -> Self {
        let site = Site::new("web", &[origin.address]);
        Self::Http1(Plane::of_one_worker(Limits::default(), vec![site]))
    }

    async fn http2(origin: &RawOrigin) -> Self {
        let door = Door::open(vec![Site::new("web", &[origin.address])]);
        let client = door.connect().await;
        Self::Http2 { _door: door, client }
    }

    async fn ask(&mut self, method: &str, path: &str) -> Seen {
        match self {
            Self::Http1(plane) => {
                let mut viewer = plane.connect().await;
                let fields = "Host: web.example\r\nConnection: close\r\n";
                viewer.send(format!("{method} {path} HTTP/1.1\r\n{fields}\r\n")).await;
                let mut bytes = Vec::new();
                // A reset ends an answer like anything else that is not its end.
                let _how = soon(viewer.stream.read_to_end(&mut bytes)).await;
                parse(method, &bytes)
            }
            Self::Http2 { client, .. } => {
                let request =
                    http::Request::builder().method(method).uri(format!("https://web.example{path}"));
                let answer =
                    client.send(request.body(()).unwrap()).await.map_err(|error| error.to_string())?;
                let (head, body) = answer.into_parts();
                let (body, _) = read(body).await.map_err(|error| error.to_string())?;
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let fields =
                    head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
                Ok(message(head.status.as_str(), fields.collect(), &text(&body)))
            }
        }
    }
}

/// The message of an answer over HTTP/1.1.
fn parse(method: &str, bytes: &[u8]) -> Seen {
    let (line, fields, length) = recorder::head(bytes)?.ok_or("no head")?;
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).ok_or("no status")?;
    let framing =
        if method == "HEAD" || ["204", "304"].contains(&status) { Fields::new() } else { fields.clone() };
    let (body, taken) = recorder::body(&framing, &bytes[length..])?.ok_or("no end")?;
    match bytes.len() - length - taken {
        0 => Ok(message(status, fields, &body)),
        more => Err(format!("{more} bytes behind the answer")),
    }
}

fn message(status: &str, mut fields: Fields, body: &str) -> String {
    if status == "502" {
        // An error of ours is known by its reason.
        fields.retain(|(name, _)| name == "x-tidegate-error");
        return fields.first().map(|(_, reason)| reason.clone()).unwrap_or_default();
    }
    fields.retain(|(name, _)| !["date", "connection", "transfer-encoding"].contains(&name.as_str()));
    if status == "304" {
        // It may say how long the 200 would be, or not (RFC 9110 section 8.6); over HTTP/1.1 ours does not.
        fields.retain(|(name, _)| name != "content-length");
    }
    fields.sort();
    let mut message = status.to_owned();
    for (name, value) in fields {
        message.push_str(&format!("\n{name}: {value}"));
    }
    if !body.is_empty() {
        message.push_str(&format!("\n\n{body}"));
    }
    message
}

/// Answers a row's request with its bytes, and another one behind it; says what does not hold.
async fn check(
    asking: &mut Asking,
    origin: &RawOrigin,
    (method, bytes, then, fate): Sent,
) -> Result<(), String> {
    let (seen, mut connection) = tokio::join!(asking.ask(method, "/row"), answer(origin, bytes, then));
    let as_expected = match (fate, &seen) {
        (Fate::Refused(reason), Ok(seen)) => seen == reason,
        (Fate::Passes(message) | Fate::PassesLast(message), Ok(seen)) => seen == message,
        (Fate::Cut, Err(_)) => true,
        _ => false,
    };
    let (marker, reused) =
        tokio::join!(asking.ask("GET", "/marker"), serve_marker(origin, connection.as_mut()));
    let reusable = matches!(fate, Fate::Passes(_));
    if as_expected && marker.as_deref() == Ok("200\ncontent-length: 0") && reused == reusable {
        return Ok(());
    }
    Err(format!(
        "{}\n  expected {fate:?}\n  the viewer saw {seen:?}\n  and behind it {marker:?}, on {} connection",
        String::from_utf8_lossy(bytes).chars().take(200).collect::<String>().escape_debug(),
        if reused { "the same" } else { "a new" },
    ))
}

/// The origin's part of a row; the connection, where it still stands.
async fn answer(origin: &RawOrigin, bytes: &[u8], then: Then) -> Option<Viewer<TcpStream>> {
    let mut connection = origin.accept().await;
    connection.until("\r\n\r\n").await;
    // What is refused early is closed before everything was sent.
    let _sent = soon(connection.stream.write_all(bytes)).await;
    match then {
        Then::Stays => Some(connection),
        Then::Closes => {
            let _closed = connection.stream.shutdown().await;
            Some(connection)
        }
        Then::Resets => {
            connection.stream.set_zero_linger().unwrap();
            None
        }
    }
}

/// Answers the request behind a row; says whether it came on the connection of the row. Where it did not, that
/// connection is closed and nothing more has come on it.
async fn serve_marker(origin: &RawOrigin, connection: Option<&mut Viewer<TcpStream>>) -> bool {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let Some(connection) = connection else {
        let mut fresh = origin.accept().await;
        fresh.until("\r\n\r\n").await;
        fresh.send(ANSWER).await;
        return false;
    };
    if connection.try_bytes(1).await.is_some() {
        connection.until("\r\n\r\n").await;
        connection.send(ANSWER).await;
        return true;
    }
    let mut fresh = origin.accept().await;
    fresh.until("\r\n\r\n").await;
    fresh.send(ANSWER).await;
    false
}

async fn hold(mut asking: Asking, origin: RawOrigin) {
    let mut complaints = Vec::new();
    for (name, hostile, neighbour) in ROWS {
        for sent in [hostile, neighbour] {
            if let Err(complaint) = check(&mut asking, &origin, sent).await {
                complaints.push(format!("{name}: {complaint}"));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test]
async fn hostile_answers_harm_no_viewer_of_http1() {
    let origin = RawOrigin::start().await;
    hold(Asking::http1(&origin).await, origin).await;
}

#[tokio::test]
async fn hostile_answers_harm_no_viewer_of_http2() {
    let origin = RawOrigin::start().await;
    hold(Asking::http2(&origin).await, origin).await;
}

#[test]
fn the_table_has_at_least_35_answers() {
    assert!(ROWS.len() >= 35, "{}", ROWS.len());
}
