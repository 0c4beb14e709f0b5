//! Brings up the loopback interface of a fresh network namespace and gives it legal pod addresses.
//!
//! The API server refuses loopback addresses in EndpointSlices. An address with a prefix on the loopback interface makes the
//! whole prefix local, as it does for 127.0.0.0/8, so one message gives 65,536 pod addresses that never leave the machine.
//! It speaks rtnetlink (rtnetlink(7)) itself: `ip` is not on every machine, and two messages are not worth a dependency.

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;

use socket2::{Domain, Protocol, Socket, Type};

/// What the loopback interface gets beside 127.0.0.1.
const POD_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const POD_PREFIX: u8 = 16;

/// The loopback interface is the first of every namespace.
const LOOPBACK: u32 = 1;

// linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h, linux/if.h
const AF_NETLINK: i32 = 16;
const NETLINK_ROUTE: i32 = 0;
const NLM_F_REQUEST_ACK: u16 = 0x1 | 0x4;
const NLM_F_CREATE_EXCL: u16 = 0x400 | 0x200;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const AF_INET: u8 = 2;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFF_UP: u32 = 1;

/// Sets the interface up, which gives it 127.0.0.1 and ::1, then adds the pod addresses.
pub(crate) fn bring_up() -> io::Result<()> {
    let mut socket = Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(NETLINK_ROUTE)))?;
    ask(&mut socket, RTM_NEWLINK, 0, &link_up())?;
    ask(&mut socket, RTM_NEWADDR, NLM_F_CREATE_EXCL, &new_address())
}

/// `struct ifinfomsg`: family, padding, type, index, flags, and which flags change.
fn link_up() -> Vec<u8> {
    let mut body = vec![0; 4];
    for field in [LOOPBACK, IFF_UP, IFF_UP] {
        body.extend(field.to_ne_bytes());
    }
    body
}

/// `struct ifaddrmsg`: family, prefix length, flags, scope, index; then two attributes of 8 bytes.
fn new_address() -> Vec<u8> {
    let mut body = vec![AF_INET, POD_PREFIX, 0, 0];
    body.extend(LOOPBACK.to_ne_bytes());
    for kind in [IFA_LOCAL, IFA_ADDRESS] {
        body.extend(8_u16.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(POD_ADDRESS.octets());
    }
    body
}

/// Sends one request and reads its acknowledgement: `struct nlmsghdr`, then an errno, negative or 0.
fn ask(socket: &mut Socket, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
    let mut message = Vec::from(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST_ACK | flags).to_ne_bytes());
    message.extend([0; 8]); // sequence number and sender: one question at a time needs neither
    message.extend(body);
    socket.write_all(&message)?;

    let mut answer = [0; 256];
    let length = socket.read(&mut answer)?;
    let errno = answer
        .get(16..20)
        .filter(|_| length >= 20)
        .and_then(|field| field.try_into().ok())
        .map(i32::from_ne_bytes);
    match errno {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(-errno)),
        None => Err(io::Error::other("the kernel's answer is too short")),
    }
}
