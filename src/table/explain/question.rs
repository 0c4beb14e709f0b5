//! What `explain` is asked: a URL, a method, whether it is a WebSocket handshake.
//!
//! The URL is taken as a viewer would send it, without any normalisation: what a request could not carry is no
//! question.

use std::net::IpAddr;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderMap, HeaderValue, Method};

use crate::table::decide::Scheme;
use crate::table::host::{Authority, NotAHostName};
use crate::table::target::{BadTarget, Target};

/// One request that could be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    pub(super) target: Target,
    pub(super) method: Method,
    pub(super) kind: Kind,
    pub(super) web_origin: Option<HeaderValue>,
    pub(super) viewer: Option<IpAddr>,
    /// The method that a page asks for leave to use.
    pub(super) preflight: Option<Method>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A response; a tunnel where the URL says `ws` or `wss`.
    AsTheUrlSays,
    /// A tunnel.
    WebSocket,
}

/// Why there is no answer: what is wrong, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuestion {
    /// No scheme, so no telling whether TLS is asked for.
    #[error("{0:?} has no scheme; write https:// or http:// in front of it")]
    NoScheme(String),
    /// A scheme that is not served.
    #[error("{0:?} is no scheme that is served; write http, https, ws or wss")]
    Scheme(String),
    /// No host name.
    #[error("{0:?} is no host name with an optional port; write https://HOST/PATH")]
    Host(String),
    /// A target that no request may have.
    #[error("{0}, for which a viewer gets 400 bad_path; write the path as viewers are to send it")]
    Target(#[from] BadTarget),
    /// No method.
    #[error("{0:?} is no method; write one such as GET or POST")]
    Method(String),
    /// A method in another case of letters.
    #[error("{0:?} is no method, since case counts; write {1}")]
    MethodCase(String, Method),
    /// A handshake with another method.
    #[error("a WebSocket handshake is a GET, not a {0}; leave the method out")]
    HandshakeMethod(Method),
    /// A web origin that cannot stand in a header.
    #[error("{0:?} is no web origin; write one such as https://app.example.com")]
    WebOrigin(String),
    /// A preflight of no page.
    #[error(
        "a preflight is sent for a page; name its web origin, such as https://app.example.com, beside {0}"
    )]
    PreflightOfNobody(Method),
    /// A preflight that is a handshake.
    #[error("no preflight is sent for a WebSocket; leave one of them out")]
    PreflightHandshake,
    /// No address.
    #[error("{0:?} is no address; write one such as 192.0.2.7 or 2001:db8::7, without a port")]
    Viewer(String),
}

impl Question {
    /// Reads a question; `web_origin` is what a handshake says in `Origin`.
    ///
    /// # Errors
    /// [`BadQuestion`], for whoever asks.
    pub fn parse(url: &str, method: &str, kind: Kind, web_origin: Option<&str>) -> Result<Self, BadQuestion> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| BadQuestion::NoScheme(url.to_owned()))?;
        let (scheme, kind) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Scheme::Http, kind),
            "https" => (Scheme::Https, kind),
            "ws" => (Scheme::Http, Kind::WebSocket),
            "wss" => (Scheme::Https, Kind::WebSocket),
            other => return Err(BadQuestion::Scheme(other.to_owned())),
        };
        // A fragment stays with the viewer (RFC 9110 section 4.2.5).
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let authority =
            Authority::parse(authority).map_err(|NotAHostName| BadQuestion::Host(authority.to_owned()))?;
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let method = parse_method(method)?;
        if kind == Kind::WebSocket && method != Method::GET {
            return Err(BadQuestion::HandshakeMethod(method));
        }
        let web_origin = web_origin
            .map(|origin| origin.parse().map_err(|_| BadQuestion::WebOrigin(origin.to_owned())))
            .transpose()?;
        let target = Target::parse(&target)?;
        Ok(Self { scheme, authority, target, method, kind, web_origin, viewer: None, preflight: None })
    }

    /// The same from this viewer, whom source ranges judge.
    ///
    /// # Errors
    /// [`BadQuestion::Viewer`], for whoever asks.
    pub fn of_viewer(self, address: &str) -> Result<Self, BadQuestion> {
        let viewer: IpAddr = address.parse().map_err(|_| BadQuestion::Viewer(address.to_owned()))?;
        Ok(Self { viewer: Some(viewer.to_canonical()), ..self })
    }

    /// The preflight that a browser would send for a request of this method.
    ///
    /// # Errors
    /// [`BadQuestion`], for whoever asks.
    pub fn as_preflight_for(self, method: &str) -> Result<Self, BadQuestion> {
        let asked = parse_method(method)?;
        match (self.kind, &self.web_origin) {
            (Kind::WebSocket, _) => Err(BadQuestion::PreflightHandshake),
            (Kind::AsTheUrlSays, None) => Err(BadQuestion::PreflightOfNobody(asked)),
            (Kind::AsTheUrlSays, Some(_)) => {
                Ok(Self { method: Method::OPTIONS, preflight: Some(asked), ..self })
            }
        }
    }

    /// What of its head says for which page it is.
    pub(super) fn head(&self) -> HeaderMap {
        let origin = self.web_origin.clone().map(|origin| (ORIGIN, origin));
        let asked = self.preflight.as_ref().and_then(|method| HeaderValue::from_str(method.as_str()).ok());
        origin.into_iter().chain(asked.map(|method| (ACCESS_CONTROL_REQUEST_METHOD, method))).collect()
    }

    /// The URL as it was understood.
    pub(super) fn url(&self) -> String {
        let scheme = match (self.kind, self.scheme) {
            (Kind::AsTheUrlSays, scheme) => scheme.as_str(),
            (Kind::WebSocket, Scheme::Http) => "ws",
            (Kind::WebSocket, Scheme::Https) => "wss",
        };
        format!("{scheme}://{}{}", self.authority, self.target)
    }
}

