//! How a tunnel ends where the proxy decides it: with a Close frame to both sides, their answers, FIN, and RST at
//! the deadline; and the words for every end.
//!
//! When and why it ends is decided in `tunnel`. Start at [`say_goodbye`].

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use super::buffers::Buffers;
use super::flow::{Flow, Said};
use super::frames::Fault;
use super::registry::{Admission, Tally};
use super::side::Side;
use super::tunnel::Tunnel;
use crate::telemetry::metrics::Direction;

/// There was no Close (RFC 6455 section 7.4.1); never sent.
pub(super) const NO_CLOSE: u16 = 1006;

const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;
const POLICY_VIOLATION: u16 = 1008;
const MESSAGE_TOO_BIG: u16 = 1009;
/// "Service Restart" in the IANA registry of close codes: come back.
const SERVICE_RESTART: u16 = 1012;

/// Who ended a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClosedBy {
    /// The viewer, with a Close or a FIN.
    Viewer,
    /// The origin, with a Close or a FIN.
    Origin,
    /// The viewer's connection was reset.
    ViewerReset,
    /// The origin's connection was reset.
    OriginReset,
    /// The proxy: nothing passed for `idleTimeout`.
    Idle,
    /// The proxy: it lived for its `maxDuration`.
    MaxDuration,
    /// The proxy: the viewer did not answer its pings.
    PingTimeout,
    /// The proxy: the replica leaves.
    Drain,
    /// The proxy: endpoints were added, and this one had too many.
    Rebalance,
    /// The proxy: the endpoint terminates, and its behavior wanted that to be told.
    OriginTerminating,
    /// The proxy: the Distribution was removed or disabled.
    DistributionRemoved,
    /// The proxy: the viewer sent a longer message than it may.
    LimitMessageSize,
    /// The proxy: the viewer sent more messages than it may.
    LimitMessageRate,
    /// The proxy: a side sent what is no frame.
    ProtocolError,
    /// The proxy: the drain's deadline passed before a goodbye could be said.
    ShutdownDeadline,
    /// A fault of ours.
    Internal,
}

impl ClosedBy {
    /// The name in logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Origin => "origin",
            Self::ViewerReset => "viewer_reset",
            Self::OriginReset => "origin_reset",
            Self::Idle => "idle",
            Self::MaxDuration => "max_duration",
            Self::PingTimeout => "ping_timeout",
            Self::Drain => "drain",
            Self::Rebalance => "rebalance",
            Self::OriginTerminating => "origin_terminating",
            Self::DistributionRemoved => "distribution_removed",
            Self::LimitMessageSize => "limit_message_size",
            Self::LimitMessageRate => "limit_message_rate",
            Self::ProtocolError => "protocol_error",
            Self::ShutdownDeadline => "shutdown_deadline",
            Self::Internal => "internal",
        }
    }
}

/// The end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// Who ended it.
    pub(crate) closed_by: ClosedBy,
    /// The code that this side sent or, where it was the proxy, that the viewer was sent; 1005 for a Close without
    /// a code, 1006 without a Close.
    pub(crate) code: u16,
    /// From the 101 to the end.
    pub(crate) duration: Duration,
    /// What was passed on to the origin.
    pub(crate) to_origin: Tally,
    /// What was passed on to the viewer.
    pub(crate) to_viewer: Tally,
}

impl Closed {
    /// The end of one that never began, or of which nobody could say why: a fault of ours, where this is one, or else
    /// `otherwise`.
    pub(crate) fn without_verdict(otherwise: ClosedBy) -> Self {
        let closed_by = if std::thread::panicking() { ClosedBy::Internal } else { otherwise };
        let (duration, to_origin, to_viewer) = (Duration::ZERO, Tally::default(), Tally::default());
        Self { closed_by, code: NO_CLOSE, duration, to_origin, to_viewer }
    }
}

/// Who is to blame for an end, and with which code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) closed_by: ClosedBy,
    pub(super) code: u16,
}

/// Why the proxy says goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Idle,
    MaxDuration,
    PingTimeout,
    Drain,
    Rebalance,
    OriginTerminating,
    DistributionRemoved,
    LimitMessageSize,
    LimitMessageRate,
    ProtocolError,
}

impl From<Fault> for Cause {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Frame => Self::ProtocolError,
            Fault::MessageSize => Self::LimitMessageSize,
            Fault::MessageRate => Self::LimitMessageRate,
        }
    }
}

impl Cause {
    pub(super) fn closed_by(self) -> ClosedBy {
        match self {
            Self::Idle => ClosedBy::Idle,
            Self::MaxDuration => ClosedBy::MaxDuration,
            Self::PingTimeout => ClosedBy::PingTimeout,
            Self::Drain => ClosedBy::Drain,
            Self::Rebalance => ClosedBy::Rebalance,
            Self::OriginTerminating => ClosedBy::OriginTerminating,
            Self::DistributionRemoved => ClosedBy::DistributionRemoved,
            Self::LimitMessageSize => ClosedBy::LimitMessageSize,
            Self::LimitMessageRate => ClosedBy::LimitMessageRate,
            Self::ProtocolError => ClosedBy::ProtocolError,
        }
    }

