//! Open tunnels: every byte arrives, in order, whatever else happens on the connection.

use std::io::ErrorKind;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::Reason;
use h2::client::Builder;
use tidegate::dataplane::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::{connect, raw_tunnel, switching};
use crate::dataplane::http2::{Door, get};
use crate::dataplane::rig::{EchoOrigin, RawOrigin, Site, Viewer, soon};
use crate::websocket::peers::{EchoSocket, echo};

/// `hi` as text, as the viewer sends it and as the origin does.
const MASKED_HI: &[u8] = b"\x81\x82\0\0\0\0hi";
const HI: &[u8] = b"\x81\x02hi";

#[tokio::test]
async fn messages_are_echoed_and_the_tunnel_is_known_by_its_protocol() {
    let origin = EchoSocket::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let mut socket = client.socket().await;
    echo(&mut socket, "hello").await;
    echo(&mut socket, &"long".repeat(100_000)).await;

    let listed = soon(door.plane.handle.tunnels(None).next()).await.expect("one tunnel is open");
    assert_eq!((listed.labels.protocol, listed.labels.endpoint), ("h2", origin.address));
    let open = |protocol: &str| {
        let labels = "namespace=\"test\",distribution=\"web\",origin=\"web\"";
        door.plane.metric(&format!("tidegate_websocket_connections{{{labels},protocol=\"{protocol}\"}}"))
    };
    assert_eq!((open("h1"), open("h2")), (0, 1));
    soon(socket.close(None)).await.unwrap();
}

#[tokio::test]
async fn what_comes_before_the_answer_waits_for_it_and_is_not_lost() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let (response, mut outgoing) = client.handshake(connect(&[])).await;
    outgoing.send_data(Bytes::from_static(MASKED_HI), false).unwrap();
    let mut far = origin.accept().await;
    let request = far.until("\r\n\r\n").await;
    // Another exchange has come and gone meanwhile.
    assert_eq!(client.ask(get("https://nobody.example/")).await.status(), 404);
    let early = tokio::time::timeout(std::time::Duration::from_millis(50), far.stream.read_u8()).await;
    assert!(early.is_err(), "nothing is sent before the 101: {early:?}");
    far.send([switching(&request, "").as_bytes(), HI].concat()).await;
    assert_eq!(far.bytes(8).await, MASKED_HI);
    let (_, mut wire) = super::Wire::of(response, outgoing).await;
    let mut got = [0; 4];
    soon(wire.read_exact(&mut got)).await.unwrap();
    assert_eq!(got, HI);
}

#[tokio::test]
async fn tunnels_and_requests_share_a_connection() {
    let origin = EchoSocket::start().await;
    let pages = EchoOrigin::start("pages").await;
    let door = Door::open(vec![Site::new("web", &[origin.address]), Site::new("pages", &[pages.address])]);
    let mut client = door.connect().await;
    let (mut one, mut two) = (client.socket().await, client.socket().await);
    for round in 0..3 {
        echo(&mut one, &format!("one {round}")).await;
        assert_eq!(client.ask(get("https://pages.example/")).await.status(), 200);
        echo(&mut two, &"two".repeat(50_000)).await;
    }
    // The end of one is no end of the others.
    one.close(None).await.unwrap();
    drop(one);
    echo(&mut two, "still here").await;
    assert_eq!(client.ask(get("https://pages.example/")).await.status(), 200);
}

#[tokio::test]
async fn two_hundred_tunnels_fit_where_so_many_streams_may_be_open() {
    let origin = EchoSocket::start().await;
    let limits = Limits { streams: 200, ..Limits::default() };
    let door = Door::with(limits, vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let mut sockets = Vec::new();
    for _ in 0..200 {
        sockets.push(client.socket().await);
    }
    let echoed = sockets.iter_mut().enumerate().map(|(number, socket)| async move {
        echo(socket, &number.to_string().repeat(100)).await;
    });
    join_all(echoed).await;
    // The next one waits for its turn, as the client's side of the limit has it.
    let (response, _outgoing) = client.handshake(connect(&[])).await;
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(50), response).await;
    assert!(waiting.is_err());
    echo(&mut sockets[0], "once more").await;
}

