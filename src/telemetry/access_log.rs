//! The access log: one JSON object a request on stdout, and one at each end of a WebSocket.
//!
//! A line is made where the request was served and written by a thread of its own. The queue between them is
//! bounded and never waits: a line that finds it full is dropped and counted. Queries, cookies and credentials
//! have no field here; control characters are escaped by JSON.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::telemetry::Address;
use crate::telemetry::metrics::Metrics;

/// How many lines wait for the writer: at 500 bytes each, 4 MiB.
const QUEUE: usize = 8192;

/// What most lines fit into, in bytes.
const USUAL_LINE: usize = 1024;

/// How long the writer rests when it has written everything. While it rests, a line that is handed in wakes
/// nobody, so a worker pays for no system call; the queue holds what comes meanwhile.
const REST: Duration = Duration::from_millis(5);

/// Which requests have a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// None.
    Off,
    /// Those that ended with a status from 400 on, or that the proxy answered by itself with a reason.
    Errors,
    /// All.
    All,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A request that was answered.
    #[default]
    Request,
    /// A WebSocket that opened.
    WebsocketOpen,
    /// A WebSocket that ended.
    WebsocketClose,
}

/// One line; what is not known is left out of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Line<'l> {
    /// What it is about.
    pub event: Event,
    /// The `X-Request-Id` that the origin saw; a WebSocket's two lines share it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<&'l str>,
    /// The trace that a valid `traceparent` names, 32 hexadecimal digits (W3C Trace Context).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<&'l str>,
    /// Which viewer connection, unique within the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<u64>,
    /// The viewer's address, with its port where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewer: Option<Address>,
    /// `X-Forwarded-For` as it came, believed or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_forwarded_for: Option<&'l str>,
    /// The listener's own address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<std::net::SocketAddr>,
    /// `http` or `https`; a WebSocket counts as what carries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<&'l str>,
    /// The name that the TLS handshake asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<&'l str>,
    /// The Host, as judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'l str>,
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'l str>,
    /// The path; anything from a `?` on is cut here, whoever forgot it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "without_query")]
    pub path: Option<&'l str>,
    /// The version of the request line, such as `HTTP/1.1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<&'l str>,
    /// The status that the viewer got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why the proxy answered by itself, as in `x-tidegate-error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'l str>,
    /// The Distribution's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<&'l str>,
    /// The Distribution's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<&'l str>,
    /// The behavior's pattern, `*` for the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behavior: Option<&'l str>,
    /// The origin's id; of a group, that of the member that was asked last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<&'l str>,
    /// The endpoint of the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<std::net::SocketAddr>,
    /// How many endpoints were tried, of all origins together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// How many members of an origin group failed the request before that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failovers: Option<u32>,
    /// The status that the origin gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_status: Option<u16>,
    /// Why the last attempt on the origin that failed did, also where a later one succeeded, or why its answer was
    /// cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_error: Option<&'l str>,
    /// What became of the page in place of an error: `served`, or why it could not be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_page: Option<&'l str>,
    /// How long connecting to the origin took; none on a pooled connection.
    #[serde(rename = "connect_ms", skip_serializing_if = "Option::is_none", serialize_with = "as_ms")]
    pub connect: Option<Duration>,
    /// From the request's head to the first byte of the answer.
    #[serde(rename = "first_byte_ms", skip_serializing_if = "Option::is_none", serialize_with = "as_ms")]
    pub first_byte: Option<Duration>,
    /// From the request's head to the end of the answer, or of the tunnel.
    #[serde(rename = "duration_ms", skip_serializing_if = "Option::is_none", serialize_with = "as_ms")]
    pub duration: Option<Duration>,
    /// Bytes of the request's body, or that the viewer sent through the tunnel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_in: Option<u64>,
    /// Bytes of the answer's body, or that the viewer got through the tunnel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_out: Option<u64>,
    /// `1.2` or `1.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<&'l str>,
    /// `Referer`, without its query.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "without_query")]
    pub referer: Option<&'l str>,
    /// `User-Agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<&'l str>,
    /// The table that judged the request: each one that is published has the next number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_generation: Option<u64>,
    /// Who ended a WebSocket, from the closed list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<&'l str>,
    /// The code of its end, 1006 where no Close was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_code: Option<u16>,
    /// Frames from the viewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames_in: Option<u64>,
    /// Frames to the viewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames_out: Option<u64>,
}