/// Any token is a method (RFC 9110 section 9.1), but one that is meant for a common one is told.
fn parse_method(text: &str) -> Result<Method, BadQuestion> {
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| BadQuestion::Method(text.to_owned()))?;
    let upper = text.to_ascii_uppercase();
    let common =
        ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE", "CONNECT", "TRACE"].contains(&&*upper);
    match Method::from_bytes(upper.as_bytes()) {
        Ok(meant) if common && meant != method => Err(BadQuestion::MethodCase(text.to_owned(), meant)),
        _ => Ok(method),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(url: &str) -> Result<String, String> {
        let question = Question::parse(url, "GET", Kind::AsTheUrlSays, None);
        question.map(|question| question.url()).map_err(|bad| bad.to_string())
    }

    #[test]
    fn a_url_is_taken_as_a_viewer_sends_it() {
        let rows = [
            ("https://shop.example.com", "https://shop.example.com/"),
            ("HTTP://Shop.Example.com.:8080/A//b?c=/../d", "http://shop.example.com:8080/A//b?c=/../d"),
            ("https://h?q", "https://h/?q"),
            ("https://h/a%2fb#fragment", "https://h/a%2fb"),
            ("wss://h/chat", "wss://h/chat"),
        ];
        for (url, expected) in rows {
            assert_eq!(understood(url).as_deref(), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_no_request_could_carry_is_answered_with_a_remedy() {
        let rows = [
            ("shop.example.com/x", "write https:// or http:// in front"),
            ("ftp://h/", "write http, https, ws or wss"),
            ("https:///x", "write https://HOST/PATH"),
            ("https://user@h/", "write https://HOST/PATH"),
            ("https://[::1]/", "write https://HOST/PATH"),
            ("https://h/a/../b", "a dot segment, for which a viewer gets 400 bad_path"),
            ("https://h/ä", "an octet that must be escaped"),
        ];
        for (url, remedy) in rows {
            let told = understood(url).unwrap_err();
            assert!(told.contains(remedy), "{url}: {told}");
        }
    }

    #[test]
    fn a_viewer_is_an_address() {
        let ask = |viewer| Question::parse("https://h/", "GET", Kind::AsTheUrlSays, None)?.of_viewer(viewer);
        assert_eq!(ask("::ffff:192.0.2.7").unwrap().viewer, Some([192, 0, 2, 7].into()));
        for no_address in ["192.0.2.7:80", "192.0.2.0/24", "h", ""] {
            let told = ask(no_address).unwrap_err().to_string();
            assert!(told.contains("write one such as 192.0.2.7"), "{told}");
        }
    }

    #[test]
    fn a_preflight_is_sent_for_a_page_and_never_for_a_websocket() {
        let ask = |url, origin, method| {
            let question = Question::parse(url, "GET", Kind::AsTheUrlSays, origin)?;
            question.as_preflight_for(method).map(|question| question.method)
        };
        let page = Some("https://app.example.com");
        assert_eq!(ask("https://h/", page, "PUT"), Ok(Method::OPTIONS));
        assert_eq!(ask("https://h/", None, "PUT"), Err(BadQuestion::PreflightOfNobody(Method::PUT)));
        assert_eq!(ask("wss://h/", page, "GET"), Err(BadQuestion::PreflightHandshake));
        assert!(matches!(ask("https://h/", page, "put"), Err(BadQuestion::MethodCase(..))));
    }

    #[test]
    fn a_method_is_a_token_in_its_own_case() {
        let ask = |method, kind| {
            let question = Question::parse("https://h/", method, kind, None);
            question.map(|_| ()).map_err(|bad| bad.to_string())
        };
        assert_eq!(ask("PROPFIND", Kind::AsTheUrlSays), Ok(()));
        for (method, kind, remedy) in [
            ("get", Kind::AsTheUrlSays, "case counts; write GET"),
            ("G T", Kind::AsTheUrlSays, "write one such as GET"),
            ("", Kind::AsTheUrlSays, "write one such as GET"),
            ("POST", Kind::WebSocket, "leave the method out"),
        ] {
            let told = ask(method, kind).unwrap_err();
            assert!(told.contains(remedy), "{method}: {told}");
        }
    }
}
