//! An origin whose WebSockets echo.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// One that serves until the program ends.
pub(crate) async fn start() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // However a socket ends, it is the viewers who tell of it.
            tokio::spawn(async move { drop(echo(stream).await) });
        }
    });
    Ok(address)
}

/// Buffers for thousands of sockets with short messages.
pub(crate) fn small() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(1024).write_buffer_size(0)
}

async fn echo(stream: TcpStream) -> anyhow::Result<()> {
    let mut socket = accept_async_with_config(stream, Some(small())).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
