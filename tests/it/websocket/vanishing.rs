//! Viewers that vanish while their handshake is answered: whatever comes first, nothing is left of them, what was
//! counted as opened is counted as closed, and the origin is told.

use std::num::NonZeroU32;

use h2::Reason;

use super::over_http2;
use super::peers::{handshake, switching};
use crate::dataplane::http2::Door;
use crate::dataplane::rig::{Plane, RawOrigin, Site, soon};

/// Of each order of events.
const ROUNDS: usize = 30;

/// What happens first.
#[derive(Clone, Copy, Debug)]
enum First {
    Vanishing,
    Agreement,
}

/// A site with room for a single WebSocket: one that is not given back stops the next round.
fn site(origin: &RawOrigin) -> Site {
    let mut site = Site::new("web", &[origin.address]);
    site.default.web_socket = |policy| policy.limits.max_connections = NonZeroU32::new(1);
    site
}

/// Waits until all that were opened have been told to be closed; the origin hears of it a moment earlier.
async fn nothing_is_left(plane: &Plane, protocol: &str) {
    let labels = "namespace=\"test\",distribution=\"web\"";
    let opened = format!("tidegate_websocket_opened_total{{{labels}}}");
    let reset = "closed_by=\"viewer_reset\",code=\"1006\"";
    let closed = format!("tidegate_websocket_closed_total{{{labels},{reset}}}");
    soon(async {
        while plane.metric(&opened) != plane.metric(&closed) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let open = format!("tidegate_websocket_connections{{{labels},origin=\"web\",protocol=\"{protocol}\"}}");
    assert_eq!(plane.metric(&open), 0);
    assert!(soon(plane.handle.tunnels(None).next()).await.is_none());
}

#[tokio::test]
async fn a_connection_that_is_reset_while_the_101_is_on_its_way_leaves_nothing() {
    let origin = RawOrigin::start().await;
    let plane = Plane::of_one_worker(Default::default(), vec![site(&origin)]);
    for round in 0..2 * ROUNDS {
        let first = if round % 2 == 0 { First::Vanishing } else { First::Agreement };
        let mut viewer = plane.connect().await;
        viewer.send(handshake("")).await;
        let mut far = origin.accept().await;
        far.until("\r\n\r\n").await;
        viewer.stream.set_zero_linger().unwrap();
        match first {
            First::Vanishing => {
                drop(viewer);
                // It may have been told already.
                let _gone = far.try_send(switching("")).await;
            }
            First::Agreement => {
                far.send(switching("")).await;
                drop(viewer);
            }
        }
        // With FIN or RST, but it is told.
        let _told = far.ends().await;
    }
    nothing_is_left(&plane, "h1").await;
}

#[tokio::test]
async fn a_stream_that_is_reset_while_its_200_is_on_its_way_leaves_nothing() {
    let origin = RawOrigin::start().await;
    let door = Door::open(vec![site(&origin)]);
    let mut client = door.connect().await;
    for round in 0..2 * ROUNDS {
        let first = if round % 2 == 0 { First::Vanishing } else { First::Agreement };
        let (response, mut outgoing) = client.handshake(over_http2::connect(&[])).await;
        let mut far = origin.accept().await;
        let request = far.until("\r\n\r\n").await;
        let agreement = over_http2::switching(&request, "");
        match first {
            First::Vanishing => {
                outgoing.send_reset(Reason::CANCEL);
                // Its connection writes that.
                tokio::task::yield_now().await;
                let _gone = far.try_send(agreement).await;
            }
            First::Agreement => {
                far.send(agreement).await;
                outgoing.send_reset(Reason::CANCEL);
            }
        }
        let _told = far.ends().await;
        drop(response);
    }
    nothing_is_left(&door.plane, "h2").await;
}
