//! The head of an answer, read strictly: what two parties could read differently is no answer.
//!
//! `httparse` knows the syntax. Here is what it means: where the body ends (RFC 9112 section 6.3), and whether
//! another exchange may follow (section 9.3).

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use httparse::{ParserConfig, Status};
use hyper::ext::ReasonPhrase;

use super::chunks::Chunks;
use super::decoder::Decoder;
use crate::dataplane::limits::Limits;

/// As many fields are read without asking for memory.
const FEW: usize = 100;

/// It is no HTTP, can be read in two ways, or is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not HTTP/1.1 as it must be")]
pub(crate) struct Malformed;

/// The head of an answer, or of an interim one.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) response: Response<()>,
    /// What finds the end of the body; none where there is no body.
    pub(crate) decoder: Option<Decoder>,
    /// Whether another exchange may follow on the connection.
    pub(crate) persists: bool,
}

impl Head {
    /// Whether another one follows, which is the answer.
    pub(crate) fn is_interim(&self) -> bool {
        is_interim(self.response.status())
    }
}

fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Reads one head after the other as their bytes come.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// How much was looked at and is no whole head, in bytes.
    parsed: usize,
    /// How much has no empty line in it, in bytes.
    searched: usize,
}

impl Reader {
    /// Takes a head off the front of `bytes`, an answer to a request of this method; none where more must come.
    pub(crate) fn read(
        &mut self,
        bytes: &mut BytesMut,
        method: &Method,
        limits: &Limits,
    ) -> Result<Option<Head>, Malformed> {
        if !self.is_worth_a_look(bytes) {
            return self.wait_for_more(bytes, limits);
        }
        let mut few = [const { MaybeUninit::uninit() }; FEW];
        let mut many = Vec::new();
        let fields = match few.get_mut(..limits.header_count) {
            Some(few) => few,
            None => {
                many.resize_with(limits.header_count, MaybeUninit::uninit);
                &mut many[..]
            }
        };
        let mut parsed = httparse::Response::new(&mut []);
        match ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, fields) {
            Ok(Status::Complete(length)) if length <= limits.head_bytes => {
                let head = understand(&parsed, bytes.get(..length).ok_or(Malformed)?, method, limits)?;
                bytes.advance(length);
                *self = Self::default();
                Ok(Some(head))
            }
            Ok(Status::Partial) => {
                self.parsed = bytes.len();
                self.wait_for_more(bytes, limits)
            }
            Ok(Status::Complete(_)) | Err(_) => Err(Malformed),
        }
    }

    /// Whether there may be a whole head, or so much more of it that it may have turned out to be none. A head that
    /// drips is not parsed anew with every byte.
    fn is_worth_a_look(&mut self, bytes: &[u8]) -> bool {
        let from = self.searched.saturating_sub(2);
        self.searched = bytes.len();
        !bytes.is_empty()
            && (bytes.len() >= 2 * self.parsed || has_empty_line(bytes.get(from..).unwrap_or_default()))
    }

    fn wait_for_more(&self, bytes: &[u8], limits: &Limits) -> Result<Option<Head>, Malformed> {
        if bytes.len() < limits.head_bytes { Ok(None) } else { Err(Malformed) }
    }
}

fn has_empty_line(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        rest = rest.get(end + 1..).unwrap_or_default();
        if matches!(rest, [b'\n', ..] | [b'\r', b'\n', ..]) {
            return true;
        }
    }
    false
}

