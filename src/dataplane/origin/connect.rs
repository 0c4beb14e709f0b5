//! One attempt to connect to one endpoint, TLS included.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::stream::OriginStream;
use super::tls::{OriginClient, TlsFailure};
use crate::dataplane::listener;
use crate::table::origin::HttpVersion;
use crate::table::reason::Reason;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFailure {
    /// The endpoint, or the network on the way, said no.
    #[error("the endpoint does not accept connections")]
    Refused(#[source] io::Error),
    /// There is no TLS with it.
    #[error(transparent)]
    Tls(#[from] TlsFailure),
    /// `connectionTimeout` passed.
    #[error("the endpoint did not answer in time")]
    Timeout,
}

impl ConnectFailure {
    /// The failure as the viewer gets it, where no other endpoint does better.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Refused(_) => Reason::OriginRefused,
            Self::Tls(_) => Reason::OriginTls,
            Self::Timeout => Reason::OriginConnectTimeout,
        }
    }
}

/// Where to connect to, and what is spoken there.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) endpoint: SocketAddr,
    pub(crate) tls: Option<Arc<OriginClient>>,
    pub(crate) version: HttpVersion,
    /// The origin that is spoken to there, by the number of its cell.
    pub(crate) origin: u64,
}

impl Destination {
    /// Connects within `limit`, TLS included.
    pub(crate) async fn connect(&self, limit: Duration) -> Result<OriginStream, ConnectFailure> {
        let connected = timeout(limit, self.open()).await;
        connected.unwrap_or(Err(ConnectFailure::Timeout)).inspect_err(|failure| {
            if let ConnectFailure::Tls(failure) = failure {
                // The viewer is not told which certificate is wrong, so a person must find it here.
                tracing::debug!(event = "origin.tls_failed", endpoint = %self.endpoint, error = %failure, "no TLS with an endpoint");
            }
        })
    }

    async fn open(&self) -> Result<OriginStream, ConnectFailure> {
        let stream = TcpStream::connect(self.endpoint).await.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => ConnectFailure::Timeout,
            _ => ConnectFailure::Refused(error),
        })?;
        listener::tune(&stream);
        Ok(match &self.tls {
            None => OriginStream::Plain(stream),
            Some(tls) => OriginStream::Tls(Box::new(tls.connect(self.endpoint, stream, self.version).await?)),
        })
    }
}
