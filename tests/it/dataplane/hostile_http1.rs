//! Hostile requests over HTTP/1.1, as raw bytes, each with a harmless neighbour: what is ambiguous is refused, and
//! what passes is read at the origin by a parser that forgives nothing.
//!
//! Behind every row's bytes stands a second request ([`MARKER`]), in the same write: so each row also says whether
//! its connection goes on, and no byte of a row can hide in the next message.

mod connection;
mod fields;
mod framing;
mod host;
mod limits;
pub(super) mod recorder;
mod request_line;
mod target;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::rig::{Plane, Site, soon};
use recorder::Recorder;

/// What follows every row.
const MARKER: &[u8] = b"GET /marker HTTP/1.1\r\nHost: web.example\r\nConnection: close\r\n\r\n";

/// The marker as the origin reads it.
const MARKER_SEEN: &str = "GET /marker HTTP/1.1\nhost: web.example";

/// How requests begin that are [`Fate::Broken`].
const BROKEN: &str = "POST /broken ";

/// What becomes of a row's bytes.
#[derive(Clone, Copy, Debug)]
enum Fate<'m> {
    /// Refused with this status and reason, and nothing behind it is served. Not a byte reached the origin.
    Refused(u16, &'m str),
    /// The same by the HTTP parser, whose answers carry no reason.
    Unparsed(u16),
    /// Refused in the middle of the body: the origin saw the beginning of a message and never its end.
    Broken(u16, &'m str),
    /// Answered by the proxy, and the connection goes on.
    Answered(u16, &'m str),
    /// The origin saw this message: the line, the sorted fields without those that we set, a blank line and the
    /// body where there is one. The connection goes on.
    Passes(&'m str),
    /// The same, and the connection is closed behind the answer.
    PassesLast(&'m str),
}

/// Bytes, and what becomes of them.
type Sent = (&'static [u8], Fate<'static>);

/// A name, bytes, what becomes of them, and their neighbour.
type Row = (&'static str, &'static [u8], Fate<'static>, Sent);

const BAD_REQUEST: Fate<'static> = Fate::Refused(400, "bad_request");
const BAD_HOST: Fate<'static> = Fate::Refused(400, "bad_host");
const BAD_PATH: Fate<'static> = Fate::Refused(400, "bad_path");
const BAD_HEADER: Fate<'static> = Fate::Refused(400, "bad_header");

/// A data plane in front of an origin that records, and what did not hold.
struct Bench {
    plane: Plane,
    origin: Recorder,
    complaints: Vec<String>,
}

impl Bench {
    async fn new() -> Self {
        let origin = Recorder::start().await;
        let plane = Plane::serving(vec![Site::new("web", &[origin.address])]);
        Self { plane, origin, complaints: Vec::new() }
    }

    /// Sends a row's bytes and the marker, and holds what came of them against the row.
    async fn check(&mut self, name: &str, bytes: &[u8], fate: Fate<'_>) {
        let mut stream = self.plane.connect().await.stream;
        let sent = [bytes, MARKER].concat();
        let (mut reading, mut writing) = stream.split();
        let mut received = Vec::new();
        // A viewer that is refused early may be closed before it has sent everything.
        let (_wrote, read) =
            soon(async { tokio::join!(writing.write_all(&sent), reading.read_to_end(&mut received)) }).await;
        let (statuses, messages) = match fate {
            Fate::Refused(status, reason) | Fate::Broken(status, reason) => (vec![(status, reason)], vec![]),
            Fate::Unparsed(status) => (vec![(status, "")], vec![]),
            Fate::Answered(status, reason) => (vec![(status, reason), (200, "")], vec![MARKER_SEEN]),
            Fate::Passes(message) => (vec![(200, ""), (200, "")], vec![message, MARKER_SEEN]),
            Fate::PassesLast(message) => (vec![(200, "")], vec![message]),
        };
        let expected: Vec<_> =
            statuses.iter().map(|(status, reason)| (*status, (*reason).to_owned())).collect();
        let answers = recorder::answers(&received);
        let seen = self.origin.take();
        let partial = seen.partial.iter().any(|partial| !partial.starts_with(BROKEN));
        if read.is_err() || answers.as_ref() != Ok(&expected) || seen.whole != messages || partial {
            let short = |text: String| text.chars().take(400).collect::<String>();
            self.complaints.push(format!(
                "{name}: {}\n  expected {}\n  the viewer read {answers:?}, {read:?}\n  the origin {}",
                short(format!("{:?}", String::from_utf8_lossy(bytes))),
                short(format!("{fate:?}")),
                short(format!("{seen:?}")),
            ));
        }
    }

    fn judge(self) {
        assert!(self.complaints.is_empty(), "{}", self.complaints.join("\n"));
    }
}

#[test]
fn the_tables_have_at_least_150_forms() {
    let forms = [
        request_line::ROWS.len(),
        target::ROWS.len(),
        host::ROWS.len(),
        framing::ROWS.len(),
        fields::ROWS.len(),
        connection::ROWS.len(),
        limits::rows().len(),
    ];
    assert!(forms.iter().sum::<usize>() >= 150, "{forms:?}");
}
