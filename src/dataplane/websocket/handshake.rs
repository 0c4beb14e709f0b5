//! The opening handshake, judged on both sides: of RFC 6455 over HTTP/1.1, and of RFC 8441 with a viewer over HTTP/2.
//!
//! Functions over heads: nothing is sent or stored here, and subprotocols, extensions and `Origin` are the endpoints'
//! business. Start at [`check_request`]; its [`Handshake`] then asks the origin, which is always spoken to over
//! HTTP/1.1, and judges its 101 in [`check_response`].

use aws_lc_rs::digest;
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request;
use http::response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

use crate::table::reason::Reason;

/// The only version there is (RFC 6455 section 4.1); a 426 names it in `Sec-WebSocket-Version`.
pub(crate) const SUPPORTED_VERSION: HeaderValue = HeaderValue::from_static("13");

/// What the server appends to the key (RFC 6455 section 1.3).
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const KEY_LENGTH: usize = 16;

/// Not every client clears the four spare bits of the last digit, and no server minds.
const KEY_ENCODING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// A viewer's handshake that passed, and what its answer must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    accept: String,
    /// A key of ours, where the viewer has none to send.
    key: Option<HeaderValue>,
}

/// Judges a request's head by RFC 6455 section 4.2.1, or by RFC 8441 section 5 where it is a CONNECT, which the gate
/// lets pass for `websocket` only.
///
/// `None` is an ordinary request: one that does not ask for `websocket`, or asks in HTTP/1.0, where `Upgrade`
/// is ignored (RFC 9110 section 7.8).
/// What asks for `websocket` and gets it wrong is refused with [`Reason::BadWebsocketHandshake`], another version
/// than 13 with [`Reason::WebsocketVersion`].
pub(crate) fn check_request(head: &request::Parts) -> Result<Option<Handshake>, Reason> {
    let headers = &head.headers;
    if head.method == Method::CONNECT {
        return check_connect(headers).map(Some);
    }
    if head.version != Version::HTTP_11 || !has_token(headers, &UPGRADE, "websocket") {
        return Ok(None);
    }
    if head.method != Method::GET || !has_token(headers, &CONNECTION, "upgrade") || announces_body(headers) {
        return Err(Reason::BadWebsocketHandshake);
    }
    check_version(headers)?;
    let key = only(headers, &SEC_WEBSOCKET_KEY).ok_or(Reason::BadWebsocketHandshake)?.as_bytes();
    match KEY_ENCODING.decode(key) {
        Ok(nonce) if nonce.len() == KEY_LENGTH => Ok(Some(Handshake { accept: accept_for(key), key: None })),
        _ => Err(Reason::BadWebsocketHandshake),
    }
}

/// A CONNECT has no content (RFC 9110 section 9.3.6), so a length of what follows it, be it 0, would be one of the
/// tunnel. A key is not used, and is replaced by one of ours.
fn check_connect(headers: &HeaderMap) -> Result<Handshake, Reason> {
    if headers.contains_key(CONTENT_LENGTH) {
        return Err(Reason::BadWebsocketHandshake);
    }
    check_version(headers)?;
    let mut nonce = [0; KEY_LENGTH];
    fastrand::fill(&mut nonce);
    let key = STANDARD.encode(nonce);
    let accept = accept_for(key.as_bytes());
    Ok(Handshake { accept, key: Some(HeaderValue::try_from(key).expect("base64 is visible ASCII")) })
}

fn check_version(headers: &HeaderMap) -> Result<(), Reason> {
    let is_supported = only(headers, &SEC_WEBSOCKET_VERSION) == Some(&SUPPORTED_VERSION);
    if is_supported { Ok(()) } else { Err(Reason::WebsocketVersion) }
}

impl Handshake {
    /// Makes a head that is ready but for this the one that asks the origin (RFC 6455 section 4.1).
    pub(crate) fn put_into(&self, head: &mut request::Parts) {
        head.method = Method::GET;
        put_upgrade(&mut head.headers);
        if let Some(key) = &self.key {
            head.headers.insert(SEC_WEBSOCKET_KEY, key.clone());
        }
    }
}

