//! An origin that counts the requests and bytes that reach it, and does with each what it is told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::rig::field;

/// What becomes of a request when its head and body have arrived.
#[derive(Clone, Copy)]
pub(crate) enum Behaviour {
    /// It is answered with this status.
    Answer(u16),
    /// The connection is closed without a byte.
    Close,
}

/// One that listens for as long as it is held.
pub(crate) struct CountingOrigin {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

struct Seen {
    behaviour: Mutex<Behaviour>,
    requests: AtomicUsize,
    body_bytes: AtomicUsize,
}

impl CountingOrigin {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen {
            behaviour: Mutex::new(behaviour),
            requests: AtomicUsize::new(0),
            body_bytes: AtomicUsize::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&seen)));
        Self { address, seen, task }
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }

    /// How many bytes of bodies have come.
    pub(crate) fn body_bytes(&self) -> usize {
        self.seen.body_bytes.load(Ordering::SeqCst)
    }

    /// What becomes of requests from now on.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.seen.behaviour.lock().unwrap() = behaviour;
    }
}

impl Drop for CountingOrigin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, seen: Arc<Seen>) {
    // They end with this task.
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(serve(stream, Arc::clone(&seen)));
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Seen>) {
    let mut bytes = Vec::new();
    loop {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(_) => continue,
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end + 2]).into_owned();
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        bytes.drain(..end + 4);
        while bytes.len() < length {
            if matches!(stream.read_buf(&mut bytes).await, Ok(0) | Err(_)) {
                return;
            }
        }
        bytes.drain(..length);
        seen.requests.fetch_add(1, Ordering::SeqCst);
        seen.body_bytes.fetch_add(length, Ordering::SeqCst);
        let behaviour = *seen.behaviour.lock().unwrap();
        match behaviour {
            Behaviour::Answer(status) => {
                let answer = format!("HTTP/1.1 {status} Some\r\nContent-Length: 2\r\n\r\nok");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Behaviour::Close => return,
        }
    }
}
