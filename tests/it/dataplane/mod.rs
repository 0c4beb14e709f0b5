//! Bytes on the wire: viewers and origins over loopback, tables made by hand.

mod accept;
mod addresses;
mod attempts;
mod choice;
mod connections;
mod counting;
mod drain;
mod frames;
mod framing;
mod grpc;
mod hostile_http1;
mod hostile_http2;
mod hostile_origins;
mod http1;
mod http2;
mod http2_origins;
mod origin_authorities;
mod origin_tls;
mod overload;
mod policies;
mod proxy_protocol;
mod retries;
pub(crate) mod rig;
mod rollout;
mod slow_viewers;
mod streaming;
pub(crate) mod tls;
