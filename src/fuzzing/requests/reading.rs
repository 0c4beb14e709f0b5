//! Which requests a viewer's bytes hold, as RFC 9112 says, read without the product's parser.
//!
//! It accepts whatever the product may accept: a bare LF behind a line of a head, equal lengths, `chunked` beside a
//! length (section 6.3). It judges nothing else: a request that the product refuses is here all the same.

/// A request as it was asked.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) method: String,
    /// In origin-form, whatever the form was.
    pub(super) target: String,
    pub(super) body: Vec<u8>,
    /// Whether the body comes to its end.
    pub(super) whole: bool,
}

/// Reads until what follows has no meaning.
pub(super) fn read(bytes: &[u8]) -> Vec<Asked> {
    let mut input = Input(bytes);
    let mut requests = Vec::new();
    while let Some(request) = request(&mut input) {
        let goes_on = request.whole;
        requests.push(request);
        if !goes_on {
            break;
        }
    }
    requests
}

struct Input<'b>(&'b [u8]);

impl<'b> Input<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A line without its end, which is LF or CRLF.
    fn line(&mut self) -> Option<&'b [u8]> {
        let length = self.0.iter().position(|byte| *byte == b'\n')?;
        let line = self.take(length + 1)?.strip_suffix(b"\n")?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// A line that ends in CRLF.
    fn strict_line(&mut self) -> Option<&'b [u8]> {
        let length = self.0.windows(2).position(|window| window == b"\r\n")?;
        self.take(length + 2)?.strip_suffix(b"\r\n")
    }
}

fn request(input: &mut Input<'_>) -> Option<Asked> {
    let mut line = input.line()?;
    while line.is_empty() {
        line = input.line()?;
    }
    let [method, target, version] = line.split(|byte| *byte == b' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    if !version.starts_with(b"HTTP/1.") {
        return None;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut asked = Asked { method: text(method), target: origin_form(&text(target)), ..Asked::default() };
    let (mut lengths, mut chunked) = (Vec::new(), false);
    loop {
        let line = input.line()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':')?);
        let value = value.get(1..)?.trim_ascii();
        match name.to_ascii_lowercase().as_slice() {
            b"content-length" => lengths.push(std::str::from_utf8(value).ok()?.parse::<usize>().ok()?),
            b"transfer-encoding" => chunked = true,
            _ => {}
        }
    }
    lengths.dedup();
    match (chunked, lengths.as_slice()) {
        (true, _) => asked.whole = chunks(input, &mut asked.body).is_some(),
        (false, []) => asked.whole = true,
        (false, [length]) => match input.take(*length) {
            Some(body) => (asked.body, asked.whole) = (body.to_vec(), true),
            None => asked.body = input.0.to_vec(),
        },
        (false, _) => return None,
    }
    Some(asked)
}

/// Chunks, their extensions and trailers dropped; none where they do not come to their end.
fn chunks(input: &mut Input<'_>, body: &mut Vec<u8>) -> Option<()> {
    loop {
        let line = input.strict_line()?;
        let digits = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            while !input.strict_line()?.is_empty() {}
            return Some(());
        }
        match input.take(size) {
            Some(chunk) => body.extend(chunk),
            None => {
                body.extend(input.0);
                return None;
            }
        }
        (input.take(2)? == b"\r\n").then_some(())?;
    }
}

/// Without scheme and authority, with `/` for an empty path, without a fragment (RFC 9112 section 3.2).
fn origin_form(target: &str) -> String {
    let target = target.split('#').next().unwrap_or_default();
    let Some((_, rest)) = target.split_once("://").filter(|_| !target.starts_with('/')) else {
        return target.to_owned();
    };
    let path = rest.find(['/', '?']).map_or("", |at| rest.split_at(at).1);
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}
