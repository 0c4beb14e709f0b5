//! The closed list of reasons for which the proxy itself answers a viewer.
//!
//! The reason stands in the response (`x-tidegate-error`), the access log and the metric; its status is decided
//! here and nowhere else.

use http::StatusCode;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal => $status:ident,)*) => {
        /// Why a request was answered by the proxy and not by an origin.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// The name that viewers, logs and metrics carry.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The status of the answer.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }
        }
    };
}

reasons! {
    /// The request's framing or version cannot be read without guessing.
    BadRequest = "bad_request" => BAD_REQUEST,
    /// No Host, several, or one that is no host name.
    BadHost = "bad_host" => BAD_REQUEST,
    /// A request target that is refused, never repaired.
    BadPath = "bad_path" => BAD_REQUEST,
    /// A header field that two parties could read differently.
    BadHeader = "bad_header" => BAD_REQUEST,
    /// A WebSocket handshake that RFC 6455 section 4.2.1 does not allow.
    BadWebsocketHandshake = "bad_websocket_handshake" => BAD_REQUEST,
    /// Plain HTTP where the behavior wants HTTPS.
    HttpsOnly = "https_only" => FORBIDDEN,
    /// A viewer from where the behavior does not serve.
    SourceRange = "source_range" => FORBIDDEN,
    /// A method that the behavior does not list.
    MethodNotAllowedByBehavior = "method_not_allowed_by_behavior" => FORBIDDEN,
    /// A WebSocket handshake where the behavior switched WebSocket off.
    WebsocketDisabled = "websocket_disabled" => FORBIDDEN,
    /// A WebSocket handshake from a web origin that the behavior does not list.
    WebsocketOrigin = "websocket_origin" => FORBIDDEN,
    /// No Distribution owns the host.
    NoDistribution = "no_distribution" => NOT_FOUND,
    /// CONNECT or TRACE.
    MethodNotSupported = "method_not_supported" => METHOD_NOT_ALLOWED,
    /// The viewer did not send what it had announced in time.
    ViewerTimeout = "viewer_timeout" => REQUEST_TIMEOUT,
    /// A request body longer than the behavior allows.
    BodyTooLarge = "body_too_large" => PAYLOAD_TOO_LARGE,
    /// An expectation other than `100-continue`.
    Expectation = "expectation" => EXPECTATION_FAILED,
    /// A request target that is too long.
    UriTooLong = "uri_too_long" => URI_TOO_LONG,
    /// A head with too many fields, or too large.
    HeadersTooLarge = "headers_too_large" => REQUEST_HEADER_FIELDS_TOO_LARGE,
    /// The host belongs to another Distribution than the connection's SNI (RFC 9110 section 15.5.20).
    Misdirected = "misdirected" => MISDIRECTED_REQUEST,
    /// A WebSocket version other than 13.
    WebsocketVersion = "websocket_version" => UPGRADE_REQUIRED,
    /// The viewer has as many WebSockets as one may have.
    ViewerConnectionLimit = "connection_limit" => TOO_MANY_REQUESTS,
    /// A fault of ours.
    Internal = "internal" => INTERNAL_SERVER_ERROR,
    /// An extended CONNECT for another protocol than WebSocket (RFC 8441 section 4).
    ProtocolNotSupported = "protocol_not_supported" => NOT_IMPLEMENTED,
    /// A version of HTTP that nobody may speak in a request line (RFC 9110 section 15.6.6).
    HttpVersion = "http_version" => HTTP_VERSION_NOT_SUPPORTED,
    /// The request has passed through us too often.
    LoopDetected = "loop_detected" => LOOP_DETECTED,
    /// No endpoint accepted a connection.
    OriginRefused = "origin_refused" => BAD_GATEWAY,
    /// The origin closed before its answer's head was complete.
    OriginReset = "origin_reset" => BAD_GATEWAY,
    /// The TLS handshake with the origin failed, or its certificate is not the one that was asked for.
    OriginTls = "origin_tls" => BAD_GATEWAY,
    /// The origin's answer is not HTTP, or contradicts itself.
    OriginProtocol = "origin_protocol" => BAD_GATEWAY,
    /// The origin's 101 does not answer the handshake.
    OriginWebsocketHandshake = "origin_websocket_handshake" => BAD_GATEWAY,
    /// The origin has no endpoint that serves.
    NoEndpoints = "no_endpoints" => SERVICE_UNAVAILABLE,
    /// The replica is leaving.
    Draining = "draining" => SERVICE_UNAVAILABLE,
    /// Every endpoint, or the behavior, has as many connections as it may have.
    ConnectionLimit = "connection_limit" => SERVICE_UNAVAILABLE,
    /// This replica is short of memory.
    ProxyOverloaded = "proxy_overloaded" => SERVICE_UNAVAILABLE,
    /// No endpoint answered a connection attempt in time.
    OriginConnectTimeout = "origin_connect_timeout" => GATEWAY_TIMEOUT,
    /// The origin's answer did not begin in time.
    OriginReadTimeout = "origin_read_timeout" => GATEWAY_TIMEOUT,
    /// The origin's answer did not end in time.
    OriginCompletionTimeout = "origin_completion_timeout" => GATEWAY_TIMEOUT,
}
