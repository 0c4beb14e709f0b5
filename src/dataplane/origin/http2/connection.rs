//! One HTTP/2 connection to an endpoint, driven by a local task until nobody holds it or it fails.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use h2::client::Builder;
use h2::{Ping, PingPong};
use tokio::time::{sleep, timeout};

use super::Connection;
use super::lanes::Lane;
use crate::dataplane::guarded_io::{Guarded, Meter};
use crate::dataplane::limits::Limits;
use crate::dataplane::origin::stream::OriginStream;
use crate::dataplane::worker::Worker;
use crate::table::reason::Reason;

/// Speaks HTTP/2 on a fresh stream; a task of the worker drives it from now on, and tells `lane` how many
/// exchanges have room and when there is none any more.
pub(crate) async fn open(
    worker: &Rc<Worker>,
    stream: OriginStream,
    lane: Rc<Lane>,
) -> Result<Connection, Reason> {
    let limits = worker.limits.clone();
    let stream = Guarded::new(stream);
    let meter = stream.meter();
    let handshake = builder(&limits).handshake::<_, Bytes>(stream);
    // It only writes: what the origin says to it comes with the first answer.
    let (requests, connection) = handshake.await.map_err(|_| Reason::OriginReset)?;
    lane.opened();
    worker.spawn(drive(connection, meter, Driven(lane), limits));
    Ok(requests)
}

fn builder(limits: &Limits) -> Builder {
    let head_bytes = u32::try_from(limits.head_bytes).unwrap_or(u32::MAX);
    // Exchanges of different viewers share the connection, and a viewer that does not read must not stop the
    // others: there is room for as much as all of them may hold back.
    let streams = u32::try_from(limits.origin_streams).unwrap_or(u32::MAX);
    let shared = limits.stream_window.saturating_mul(streams);
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(limits.stream_window.min(MOST))
        .initial_connection_window_size(shared.min(MOST))
        .initial_max_send_streams(limits.origin_streams)
        .max_header_list_size(head_bytes)
        .max_send_buffer_size(limits.buffer_bytes);
    builder
}

/// The largest window (RFC 9113 section 6.9.1).
const MOST: u32 = (1 << 31) - 1;

/// A lane that closes when nobody drives its connection any more, also where that ends with a panic.
struct Driven(Rc<Lane>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn drive(
    mut connection: h2::client::Connection<Guarded<OriginStream>, Bytes>,
    meter: Rc<Meter>,
    driven: Driven,
    limits: Limits,
) {
    let lane = &driven.0;
    let pings = connection.ping_pong();
    let ended = poll_fn(|cx| {
        let polled = Pin::new(&mut connection).poll(cx);
        lane.allow(connection.max_concurrent_send_streams());
        polled
    });
    tokio::select! {
        // 1. It ended: nobody holds it any more, the origin closed it, or a rule was broken. Exchanges on it hear
        // of it themselves.
        _ended = ended => {}
        // 2. The origin is silent. Dropping the connection tells the exchanges.
        () = until_dead(pings, &meter, lane, &limits) => {}
    }
}

/// Waits until the origin has said nothing for long although somebody waits, and does not answer a question either.
async fn until_dead(pings: Option<PingPong>, meter: &Meter, lane: &Lane, limits: &Limits) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        let read = meter.read();
        sleep(limits.origin_silence).await;
        if meter.read() > read || lane.is_idle() {
            continue;
        }
        if !matches!(timeout(limits.origin_sign_of_life, pings.ping(Ping::opaque())).await, Ok(Ok(_pong))) {
            return;
        }
    }
}