/// What a head of these bytes says.
fn understand(
    parsed: &httparse::Response<'_, '_>,
    bytes: &[u8],
    method: &Method,
    limits: &Limits,
) -> Result<Head, Malformed> {
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Malformed)?;
    let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    // Its values share one copy, and the buffer is free for what follows.
    let copy = Bytes::copy_from_slice(bytes);
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    let mut said = Said::default();
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed)?;
        let value =
            HeaderValue::from_maybe_shared(same(&copy, bytes, field.value)?).map_err(|_| Malformed)?;
        said.note(&name, &value);
        headers.try_append(name, value).map_err(|_| Malformed)?;
    }
    let decoder = if is_interim(status) { None } else { said.decoder(status, version, method, limits)? };
    let persists = said.persists(version)
        && status != StatusCode::SWITCHING_PROTOCOLS
        && !matches!(decoder, Some(Decoder::UntilClose));
    let mut response = Response::new(());
    (*response.status_mut(), *response.version_mut(), *response.headers_mut()) = (status, version, headers);
    // Where it says something of its own, whoever reads HTTP/1.1 is told.
    if let Some(reason) = parsed.reason.filter(|reason| Some(*reason) != status.canonical_reason())
        && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
    {
        response.extensions_mut().insert(reason);
    }
    Ok(Head { response, decoder, persists })
}

/// The bytes of `copy` that stand where `part` stands in what it was copied from.
fn same(copy: &Bytes, original: &[u8], part: &[u8]) -> Result<Bytes, Malformed> {
    if part.is_empty() {
        return Ok(Bytes::new());
    }
    let start = part.as_ptr().addr().wrapping_sub(original.as_ptr().addr());
    let end = start.checked_add(part.len()).filter(|end| *end <= copy.len()).ok_or(Malformed)?;
    Ok(copy.slice(start..end))
}

/// What the fields say of the message and of its connection.
#[derive(Debug, Default)]
struct Said {
    length: Option<HeaderValue>,
    chunked: bool,
    /// It says where it ends in more than one way, or in none that we know.
    unsound: bool,
    closes: bool,
    keeps: bool,
}

