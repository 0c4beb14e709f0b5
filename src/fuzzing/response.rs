//! The codec towards origins: however an answer's bytes are cut into reads, it says the same, and what it takes for
//! a head and a body is what a reading of the whole says that they are.

use bytes::BytesMut;
use http::Method;

use super::cuts;
use crate::dataplane::Limits;
use crate::dataplane::inside::origin_http1::chunks::Chunks;
use crate::dataplane::inside::origin_http1::decoder::{Decoded, Decoder};
use crate::dataplane::inside::origin_http1::response::Reader;

const HEAD_BYTES: usize = 512;
const FIELDS: usize = 8;

/// The first byte says what was asked, the second how the rest is cut into reads.
///
/// # Panics
/// Where cutting changes what is told, or the codec and the reading below disagree.
pub fn response(input: &[u8]) {
    let [asked, cut, stream @ ..] = input else { return };
    let method = if asked & 1 == 0 { Method::GET } else { Method::HEAD };
    let whole = told(&method, [stream]);
    assert_eq!(told(&method, cuts(stream, *cut)), whole, "cut by {cut}");
    assert_eq!(told(&method, stream.chunks(1)), whole, "byte by byte");
    if let Some(told) = whole {
        told.hold_against(&method, stream);
    }
}

/// What the codec tells of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    /// The length of the head with the interim ones before it, in bytes.
    head: usize,
    framing: Framing,
    persists: bool,
    body: Vec<u8>,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Bodiless,
    Length(u64),
    Chunked,
    UntilClose,
}

/// How the body ends when the stream does.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// As it should, with so many bytes behind it.
    Complete { behind: usize },
    /// It was cut off or is malformed.
    Cut,
}

/// What is told of a stream; none where no answer begins in it.
fn told<'s>(method: &Method, reads: impl IntoIterator<Item = &'s [u8]>) -> Option<Told> {
    let limits = Limits { head_bytes: HEAD_BYTES, header_count: FIELDS, ..Limits::default() };
    let (mut bytes, mut reader, mut came) = (BytesMut::new(), Reader::default(), 0);
    let mut reads = reads.into_iter();
    let head = loop {
        match reader.read(&mut bytes, method, &limits).ok()? {
            Some(head) if head.is_interim() => continue,
            Some(head) => break head,
            None => {}
        }
        let read = reads.next()?;
        bytes.extend_from_slice(read);
        came += read.len();
    };
    let length = came - bytes.len();
    let framing = match &head.decoder {
        None => Framing::Bodiless,
        Some(Decoder::Length(length)) => Framing::Length(*length),
        Some(Decoder::Chunks(_)) => Framing::Chunked,
        Some(Decoder::UntilClose | Decoder::Broken) => Framing::UntilClose,
    };
    let mut decoder = head.decoder.unwrap_or(Decoder::Length(0));
    let mut body = Vec::new();
    let end = loop {
        match decoder.decode(&mut bytes) {
            Ok(Decoded::Piece(piece)) => body.extend_from_slice(&piece),
            Ok(Decoded::Trailers(_)) => {}
            Ok(Decoded::End) => {
                break End::Complete { behind: bytes.len() + reads.map(<[u8]>::len).sum::<usize>() };
            }
            Ok(Decoded::Nothing) => match reads.next() {
                Some(read) => bytes.extend_from_slice(read),
                None if decoder.may_end() => break End::Complete { behind: 0 },
                None => break End::Cut,
            },
            Err(_) => break End::Cut,
        }
    };
    let fields = head.response.headers().iter();
    Some(Told {
        status: head.response.status().as_u16(),
        fields: fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect(),
        head: length,
        framing,
        persists: head.persists,
        body,
        end,
    })
}

