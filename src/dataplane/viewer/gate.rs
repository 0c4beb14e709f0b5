//! The gate: what a request must be before it is judged.
//!
//! It refuses what two parties could read differently, and never repairs. hyper has parsed the head and knows
//! where the body ends; this module looks at what hyper lets through. It knows no routes.

use h2::ext::Protocol;
use http::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderName, TRANSFER_ENCODING, VIA};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use crate::dataplane::limits::Limits;
use crate::table::host::Authority;
use crate::table::reason::Reason;
use crate::table::target::Target;

/// Our name in `Via` (RFC 9110 section 7.6.3).
const VIA_TOKEN: &str = "tidegate";

/// A request that passed the gate.
#[derive(Debug)]
pub(crate) enum Passed {
    /// It asks for a resource of a host.
    Request {
        /// The one Host.
        authority: Authority,
        /// The target in origin-form.
        target: Target,
    },
    /// `OPTIONS *`: it asks what the proxy itself can do.
    OptionsForServer,
}

/// Lets a request pass, or says why not.
pub(crate) fn check(head: &Parts, limits: &Limits) -> Result<Passed, Reason> {
    check_size(head, limits)?;
    check_framing(&head.headers)?;
    check_values(&head.headers)?;
    check_method(head)?;
    let authority = host(head)?;
    check_expectation(&head.headers)?;
    if passes(&head.headers) >= limits.passes {
        return Err(Reason::LoopDetected);
    }
    if head.method == Method::OPTIONS && head.uri.path() == "*" {
        return Ok(Passed::OptionsForServer);
    }
    Ok(Passed::Request { authority, target: target(&head.uri)? })
}

/// A CONNECT passes where it asks for a WebSocket (RFC 8441 section 4); names of protocols are compared in any case
/// (RFC 9110 section 7.8).
fn check_method(head: &Parts) -> Result<(), Reason> {
    match (&head.method, head.extensions.get::<Protocol>()) {
        (&Method::CONNECT, Some(protocol)) if protocol.as_str().eq_ignore_ascii_case("websocket") => Ok(()),
        (&Method::CONNECT, Some(_)) => Err(Reason::ProtocolNotSupported),
        (&Method::CONNECT | &Method::TRACE, _) => Err(Reason::MethodNotSupported),
        _ => Ok(()),
    }
}

fn check_size(head: &Parts, limits: &Limits) -> Result<(), Reason> {
    let query = head.uri.query().map_or(0, |query| query.len() + 1);
    if head.uri.path().len() + query > limits.target_bytes {
        return Err(Reason::UriTooLong);
    }
    let line =
        |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + ": \r\n".len();
    // hyper has counted already; `h2` does not.
    let too_many = head.headers.len() > limits.header_count;
    if too_many || head.headers.iter().map(line).any(|bytes| bytes > limits.field_bytes) {
        return Err(Reason::HeadersTooLarge);
    }
    Ok(())
}

/// RFC 9113 section 8.2.1: space around a value is malformed. Over HTTP/1.1 it is no part of the value, so the origin
/// would read another one.
fn check_values(headers: &HeaderMap) -> Result<(), Reason> {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let is_padded = |value: &[u8]| is_space(value.first()) || is_space(value.last());
    if headers.values().any(|value| is_padded(value.as_bytes())) { Err(Reason::BadHeader) } else { Ok(()) }
}

/// RFC 9112 section 6.1: any transfer coding but exactly one `chunked` is refused.
/// hyper refuses differing and malformed lengths, and lets `chunked` win over a length.
fn check_framing(headers: &HeaderMap) -> Result<(), Reason> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(Reason::BadHeader);
    }
    let lengths = headers.get_all(CONTENT_LENGTH).iter();
    let digits = |value: &[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    if lengths.into_iter().any(|length| !digits(length.as_bytes())) {
        return Err(Reason::BadHeader);
    }
    Ok(())
}

/// RFC 9112 section 3.2: exactly one valid Host; with an absolute-form target, the same as there.
/// Over HTTP/2 `:authority` stands for it where it is missing (RFC 9113 section 8.3.1).
fn host(head: &Parts) -> Result<Authority, Reason> {
    let named = head.uri.authority();
    let mut hosts = head.headers.get_all(HOST).iter();
    let text = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().map_err(|_| Reason::BadHost)?,
        (None, None) if head.version == Version::HTTP_2 => named.ok_or(Reason::BadHost)?.as_str(),
        _ => return Err(Reason::BadHost),
    };
    let authority = Authority::parse(text).map_err(|_| Reason::BadHost)?;
    match named {
        Some(named) if Authority::parse(named.as_str()).as_ref() != Ok(&authority) => Err(Reason::BadHost),
        _ => Ok(authority),
    }
}