/// Makes the origin's 101 what a viewer over this `version` reads: over HTTP/2 a 200 that knows nothing of keys and
/// of upgrades, and has no length (RFC 8441 section 5, RFC 9110 section 9.3.6).
pub(crate) fn put_agreement(head: &mut response::Parts, version: Version) {
    if version == Version::HTTP_2 {
        head.status = StatusCode::OK;
        head.headers.remove(SEC_WEBSOCKET_ACCEPT);
        head.headers.remove(CONTENT_LENGTH);
    } else {
        put_upgrade(&mut head.headers);
    }
}

/// Says that the connection becomes a WebSocket; in a request and in its 101 alike.
fn put_upgrade(fields: &mut HeaderMap) {
    fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Judges the origin's 101 by RFC 6455 section 4.1, or what else it answers a handshake with.
///
/// [`Answer::Ordinary`] is any other status: it goes to the viewer like every response. But over HTTP/2 every 2xx
/// would be an agreement (RFC 9113 section 8.5), and what an origin says that never heard of WebSockets, or what
/// somebody has it say, would be read as frames: so there it is no answer.
pub(crate) fn check_response(
    handshake: &Handshake,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Answer, Reason> {
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let agrees = handshake.key.is_some() && status.is_success();
        return if agrees { Err(Reason::OriginWebsocketHandshake) } else { Ok(Answer::Ordinary) };
    }
    let accepts = only(headers, &SEC_WEBSOCKET_ACCEPT).is_some_and(|accept| *accept == *handshake.accept);
    if accepts && has_token(headers, &UPGRADE, "websocket") && has_token(headers, &CONNECTION, "upgrade") {
        Ok(Answer::Tunnel)
    } else {
        Err(Reason::OriginWebsocketHandshake)
    }
}

/// What an origin made of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It accepted: what follows the head are frames.
    Tunnel,
    /// It answered as if nothing had been asked to change.
    Ordinary,
}

/// What the origin agreed to in a field of its 101, for people to read: without what is not printable, and not all
/// of what is absurdly long, since it is kept as long as the tunnel.
pub(crate) fn agreed(headers: &HeaderMap, name: &HeaderName) -> Option<Box<str>> {
    const SHOWN: usize = 128;
    let values: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    let shown: String = values.join(", ").chars().take(SHOWN).collect();
    (!shown.is_empty()).then(|| shown.into())
}

/// The `Sec-WebSocket-Accept` of a key as sent (RFC 6455 section 4.2.2, step 5.4).
fn accept_for(key: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(ACCEPT_SUFFIX);
    STANDARD.encode(context.finish())
}

/// Whether one of the comma-separated tokens of all `name` fields is `token`, in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

fn announces_body(headers: &HeaderMap) -> bool {
    let has_length = headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0");
    has_length || headers.contains_key(TRANSFER_ENCODING)
}

