//! An origin that records the messages it reads, with a parser that forgives nothing: what a lenient one could take
//! for something else fails the test.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What reached the origin since it was last asked.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Complete messages, as [`super::Fate::Passes`] writes them.
    pub(crate) whole: Vec<String>,
    /// What began and never ended; nobody knows when the end of its connection is seen.
    pub(crate) partial: Vec<String>,
    /// What was no message at all.
    malformed: Vec<String>,
}

/// How viewers come, which is what the origin must be told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// Without TLS, over HTTP/1.
    Plain,
    /// With TLS, over HTTP/2.
    Http2,
}

/// A running origin; it answers every message with an empty 200.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        Self::of(Way::Plain).await
    }

    /// One whose viewers come in this way, and are said to.
    pub(crate) async fn of(way: Way) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(record(stream, way, Arc::clone(&seen)));
                }
            }
        });
        Self { address, seen, task }
    }

    /// What was recorded, and forgets it.
    pub(crate) fn take(&self) -> Seen {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        assert!(seen.malformed.is_empty(), "the origin read what is no HTTP: {:?}", seen.malformed);
        seen
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn record(mut stream: TcpStream, way: Way, seen: Arc<Mutex<Seen>>) {
    let mut bytes = Vec::new();
    loop {
        match message(&bytes, way) {
            Ok(Some((message, length))) => {
                bytes.drain(..length);
                seen.lock().unwrap().whole.push(message);
                if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                    return;
                }
            }
            Ok(None) => match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => {
                    let partial = String::from_utf8_lossy(&bytes).into_owned();
                    seen.lock().unwrap().partial.extend(Some(partial).filter(|partial| !partial.is_empty()));
                    return;
                }
                Ok(_) => {}
            },
            Err(bad) => {
                seen.lock().unwrap().malformed.push(format!("{bad}: {:?}", String::from_utf8_lossy(&bytes)));
                return;
            }
        }
    }
}

/// The first message of what was read, and how long it is; none where it has not ended.
fn message(bytes: &[u8], way: Way) -> Result<Option<(String, usize)>, String> {
    let Some((line, mut fields, head_length)) = head(bytes)? else { return Ok(None) };
    if line.split(' ').count() != 3 {
        return Err(format!("a request line: {line:?}"));
    }
    let body = &bytes[head_length..];
    let Some((body, body_length)) = self::body(&fields, body)? else { return Ok(None) };
    take_ours(&mut fields, way)?;
    fields.sort();
    let mut message = line;
    for (name, value) in fields {
        message.push_str(&format!("\n{name}: {value}"));
    }
    if !body.is_empty() {
        message.push_str("\n\n");
        message.push_str(&body);
    }
    Ok(Some((message, head_length + body_length)))
}

pub(crate) type Fields = Vec<(String, String)>;

/// First line, fields and length of a head.
pub(crate) fn head(bytes: &[u8]) -> Result<Option<(String, Fields, usize)>, String> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8(bytes[..end].to_vec()).map_err(|_| "octets over 0x7F".to_owned())?;
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("no field: {line:?}"))?;
        let token = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-!#$%&'*+.^`|~".contains(&byte)
        };
        if name.is_empty() || !name.bytes().all(token) {
            return Err(format!("a field name: {name:?}"));
        }
        if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(format!("a field value: {value:?}"));
        }
        fields.push((name.to_owned(), value.to_owned()));
    }
    if line.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(format!("a first line: {line:?}"));
    }
    Ok(Some((line, fields, end + 4)))
}

fn values<'f>(fields: &'f Fields, name: &str) -> Vec<&'f str> {
    fields.iter().filter(|field| field.0 == name).map(|field| field.1.as_str()).collect()
}

/// The body and the octets that it took: framed by exactly one length or by exactly `chunked`.
pub(crate) fn body(fields: &Fields, bytes: &[u8]) -> Result<Option<(String, usize)>, String> {
    match (values(fields, "content-length").as_slice(), values(fields, "transfer-encoding").as_slice()) {
        ([], []) => Ok(Some((String::new(), 0))),
        ([length], []) => {
            let length: usize = length.parse().map_err(|_| format!("a length: {length:?}"))?;
            let body = bytes.get(..length);
            Ok(body.map(|body| (String::from_utf8_lossy(body).into_owned(), length)))
        }
        ([], ["chunked"]) => chunks(bytes),
        _ => Err("framed in two ways".to_owned()),
    }
}

fn chunks(bytes: &[u8]) -> Result<Option<(String, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let rest = &bytes[at..];
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
        let size =
            std::str::from_utf8(&rest[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or_else(|| "a chunk size".to_owned())?;
        let Some(data) = rest.get(end + 2..end + 2 + size + 2) else { return Ok(None) };
        if !data.ends_with(b"\r\n") {
            return Err("a chunk's end, or trailers".to_owned());
        }
        body.extend_from_slice(&data[..size]);
        at += end + 2 + size + 2;
        if size == 0 {
            return Ok(Some((String::from_utf8_lossy(&body).into_owned(), at)));
        }
    }
}

/// Takes out what the proxy says of the viewer, which must stand there exactly once and be true.
fn take_ours(fields: &mut Fields, way: Way) -> Result<(), String> {
    let (scheme, default_port, vias): (_, _, &[&str]) = match way {
        Way::Plain => ("http", "80", &["1.0 tidegate", "1.1 tidegate"]),
        Way::Http2 => ("https", "443", &["2.0 tidegate"]),
    };
    let [host] = values(fields, "host")[..] else { return Err("not exactly one Host".to_owned()) };
    let port = host.split_once(':').map_or(default_port, |(_, port)| port);
    let said = [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-proto", scheme),
        ("x-forwarded-host", host),
        ("x-forwarded-port", port),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    for (name, value) in said {
        if values(fields, name) != [value.as_str()] {
            return Err(format!("{name} is not {value:?}"));
        }
        fields.retain(|field| field.0 != name);
    }
    let [id] = values(fields, "x-request-id")[..] else { return Err("not exactly one id".to_owned()) };
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("the viewer's id: {id:?}"));
    }
    fields.retain(|field| field.0 != "x-request-id");
    let ours = |field: &(String, String)| field.0 == "via" && vias.contains(&field.1.as_str());
    let last = fields.iter().rposition(ours).ok_or("no Via of ours")?;
    fields.remove(last);
    Ok(())
}

/// Status and reason, empty where there is none, of each final answer in what a viewer read.
pub(crate) fn answers(mut bytes: &[u8]) -> Result<Vec<(u16, String)>, String> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or("an answer is cut off")?;
        let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok());
        let status: u16 = status.ok_or_else(|| format!("no status line: {text:?}"))?;
        let fields: Vec<_> = lines.filter_map(|line| line.split_once(": ")).collect();
        let value =
            |name: &str| fields.iter().find(|field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1);
        let length = value("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        bytes = bytes.get(end + 4 + length..).ok_or("an answer is cut off")?;
        if status >= 200 {
            answers.push((status, value("x-tidegate-error").unwrap_or_default().to_owned()));
        }
    }
    Ok(answers)
}
