//! Where the body of an answer ends.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::chunks::Chunks;
use super::response::Malformed;

/// What finds the end of a body.
#[derive(Debug)]
pub(crate) enum Decoder {
    /// It has so many bytes more.
    Length(u64),
    /// It comes in chunks.
    Chunks(Chunks),
    /// It ends with its connection.
    UntilClose,
    /// It will not be complete.
    Broken,
}

/// What stands at the front of the bytes that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// A piece of the body, never empty.
    Piece(Bytes),
    /// What follows the body.
    Trailers(HeaderMap),
    /// Nothing: more must come.
    Nothing,
    /// The end.
    End,
}

impl Decoder {
    /// Takes the next piece off `bytes`, sharing their memory.
    pub(crate) fn decode(&mut self, bytes: &mut BytesMut) -> Result<Decoded, Malformed> {
        match self {
            Self::Length(0) => Ok(Decoded::End),
            Self::Length(_) | Self::UntilClose if bytes.is_empty() => Ok(Decoded::Nothing),
            Self::Length(left) => Ok(Decoded::Piece(take(left, bytes))),
            Self::Chunks(chunks) => chunks.decode(bytes),
            Self::UntilClose => Ok(Decoded::Piece(take_all(bytes))),
            Self::Broken => Err(Malformed),
        }
    }

    /// Whether everything was taken.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunks(chunks) => chunks.is_over(),
            Self::UntilClose | Self::Broken => false,
        }
    }

    /// Whether a connection that ends now ends the body, too.
    pub(crate) fn may_end(&self) -> bool {
        matches!(self, Self::UntilClose)
    }

    /// What it has still to take, in bytes, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunks(_) | Self::UntilClose | Self::Broken => None,
        }
    }

    /// For how many bytes there should be room, at most `most`.
    pub(super) fn expects(&self, most: usize) -> usize {
        let at_least = match self {
            Self::Length(left) => *left,
            Self::Chunks(chunks) => chunks.expects(),
            Self::UntilClose | Self::Broken => u64::MAX,
        };
        // One more shows that there is no more.
        usize::try_from(at_least).unwrap_or(usize::MAX).saturating_add(1).min(most)
    }
}

/// Takes as much as is there of what is `left`.
pub(super) fn take(left: &mut u64, bytes: &mut BytesMut) -> Bytes {
    let length = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    *left -= length as u64;
    match length == bytes.len() {
        true => take_all(bytes),
        false => bytes.split_to(length).freeze(),
    }
}

/// Takes everything. The memory behind it goes along where that is little: it must not cost much more than it holds.
fn take_all(bytes: &mut BytesMut) -> Bytes {
    match bytes.capacity() <= 2 * bytes.len() {
        true => std::mem::take(bytes).freeze(),
        false => bytes.split().freeze(),
    }
}