    /// The code that the viewer is sent: 1012 asks it to come back.
    fn code(self) -> u16 {
        match self {
            Self::Idle | Self::PingTimeout | Self::DistributionRemoved => GOING_AWAY,
            Self::Drain | Self::MaxDuration | Self::Rebalance | Self::OriginTerminating => SERVICE_RESTART,
            Self::LimitMessageSize => MESSAGE_TOO_BIG,
            Self::LimitMessageRate => POLICY_VIOLATION,
            Self::ProtocolError => PROTOCOL_ERROR,
        }
    }

    /// What stands beside the code, for whoever reads a browser's console.
    fn text(self) -> &'static str {
        match self {
            Self::Idle => "idle for too long",
            Self::MaxDuration => "open for too long, please reconnect",
            Self::PingTimeout => "no answer to pings",
            Self::Drain => "restarting, please reconnect",
            Self::Rebalance => "moving, please reconnect",
            Self::OriginTerminating => "restarting, please reconnect",
            Self::DistributionRemoved => "no longer served here",
            Self::LimitMessageSize => "a message is too long",
            Self::LimitMessageRate => "too many messages",
            Self::ProtocolError => "not a websocket frame",
        }
    }
}

/// Says goodbye to both sides; returns the code that the viewer was sent, if a Close could be sent at all.
///
/// It takes at most the goodbye's wait, less where the worker cuts. A side that is not done by then is reset.
pub(super) async fn say_goodbye<V: Side, O: Side>(
    tunnel: &mut Tunnel<V, O>,
    cause: Cause,
    admission: &Admission,
) -> Option<u16> {
    tunnel.to_viewer.finish_with(close_frame(Direction::ToViewer, cause.code(), cause.text()));
    tunnel.to_origin.finish_with(close_frame(Direction::ToOrigin, GOING_AWAY, cause.text()));
    let mut goodbye = Goodbye { to_viewer: None, viewer: Leave::Open, origin: Leave::Open };
    tokio::select! {
        biased;
        // 1. Both have answered and are gone.
        () = poll_fn(|cx| goodbye.poll(cx, tunnel, admission.buffers())) => {}
        // 2. The drain's deadline has passed.
        () = admission.entry().cut() => {}
        // 3. A side did not answer, or stood in a frame for too long.
        () = tokio::time::sleep(admission.waits().goodbye) => {}
    }
    if goodbye.viewer != Leave::Gone {
        tunnel.viewer.reset_when_dropped();
    }
    if goodbye.origin != Leave::Gone {
        tunnel.origin.reset_when_dropped();
    }
    (goodbye.to_viewer == Some(Said::Ours)).then_some(cause.code())
}

/// How far a goodbye has come.
struct Goodbye {
    /// What the viewer was told; none while that is under way.
    to_viewer: Option<Said>,
    viewer: Leave,
    origin: Leave,
}

/// How far a side has gone after the Close was sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// Its answer is awaited.
    Open,
    /// FIN was sent to it, and its own is awaited.
    Shut,
    /// It has ended, too.
    Gone,
}

impl Goodbye {
    fn poll<V: Side, O: Side>(
        &mut self,
        cx: &mut Context<'_>,
        tunnel: &mut Tunnel<V, O>,
        buffers: &Buffers,
    ) -> Poll<()> {
        let Tunnel { viewer, origin, to_viewer, to_origin, .. } = tunnel;
        let viewer_told = to_viewer.poll_finish(cx, &mut *origin, &mut *viewer, buffers);
        let origin_told = to_origin.poll_finish(cx, &mut *viewer, &mut *origin, buffers);
        if let Poll::Ready(said) = viewer_told {
            self.to_viewer = Some(said);
        }
        // A side's answer comes in the direction whose other end is being told, so both come first.
        ready!(viewer_told);
        ready!(origin_told);
        let viewer_gone = self.viewer.poll(cx, viewer, to_origin, buffers);
        let origin_gone = self.origin.poll(cx, origin, to_viewer, buffers);
        ready!(viewer_gone);
        origin_gone
    }
}

impl Leave {
    /// Awaits the answer of `side` in what comes `from` it, then shuts it, then awaits its end.
    fn poll<S: Side>(
        &mut self,
        cx: &mut Context<'_>,
        side: &mut S,
        from: &mut Flow,
        buffers: &Buffers,
    ) -> Poll<()> {
        if *self == Self::Open {
            ready!(from.poll_hear_close(cx, &mut *side, buffers));
            // Where shutting fails, the side is gone, and reading tells so.
            let _gone = ready!(Pin::new(&mut *side).poll_shutdown(cx));
            *self = Self::Shut;
        }
        if *self == Self::Shut {
            ready!(from.poll_hear_end(cx, side, buffers));
            *self = Self::Gone;
        }
        Poll::Ready(())
    }
}

/// A Close frame (RFC 6455 section 5.5.1), masked towards the origin, to which the proxy is the client.
fn close_frame(direction: Direction, code: u16, text: &str) -> Bytes {
    let payload: Vec<u8> = code.to_be_bytes().into_iter().chain(text.bytes()).collect();
    let length = u8::try_from(payload.len()).expect("the texts of `Cause` are short");
    let mut frame = vec![0x88];
    match direction {
        Direction::ToViewer => {
            frame.push(length);
            frame.extend(payload);
        }
        Direction::ToOrigin => {
            // The key must not be guessed by whoever chose the payload (RFC 6455 section 10.3): nobody but us did.
            let key = fastrand::u32(..).to_be_bytes();
            frame.push(0x80 | length);
            frame.extend(key);
            frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
    }
    Bytes::from(frame)
}