fn without_query<S: Serializer>(text: &Option<&str>, serializer: S) -> Result<S::Ok, S::Error> {
    text.map(|text| text.split(['?', '#']).next().unwrap_or_default()).serialize(serializer)
}

fn as_ms<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    // Whole microseconds, so that no line carries fifteen digits.
    duration.map(|duration| duration.as_micros() as f64 / 1e3).serialize(serializer)
}

/// Where lines are handed in; cheap to clone.
#[derive(Clone, Debug)]
pub struct AccessLog {
    scope: Scope,
    /// `,"replica":"NAME"`, as it stands in each line.
    replica: Arc<[u8]>,
    queue: SyncSender<Message>,
    metrics: Metrics,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    Finish,
}

/// The thread that writes.
#[derive(Debug)]
pub struct Writer {
    queue: SyncSender<Message>,
    finishing: Arc<AtomicBool>,
    finished: Receiver<()>,
}

/// Starts the thread that writes the lines of `replica` to `output`.
///
/// # Errors
/// Where the system has no thread left.
pub fn start(
    scope: Scope,
    replica: &str,
    output: impl Write + Send + 'static,
    metrics: Metrics,
) -> io::Result<(AccessLog, Writer)> {
    let (queue, lines) = sync_channel(QUEUE);
    let (done, finished) = sync_channel(1);
    let finishing = Arc::<AtomicBool>::default();
    let (counter, closing) = (metrics.clone(), Arc::clone(&finishing));
    std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
        write_lines(&lines, BufWriter::new(output), &closing, &counter);
        // Nobody waits any more where `finish` has given up.
        drop(done);
    })?;
    let replica = format!(",\"replica\":{}", serde_json::Value::from(replica)).into_bytes().into();
    Ok((AccessLog { scope, replica, queue: queue.clone(), metrics }, Writer { queue, finishing, finished }))
}

impl AccessLog {
    /// Hands a line in, where the scope asks for it. Never waits.
    pub fn write(&self, line: &Line<'_>) {
        if !self.wants(line.status, line.reason) {
            return;
        }
        let stamped = stamp(&self.replica, line);
        if !stamped.is_ok_and(|bytes| self.queue.try_send(Message::Line(bytes)).is_ok()) {
            self.metrics.access_log_dropped();
        }
    }

    /// Whether a line with this status and reason would be written: making one costs, too.
    pub fn wants(&self, status: Option<u16>, reason: Option<&str>) -> bool {
        match self.scope {
            Scope::Off => false,
            Scope::Errors => reason.is_some() || status.is_some_and(|status| status >= 400),
            Scope::All => true,
        }
    }
}

/// The line as JSON, with the time and the replica, in one buffer that goes to the writer as it is.
fn stamp(replica: &[u8], line: &Line<'_>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(USUAL_LINE);
    // Milliseconds, always three digits, so that lines sort as text.
    write!(bytes, "{{\"ts\":\"{:.3}\"", jiff::Timestamp::now())?;
    bytes.extend_from_slice(replica);
    let brace = bytes.len();
    serde_json::to_writer(&mut bytes, line)?;
    // There is always an event, so what follows the brace is a field.
    if let Some(brace) = bytes.get_mut(brace) {
        *brace = b',';
    }
    bytes.push(b'\n');
    Ok(bytes)
}

impl Writer {
    /// Writes what is queued, and waits at most `limit` for a slow reader of stdout.
    pub fn finish(self, limit: Duration) {
        self.finishing.store(true, Ordering::Release);
        // A full queue needs no message: when it has been written down, the thread sees the flag.
        let _full_or_ended = self.queue.try_send(Message::Finish);
        if let Err(RecvTimeoutError::Timeout) = self.finished.recv_timeout(limit) {
            tracing::warn!(
                event = "access_log.cut",
                "nobody reads stdout: the last access-log lines are lost"
            );
        }
    }
}

