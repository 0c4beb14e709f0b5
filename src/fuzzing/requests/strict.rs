//! The strictest origin: it takes one form of everything, and says of anything else what is wrong with it.

/// What a head says.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) request_id: String,
    pub(super) framing: Framing,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Framing {
    /// So many bytes; none where nothing is said.
    Length(usize),
    Chunked,
}

/// What there is of a body.
pub(super) enum Body {
    Part(Vec<u8>),
    Whole {
        body: Vec<u8>,
        /// How many bytes it took.
        used: usize,
    },
}

/// What we say of a viewer: each field exactly once, whatever the viewer said.
const OURS: [&str; 5] =
    ["x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip"];

/// What must not pass.
const NEVER: [&str; 9] = [
    "expect",
    "forwarded",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "trailer",
    "x-client-cert-subject",
];

/// Where a head ends, the empty line included.
pub(super) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// Reads a head with its empty line.
pub(super) fn head(bytes: &[u8]) -> Result<Head, String> {
    let text = String::from_utf8_lossy(bytes);
    let wrong = |what: &str| Err(format!("{what}: {text}"));
    let mut lines = text.strip_suffix("\r\n\r\n").unwrap_or_default().split("\r\n");
    if lines.clone().flat_map(str::chars).any(|c| c.is_ascii_control() && c != '\t') {
        return wrong("a control character, or a line that does not end in CRLF");
    }
    let request_line = lines.next().unwrap_or_default();
    let [method, target, "HTTP/1.1"] = request_line.split(' ').collect::<Vec<_>>()[..] else {
        return wrong("not a request line");
    };
    if !method.bytes().all(is_token) || !is_origin_form(target) {
        return wrong("a method or a target that an origin could misread");
    }
    let Some(fields) = lines.map(field).collect::<Option<Vec<_>>>() else { return wrong("not a field") };
    let all = |name: &str| {
        fields.iter().filter(|(found, _)| *found == name).map(|(_, value)| *value).collect::<Vec<_>>()
    };
    let framing = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Framing::Length(0),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            Framing::Length(length.parse().map_err(|_| format!("a length out of range: {text}"))?)
        }
        ([], ["chunked"]) => Framing::Chunked,
        _ => return wrong("more than one way to find the end"),
    };
    let [host] = all("host")[..] else { return wrong("not one Host") };
    let name = host.split(':').next().unwrap_or_default();
    if host != host.to_ascii_lowercase() || !(name == "a.example" || name.ends_with(".b.example")) {
        return wrong("a Host that is not the one that was judged");
    }
    if OURS.iter().any(|name| all(name).len() != 1) {
        return wrong("something that we say is missing, or said twice");
    }
    if all("x-forwarded-for") != ["192.0.2.7"] || all("x-real-ip") != ["192.0.2.7"] {
        return wrong("an address that is not the viewer's");
    }
    if all("x-forwarded-host") != [host] || all("x-forwarded-proto") != ["http"] {
        return wrong("another host or scheme than the viewer's");
    }
    if !all("via").last().is_some_and(|via| via.ends_with(" tidegate")) {
        return wrong("no trace of us");
    }
    match (&all("connection")[..], &all("upgrade")[..]) {
        ([], []) => {}
        (["upgrade"], ["websocket"]) if method == "GET" && all("sec-websocket-version") == ["13"] => {}
        _ => return wrong("a field of the viewer's connection"),
    }
    if let Some(name) = NEVER.iter().find(|name| !all(name).is_empty()) {
        return wrong(name);
    }
    let claims = |name: &str| name.starts_with("x-forwarded-") && !OURS.contains(&name);
    if fields.iter().any(|(name, _)| name.contains('_') || claims(name))
        || all("te").iter().any(|te| *te != "trailers")
    {
        return wrong("a field that must not pass");
    }
    let [request_id] = all("x-request-id")[..] else { return wrong("not one request id") };
    if request_id.len() != 32 {
        return wrong("an id that is not ours");
    }
    let (method, target, request_id) = (method.to_owned(), target.to_owned(), request_id.to_owned());
    Ok(Head { method, target, request_id, framing })
}

/// A name in lower case and a value without space around it.
fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| is_token(byte) && !byte.is_ascii_uppercase());
    let value = value.strip_prefix(' ')?;
    let is_bare = value.trim_ascii() == value;
    (is_name && is_bare).then_some((name, value))
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A path that nobody walks up in, and perhaps a query.
fn is_origin_form(target: &str) -> bool {
    let path = target
        .split('?')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase()
        .replace("%2e", ".")
        .replace("%2f", "/")
        .replace("%5c", "/");
    let walks = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    target.starts_with('/')
        && target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
        && !path.contains(['\\'])
        && !path.contains("%00")
        && !path.split('/').any(walks)
}

/// Reads what there is of a body.
pub(super) fn body(framing: Framing, bytes: &[u8]) -> Result<Body, String> {
    match framing {
        Framing::Length(length) => Ok(match bytes.get(..length) {
            Some(body) => Body::Whole { body: body.to_vec(), used: length },
            None => Body::Part(bytes.to_vec()),
        }),
        Framing::Chunked => chunked(bytes),
    }
}

/// Chunks without extensions, and no trailers (RFC 9112 section 7.1).
fn chunked(bytes: &[u8]) -> Result<Body, String> {
    let wrong = |what: &str| Err(format!("{what}: {}", String::from_utf8_lossy(bytes)));
    let mut body = Vec::new();
    let mut used = 0;
    loop {
        let rest = bytes.get(used..).unwrap_or_default();
        let Some(line) = rest.windows(2).position(|window| window == b"\r\n") else {
            return Ok(Body::Part(body));
        };
        let digits = rest.get(..line).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default();
        let is_hexadecimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Some(size) = is_hexadecimal.then(|| usize::from_str_radix(digits, 16).ok()).flatten() else {
            return wrong("not the size of a chunk");
        };
        let begin = line + 2;
        let Some(chunk) = rest.get(begin..begin + size) else {
            body.extend(rest.get(begin..).unwrap_or_default());
            return Ok(Body::Part(body));
        };
        body.extend(chunk);
        match rest.get(begin + size..begin + size + 2) {
            Some(b"\r\n") => used += begin + size + 2,
            Some(_) => return wrong("no CRLF behind a chunk, or a trailer"),
            None => return Ok(Body::Part(body)),
        }
        if size == 0 {
            return Ok(Body::Whole { body, used });
        }
    }
}