impl Told {
    /// Holds it against what the whole stream says.
    fn hold_against(&self, method: &Method, stream: &[u8]) {
        let (head, rest) = stream.split_at(self.head);
        let (version, status, fields) = last_head(head);
        assert_eq!(self.status, status);
        let (mut ours, mut theirs) = (self.fields.clone(), fields.clone());
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs);
        let values = |name: &str| -> Vec<&[u8]> {
            fields.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_slice()).collect()
        };
        let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
        assert!(lengths.iter().all(|length| *length == lengths[0]), "lengths differ");
        assert!(lengths.is_empty() || codings.is_empty(), "two ways to end");
        let bodiless = method == Method::HEAD || [101, 204, 304].contains(&status);
        let framing = match (lengths.first(), codings.as_slice()) {
            _ if bodiless => Framing::Bodiless,
            (Some(length), _) => match number(length, 10) {
                0 => Framing::Bodiless,
                length => Framing::Length(length),
            },
            (None, []) => Framing::UntilClose,
            (None, [coding]) if coding.eq_ignore_ascii_case(b"chunked") && version == b'1' => {
                Framing::Chunked
            }
            (None, _) => unreachable!("it is no coding that can be read"),
        };
        assert_eq!(self.framing, framing);
        let said = values("connection").join(&b',');
        let says = |word: &[u8]| {
            said.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
        };
        let keeps = !says(b"close") && (version == b'1' || says(b"keep-alive"));
        assert_eq!(self.persists, keeps && framing != Framing::UntilClose && status != 101);
        let (body, end) = body(framing, rest);
        assert_eq!((&self.body, &self.end), (&body, &end));
    }
}

/// Version, status and fields of the last of some heads.
fn last_head(heads: &[u8]) -> (u8, u16, Vec<(String, Vec<u8>)>) {
    let mut found = None;
    let mut lines = heads.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    while let Some(line) = lines.next() {
        // Empty lines may come before a status line, and behind the last head is nothing.
        let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', version, b' ', status @ ..] = line else {
            assert!(line.is_empty(), "{line:?}");
            continue;
        };
        let digits = status.split(|byte| *byte == b' ').next().unwrap_or_default();
        assert_eq!(digits.len(), 3);
        let status = u16::try_from(number(digits, 10)).expect("it has three digits");
        let fields = lines.by_ref().take_while(|line| !line.is_empty()).map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').expect("a field has a colon");
            let name = String::from_utf8_lossy(&line[..colon]);
            assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
            (name.to_ascii_lowercase(), line[colon + 1..].trim_ascii().to_vec())
        });
        let fields: Vec<_> = fields.collect();
        assert!(fields.len() <= FIELDS);
        found = Some((*version, status, fields));
        if !(100..200).contains(&status) || status == 101 {
            break;
        }
    }
    found.expect("there is a head")
}

/// A number in digits.
fn number(digits: &[u8], radix: u32) -> u64 {
    let number = std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, radix).ok());
    number.expect("it is digits, and not too many")
}

/// The body at the front of `bytes`, and how it ends.
fn body(framing: Framing, bytes: &[u8]) -> (Vec<u8>, End) {
    match framing {
        Framing::Bodiless => (Vec::new(), End::Complete { behind: bytes.len() }),
        Framing::UntilClose => (bytes.to_vec(), End::Complete { behind: 0 }),
        Framing::Length(length) => match usize::try_from(length).ok().filter(|length| *length <= bytes.len())
        {
            Some(length) => (bytes[..length].to_vec(), End::Complete { behind: bytes.len() - length }),
            None => (bytes.to_vec(), End::Cut),
        },
        Framing::Chunked => {
            let mut data = Vec::new();
            let end = match chunks(bytes, &mut data) {
                Some(rest) => End::Complete { behind: rest.len() },
                None => End::Cut,
            };
            (data, end)
        }
    }
}