impl Said {
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) {
        if name == CONTENT_LENGTH {
            let digits = !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit);
            self.unsound |= !digits || self.length.as_ref().is_some_and(|length| length != value);
            self.length = Some(value.clone());
        } else if name == TRANSFER_ENCODING {
            self.unsound |= self.chunked || !value.as_bytes().eq_ignore_ascii_case(b"chunked");
            self.chunked = true;
        } else if name == CONNECTION {
            for token in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                self.closes |= token.eq_ignore_ascii_case(b"close");
                self.keeps |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        }
    }

    /// How the body is read, where there is one (RFC 9112 section 6.3).
    fn decoder(
        &self,
        status: StatusCode,
        version: Version,
        method: &Method,
        limits: &Limits,
    ) -> Result<Option<Decoder>, Malformed> {
        if self.unsound || (self.chunked && self.length.is_some()) {
            return Err(Malformed);
        }
        let bodiless = [StatusCode::SWITCHING_PROTOCOLS, StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED]
            .contains(&status);
        if bodiless || method == Method::HEAD {
            return Ok(None);
        }
        if self.chunked {
            let knows_chunks = version == Version::HTTP_11;
            return knows_chunks.then(|| Some(Decoder::Chunks(Chunks::new(limits)))).ok_or(Malformed);
        }
        let Some(length) = &self.length else { return Ok(Some(Decoder::UntilClose)) };
        let length = length.to_str().ok().and_then(|length| length.parse().ok()).ok_or(Malformed)?;
        Ok(Some(Decoder::Length(length)).filter(|_| length > 0))
    }

    fn persists(&self, version: Version) -> bool {
        !self.closes && (version == Version::HTTP_11 || self.keeps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of a head that comes byte by byte: how its body ends, and whether the connection is kept.
    fn read(method: Method, head: &str) -> Result<Option<(String, bool)>, Malformed> {
        let limits = Limits { header_count: 3, head_bytes: 100, ..Limits::default() };
        let (mut bytes, mut reader) = (BytesMut::new(), Reader::default());
        let mut read = None;
        for byte in head.bytes() {
            assert!(read.is_none(), "it ended before its end: {head}");
            bytes.extend_from_slice(&[byte]);
            read = reader.read(&mut bytes, &method, &limits)?;
        }
        Ok(read.map(|head| (format!("{:?}", head.decoder), head.persists)))
    }

    #[test]
    fn a_head_says_how_its_body_ends_and_whether_another_exchange_may_follow() {
        let get = Method::GET;
        let rows = [
            (get.clone(), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "Some(Length(5))", true),
            (get.clone(), "HTTP/1.1 200 OK\nContent-Length: 5\n\n", "Some(Length(5))", true),
            (
                get.clone(),
                "HTTP/1.1 200\r\ncontent-length:5\r\nContent-Length:  5 \r\n\r\n",
                "Some(Length(5))",
                true,
            ),
            (get.clone(), "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "None", true),
            (get.clone(), "HTTP/1.1 200 OK\r\n\r\n", "Some(UntilClose)", false),
            (
                get.clone(),
                "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n",
                "None",
                false,
            ),
            (
                get.clone(),
                "HTTP/1.1 204 No\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n",
                "None",
                false,
            ),
            (get.clone(), "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "None", false),
            (get.clone(), "HTTP/1.0 204 No\r\nConnection: Keep-Alive\r\n\r\n", "None", true),
            (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "None", true),
            (Method::HEAD, "HTTP/1.1 200 OK\r\n\r\n", "None", true),
            (get.clone(), "HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n", "None", true),
            (get.clone(), "HTTP/1.1 101 Switching\r\n\r\n", "None", false),
            (get, "HTTP/1.1 103 Early Hints\r\nContent-Length: x\r\n\r\n", "None", true),
        ];
        for (method, head, decoder, persists) in rows {
            assert_eq!(read(method, head), Ok(Some((decoder.to_owned(), persists))), "{head}");
        }
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
        assert!(read(Method::GET, chunked).unwrap().unwrap().0.starts_with("Some(Chunks("));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_answer() {
        let fields = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        for head in [
            fields("Content-Length: 2\r\nContent-Length: 3\r\n"),
            fields("Content-Length: 2, 2\r\n"),
            fields("Content-Length: +2\r\n"),
            fields("Content-Length: \r\n"),
            fields("Content-Length: 18446744073709551616\r\n"),
            fields("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"),
            fields("Transfer-Encoding: gzip, chunked\r\n"),
            fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            fields("Content-Length : 2\r\n"),
            fields("A: b\r\n c\r\n"),
            fields(" A: b\r\n"),
            fields("A: b\0c\r\n"),
            fields("A: b\rc\r\n"),
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            "HTTP/1.2 200 OK\r\n\r\n".to_owned(),
            "HTTP/1.1 099 OK\r\n\r\n".to_owned(),
            "HTTP/1.1 2000 OK\r\n\r\n".to_owned(),
        ] {
            assert_eq!(read(Method::GET, &head), Err(Malformed), "{head}");
        }
    }

    #[test]
    fn a_head_is_as_long_as_it_may_be_and_no_longer() {
        let head = |length: usize, fields: usize| {
            let fields = "A: b\r\n".repeat(fields - 1);
            let rest = length - "HTTP/1.1 204 No\r\nB: \r\n\r\n".len() - fields.len();
            format!("HTTP/1.1 204 No\r\n{fields}B: {}\r\n\r\n", "x".repeat(rest))
        };
        assert!(read(Method::GET, &head(100, 3)).is_ok_and(|head| head.is_some()));
        assert_eq!(read(Method::GET, &head(101, 3)), Err(Malformed));
        assert_eq!(read(Method::GET, &head(100, 4)), Err(Malformed));
        assert_eq!(read(Method::GET, &format!("HTTP/1.1 200 {}", "x".repeat(100))), Err(Malformed));
    }

    #[test]
    fn a_phrase_of_its_own_is_kept() {
        let phrase = |head: &[u8]| {
            let read = Reader::default().read(&mut BytesMut::from(head), &Method::GET, &Limits::default());
            let head = read.unwrap().unwrap();
            head.response.extensions().get::<ReasonPhrase>().map(|phrase| phrase.as_bytes().to_vec())
        };
        assert_eq!(phrase(b"HTTP/1.1 200 Fine\r\n\r\n").as_deref(), Some(&b"Fine"[..]));
        assert_eq!(phrase(b"HTTP/1.1 200 OK\r\n\r\n"), None);
    }
}
