//! The origin's WebSockets: every message goes back as it came.
//!
//! As little of RFC 6455 as the load needs: messages of one frame with less than 126 bytes, each sent after the one before
//! came back.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The head of a frame to an origin: two bytes, and the key that masks the rest.
const HEAD: usize = 6;

/// The key of a handshake; none where `request` is an ordinary one.
pub(crate) fn key(request: &[u8]) -> Option<&str> {
    let mut lines = std::str::from_utf8(request).ok()?.lines();
    lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then_some(value.trim())
    })
}

/// Answers a handshake, and then each message until the proxy is gone.
pub(crate) async fn serve(mut stream: TcpStream, key: &str, answered: &AtomicU64) -> std::io::Result<()> {
    let accept = derive_accept_key(key.as_bytes());
    let switch = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
    );
    stream.write_all(switch.as_bytes()).await?;
    // No more than one message is under way.
    let mut buffer = Vec::with_capacity(256);
    while stream.read_buf(&mut buffer).await? > 0 {
        let length = buffer.get(1).map_or(0, |byte| usize::from(byte & 0x7f));
        if buffer.len() < HEAD + length {
            continue;
        }
        stream.write_all(&unmasked(&buffer, length)).await?;
        answered.fetch_add(1, Ordering::Relaxed);
        buffer.clear();
    }
    Ok(())
}

fn unmasked(frame: &[u8], length: usize) -> Vec<u8> {
    let (head, payload) = frame.split_at(HEAD);
    let plain = payload.iter().zip(head[2..].iter().cycle()).map(|(byte, key)| byte ^ key);
    [head[0], length as u8].into_iter().chain(plain).collect()
}
