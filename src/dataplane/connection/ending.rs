//! How a viewer's connection ends once its HTTP is over: as a tunnel, with a last word, gently or hard.

use std::rc::Rc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Viewer;
use super::http1::End;
use super::turn::{Phase, Turn};
use crate::dataplane::guarded_io::Meter;
use crate::dataplane::limits::Limits;
use crate::dataplane::response::errors::{self, Format};
use crate::dataplane::websocket::side::{Side, Upgraded};
use crate::table::reason::Reason;

/// Ends the connection, or makes it the tunnel.
pub(super) async fn finish<S: Side>(
    viewer: &Rc<Viewer>,
    turn: &Turn,
    end: End,
    stream: S,
    early: Bytes,
    meter: &Meter,
) {
    let limits = &viewer.worker.limits;
    let opened = turn.opened.take();
    match end {
        End::Finished => match opened {
            Some(opened) => viewer.worker.tunnel(Upgraded { stream, early }, *opened),
            None if turn.left_something_unread() => linger(stream, limits).await,
            None => close(stream, limits).await,
        },
        // The answer's framing promised more: only a reset cannot be mistaken for its end.
        End::Failed(error) if error.is_user() => stream.reset_when_dropped(),
        End::Failed(error) if error.is_parse() => {
            viewer.worker.refused_unread(viewer, reason_of(&error));
            if meter.written() == 0 && error.is_parse_version_h2() {
                return last_word(stream, Reason::BadRequest, limits).await;
            }
            linger(stream, limits).await;
        }
        End::Failed(_gone) => {}
        End::Late(Phase::Head) if !early.is_empty() => {
            viewer.worker.refused_unread(viewer, Reason::ViewerTimeout);
            last_word(stream, Reason::ViewerTimeout, limits).await;
        }
        End::Late(_) | End::Drained => close(stream, limits).await,
        End::Stalled => stream.reset_when_dropped(),
    }
}

fn reason_of(error: &hyper::Error) -> Reason {
    if error.is_parse_too_large() { Reason::HeadersTooLarge } else { Reason::BadRequest }
}

/// Answers where hyper could not.
async fn last_word<S: Side>(mut stream: S, reason: Reason, limits: &Limits) {
    let answer = errors::to_bytes(&errors::error(reason, Format::Text));
    if let Ok(Ok(())) = timeout(limits.linger, stream.write_all(&answer)).await {
        linger(stream, limits).await;
    }
}

/// Ends our direction; what the viewer still sends is not wanted and nothing of it can have come yet.
async fn close<S: Side>(mut stream: S, limits: &Limits) {
    // A viewer that does not take the end within the limit has lost it anyway.
    let _late_or_gone = timeout(limits.linger, stream.shutdown()).await;
}

/// Ends our direction and reads away what the viewer still sends: closing a socket with unread bytes resets it,
/// and the reset may overtake the answer (RFC 9112 section 9.6).
pub(crate) async fn linger<S: Side>(mut stream: S, limits: &Limits) {
    let drained = async {
        stream.shutdown().await?;
        let mut waste = vec![0; 8 * 1024];
        let mut left = limits.linger_bytes;
        while left > 0 {
            let read = stream.read(&mut waste).await?;
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
        }
        std::io::Result::Ok(())
    };
    let _late_or_gone = timeout(limits.linger, drained).await;
}
