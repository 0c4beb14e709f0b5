//! The chunked coding (RFC 9112 section 7.1), read strictly: every line ends with CRLF, a size is digits alone, and
//! nothing grows without a limit.

use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use httparse::{EMPTY_HEADER, Status};

use super::decoder::{Decoded, take};
use super::response::Malformed;
use crate::dataplane::limits::Limits;

/// The digits of the largest size.
const DIGITS: u32 = 16;

/// A body in chunks, as far as it was read.
#[derive(Debug)]
pub(crate) struct Chunks {
    state: State,
    /// Of the present chunk, in bytes.
    left: u64,
    /// Extensions so far, over the whole body, in bytes.
    extensions: usize,
    /// The lines of the trailers.
    trailers: Vec<u8>,
    /// The most bytes of extensions and of trailers, and the most fields of these.
    most_bytes: usize,
    most_fields: usize,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A digit of a size, of which so many came.
    Size(u32),
    /// A space behind a size, or what may follow it.
    Space,
    Extension,
    /// The LF behind a size.
    SizeEnd,
    Data,
    /// The CR behind a chunk's data, and the LF behind that.
    DataCr,
    DataLf,
    /// The first byte behind the last chunk.
    Last,
    /// A byte of a trailer.
    Trailer,
    /// The LF that ends everything.
    End,
    Over,
    /// What came is wrong.
    Broken,
}

