//! Raw HTTP/2 frames (RFC 9113 section 4), for what no client sends.

/// What a client's connection begins with: the preface, and settings that change nothing.
pub(crate) fn preface() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(0x4, 0, 0, b"")].concat()
}

/// Whether a frame is the last of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Yes,
    No,
}

/// Any frame: its type, flags, stream and payload.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A DATA frame.
pub(crate) fn data(stream: u32, bytes: &[u8], last: Last) -> Vec<u8> {
    frame(0x0, u8::from(last == Last::Yes), stream, bytes)
}

/// A header block in one HEADERS frame and, where it is too long for that, CONTINUATION frames.
pub(crate) fn headers<N: AsRef<[u8]>, V: AsRef<[u8]>>(stream: u32, fields: &[(N, V)], last: Last) -> Vec<u8> {
    let block = block(fields);
    let mut pieces = block.chunks(16 * 1024).collect::<Vec<_>>();
    pieces.extend(block.is_empty().then_some(&b""[..]));
    let mut frames = Vec::new();
    for (place, piece) in pieces.iter().enumerate() {
        let end_headers = if place + 1 == pieces.len() { 0x4 } else { 0 };
        let (kind, end_stream) = if place == 0 { (0x1, u8::from(last == Last::Yes)) } else { (0x9, 0) };
        frames.extend(frame(kind, end_headers | end_stream, stream, piece));
    }
    frames
}

/// Literal fields without indexing and without Huffman codes (RFC 7541 section 6.2.2): any octets can stand in them.
fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            length(text.len(), &mut block);
            block.extend(text);
        }
    }
    block
}

/// An integer with a prefix of 7 bits (RFC 7541 section 5.1).
fn length(value: usize, block: &mut Vec<u8>) {
    let Some(mut rest) = value.checked_sub(127) else { return block.push(value as u8) };
    block.push(127);
    while rest >= 128 {
        block.push(0x80 | (rest % 128) as u8);
        rest /= 128;
    }
    block.push(rest as u8);
}
