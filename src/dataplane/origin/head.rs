//! The head of a request as the origin reads it.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{self, PathAndQuery};
use http::{HeaderMap, HeaderValue, Uri, Version};
use http_body::Body;

use super::attempt;
use crate::dataplane::connection::Viewer;
use crate::dataplane::origin::Load;
use crate::dataplane::viewer::address::Sender;
use crate::dataplane::viewer::body::ViewerBody;
use crate::dataplane::viewer::client_certificate::{self, Told};
use crate::dataplane::viewer::forwarded::{self, X_FORWARDED_HOST};
use crate::dataplane::viewer::headers::{self, Trailers};
use crate::dataplane::websocket::handshake::Handshake;
use crate::table::decide::Scheme;
use crate::table::host::Authority;
use crate::table::origin::{HostHeader, HttpVersion, Origin};
use crate::table::reason::Reason;
use crate::table::target::Target;

/// The viewer's head without what belongs to its connection, and with what we say: the same for every origin.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    head: Parts,
    pub(crate) request_id: HeaderValue,
    /// Whether the viewer reads trailers.
    pub(crate) trailers: Trailers,
    /// Whether it said so with `TE`.
    te: Trailers,
}

/// What a head depends on that goes to one origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'f> {
    pub(crate) target: &'f Target,
    pub(crate) origin: &'f Origin,
    pub(crate) body: &'f ViewerBody,
    pub(crate) load: Load,
    pub(crate) handshake: Option<&'f Handshake>,
}

/// Takes out of the viewer's head what belongs to its connection, then puts in what we say, also of its certificate.
pub(crate) fn prepare(
    mut head: Parts,
    viewer: &Viewer,
    sender: Sender,
    certificate: Told<'_>,
    authority: &Authority,
) -> Prepared {
    let version = head.version;
    let fields = &mut head.headers;
    headers::strip_hop_by_hop(fields);
    let te = headers::strip_te(fields);
    // A viewer of HTTP/2 reads them anyway (RFC 9113 section 8.1).
    let trailers = if version == Version::HTTP_2 { Trailers::Passed } else { te };
    viewer.worker.headers_dropped(headers::drop_underscores(fields));
    fields.remove(EXPECT); // answered by us, once there is an origin to take the body
    let request_id = forwarded::set(fields, &viewer.peer, sender, authority, version);
    client_certificate::tell(fields, certificate);
    head.extensions.clear();
    Prepared { head, request_id, trailers, te }
}

impl Prepared {
    /// The head as the origin reads it: last comes what the origin's owner says.
    pub(crate) fn compose(self, facts: Facts<'_>) -> Result<Parts, Reason> {
        let Self { mut head, te, .. } = self;
        let fields = &mut head.headers;
        put_host(fields, facts.origin)?;
        put_custom(fields, facts.origin);
        let target = path_and_query(&head.uri, &facts.origin.path_prefix, facts.target)?;
        match attempt::version(facts.origin, facts.load) {
            HttpVersion::Http1 => {
                headers::strip_trailer(fields, Trailers::Dropped);
                put_framing(fields, facts.body);
                if let Some(handshake) = facts.handshake {
                    handshake.put_into(&mut head);
                }
                head.version = Version::HTTP_11;
                head.uri = target.into();
            }
            HttpVersion::Http2 => {
                headers::strip_trailer(fields, te);
                if te == Trailers::Passed {
                    let of_owner = facts.origin.custom_headers.iter().map(|(name, _)| name.clone());
                    facts.body.let_trailers(of_owner.collect());
                }
                head.version = Version::HTTP_2;
                head.uri = absolute(facts.origin.key.scheme, fields.remove(HOST), target)?;
            }
        }
        Ok(head)
    }
}

/// A body whose length nobody announced goes in chunks.
fn put_framing(fields: &mut HeaderMap, body: &ViewerBody) {
    if !body.is_end_stream() && !fields.contains_key(CONTENT_LENGTH) {
        fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// The viewer's host is what was just told as the forwarded one: the same text, shared.
fn put_host(fields: &mut HeaderMap, origin: &Origin) -> Result<(), Reason> {
    let host = match &origin.host_header {
        HostHeader::Fixed(host) => host,
        HostHeader::Viewer => fields.get(X_FORWARDED_HOST).ok_or(Reason::BadHost)?,
    };
    let host = host.clone();
    fields.insert(HOST, host);
    Ok(())
}

/// Replaces what the viewer sent under the same names.
fn put_custom(fields: &mut HeaderMap, origin: &Origin) {
    for (name, _) in &origin.custom_headers {
        fields.remove(name);
    }
    for (name, value) in &origin.custom_headers {
        fields.append(name.clone(), value.clone());
    }
}

/// What the viewer sent is shared, where it goes on as it is.
fn path_and_query(sent: &Uri, prefix: &str, target: &Target) -> Result<PathAndQuery, Reason> {
    if prefix.is_empty()
        && let Some(same) = sent.path_and_query().filter(|sent| sent.as_str() == target.as_str())
    {
        return Ok(same.clone());
    }
    PathAndQuery::from_maybe_shared(Bytes::from(format!("{prefix}{target}"))).map_err(|_| Reason::BadPath)
}

/// The target with what HTTP/2 says beside it: the scheme, and the authority in place of the Host (RFC 9113
/// section 8.3.1).
fn absolute(scheme: Scheme, host: Option<HeaderValue>, target: PathAndQuery) -> Result<Uri, Reason> {
    let authority =
        host.and_then(|host| uri::Authority::try_from(host.as_bytes()).ok()).ok_or(Reason::BadHost)?;
    let mut parts = uri::Parts::default();
    parts.scheme = Some(match scheme {
        Scheme::Http => uri::Scheme::HTTP,
        Scheme::Https => uri::Scheme::HTTPS,
    });
    parts.authority = Some(authority);
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).map_err(|_| Reason::BadPath)
}