fn check_expectation(headers: &HeaderMap) -> Result<(), Reason> {
    let continues = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get_all(EXPECT).iter().all(continues) { Ok(()) } else { Err(Reason::Expectation) }
}

/// How often the request has passed through us.
fn passes(headers: &HeaderMap) -> usize {
    let entries = headers.get_all(VIA).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    entries.filter(|entry| names_us(entry)).count()
}

/// An entry is a version, a name and perhaps a comment: `1.1 tidegate (x)`.
fn names_us(entry: &[u8]) -> bool {
    let mut words = entry.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.nth(1).is_some_and(|name| name.eq_ignore_ascii_case(VIA_TOKEN.as_bytes()))
}

/// Origin-form, or absolute-form made into it (RFC 9112 section 3.2).
fn target(uri: &Uri) -> Result<Target, Reason> {
    let absolute = match uri.scheme_str() {
        Some("http" | "https") => true,
        Some(_) => return Err(Reason::BadPath),
        // Without a scheme, an authority is the authority-form, which only CONNECT may use.
        None if uri.authority().is_some() => return Err(Reason::BadPath),
        None => false,
    };
    let parsed = match uri.query() {
        // An empty path in absolute-form stands for `/`; `path()` says so, `path_and_query()` does not.
        Some(query) if absolute => Target::parse(&format!("{}?{query}", uri.path())),
        _ => Target::parse(uri.path_and_query().map_or("", |whole| whole.as_str())),
    };
    parsed.map_err(|_| Reason::BadPath)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(uri: &str, lines: &[(&str, &str)]) -> Result<String, Reason> {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        check(&head, &Limits::default()).map(|passed| match passed {
            Passed::Request { authority, target } => format!("{authority} {target}"),
            Passed::OptionsForServer => "*".to_owned(),
        })
    }

    #[test]
    fn over_http2_the_authority_stands_for_a_missing_host() {
        let passed = |uri: &str, hosts: &[&str]| {
            let mut request = http::Request::builder().version(Version::HTTP_2).uri(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            let (head, ()) = request.body(()).unwrap().into_parts();
            host(&head).map(|authority| authority.to_string())
        };
        assert_eq!(passed("https://A.example/", &[]).as_deref(), Ok("a.example"));
        assert_eq!(passed("/", &["a.example"]).as_deref(), Ok("a.example"));
        assert_eq!(passed("https://a.example/", &["A.example"]).as_deref(), Ok("a.example"));
        assert_eq!(passed("https://a.example/", &["b.example"]), Err(Reason::BadHost));
        assert_eq!(passed("https://a.example/", &["a.example"; 2]), Err(Reason::BadHost));
        assert_eq!(passed("/", &[]), Err(Reason::BadHost));
    }

    const HOST_A: (&str, &str) = ("host", "a");

    #[test]
    fn one_valid_host_and_a_path_pass() {
        assert_eq!(passed("/a?b", &[("host", "A.example:80")]).as_deref(), Ok("a.example:80 /a?b"));
        assert_eq!(passed("http://a.example?b", &[("host", "A.example")]).as_deref(), Ok("a.example /?b"));
        assert_eq!(passed("http://a.example", &[("host", "a.example")]).as_deref(), Ok("a.example /"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        type Lines = &'static [(&'static str, &'static str)];
        let rows: [(&str, Lines, Reason); 12] = [
            ("/", &[], Reason::BadHost),
            ("/", &[HOST_A, HOST_A], Reason::BadHost),
            ("/", &[("host", "a, b")], Reason::BadHost),
            ("/", &[("host", "u@a")], Reason::BadHost),
            ("http://b/", &[HOST_A], Reason::BadHost),
            ("http://a:80/", &[HOST_A], Reason::BadHost),
            ("ftp://a/", &[HOST_A], Reason::BadPath),
            ("/a/../b", &[HOST_A], Reason::BadPath),
            ("/", &[HOST_A, ("transfer-encoding", "gzip, chunked")], Reason::BadHeader),
            (
                "/",
                &[HOST_A, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
                Reason::BadHeader,
            ),
            ("/", &[HOST_A, ("content-length", "+1")], Reason::BadHeader),
            ("/", &[HOST_A, ("expect", "tea")], Reason::Expectation),
        ];
        for (uri, lines, reason) in rows {
            assert_eq!(passed(uri, lines), Err(reason), "{uri} {lines:?}");
        }
    }

    #[test]
    fn the_tenth_pass_is_a_loop() {
        let via = |times: usize| vec!["1.1 tidegate"; times].join(", 1.0 other (tidegate), ");
        assert!(passed("/", &[("host", "a"), ("via", &via(9))]).is_ok());
        assert_eq!(passed("/", &[("host", "a"), ("via", &via(10))]), Err(Reason::LoopDetected));
    }
}