impl Chunks {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            state: State::Size(0),
            left: 0,
            extensions: 0,
            trailers: Vec::new(),
            most_bytes: limits.head_bytes,
            most_fields: limits.header_count,
        }
    }

    /// Takes the next piece off `bytes`. What frames it is read ahead, so that the end is known with the last piece.
    pub(crate) fn decode(&mut self, bytes: &mut BytesMut) -> Result<Decoded, Malformed> {
        self.frame(bytes);
        match self.state {
            State::Broken => Err(Malformed),
            State::Over if self.trailers.is_empty() => Ok(Decoded::End),
            State::Over => {
                let trailers = std::mem::take(&mut self.trailers);
                fields(&trailers, self.most_fields)
                    .map(Decoded::Trailers)
                    .inspect_err(|_| self.state = State::Broken)
            }
            State::Data if !bytes.is_empty() => {
                let piece = take(&mut self.left, bytes);
                if self.left == 0 {
                    self.state = State::DataCr;
                    self.frame(bytes);
                }
                Ok(Decoded::Piece(piece))
            }
            _ => Ok(Decoded::Nothing),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over && self.trailers.is_empty()
    }

    /// The rest of the chunk and the next one's size.
    pub(super) fn expects(&self) -> u64 {
        self.left.saturating_add(u64::from(DIGITS))
    }

    /// Reads what stands between pieces.
    fn frame(&mut self, bytes: &mut BytesMut) {
        let mut taken = 0;
        for byte in bytes.iter() {
            if matches!(self.state, State::Data | State::Over | State::Broken) {
                break;
            }
            self.state = self.step(*byte).unwrap_or(State::Broken);
            taken += 1;
        }
        bytes.advance(taken);
    }

    fn step(&mut self, byte: u8) -> Result<State, Malformed> {
        Ok(match (self.state, byte) {
            (State::Size(1..), b'\r') | (State::Space | State::Extension, b'\r') => State::SizeEnd,
            (State::Size(1..) | State::Space, b';') => State::Extension,
            (State::Size(1..) | State::Space, b' ' | b'\t') => State::Space,
            (State::Size(digits @ ..DIGITS), digit) => {
                let digit = char::from(digit).to_digit(16).ok_or(Malformed)?;
                self.left = self.left << 4 | u64::from(digit);
                State::Size(digits + 1)
            }
            (State::Extension, b'\n') => return Err(Malformed),
            (State::Extension, _) => {
                self.extensions += 1;
                if self.extensions > self.most_bytes {
                    return Err(Malformed);
                }
                State::Extension
            }
            (State::SizeEnd, b'\n') if self.left == 0 => State::Last,
            (State::SizeEnd, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size(0),
            (State::Last, b'\r') => State::End,
            (State::Last | State::Trailer, byte) => return self.trailer(byte),
            (State::End, b'\n') => State::Over,
            _ => return Err(Malformed),
        })
    }

    /// One more byte of the trailers; an empty line ends them.
    fn trailer(&mut self, byte: u8) -> Result<State, Malformed> {
        let follows_cr = self.trailers.last() == Some(&b'\r');
        if self.trailers.len() >= self.most_bytes || (byte == b'\n') != follows_cr {
            return Err(Malformed);
        }
        self.trailers.push(byte);
        Ok(if self.trailers.ends_with(b"\r\n\r\n") { State::Over } else { State::Trailer })
    }
}

/// The fields of whole lines.
fn fields(lines: &[u8], most: usize) -> Result<HeaderMap, Malformed> {
    let count = lines.iter().filter(|byte| **byte == b'\n').count() - 1;
    if count > most {
        return Err(Malformed);
    }
    let mut fields = vec![EMPTY_HEADER; count];
    match httparse::parse_headers(lines, &mut fields) {
        Ok(Status::Complete((length, _))) if length == lines.len() => {}
        Ok(_) | Err(_) => return Err(Malformed),
    }
    let mut trailers = HeaderMap::with_capacity(count);
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| Malformed)?;
        trailers.try_append(name, value).map_err(|_| Malformed)?;
    }
    Ok(trailers)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// What a body gives that comes in reads of so many bytes: its data, the names of its trailers, what stands
    /// behind it. None where it has no end.
    fn decode(body: &str, at_once: usize) -> Result<Option<(String, Vec<String>, String)>, Malformed> {
        let limits = Limits { head_bytes: 16, header_count: 2, ..Limits::default() };
        let mut chunks = Chunks::new(&limits);
        let (mut bytes, mut data, mut names) = (BytesMut::new(), Vec::new(), Vec::new());
        let mut reads = body.as_bytes().chunks(at_once);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        loop {
            match chunks.decode(&mut bytes)? {
                Decoded::Piece(piece) => {
                    assert!(!piece.is_empty());
                    data.extend_from_slice(&piece);
                }
                Decoded::Trailers(trailers) => names = trailers.keys().map(ToString::to_string).collect(),
                Decoded::Nothing => match reads.next() {
                    Some(read) => bytes.extend_from_slice(read),
                    None => return Ok(None),
                },
                Decoded::End => {
                    assert!(chunks.is_over());
                    let rest: Vec<u8> = bytes.iter().chain(reads.flatten()).copied().collect();
                    return Ok(Some((text(&data), names, text(&rest))));
                }
            }
        }
    }

    #[test]
    fn chunks_are_joined_however_they_are_cut() {
        let rows: [(&str, &str, &[&str], &str); 8] = [
            ("2\r\nok\r\n0\r\n\r\n", "ok", &[], ""),
            ("2\r\nok\r\n0\r\n\r\nmore", "ok", &[], "more"),
            ("1\r\no\r\n0001\r\nk\r\n00\r\n\r\n", "ok", &[], ""),
            ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789", &[], ""),
            ("2;a=b\r\nok\r\n0 ;c\r\n\r\n", "ok", &[], ""),
            ("2 \t\r\nok\r\n0\r\n\r\n", "ok", &[], ""),
            ("0\r\na: b\r\n\r\n", "", &["a"], ""),
            ("2\r\nok\r\n0\r\na:b\r\nc:d\r\n\r\nx", "ok", &["a", "c"], "x"),
        ];
        for (body, data, names, rest) in rows {
            for at_once in 1..=body.len() {
                let names = names.iter().map(ToString::to_string).collect();
                let expected = Some((data.to_owned(), names, rest.to_owned()));
                assert_eq!(decode(body, at_once), Ok(expected), "{body:?} by {at_once}");
            }
        }
    }

    #[test]
    fn chunks_that_others_may_read_differently_are_malformed() {
        for body in [
            "\r\n",
            "g\r\n",
            "+2\r\nok\r\n",
            "0x2\r\nok\r\n",
            " 2\r\nok\r\n",
            ";a\r\n",
            "2 2\r\nok\r\n",
            "2\nok\r\n",
            "2\rok\r\n",
            "2;a\nok\r\n",
            "2\r\nokk\r\n",
            "2\r\nok\n",
            "2\r\nok\r\r\n",
            "00000000000000002\r\nok\r\n",
            "2;0123456789abcdefg\r\nok\r\n",
            "0\r\n\n",
            "0\r\na: b\n\r\n",
            "0\r\na: b\rc\r\n\r\n",
            "0\r\n\ra: b\r\n\r\n",
            "0\r\na b\r\n\r\n",
            "0\r\na: 0123456789\r\n\r\n",
            "0\r\na:\r\nb:\r\nc:\r\n\r\n",
        ] {
            for at_once in 1..=body.len() {
                assert_eq!(decode(body, at_once), Err(Malformed), "{body:?} by {at_once}");
            }
        }
    }

    #[test]
    fn chunks_without_an_end_have_none() {
        let body = "2\r\nok\r\n0\r\na: b\r\n\r\n";
        for length in 0..body.len() {
            assert_eq!(decode(&body[..length], 1), Ok(None), "{length}");
        }
    }

    #[test]
    fn the_end_is_known_with_the_last_piece_where_it_came_with_it() {
        let mut chunks = Chunks::new(&Limits::default());
        let mut bytes = BytesMut::from("2\r\nok\r\n0\r\n\r\n");
        assert_eq!(chunks.decode(&mut bytes), Ok(Decoded::Piece(Bytes::from("ok"))));
        assert!(chunks.is_over());
    }
}
