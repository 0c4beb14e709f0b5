//! One small HTTP/1.1 request on a stream.

use std::net::SocketAddr;

use anyhow::ensure;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::certificate::HOST;
use crate::origin::{END, SMALL};

/// Connects, and has one request answered.
pub(crate) async fn on_new_connection(proxy: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(proxy).await?;
    on(&mut stream).await?;
    Ok(stream)
}

/// Connects, sends a request for a large answer, and leaves it unread.
pub(crate) async fn unread(proxy: SocketAddr, path: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(proxy).await?;
    stream.write_all(text(path).as_bytes()).await?;
    Ok(stream)
}

fn text(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\nuser-agent: bench\r\naccept: */*\r\n\r\n")
}

/// Has one request answered on an open stream.
pub(crate) async fn on<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> anyhow::Result<()> {
    stream.write_all(text(SMALL).as_bytes()).await?;
    let mut answer = Vec::with_capacity(1024);
    while !answer.ends_with(END) {
        let begins = b"HTTP/1.1 200 ";
        ensure!(
            answer.iter().zip(begins).all(|(is, expected)| is == expected),
            "not a 200: {}",
            String::from_utf8_lossy(&answer)
        );
        ensure!(stream.read_buf(&mut answer).await? > 0, "the answer broke off");
    }
    Ok(())
}