fn write_lines(lines: &Receiver<Message>, mut output: impl Write, finishing: &AtomicBool, metrics: &Metrics) {
    loop {
        let message = match lines.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                // A reader that went away does not end the proxy; each line is counted below.
                let _counted_with_the_next_line = output.flush();
                if finishing.load(Ordering::Acquire) {
                    return;
                }
                #[expect(
                    clippy::disallowed_methods,
                    reason = "to be woken by each line is what this avoids"
                )]
                std::thread::sleep(REST);
                match lines.recv() {
                    Ok(message) => message,
                    Err(_) => break,
                }
            }
        };
        match message {
            Message::Line(bytes) if output.write_all(&bytes).is_err() => metrics.access_log_dropped(),
            Message::Line(_) => {}
            Message::Finish => break,
        }
    }
    let _nothing_follows = output.flush();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::telemetry::metrics::Build;
    use crate::telemetry::page::Page;

    /// Never returns from a write, as a pipe that nobody reads.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            let _never = self.0.recv();
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.write(&[]).map(drop)
        }
    }

    fn metrics() -> Metrics {
        Metrics::new(Build { version: "0", commit: "0" })
    }

    fn written(scope: Scope, lines: &[Line<'_>]) -> Vec<serde_json::Value> {
        let page = Page::default();
        let (log, writer) = start(scope, "one", page.clone(), metrics()).unwrap();
        lines.iter().for_each(|line| log.write(line));
        writer.finish(Duration::from_secs(10));
        let text = page.text();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_leaves_out_the_query_and_escapes_control_characters() {
        let line = Line {
            path: Some("/a?token=secret"),
            referer: Some("https://x.example/?token=secret"),
            user_agent: Some("a\nb\u{1b}[31m"),
            status: Some(200),
            duration: Some(Duration::from_nanos(1_234_567)),
            ..Line::default()
        };
        let bytes = serde_json::to_string(&line).unwrap();
        assert_eq!(
            bytes,
            r#"{"event":"request","path":"/a","status":200,"duration_ms":1.234,"referer":"https://x.example/","user_agent":"a\nb\u001b[31m"}"#
        );
    }

    #[test]
    fn the_guide_names_every_field_and_no_other() {
        let address: std::net::SocketAddr = ([192, 0, 2, 1], 1).into();
        let (text, duration) = (Some("x"), Some(Duration::ZERO));
        let line = Line {
            event: Event::WebsocketClose,
            request_id: text,
            trace_id: text,
            connection_id: Some(1),
            viewer: Some(address.into()),
            x_forwarded_for: text,
            listener: Some(address),
            scheme: text,
            sni: text,
            host: text,
            method: text,
            path: text,
            protocol: text,
            status: Some(101),
            reason: text,
            namespace: text,
            distribution: text,
            behavior: text,
            origin: text,
            endpoint: Some(address),
            attempts: Some(1),
            failovers: Some(1),
            origin_status: Some(101),
            origin_error: text,
            error_page: text,
            connect: duration,
            first_byte: duration,
            duration,
            bytes_in: Some(1),
            bytes_out: Some(1),
            tls_version: text,
            referer: text,
            user_agent: text,
            config_generation: Some(1),
            closed_by: text,
            close_code: Some(1000),
            frames_in: Some(1),
            frames_out: Some(1),
        };
        let written = written(Scope::All, &[line]);
        let fields: BTreeSet<_> = written[0].as_object().unwrap().keys().map(String::as_str).collect();
        let guide = include_str!("../../docs/access-log.md");
        let named = guide.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0));
        assert_eq!(fields, named.collect());
        assert_eq!(written[0]["replica"], "one");
        assert!(written[0]["ts"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn the_scope_errors_keeps_refusals_and_failures_only() {
        let with = |status, reason| Line { status: Some(status), reason, ..Line::default() };
        let lines = [with(200, None), with(404, None), with(301, None), with(101, Some("draining"))];
        let statuses = |scope| -> Vec<_> {
            written(scope, &lines).iter().map(|line| line["status"].as_u64().unwrap()).collect()
        };
        assert_eq!(statuses(Scope::Errors), [404, 101]);
        assert_eq!(statuses(Scope::All), [200, 404, 301, 101]);
        assert!(statuses(Scope::Off).is_empty());
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_never_a_wait() {
        let (_held, blocker) = sync_channel(1);
        let metrics = metrics();
        let (log, writer) = start(Scope::All, "one", Stuck(blocker), metrics.clone()).unwrap();
        // More than the writer buffers, so it is stuck with the first line.
        let long = "x".repeat(16 * 1024);
        log.write(&Line { user_agent: Some(&long), ..Line::default() });
        (0..QUEUE + 10).for_each(|_| log.write(&Line::default()));
        writer.finish(Duration::from_millis(1));
        let page = metrics.encode().unwrap();
        let dropped = page.lines().find_map(|line| line.strip_prefix("tidegate_access_log_dropped_total "));
        assert!(dropped.unwrap().parse::<usize>().unwrap() >= 9, "{dropped:?}");
    }
}
