//! What a behavior says of WebSockets holds over HTTP/2 as it does over HTTP/1.1, field by field.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use futures_util::SinkExt;
use futures_util::future::select_all;
use http::Method;
use tidegate::dataplane::Limits;
use tidegate::table::web_origin::AllowedOrigins;
use tidegate::table::web_socket::{MaxDuration, OnOriginTerminating, Rebalance, WebSocketPolicy};
use tokio::io::AsyncReadExt;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Wire, asking, connect, raw_tunnel, switching};
use crate::dataplane::http2::{Client, Door, error};
use crate::dataplane::rig::{RawOrigin, Site, field, soon};
use crate::websocket::peers::{EchoSocket, Socket, close_code, echo, handshake, next, open};

type Policy = fn(&mut WebSocketPolicy);

const VERSION: (&str, &str) = ("sec-websocket-version", "13");

fn site(origin: std::net::SocketAddr, policy: Policy) -> Site {
    let mut site = Site::new("web", &[origin]);
    site.default.web_socket = policy;
    site
}

/// Waits until one was closed by this, with this code.
async fn closed(door: &Door, closed_by: &str, code: u16) {
    let labels = format!("namespace=\"test\",distribution=\"web\",closed_by=\"{closed_by}\",code=\"{code}\"");
    let series = format!("tidegate_websocket_closed_total{{{labels}}}");
    soon(async {
        while door.plane.metric(&series) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// How many pings and messages came before the Close, and its code. Reading on answers all of them.
async fn last_words<S>(socket: &mut Socket<S>) -> (usize, usize, u16)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut pings, mut messages) = (0, 0);
    loop {
        match next(socket).await {
            Message::Ping(_) => pings += 1,
            Message::Close(close) => return (pings, messages, close.unwrap().code.into()),
            _ => messages += 1,
        }
    }
}

#[tokio::test]
async fn every_limit_of_a_life_closes_with_its_code_and_tells_the_origin() {
    let rows: [(Policy, &[&str], usize, &str, u16); 4] = [
        (
            |policy| policy.limits.max_message_bytes = NonZeroU64::new(5),
            &["hello", "longer"],
            1,
            "limit_message_size",
            1009,
        ),
        (
            |policy| policy.limits.messages_per_second = NonZeroU32::new(3),
            &["hi"; 20],
            3,
            "limit_message_rate",
            1008,
        ),
        (|policy| policy.idle_timeout = Some(Duration::from_millis(100)), &["hello"], 1, "idle", 1001),
        (
            |policy| {
                policy.max_duration =
                    Some(MaxDuration { longest: Duration::from_millis(100), jitter_percent: 0 });
            },
            &["hello"],
            1,
            "max_duration",
            1012,
        ),
    ];
    for (policy, said, passed, closed_by, code) in rows {
        let origin = RawOrigin::start().await;
        let door = Door::open(vec![site(origin.address, policy)]);
        let mut client = door.connect().await;
        let far = async { soon(accept_async(origin.accept().await.stream)).await.unwrap() };
        let (mut socket, mut far) = tokio::join!(client.socket(), far);
        for text in said {
            soon(socket.feed(Message::text(*text))).await.unwrap();
        }
        soon(socket.flush()).await.unwrap();
        let (viewer, origin) = tokio::join!(close_code(&mut socket), last_words(&mut far));
        assert_eq!((viewer, origin), (code, (0, passed, 1001)), "{closed_by}");
        // The origin's echo is all that is still awaited.
        drop((socket, far));
        closed(&door, closed_by, code).await;
    }
}

#[tokio::test]
async fn pings_are_between_the_proxy_and_the_viewer_and_answering_them_is_living() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![site(origin.address, |policy| {
        policy.ping_interval = Some(Duration::from_millis(20));
        policy.max_duration = Some(MaxDuration { longest: Duration::from_millis(300), jitter_percent: 0 });
    })]);
    let mut client = door.connect().await;
    let far = async { soon(accept_async(origin.accept().await.stream)).await.unwrap() };
    let (mut socket, mut far) = tokio::join!(client.socket(), far);
    let (viewer, told) = tokio::join!(last_words(&mut socket), next(&mut far));
    assert!(viewer.0 > 2 && viewer.2 == 1012, "{viewer:?}");
    assert!(matches!(told, Message::Close(Some(close)) if u16::from(close.code) == 1001));
}

