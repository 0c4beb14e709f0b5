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

/// Has one request answered on an open stream.
pub(crate) async fn on<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> anyhow::Result<()> {
    let request = format!("GET {SMALL} HTTP/1.1\r\nhost: {HOST}\r\nuser-agent: bench\r\naccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
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
