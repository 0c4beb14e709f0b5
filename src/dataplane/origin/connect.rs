//! One attempt to connect to one endpoint.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::dataplane::listener;
use crate::table::reason::Reason;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFailure {
    /// The endpoint, or the network on the way, said no.
    #[error("the endpoint does not accept connections")]
    Refused(#[source] io::Error),
    /// `connectionTimeout` passed.
    #[error("the endpoint did not answer in time")]
    Timeout,
}

impl ConnectFailure {
    /// The failure as the viewer gets it, where no other endpoint does better.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Refused(_) => Reason::OriginRefused,
            Self::Timeout => Reason::OriginConnectTimeout,
        }
    }
}

/// Connects within `limit`.
pub(crate) async fn connect(endpoint: SocketAddr, limit: Duration) -> Result<TcpStream, ConnectFailure> {
    let stream = match timeout(limit, TcpStream::connect(endpoint)).await {
        Ok(connected) => connected.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => ConnectFailure::Timeout,
            _ => ConnectFailure::Refused(error),
        })?,
        Err(_elapsed) => return Err(ConnectFailure::Timeout),
    };
    listener::tune(&stream);
    Ok(stream)
}
