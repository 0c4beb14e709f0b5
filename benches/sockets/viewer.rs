//! The viewers: one task a socket, which echoes when it is told to and notes how its socket ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::certificate::{Certificate, HOST};
use crate::origin::small;
use crate::proxy::Proxy;

/// How long all sockets together may take to echo.
const ECHO: Duration = Duration::from_secs(60);

/// How a socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With a Close of this code; 1005 where it had none (RFC 6455 section 7.1.5).
    Close(u16),
    /// Without a word.
    Cut,
}

/// All sockets.
#[derive(Debug)]
pub(crate) struct Viewers {
    /// How often all were told to echo.
    echo: watch::Sender<u64>,
    echoed: mpsc::UnboundedReceiver<()>,
    outcomes: mpsc::UnboundedReceiver<(Ended, Instant)>,
    ended: Vec<(Ended, Instant)>,
    tasks: JoinSet<()>,
}

/// What a socket's task tells.
#[derive(Clone)]
struct Tell {
    echo: watch::Receiver<u64>,
    echoed: mpsc::UnboundedSender<()>,
    ended: mpsc::UnboundedSender<(Ended, Instant)>,
}

impl Viewers {
    /// Opens `count` sockets one after the other, every second over TLS.
    pub(crate) async fn open(proxy: &Proxy, certificate: &Certificate, count: usize) -> anyhow::Result<Self> {
        let client = certificate.client(b"http/1.1")?;
        let (echo, told) = watch::channel(0);
        let (tell_echoed, echoed) = mpsc::unbounded_channel();
        let (tell_ended, outcomes) = mpsc::unbounded_channel();
        let tell = Tell { echo: told, echoed: tell_echoed, ended: tell_ended };
        let mut tasks = JoinSet::new();
        for number in 0..count {
            if number % 2 == 0 {
                let stream = TcpStream::connect(proxy.http).await?;
                tasks.spawn(hold(open("ws", stream).await?, tell.clone()));
            } else {
                let stream = TcpStream::connect(proxy.https).await?;
                let connector = TlsConnector::from(Arc::clone(&client));
                let stream = connector.connect(ServerName::try_from(HOST)?, stream).await?;
                tasks.spawn(hold(open("wss", stream).await?, tell.clone()));
            }
        }
        Ok(Self { echo, echoed, outcomes, ended: Vec::new(), tasks })
    }

    /// Has every socket echo; gives how many did.
    pub(crate) async fn echo(&mut self) -> usize {
        self.echo.send_modify(|times| *times += 1);
        let mut echoed = 0;
        let waited = async {
            while echoed < self.tasks.len() && self.echoed.recv().await.is_some() {
                echoed += 1;
            }
        };
        // Those that do not are missing in the number.
        let _late = timeout(ECHO, waited).await;
        echoed
    }

    /// Those that have ended so far.
    pub(crate) fn ended(&mut self) -> &[(Ended, Instant)] {
        while let Ok(ended) = self.outcomes.try_recv() {
            self.ended.push(ended);
        }
        &self.ended
    }

    /// Waits until all have ended.
    pub(crate) async fn all_ended(mut self) -> Vec<(Ended, Instant)> {
        while self.tasks.join_next().await.is_some() {}
        self.ended().to_vec()
    }
}

async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    scheme: &str,
    stream: S,
) -> anyhow::Result<WebSocketStream<S>> {
    let opened = client_async_with_config(format!("{scheme}://{HOST}/"), stream, Some(small())).await;
    Ok(opened.context("no WebSocket")?.0)
}

async fn hold<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>, mut tell: Tell) {
    let ended = loop {
        tokio::select! {
            // 1. Everybody is to echo.
            Ok(()) = tell.echo.changed() => {
                tell.echo.borrow_and_update();
                if socket.send(Message::text("hello")).await.is_err() {
                    break Ended::Cut;
                }
            }
            // 2. Something came.
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) if text == "hello" => drop(tell.echoed.send(())),
                Some(Ok(Message::Close(close))) => break Ended::Close(close.map_or(1005, |close| close.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break Ended::Cut,
            },
        }
    };
    // Nobody listens where the program ends early.
    let _nobody = tell.ended.send((ended, Instant::now()));
    // The Close is answered.
    let _gone = socket.flush().await;
}