/// Adds the data of all chunks; gives what stands behind the last one.
fn chunks<'b>(mut bytes: &'b [u8], data: &mut Vec<u8>) -> Option<&'b [u8]> {
    let mut extensions = 0;
    loop {
        let end = bytes.iter().position(|byte| *byte == b'\r')?;
        let (line, rest) = bytes.split_at(end);
        bytes = rest.strip_prefix(b"\r\n")?;
        let (size, extension) = match line.iter().position(|byte| *byte == b';') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        extensions += extension.len();
        let digits = size.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(size.len());
        let spaces = size[digits..].iter().all(|byte| b" \t".contains(byte));
        if !(1..=16).contains(&digits) || !spaces || extension.contains(&b'\n') || extensions > HEAD_BYTES {
            return None;
        }
        let size = number(&size[..digits], 16);
        if size == 0 {
            return trailers(bytes);
        }
        let here = usize::try_from(size).map_or(bytes.len(), |size| size.min(bytes.len()));
        data.extend_from_slice(&bytes[..here]);
        bytes = bytes[here..].strip_prefix(b"\r\n").filter(|_| here as u64 == size)?;
    }
}

/// What stands behind the trailers.
fn trailers(bytes: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = bytes.strip_prefix(b"\r\n") {
        return Some(rest);
    }
    let length = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let (lines, rest) = bytes.split_at(length);
    let bare = |(at, byte): (usize, &u8)| match byte {
        b'\r' => lines.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || lines[at - 1] != b'\r',
        _ => false,
    };
    if lines.len() > HEAD_BYTES || lines.iter().enumerate().any(bare) {
        return None;
    }
    let limits = Limits { head_bytes: HEAD_BYTES, header_count: FIELDS, ..Limits::default() };
    // What a field may consist of is `httparse`'s business; here only its verdict is taken.
    let mut last_chunk = BytesMut::from(&[b"0\r\n", lines].concat()[..]);
    Decoder::Chunks(Chunks::new(&limits)).decode(&mut last_chunk).is_ok().then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body of an answer as bytes, and what it means.
    fn framed() -> impl Strategy<Value = (String, Vec<u8>, Framing, Vec<u8>)> {
        let pieces = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6);
        (pieces, 0..3_u8).prop_map(|(pieces, framing)| {
            let data = pieces.concat();
            match framing {
                0 => {
                    let length = data.len() as u64;
                    let framing = if length == 0 { Framing::Bodiless } else { Framing::Length(length) };
                    (format!("Content-Length: {length}\r\n"), data.clone(), framing, data)
                }
                1 => {
                    let chunk = |piece: &Vec<u8>| {
                        [format!("{:X}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
                    };
                    let mut bytes = pieces.iter().flat_map(chunk).collect::<Vec<_>>();
                    bytes.extend_from_slice(b"0\r\n\r\n");
                    ("Transfer-Encoding: chunked\r\n".to_owned(), bytes, Framing::Chunked, data)
                }
                _ => (String::new(), data.clone(), Framing::UntilClose, data),
            }
        })
    }

    proptest! {
        #[test]
        fn a_valid_answer_is_the_same_however_it_is_cut(
            status in prop_oneof![200..204_u16, 205..304_u16, 400..600_u16],
            interim in 0..3_usize,
            value in "[!-~]([ -~]{0,20}[!-~])?",
            (field, bytes, framing, body) in framed(),
            reads in prop::collection::vec(1..60_usize, 0..40),
        ) {
            let interim = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n".repeat(interim);
            let head = format!("{interim}HTTP/1.1 {status} Some\r\nX-A: {value}\r\n{field}\r\n");
            let stream = [head.as_bytes(), &bytes].concat();
            let (mut rest, mut slices) = (stream.as_slice(), Vec::new());
            for length in reads {
                let (slice, behind) = rest.split_at(length.min(rest.len()));
                slices.push(slice);
                rest = behind;
            }
            slices.push(rest);
            let told = told(&Method::GET, slices).unwrap();
            prop_assert_eq!(told.status, status);
            prop_assert_eq!(&told.fields[0], &("x-a".to_owned(), value.into_bytes()));
            prop_assert_eq!((told.framing, &told.body), (framing, &body));
            prop_assert_eq!(&told.end, &End::Complete { behind: 0 });
            prop_assert_eq!(told.head, head.len());
            told.hold_against(&Method::GET, &stream);
        }
    }
}
