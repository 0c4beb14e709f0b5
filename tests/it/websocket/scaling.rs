//! WebSockets over several endpoints: where new ones go, and how open ones move when there are more.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use futures_util::future::join_all;
use tidegate::dataplane::Limits;
use tidegate::table::web_socket::Rebalance;

use super::peers::{EchoSocket, close_code, echo, open};
use crate::dataplane::rig::{Plane, Site, soon};

/// How many are open on each endpoint, over all workers.
async fn open_on_each(plane: &Plane) -> BTreeMap<SocketAddr, usize> {
    let mut open = BTreeMap::new();
    let mut tunnels = plane.handle.tunnels(None);
    while let Some(tunnel) = soon(tunnels.next()).await {
        *open.entry(tunnel.labels.endpoint).or_default() += 1;
    }
    open
}

#[tokio::test]
async fn a_new_websocket_goes_where_the_fewest_are_over_all_workers_and_tables() {
    let origins = [EchoSocket::start().await, EchoSocket::start().await, EchoSocket::start().await];
    let addresses = origins.each_ref().map(|origin| origin.address);
    let plane = Plane::serving(vec![Site::new("web", &addresses[..2])]);
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(open(&plane).await);
    }
    let even = open_on_each(&plane).await;
    assert_eq!(even, addresses[..2].iter().map(|address| (*address, 10)).collect());
    // The third one catches up, since what was open is still counted.
    plane.publish(vec![Site::new("web", &addresses)]);
    for _ in 0..10 {
        sockets.push(open(&plane).await);
    }
    let even = open_on_each(&plane).await;
    assert_eq!(even, addresses.iter().map(|address| (*address, 10)).collect());
}

#[tokio::test]
async fn after_a_scale_out_some_of_the_busiest_endpoint_are_asked_to_come_back() {
    let (old, new) = (EchoSocket::start().await, EchoSocket::start().await);
    let plane = Plane::with(Limits { sweep: Duration::from_millis(20), ..Limits::default() });
    let mut site = Site::new("web", &[old.address]);
    site.default.web_socket = |policy| {
        policy.rebalance = Some(Rebalance {
            max_imbalance_percent: NonZeroU32::new(20).unwrap(),
            closes_per_second: NonZeroU32::new(50).unwrap(),
        });
    };
    plane.publish(vec![site.clone()]);
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.push(open(&plane).await);
    }
    site.endpoints.push(new.address);
    plane.publish(vec![site]);
    // Six of ten are a fifth above the mean of five, and five are the most that may move.
    let mut waiting: Vec<_> =
        sockets.iter_mut().map(|socket| Box::pin(async move { close_code(socket).await })).collect();
    for _ in 0..4 {
        let (code, _, rest) = soon(futures_util::future::select_all(waiting)).await;
        assert_eq!(code, 1012);
        waiting = rest;
    }
    drop(waiting);
    let stayed = async || open_on_each(&plane).await.get(&old.address).copied();
    soon(async { while stayed().await.is_some_and(|count| count > 6) {} }).await;
    let moved = join_all((0..4).map(|_| open(&plane))).await;
    assert_eq!(open_on_each(&plane).await.get(&new.address), Some(&4));
    for mut socket in moved {
        echo(&mut socket, "here now").await;
    }
    let closed = "tidegate_websocket_closed_total{namespace=\"test\",distribution=\"web\",closed_by=\"rebalance\",code=\"1012\"}";
    assert!((4..=5).contains(&plane.metric(closed)));
}
