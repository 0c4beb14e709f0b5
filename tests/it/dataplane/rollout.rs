//! Rollouts of a Service under a fixed load: every pod is replaced, one after the other, and no request may fail.
//!
//! Small in the tests, and in full as `cargo bench --bench rollouts`.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::rig::{Plane, Site};

/// How much is rolled out, and how fast.
pub(crate) struct Shape {
    /// Pods of the Service.
    pub(crate) endpoints: usize,
    /// How often all of them are replaced.
    pub(crate) rollouts: usize,
    /// Between the replacements of two pods.
    pub(crate) step: Duration,
    /// How long a pod goes on after it was marked terminating.
    pub(crate) stop_after: Duration,
    /// Requests a second, whatever becomes of them.
    pub(crate) rate: u32,
    /// Viewer connections that share them.
    pub(crate) viewers: u32,
}

/// What came of it.
pub(crate) struct Outcome {
    /// Requests that were answered with 200.
    pub(crate) served: usize,
    /// What became of the others.
    pub(crate) failed: Vec<String>,
}

/// Runs the rollouts under load.
pub(crate) async fn run(shape: &Shape) -> Outcome {
    let mut pods = Vec::new();
    for _ in 0..shape.endpoints {
        pods.push(Pod::start().await);
    }
    let plane = Plane::start();
    publish(&plane, &pods);
    let (end, ended) = watch::channel(());
    let mut viewers = JoinSet::new();
    let gap = Duration::from_secs(1) / shape.rate * shape.viewers;
    for number in 0..shape.viewers {
        let first = Instant::now() + gap * number / shape.viewers;
        viewers.spawn(view(plane.handle.http_addresses()[0], first, gap, ended.clone()));
    }
    let mut stopping = JoinSet::new();
    let mut next = Instant::now();
    for _ in 0..shape.rollouts * shape.endpoints {
        next += shape.step;
        sleep_until(next).await;
        // The new pod is ready before the old one, the first, is marked terminating.
        pods.push(Pod::start().await);
        publish(&plane, &pods);
        let old = pods.remove(0);
        publish(&plane, &pods);
        stopping.spawn(old.stop_at(Instant::now() + shape.stop_after));
    }
    stopping.join_all().await;
    drop((ended, end));
    let mut outcome = Outcome { served: 0, failed: Vec::new() };
    for of_viewer in viewers.join_all().await {
        outcome.served += of_viewer.served;
        outcome.failed.extend(of_viewer.failed);
    }
    outcome
}

fn publish(plane: &Plane, pods: &[Pod]) {
    let addresses: Vec<_> = pods.iter().map(|pod| pod.address).collect();
    plane.publish(vec![Site::new("web", &addresses)]);
}

/// A pod that ends as servers do: it takes no more connections, answers what it has read and closes the rest.
struct Pod {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Pod {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        Self { address, stop, task: tokio::spawn(listen(listener, stopped)) }
    }

    async fn stop_at(self, when: Instant) {
        sleep_until(when).await;
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

async fn listen(listener: TcpListener, stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut stop = stopped.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => drop(connections.spawn(answer(accepted.unwrap().0, stopped.clone()))),
            _ = stop.wait_for(|stopped| *stopped) => break,
        }
    }
    drop(listener);
    connections.join_all().await;
}

async fn answer(mut stream: TcpStream, mut stopped: watch::Receiver<bool>) {
    let mut head = Vec::new();
    loop {
        let read = tokio::select! {
            biased;
            read = stream.read_buf(&mut head) => read,
            _ = stopped.wait_for(|stopped| *stopped), if head.is_empty() => return,
        };
        if !read.is_ok_and(|read| read > 0) {
            return;
        }
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                return;
            }
        }
    }
}

/// One viewer that sends a request each `gap`, and never later because of an earlier one.
async fn view(proxy: SocketAddr, first: Instant, gap: Duration, mut end: watch::Receiver<()>) -> Outcome {
    let mut outcome = Outcome { served: 0, failed: Vec::new() };
    let (mut stream, mut next) = (None, first);
    loop {
        tokio::select! {
            () = sleep_until(next) => next += gap,
            _ = end.changed() => return outcome,
        }
        match timeout(Duration::from_secs(10), ask(proxy, &mut stream)).await {
            Ok(Ok(head)) if head.starts_with("HTTP/1.1 200 ") => outcome.served += 1,
            Ok(Ok(head)) => outcome.failed.push(head),
            Ok(Err(error)) => {
                stream = None;
                outcome.failed.push(error.to_string());
            }
            Err(_) => {
                stream = None;
                outcome.failed.push("no answer within 10 s".to_owned());
            }
        }
    }
}

/// Sends a request on the viewer's connection, or a new one, and reads its answer.
async fn ask(proxy: SocketAddr, stream: &mut Option<TcpStream>) -> std::io::Result<String> {
    if stream.is_none() {
        *stream = Some(TcpStream::connect(proxy).await?);
    }
    let stream = stream.as_mut().unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: web.example\r\n\r\n").await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok") {
        let read = stream.read_buf(&mut answer).await?;
        let is_error = answer.windows(17).any(|window| window.eq_ignore_ascii_case(b"x-tidegate-error:"));
        if read == 0 || is_error {
            return Ok(String::from_utf8_lossy(&answer).into_owned());
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
