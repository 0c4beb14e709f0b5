//! Listening sockets: one for each worker on each address, and the kernel spreads the viewers over them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Viewers that wait to be accepted.
const BACKLOG: i32 = 1024;

/// After how long without a byte, and how often, dead peers are looked for.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// HTTP without TLS.
    Http,
    /// HTTP with TLS.
    Https,
}

impl Kind {
    /// As metrics and messages name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// One worker's socket on one address.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) kind: Kind,
    pub(crate) socket: std::net::TcpListener,
    /// The address that was bound, with its port.
    pub(crate) local: SocketAddr,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; {}", remedy(source, *kind))]
pub struct ListenError {
    address: SocketAddr,
    kind: Kind,
    source: io::Error,
}

fn remedy(error: &io::Error, kind: Kind) -> String {
    let flag = kind.as_str();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("stop who has this port, or choose another one with `--{flag}-listen`")
        }
        io::ErrorKind::PermissionDenied => {
            format!("choose a port above 1023 with `--{flag}-listen`, or allow this one to the process")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("choose an address of this machine with `--{flag}-listen`")
        }
        _ => format!("choose another address with `--{flag}-listen`"),
    }
}

/// Binds `address` once for each worker. Port 0 is chosen by the system, the same for all.
pub(crate) fn bind(
    kind: Kind,
    address: SocketAddr,
    workers: NonZeroUsize,
) -> Result<Vec<Listener>, ListenError> {
    let fail = |source| ListenError { address, kind, source };
    let mut address = reachable(address, ipv6());
    // Sockets that share a port share it with any process of the same user: only one that does not share finds
    // out whether somebody else listens there.
    drop(open(address, Sharing::Alone).map_err(fail)?);
    let mut listeners = Vec::with_capacity(workers.get());
    for _ in 0..workers.get() {
        let socket = open(address, Sharing::WithWorkers).map_err(fail)?;
        // Linux hands them on to every connection that is accepted here.
        tune(&socket);
        socket.listen(BACKLOG).map_err(fail)?;
        let socket = std::net::TcpListener::from(socket);
        let local = socket.local_addr().map_err(fail)?;
        address.set_port(local.port());
        listeners.push(Listener { kind, socket, local });
    }
    Ok(listeners)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Alone,
    WithWorkers,
}

fn open(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == Sharing::WithWorkers)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Whether the system speaks IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ipv6 {
    On,
    Off,
}

fn ipv6() -> Ipv6 {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP));
    if socket.is_ok() { Ipv6::On } else { Ipv6::Off }
}

/// Every address is meant by `[::]`; without IPv6 those are the ones of IPv4.
fn reachable(address: SocketAddr, ipv6: Ipv6) -> SocketAddr {
    if ipv6 == Ipv6::Off && address.ip() == Ipv6Addr::UNSPECIFIED {
        return (Ipv4Addr::UNSPECIFIED, address.port()).into();
    }
    address
}

/// Settings of every connection, to viewers and to origins.
pub(crate) fn tune<'s>(socket: impl Into<SockRef<'s>>) {
    let socket = socket.into();
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    // They fail only on a connection that is dead already, which its first read will tell.
    let _dead_already = socket.set_tcp_nodelay(true);
    let _dead_already = socket.set_tcp_keepalive(&keepalive);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accepted_connection_inherits_the_settings_of_its_listener() {
        let listeners = bind(Kind::Http, ([127, 0, 0, 1], 0).into(), NonZeroUsize::MIN).unwrap();
        let _viewer = std::net::TcpStream::connect(listeners[0].local).unwrap();
        listeners[0].socket.set_nonblocking(false).unwrap();
        let (accepted, _) = listeners[0].socket.accept().unwrap();
        let accepted = SockRef::from(&accepted);
        assert!(accepted.tcp_nodelay().unwrap());
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), KEEPALIVE);
    }

    #[test]
    fn every_address_is_meant_also_where_there_is_no_ipv6() {
        let rows = [
            ("[::]:80", Ipv6::Off, "0.0.0.0:80"),
            ("[::]:80", Ipv6::On, "[::]:80"),
            // What was meant exactly must fail if it is not there.
            ("[::1]:80", Ipv6::Off, "[::1]:80"),
            ("127.0.0.1:80", Ipv6::Off, "127.0.0.1:80"),
        ];
        for (asked, ipv6, expected) in rows {
            assert_eq!(reachable(asked.parse().unwrap(), ipv6).to_string(), expected);
        }
    }
}
