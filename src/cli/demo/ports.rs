//! Ports for the demo: the usual ones, or the next that are free.
//!
//! A port is tried and let go, so another process could still take it in between; then serving says so.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// How many ports after the usual one are tried.
const TRIES: u16 = 100;

/// The first address on loopback from `usual` on that nobody listens at.
///
/// # Errors
/// What the system says of the last of a hundred.
pub(super) fn next_free(usual: u16) -> io::Result<SocketAddr> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for port in usual..usual.saturating_add(TRIES) {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return listener.local_addr(),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_passed_over() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = taken.local_addr().expect("an address").port();
        assert_ne!(next_free(port).expect("another port").port(), port);
    }
}