#[tokio::test]
async fn a_viewer_that_answers_no_ping_is_closed_with_1001() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![site(origin.address, |policy| {
        policy.ping_interval = Some(Duration::from_millis(20));
    })]);
    let mut client = door.connect().await;
    let (mut wire, mut far) = raw_tunnel(&mut client, &origin).await;
    for _ in 0..2 {
        let mut ping = [0; 10];
        soon(wire.read_exact(&mut ping)).await.unwrap();
        assert_eq!(ping[..2], [0x89, 8]);
    }
    let mut close = [0; 4];
    soon(wire.read_exact(&mut close)).await.unwrap();
    assert_eq!(close, [0x88, close[1], 0x03, 0xe9]);
    assert_eq!(far.bytes(1).await, [0x88]);
    drop((wire, far));
    closed(&door, "ping_timeout", 1001).await;
}

#[tokio::test]
async fn places_are_counted_together_with_those_of_http_1() {
    let origin = EchoSocket::start().await;
    let rows: [(Policy, u16); 2] = [
        (|policy| policy.limits.max_connections = NonZeroU32::new(2), 503),
        (|policy| policy.limits.max_connections_per_client = NonZeroU32::new(2), 429),
    ];
    for (policy, status) in rows {
        let door = Door::open(vec![site(origin.address, policy)]);
        let mut client = door.connect().await;
        let (first, mut second) = (open(&door.plane).await, client.socket().await);
        let (answer, _) = client.answer(connect(&[])).await;
        assert_eq!(error(&answer), (status, Some("connection_limit")));
        let answer = door.plane.ask(&handshake("")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(field(&answer, "x-tidegate-error"), Some("connection_limit"));
        // A place that was given up over one of both is free for the other.
        drop(first);
        let mut third = soon(async {
            loop {
                let (answer, wire) = client.answer(connect(&[])).await;
                if answer.status() == 200 {
                    break Socket::from_raw_socket(wire, Role::Client, None).await;
                }
            }
        })
        .await;
        echo(&mut second, "hello").await;
        echo(&mut third, "hello").await;
    }
}

/// How a handshake with this Host and these fields is answered, where an origin would agree to it.
async fn answered(
    client: &mut Client,
    origin: &RawOrigin,
    host: &str,
    fields: &[(&str, &str)],
) -> (u16, Option<String>) {
    let asked = asking("websocket", &format!("https://{host}/chat"), &[&[VERSION], fields].concat());
    let agree = async {
        let mut far = origin.accept().await;
        let request = far.until("\r\n\r\n").await;
        far.send(switching(&request, "")).await;
        far.rest().await
    };
    tokio::select! {
        (answer, _wire) = client.answer(asked) => {
            let (status, reason) = error(&answer);
            (status, reason.map(str::to_owned))
        }
        _ = agree => panic!("the origin was left before the viewer was answered"),
    }
}

#[tokio::test]
async fn a_page_opens_a_websocket_where_its_origin_is_listed_and_its_method_is_get() {
    let origin = RawOrigin::start().await;
    let mut picky = site(origin.address, |policy| {
        policy.allowed_origins = AllowedOrigins::new(["https://*.web.example"]);
    });
    picky.default.methods = &[Method::GET];
    let mut silent = Site::new("silent", &[origin.address]);
    // CONNECT is what HTTP/2 calls it, and no reason to list anything but GET.
    silent.default.methods = &[Method::HEAD, Method::POST];
    let door = Door::open(vec![picky, silent]);
    let mut client = door.connect().await;
    let rows = [
        ("web.example", &[("origin", "https://app.web.example")][..], (200, None)),
        ("web.example", &[], (200, None)),
        ("web.example", &[("origin", "https://web.example")], (403, Some("websocket_origin"))),
        ("web.example", &[("origin", "null")], (403, Some("websocket_origin"))),
        ("silent.example", &[], (403, Some("method_not_allowed_by_behavior"))),
    ];
    for (host, fields, (status, reason)) in rows {
        let got = answered(&mut client, &origin, host, fields).await;
        assert_eq!(got, (status, reason.map(str::to_owned)), "{host} {fields:?}");
    }
    // And it is no other over HTTP/1.1.
    let silent = handshake("").replace("web.example", "silent.example");
    let answer = origin.nobody_comes_while(door.plane.ask(&silent)).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(field(&answer, "x-tidegate-error"), Some("method_not_allowed_by_behavior"));
}

#[tokio::test]
async fn an_endpoint_that_terminates_loses_what_its_behavior_drains_and_an_unready_one_nothing() {
    let (first, second) = (EchoSocket::start().await, EchoSocket::start().await);
    let drains = site(first.address, |policy| policy.on_origin_terminating = OnOriginTerminating::Drain);
    let keeps = Site::new("keeps", &[first.address]);
    let door = Door::open(vec![drains.clone(), keeps.clone()]);
    let mut client = door.connect().await;
    let mut leaving = client.socket().await;
    let (_, wire) = client.answer(asking("websocket", "https://keeps.example/chat", &[VERSION])).await;
    let mut staying: Socket<Wire> = Socket::from_raw_socket(wire, Role::Client, None).await;

    let on_second = |site: &Site, waiting: &[std::net::SocketAddr]| Site {
        endpoints: vec![second.address],
        waiting: waiting.to_vec(),
        ..site.clone()
    };
    let unready = [first.address];
    door.plane.publish(vec![on_second(&drains, &unready), on_second(&keeps, &unready)]);
    echo(&mut leaving, "still here").await;
    door.plane.publish(vec![on_second(&drains, &[]), on_second(&keeps, &[])]);
    assert_eq!(close_code(&mut leaving).await, 1012);
    echo(&mut staying, "still here").await;
    closed(&door, "origin_terminating", 1012).await;
}

#[tokio::test]
async fn after_a_scale_out_some_are_asked_to_come_back_and_do_so_on_the_new_endpoint() {
    let (old, new) = (EchoSocket::start().await, EchoSocket::start().await);
    let mut site = site(old.address, |policy| {
        policy.rebalance = Some(Rebalance {
            max_imbalance_percent: NonZeroU32::new(20).unwrap(),
            closes_per_second: NonZeroU32::new(50).unwrap(),
        });
    });
    let limits = Limits { sweep: Duration::from_millis(20), ..Limits::default() };
    let door = Door::with(limits, vec![site.clone()]);
    let mut client = door.connect().await;
    let mut sockets = Vec::new();
    for _ in 0..6 {
        sockets.push(client.socket().await);
    }
    site.endpoints.push(new.address);
    door.plane.publish(vec![site]);
    let waiting = sockets.iter_mut().map(|socket| Box::pin(async move { close_code(socket).await }));
    let (code, _, _) = soon(select_all(waiting)).await;
    assert_eq!(code, 1012);
    closed(&door, "rebalance", 1012).await;
    let mut back = client.socket().await;
    echo(&mut back, "here now").await;
    let mut tunnels = door.plane.handle.tunnels(None);
    let mut on_new = 0;
    while let Some(tunnel) = soon(tunnels.next()).await {
        on_new += usize::from(tunnel.labels.endpoint == new.address);
    }
    assert_eq!(on_new, 1);
}
