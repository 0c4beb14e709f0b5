//! A viewer that writes frames by hand, right or wrong.

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::Door;
use crate::dataplane::rig::{Viewer, soon};

// Frame types (RFC 9113 section 6).
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

// Errors (RFC 9113 section 7).
pub(super) const NO_ERROR: u32 = 0;
pub(super) const CANCEL: u32 = 8;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// One frame, as bytes.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block of `METHOD / web.example`, with literals that leave no trace in the table (RFC 7541 section 6.2.2).
pub(super) fn block(method: &str) -> Vec<u8> {
    let mut block = vec![0x87, 0x84, 0x02, u8::try_from(method.len()).unwrap()];
    block.extend(method.as_bytes());
    block.extend([0x01, 11]);
    block.extend(b"web.example");
    block
}

/// A whole request without a body.
pub(super) fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block("GET"))
}

/// A frame that came.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The error that a RST_STREAM or a GOAWAY carries.
    pub(super) fn error(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// The viewer.
pub(super) struct Raw(Viewer<TlsStream<TcpStream>>);

impl Raw {
    /// One that has greeted with these settings, and that was greeted.
    pub(super) async fn connect(door: &Door, settings: &[u8]) -> Self {
        let mut raw = Self(Viewer::on(door.stream().await));
        raw.0.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        raw.send(&frame(SETTINGS, 0, 0, settings)).await;
        raw.send(&frame(SETTINGS, ACK, 0, &[])).await;
        raw.until(SETTINGS).await;
        raw
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.0.send(bytes).await;
    }

    /// Sends for as long as anybody takes it, up to `times`.
    pub(super) async fn flood(&mut self, times: u32, mut bytes: impl FnMut(u32) -> Vec<u8>) {
        use tokio::io::AsyncWriteExt;
        for time in 0..times {
            if soon(self.0.stream.write_all(&bytes(time))).await.is_err() {
                return;
            }
        }
        let _closed = soon(self.0.stream.flush()).await;
    }

    /// The next frame; none at the end.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        let header = self.0.try_bytes(9).await?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let stream = u32::from_be_bytes(header[5..9].try_into().unwrap());
        let payload = self.0.try_bytes(usize::try_from(length).unwrap()).await?;
        Some(Frame { kind: header[3], flags: header[4], stream, payload })
    }

    /// The next frame of a kind; others are skipped.
    pub(super) async fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.expect("the end came first");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Waits for the end of the connection; gives the error of the last GOAWAY, where there was one.
    pub(super) async fn ends(&mut self) -> Option<u32> {
        let mut error = None;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                error = Some(frame.error());
            }
        }
        error
    }
}
