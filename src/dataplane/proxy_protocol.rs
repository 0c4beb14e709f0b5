//! The PROXY protocol, versions 1 and 2 (haproxy.org, "The PROXY protocol"): in its first bytes a proxy says for
//! whom it opened a connection.
//!
//! The bytes are looked at where they are, in the socket's buffer, and taken only when the header is complete: so
//! nothing behind it is ever read here, and whoever reads next finds the socket as if there had been no header.
//! Whose headers are read at all is the business of `accept`.

use std::io;
use std::net::SocketAddr;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;

/// What a header of version 1 begins with.
const TEXT: &[u8] = b"PROXY ";

/// The longest header of version 1, its CRLF included.
const LONGEST_TEXT: usize = 107;

/// What a header of version 2 begins with.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The signature, a command, a family and a length: what version 2 always has.
const BINARY_FIXED: usize = 16;

/// The longest header of version 2 that is read. The protocol wants 536 bytes at least; a certificate among its
/// additions needs more.
const LONGEST_BINARY: usize = 4096;

/// The command of version 2 by which a proxy speaks for itself; whatever follows it is ignored.
const LOCAL: u8 = 0x20;

/// For whom a proxy opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// For the one at this address.
    Viewer(SocketAddr),
    /// For somebody of whom it says nothing that we could use.
    Somebody,
    /// For itself, to see whether we are there.
    Itself,
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// It cannot be told yet.
    Open,
    /// No header.
    NoHeader,
    /// A header of this length in bytes.
    Header(usize, For),
}

/// The header cannot be used: it is malformed, too long or cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Why there is nothing to serve.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The header cannot be used.
    Malformed,
    /// The peer left without a byte, or the socket failed.
    Gone,
}

/// Takes the header from the beginning of a connection, if there is one. Waits as long as that cannot be told.
///
/// # Errors
/// [`Failure`]; the connection is then to be closed.
pub(crate) async fn take(stream: &mut TcpStream) -> Result<Option<For>, Failure> {
    loop {
        let ready = stream.ready(Interest::READABLE).await.map_err(|_| Failure::Gone)?;
        // An attempt that would block lets the next wait see new bytes only.
        let looked = stream.try_io(Interest::READABLE, || {
            let mut begin = [0; LONGEST_BINARY];
            let (length, _) = recv(&*stream, &mut begin, RecvFlags::PEEK)?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match read(begin.get(..length).unwrap_or_default()) {
                Ok(Beginning::Open) => Err(io::ErrorKind::WouldBlock.into()),
                read => Ok(read),
            }
        });
        match looked {
            Ok(Ok(Beginning::Header(length, whom))) => {
                stream.read_exact(&mut vec![0; length]).await.map_err(|_| Failure::Gone)?;
                return Ok(Some(whom));
            }
            Ok(Ok(Beginning::NoHeader | Beginning::Open)) => return Ok(None),
            Ok(Err(Malformed)) => return Err(Failure::Malformed),
            // What came before the end is all that will come.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && ready.is_read_closed() => {
                return Err(Failure::Malformed);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(Failure::Gone),
        }
    }
}