#[tokio::test]
async fn a_viewer_that_opens_no_window_stops_its_origin_and_nobody_else() {
    const TOTAL: usize = 16 << 20;
    let origin = RawOrigin::start().await;
    let pages = EchoOrigin::start("pages").await;
    let door = Door::open(vec![Site::new("web", &[origin.address]), Site::new("pages", &[pages.address])]);
    let mut builder = Builder::new();
    let mut client = door.connect_as(builder.initial_connection_window_size(1 << 20)).await;
    let (mut wire, mut far) = raw_tunnel(&mut client, &origin).await;
    let header = [&[0x82, 127][..], &(TOTAL as u64).to_be_bytes()].concat();
    let sent = tokio::spawn(async move {
        far.stream.write_all(&header).await.unwrap();
        far.stream.write_all(&vec![7; TOTAL]).await.unwrap();
        far
    });
    // What a stream's window and a tunnel's buffer hold, and not more.
    let held = || async {
        let listed = soon(door.plane.handle.tunnels(None).next()).await.unwrap();
        usize::try_from(listed.to_viewer.bytes).unwrap()
    };
    soon(async { while held().await < 0xffff {} }).await;
    for _ in 0..20 {
        assert_eq!(client.ask(get("https://pages.example/")).await.status(), 200);
    }
    assert!(held().await <= 0xffff + 2 * 16 * 1024, "{}", held().await);
    let mut got = vec![0; 10 + TOTAL];
    soon(wire.read_exact(&mut got)).await.unwrap();
    assert!(got[10..].iter().all(|byte| *byte == 7));
    soon(sent).await.unwrap();
}

/// An origin whose socket holds hardly anything that it does not read.
async fn narrow() -> (tokio::net::TcpListener, std::net::SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(8).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn an_origin_that_does_not_read_stops_its_viewer_whatever_the_size_of_frames() {
    for length in [8, 16 * 1024] {
        let (listener, address) = narrow().await;
        let pages = EchoOrigin::start("pages").await;
        let sites = vec![Site::new("web", &[address]), Site::new("pages", &[pages.address])];
        let door = Door::open(sites);
        let mut client = door.connect().await;
        let agree = async {
            let mut far = Viewer::on(soon(listener.accept()).await.unwrap().0);
            let request = far.until("\r\n\r\n").await;
            far.send(switching(&request, "")).await;
            far
        };
        let (mut wire, mut far) = tokio::join!(client.wire(), agree);
        // Whole messages, each in a DATA frame of its own: a flood of them is what a chat looks like.
        let message = match length {
            8 => MASKED_HI.to_vec(),
            _ => [&b"\x82\xfe\x3f\xf8\0\0\0\0"[..], &vec![7; 16 * 1024 - 8]].concat(),
        };
        // More passes than may wait as frames, on a connection that serves others meanwhile, and then no more.
        let blocked = std::time::Duration::from_millis(300);
        let count = soon(async {
            for count in 0.. {
                let mut write = std::pin::pin!(wire.write_all(&message));
                loop {
                    match tokio::time::timeout(blocked, &mut write).await {
                        Ok(written) => break written.unwrap(),
                        Err(_) if count * length > 64 * 1024 => return count,
                        Err(_) => {}
                    }
                }
                assert!(count * length < 64 << 20, "somebody buffers without a bound");
            }
            unreachable!()
        });
        let count = count.await;
        assert_eq!(client.ask(get("https://pages.example/")).await.status(), 200);
        assert!(far.bytes(count * length).await.chunks(length).all(|chunk| chunk == message));
    }
}

#[tokio::test]
async fn a_half_close_passes_and_the_other_half_goes_on() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let (mut wire, mut far) = raw_tunnel(&mut client, &origin).await;
    wire.shutdown().await.unwrap();
    assert_eq!(far.rest().await, "");
    far.send(HI).await;
    far.stream.shutdown().await.unwrap();
    let mut got = Vec::new();
    soon(wire.read_to_end(&mut got)).await.unwrap();
    assert_eq!(got, HI);

    let (mut wire, mut far) = raw_tunnel(&mut client, &origin).await;
    far.send(HI).await;
    far.stream.shutdown().await.unwrap();
    got.clear();
    soon(wire.read_to_end(&mut got)).await.unwrap();
    assert_eq!(got, HI);
    wire.write_all(MASKED_HI).await.unwrap();
    wire.shutdown().await.unwrap();
    assert_eq!(far.bytes(8).await, MASKED_HI);
    assert_eq!(far.rest().await, "");
}

#[tokio::test]
async fn a_reset_is_passed_on_both_ways() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let (mut wire, mut far) = raw_tunnel(&mut client, &origin).await;
    wire.outgoing.send_reset(Reason::CANCEL);
    let end = soon(far.stream.read_u8()).await.unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);

    let (mut wire, far) = raw_tunnel(&mut client, &origin).await;
    far.stream.set_zero_linger().unwrap();
    drop(far);
    let end = soon(std::future::poll_fn(|cx| wire.incoming.poll_data(cx))).await.unwrap().unwrap_err();
    assert_eq!(end.reason(), Some(Reason::CANCEL));

    // The end of the connection resets what is open on it.
    let (_wire, mut far) = raw_tunnel(&mut client, &origin).await;
    client.connection.abort();
    let end = soon(far.stream.read_u8()).await.unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn trailers_are_no_end_of_a_tunnel() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![Site::new("web", &[origin.address])]);
    let mut client = door.connect().await;
    let (mut wire, mut far) = raw_tunnel(&mut client, &origin).await;
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-end", "1".parse().unwrap());
    wire.outgoing.send_trailers(trailers).unwrap();
    let end = soon(far.stream.read_u8()).await.unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
}
