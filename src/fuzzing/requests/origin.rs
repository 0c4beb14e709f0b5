//! The origin: it reads strictly, notes what it saw, and answers.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use super::strict::{self, Body, Head};

/// What happened since the last input.
#[derive(Default)]
pub(super) struct Log {
    seen: RefCell<Vec<Seen>>,
    fault: RefCell<Option<String>>,
    /// Counts whatever moves, here and at the viewer.
    moved: Cell<u64>,
}

/// A request that the origin saw the head of.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) request_id: String,
    pub(super) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(super) whole: bool,
}

impl Log {
    pub(super) fn move_on(&self) {
        self.moved.set(self.moved.get() + 1);
    }

    pub(super) fn moved(&self) -> u64 {
        self.moved.get()
    }

    /// The requests in the order in which their heads came, or what was wrong with one.
    pub(super) fn take(&self) -> Result<Vec<Seen>, String> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let seen = self.seen.take();
        let mut ids: Vec<_> = seen.iter().map(|seen| &seen.request_id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() < seen.len() { Err(format!("two requests with one id: {seen:?}")) } else { Ok(seen) }
    }

    fn begin(&self, Head { method, target, request_id, .. }: Head) -> usize {
        let mut seen = self.seen.borrow_mut();
        seen.push(Seen { method, target, request_id, body: Vec::new(), whole: false });
        seen.len() - 1
    }

    fn note(&self, place: usize, body: Vec<u8>, whole: bool) {
        // An input that is over takes no more notes.
        if let Some(seen) = self.seen.borrow_mut().get_mut(place) {
            (seen.body, seen.whole) = (body, whole);
        }
    }
}

/// Listens on loopback, for as long as the runtime lives.
pub(super) async fn start(log: Rc<Log>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a port");
    let address = listener.local_addr().expect("it is bound");
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A connection that we end leaves no port behind in TIME_WAIT: there are thousands of inputs a second.
            let _no_matter = stream.set_zero_linger();
            spawn_local(converse(Connection { stream, buffer: Vec::new(), log: Rc::clone(&log) }));
        }
    });
    address
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    log: Rc<Log>,
}

async fn converse(mut connection: Connection) {
    while let Some(went_on) = connection.exchange().await {
        if let Err(fault) = went_on {
            connection.log.fault.borrow_mut().get_or_insert(fault);
            return;
        }
    }
}

impl Connection {
    /// Serves one request; none where the connection is over.
    async fn exchange(&mut self) -> Option<Result<(), String>> {
        let end = loop {
            if let Some(end) = strict::end_of_head(&self.buffer) {
                break end;
            }
            self.read().await?;
        };
        let rest = self.buffer.split_off(end);
        let head = match strict::head(&std::mem::replace(&mut self.buffer, rest)) {
            Ok(head) => head,
            Err(fault) => return Some(Err(fault)),
        };
        let (is_head, early, framing) = (head.method == "HEAD", head.target == "/early", head.framing);
        let place = self.log.begin(head);
        if early {
            self.answer(false).await?;
            return None;
        }
        let (body, used) = loop {
            match strict::body(framing, &self.buffer) {
                Ok(Body::Whole { body, used }) => break (body, used),
                Ok(Body::Part(body)) => self.log.note(place, body, false),
                Err(fault) => return Some(Err(fault)),
            }
            self.read().await?;
        };
        self.buffer.drain(..used);
        self.log.note(place, body, true);
        self.answer(is_head).await?;
        Some(Ok(()))
    }

    async fn read(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.buffer).await.ok()?;
        self.log.move_on();
        (read > 0).then_some(())
    }

    async fn answer(&mut self, without_body: bool) -> Option<()> {
        let body = if without_body { "" } else { "ok" };
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{body}");
        self.stream.write_all(answer.as_bytes()).await.ok()?;
        self.log.move_on();
        Some(())
    }
}