/// The value of a field that stands exactly once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key and accept of the example in RFC 6455 section 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn head(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
            })
            .collect()
    }

    /// The good request with some lines replaced (all of one name at once) and others added.
    fn request(changes: &[(&str, &str)]) -> HeaderMap {
        let good = [
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
        ];
        let kept = good.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        head(&kept.chain(changes.iter().filter(|(_, value)| *value != "-")).copied().collect::<Vec<_>>())
    }

    fn check(changes: &[(&str, &str)]) -> Result<Option<Handshake>, Reason> {
        check_as(Method::GET, Version::HTTP_11, request(changes))
    }

    fn check_as(method: Method, version: Version, headers: HeaderMap) -> Result<Option<Handshake>, Reason> {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        (parts.method, parts.version, parts.headers) = (method, version, headers);
        check_request(&parts)
    }

    #[test]
    fn a_good_handshake_knows_its_accept() {
        let good: [&[(&str, &str)]; 5] = [
            &[],
            &[("upgrade", "WebSocket")],
            &[("upgrade", "h2c, websocket")],
            &[("connection", "keep-alive, upgrade")],
            &[("content-length", "0")],
        ];
        for changes in good {
            let handshake = check(changes).unwrap().unwrap();
            assert_eq!(handshake.accept, ACCEPT, "{changes:?}");
        }
    }

    #[test]
    fn what_does_not_ask_for_a_websocket_is_an_ordinary_request() {
        assert_eq!(check(&[("upgrade", "h2c")]), Ok(None));
        assert_eq!(check(&[("upgrade", "websockets")]), Ok(None));
        assert_eq!(check(&[("upgrade", "-")]), Ok(None));
        assert_eq!(check_as(Method::GET, Version::HTTP_10, request(&[])), Ok(None));
        assert_eq!(check_as(Method::POST, Version::HTTP_10, request(&[])), Ok(None));
    }

    #[test]
    fn a_wrong_handshake_is_refused() {
        let wrong: [&[(&str, &str)]; 9] = [
            &[("connection", "keep-alive")],
            &[("connection", "-")],
            &[("content-length", "1")],
            &[("transfer-encoding", "chunked")],
            &[("sec-websocket-key", "-")],
            &[("sec-websocket-key", KEY), ("sec-websocket-key", KEY)],
            &[("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAA")], // 15 bytes
            &[("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAAA=")], // 17 bytes
            &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ")], // no padding
        ];
        for changes in wrong {
            assert_eq!(check(changes), Err(Reason::BadWebsocketHandshake), "{changes:?}");
        }
        let post = check_as(Method::POST, Version::HTTP_11, request(&[]));
        assert_eq!(post, Err(Reason::BadWebsocketHandshake));
    }

    #[test]
    fn another_version_is_told_which_one_there_is() {
        let versions: [&[(&str, &str)]; 4] = [
            &[("sec-websocket-version", "12")],
            &[("sec-websocket-version", "-")],
            &[("sec-websocket-version", "13, 8")],
            &[("sec-websocket-version", "13"), ("sec-websocket-version", "8")],
        ];
        for changes in versions {
            assert_eq!(check(changes), Err(Reason::WebsocketVersion), "{changes:?}");
        }
    }

    #[test]
    fn a_key_whose_spare_bits_are_set_passes_and_is_answered_as_sent() {
        let handshake = check(&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZR==")]).unwrap().unwrap();
        assert_ne!(handshake.accept, ACCEPT);
    }

    fn connect(lines: &[(&str, &str)]) -> Result<Option<Handshake>, Reason> {
        check_as(Method::CONNECT, Version::HTTP_2, head(lines))
    }

    #[test]
    fn over_http2_the_origin_is_asked_with_a_fresh_key_of_ours() {
        let lines = [("sec-websocket-version", "13"), ("sec-websocket-key", KEY)];
        let mut keys = Vec::new();
        for _ in 0..2 {
            let handshake = connect(&lines).unwrap().unwrap();
            let (mut asking, ()) = http::Request::connect("a").body(()).unwrap().into_parts();
            asking.headers = head(&lines);
            handshake.put_into(&mut asking);
            asking.version = Version::HTTP_11;
            // It is one that passes over HTTP/1.1, and that wants the same accept.
            let asked = check_request(&asking).unwrap().unwrap();
            assert_eq!(asked.accept, handshake.accept);
            keys.push(only(&asking.headers, &SEC_WEBSOCKET_KEY).unwrap().clone());
        }
        assert!(keys[0] != keys[1] && keys.iter().all(|key| key != KEY), "{keys:?}");
    }

    #[test]
    fn over_http2_the_version_is_told_and_nothing_has_a_length() {
        let version = ("sec-websocket-version", "13");
        assert_eq!(connect(&[]), Err(Reason::WebsocketVersion));
        assert_eq!(connect(&[("sec-websocket-version", "12")]), Err(Reason::WebsocketVersion));
        assert_eq!(connect(&[version, version]), Err(Reason::WebsocketVersion));
        for length in ["0", "2"] {
            let refused = connect(&[version, ("content-length", length)]);
            assert_eq!(refused, Err(Reason::BadWebsocketHandshake));
        }
        assert!(connect(&[version]).unwrap().is_some());
    }

    #[test]
    fn an_agreement_says_what_the_viewers_http_can_say() {
        let lines = [("sec-websocket-accept", ACCEPT), ("sec-websocket-protocol", "chat")];
        let agreed = |version| {
            let (mut parts, ()) = http::Response::builder().status(101).body(()).unwrap().into_parts();
            parts.headers = head(&lines);
            put_agreement(&mut parts, version);
            (parts.status.as_u16(), parts.headers)
        };
        assert_eq!(agreed(Version::HTTP_2), (200, head(&lines[1..])));
        let upgraded = [&lines[..], &[("connection", "upgrade"), ("upgrade", "websocket")]].concat();
        assert_eq!(agreed(Version::HTTP_11), (101, head(&upgraded)));
    }

    #[test]
    fn only_a_101_that_answers_the_key_opens_a_tunnel() {
        let handshake = Handshake { accept: ACCEPT.to_owned(), key: None };
        let answer = |lines: &[(&str, &str)]| {
            check_response(&handshake, StatusCode::SWITCHING_PROTOCOLS, &head(lines))
        };
        let (upgrade, connection) = (("upgrade", "WebSocket"), ("connection", "Upgrade"));
        let accept = ("sec-websocket-accept", ACCEPT);
        assert_eq!(answer(&[upgrade, connection, accept]), Ok(Answer::Tunnel));

        let wrong: [&[(&str, &str)]; 6] = [
            &[connection, accept],
            &[upgrade, accept],
            &[upgrade, connection],
            &[upgrade, connection, accept, accept],
            &[upgrade, connection, ("sec-websocket-accept", "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=")],
            &[("upgrade", "h2c"), connection, accept],
        ];
        for lines in wrong {
            assert_eq!(answer(lines), Err(Reason::OriginWebsocketHandshake), "{lines:?}");
        }
    }

    #[test]
    fn what_was_agreed_is_kept_short() {
        let name = HeaderName::from_static("sec-websocket-extensions");
        let long = "x".repeat(1000);
        let lines = [("sec-websocket-extensions", "a; b=1"), ("sec-websocket-extensions", "\u{e9}")];
        assert_eq!(agreed(&head(&lines), &name).as_deref(), Some("a; b=1"));
        assert_eq!(agreed(&head(&[("sec-websocket-extensions", &long)]), &name).unwrap().len(), 128);
        assert_eq!(agreed(&HeaderMap::new(), &name), None);
    }

    #[test]
    fn any_other_status_is_an_ordinary_response() {
        let handshake = Handshake { accept: ACCEPT.to_owned(), key: None };
        for status in [StatusCode::OK, StatusCode::FORBIDDEN, StatusCode::UPGRADE_REQUIRED] {
            assert_eq!(check_response(&handshake, status, &HeaderMap::new()), Ok(Answer::Ordinary));
        }
        let over_http2 = Handshake { key: Some(HeaderValue::from_static("key")), ..handshake };
        let answer = |status| check_response(&over_http2, status, &HeaderMap::new());
        for status in [StatusCode::FORBIDDEN, StatusCode::FOUND, StatusCode::UPGRADE_REQUIRED] {
            assert_eq!(answer(status), Ok(Answer::Ordinary));
        }
        for status in [StatusCode::OK, StatusCode::NO_CONTENT, StatusCode::PARTIAL_CONTENT] {
            assert_eq!(answer(status), Err(Reason::OriginWebsocketHandshake));
        }
    }
}
