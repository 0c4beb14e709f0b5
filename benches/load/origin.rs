//! The origin behind every proxy: HTTP/1.1 cut down to what a proxy asks, so that it is never what is waited for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::echo;

/// The path of a small answer, which ends in [`END`].
pub(crate) const SMALL: &str = "/small";
/// The path of an answer of 64 KiB.
pub(crate) const LARGE: &str = "/large";
/// The path of an answer of 8 MiB.
pub(crate) const HUGE: &str = "/huge";
/// The last bytes of the small answer's body.
pub(crate) const END: &[u8] = b"a small answer that ends here\n";

const LARGE_BYTES: usize = 64 * 1024;
const HUGE_BYTES: usize = 8 * 1024 * 1024;

/// The answers, made once.
struct Answers {
    small: Vec<u8>,
    large: Vec<u8>,
    huge: Vec<u8>,
}

/// A running origin, on a thread of its own until the program ends.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    answered: Arc<AtomicU64>,
}

impl Origin {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let answered = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&answered);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        std::thread::spawn(move || runtime.block_on(accept(listener, counter)));
        Ok(Self { address, answered })
    }

    /// Requests and messages it has answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Answers {
    fn to(&self, request: &[u8]) -> &[u8] {
        let target = request.strip_prefix(b"GET ").unwrap_or_default();
        match () {
            () if target.starts_with(LARGE.as_bytes()) => &self.large,
            () if target.starts_with(HUGE.as_bytes()) => &self.huge,
            () => &self.small,
        }
    }
}

async fn accept(listener: std::net::TcpListener, answered: Arc<AtomicU64>) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let answers = Arc::new(Answers {
        small: answer(END),
        large: answer(&[b'x'; LARGE_BYTES]),
        huge: answer(&vec![b'x'; HUGE_BYTES]),
    });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (answers, answered) = (Arc::clone(&answers), Arc::clone(&answered));
        // A proxy that goes away ends its connection's task and nothing else.
        tokio::spawn(async move { drop(serve(stream, &answers, &answered).await) });
    }
}

fn answer(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nserver: origin\r\ndate: Sun, 01 Nov 2026 00:00:00 GMT\r\n\
         content-type: text/plain\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn serve(mut stream: TcpStream, answers: &Answers, answered: &AtomicU64) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(8 * 1024);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        // No proxy pipelines, and no request here has a body: what ends in an empty line is one request.
        if buffer.ends_with(b"\r\n\r\n") {
            if let Some(key) = echo::key(&buffer) {
                return echo::serve(stream, key, answered).await;
            }
            stream.write_all(answers.to(&buffer)).await?;
            answered.fetch_add(1, Ordering::Relaxed);
            buffer.clear();
        }
    }
}