/// Reads what a connection begins with.
pub(crate) fn read(begin: &[u8]) -> Result<Beginning, Malformed> {
    if begin.starts_with(TEXT) {
        read_text(begin)
    } else if begin.starts_with(BINARY) {
        read_binary(begin)
    } else if TEXT.starts_with(begin) || BINARY.starts_with(begin) {
        Ok(Beginning::Open)
    } else {
        Ok(Beginning::NoHeader)
    }
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.9 4711 443` and CRLF, or `PROXY UNKNOWN` and anything.
fn read_text(begin: &[u8]) -> Result<Beginning, Malformed> {
    let longest = begin.get(..LONGEST_TEXT).unwrap_or(begin);
    let Some(end) = longest.iter().position(|byte| *byte == b'\n') else {
        return if longest.len() < LONGEST_TEXT { Ok(Beginning::Open) } else { Err(Malformed) };
    };
    let header = &longest[..=end];
    let line = header.strip_suffix(b"\r\n").ok_or(Malformed)?;
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    if words.get(1) == Some(&b"UNKNOWN".as_slice()) {
        return Ok(Beginning::Header(header.len(), For::Somebody));
    }
    // The library reads numbers as Rust writes them, with `+` and any number of zeros.
    let plain =
        |port: &&[u8]| port.iter().all(u8::is_ascii_digit) && (port.len() == 1 || !port.starts_with(b"0"));
    match words.get(4..) {
        Some(ports) if ports.len() == 2 && ports.iter().all(plain) => read_with_library(header, header.len()),
        _ => Err(Malformed),
    }
}

/// Version 2: a fixed beginning with the length of the rest, which is addresses and additions that we skip.
fn read_binary(begin: &[u8]) -> Result<Beginning, Malformed> {
    let [.., command, _, high, low] = *begin.get(..BINARY_FIXED).unwrap_or_default() else {
        return Ok(Beginning::Open);
    };
    let length = BINARY_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST_BINARY {
        return Err(Malformed);
    }
    match begin.get(..length) {
        None => Ok(Beginning::Open),
        Some(_) if command == LOCAL => Ok(Beginning::Header(length, For::Itself)),
        Some(header) => read_with_library(header, length),
    }
}

/// Reads a header that is complete.
fn read_with_library(header: &[u8], length: usize) -> Result<Beginning, Malformed> {
    match ProxyHeader::parse(header, ParseConfig::default()) {
        Ok((read, taken)) if taken == length => {
            let of_stream = read.proxied_address().filter(|address| address.protocol == Protocol::Stream);
            let whom = of_stream.map_or(For::Somebody, |address| For::Viewer(address.source));
            Ok(Beginning::Header(length, whom))
        }
        Ok(_) | Err(_) => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer(address: &str) -> For {
        For::Viewer(address.parse().unwrap())
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [BINARY, &[command, family], &length, rest].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 0xbb];

    fn v6() -> Vec<u8> {
        let address: std::net::Ipv6Addr = "2001:db8::7".parse().unwrap();
        [&address.octets()[..], &[0; 16], &[0x12, 0x67, 1, 0xbb]].concat()
    }

    /// A header is the same wherever the network cuts it, and nothing behind it belongs to it.
    #[test]
    fn a_header_is_read_once_it_is_complete_and_not_beyond() {
        let unix = vec![0; 216];
        let additions = [&V4[..], &[3, 0, 4, 1, 2, 3, 4, 4, 0, 1, 0, 0x20, 0xff, 0xff]].concat();
        let longest = [&V4[..], &vec![0; LONGEST_BINARY - BINARY_FIXED - V4.len()]].concat();
        let text_6 = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
        let rows = [
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n".to_vec(), viewer("192.0.2.7:4711")),
            (b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n".to_vec(), viewer("[2001:db8::7]:4711")),
            (text_6.into(), viewer("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535")),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 0 0\r\n".to_vec(), viewer("192.0.2.7:0")),
            (b"PROXY UNKNOWN\r\n".to_vec(), For::Somebody),
            (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".to_vec(), For::Somebody),
            (b"PROXY UNKNOWN anything, \xff\r\n".to_vec(), For::Somebody),
            (binary(0x21, 0x11, &V4), viewer("192.0.2.7:4711")),
            (binary(0x21, 0x21, &v6()), viewer("[2001:db8::7]:4711")),
            (binary(0x21, 0x11, &additions), viewer("192.0.2.7:4711")),
            (binary(0x21, 0x11, &longest), viewer("192.0.2.7:4711")),
            (binary(0x21, 0x12, &V4), For::Somebody),
            (binary(0x21, 0x00, &[]), For::Somebody),
            (binary(0x21, 0x31, &unix), For::Somebody),
            (binary(0x20, 0x00, &[]), For::Itself),
            (binary(0x20, 0x11, &V4), For::Itself),
            (binary(0x20, 0xff, &[1, 2, 3]), For::Itself),
        ];
        for (header, whom) in rows {
            for cut in 1..header.len() {
                assert_eq!(read(&header[..cut]), Ok(Beginning::Open), "{cut} of {header:?}");
            }
            let expected = Ok(Beginning::Header(header.len(), whom));
            assert_eq!(read(&header), expected, "{header:?}");
            for behind in ["GET / HTTP/1.1\r\n", "PROXY UNKNOWN\r\n", "\n", "\x16\x03\x01"] {
                let more = [&header[..], behind.as_bytes()].concat();
                assert_eq!(read(&more), expected, "{behind:?} behind {header:?}");
            }
        }
    }

    #[test]
    fn a_header_that_could_be_read_in_two_ways_is_malformed() {
        let long = format!("PROXY UNKNOWN {}\r\n", "y".repeat(LONGEST_TEXT));
        let rows: [&[u8]; 19] = [
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443 \r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 +443\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 04711 443\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 \r\n",
            b"PROXY TCP4  192.0.2.7 10.0.0.1 4711 443\r\n",
            b"PROXY TCP4 192.0.2.07 10.0.0.1 4711 443\r\n",
            b"PROXY TCP4 2001:db8::7 ::1 4711 443\r\n",
            b"PROXY TCP6 192.0.2.7 10.0.0.1 4711 443\r\n",
            b"PROXY TCP5 192.0.2.7 10.0.0.1 4711 443\r\n",
            b"PROXY UNKNOWNS\r\n",
            b"PROXY \r\n",
            b"PROXY TCP4 192.0.2.7\r10.0.0.1 4711 443\r\n",
            long.as_bytes(),
            &binary(0x21, 0x11, &V4[..11]),
            &binary(0x21, 0x21, &V4),
            &binary(0x21, 0x31, &V4),
        ];
        for header in rows {
            assert_eq!(read(header), Err(Malformed), "{:?}", header.escape_ascii().to_string());
        }
        for (command, family) in
            [(0x22, 0x11), (0x11, 0x11), (0x00, 0x00), (0x21, 0x13), (0x21, 0x41), (0x21, 0x01)]
        {
            assert_eq!(read(&binary(command, family, &V4)), Err(Malformed), "{command:#x} {family:#x}");
        }
        let too_long = [&binary(0x21, 0x11, &[])[..14], &[0xff, 0xff]].concat();
        assert_eq!(read(&too_long), Err(Malformed));
    }

    #[test]
    fn what_only_begins_alike_is_no_header() {
        for begin in [
            "POST / HTTP/1.1\r\n",
            "PROXYING / HTTP/1.1",
            "PROPFIND /",
            "\r\n\r\nGET /",
            "\x16\x03\x01",
            "proxy ",
        ] {
            assert_eq!(read(begin.as_bytes()), Ok(Beginning::NoHeader), "{begin:?}");
        }
        for begin in ["P", "PROXY", "\r", "\r\n\r\n"] {
            assert_eq!(read(begin.as_bytes()), Ok(Beginning::Open), "{begin:?}");
        }
    }
}
