//! The three encoders, behind one face.
//!
//! How much memory one takes follows from its settings, which are chosen so that none needs a megabyte: about
//! 300 KiB for gzip, and up to 550 KiB for Brotli and zstd, less for short bodies. Levels beyond these win a few
//! percent for several times the work, or for tens of megabytes.

use std::io::{self, Write};
use std::mem;

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::{Compress, FlushCompress, Status};

use super::Coding;

/// Of 9.
const GZIP_LEVEL: u32 = 5;
/// Of 11.
const BROTLI_QUALITY: u32 = 3;
/// Of 22.
const ZSTD_LEVEL: i32 = 2;

/// How far back each may look, as a power of two: the least and the most.
const GZIP_WINDOW: (u8, u8) = (9, 15);
const BROTLI_WINDOW: (u8, u8) = (10, 16);
const ZSTD_WINDOW: (u8, u8) = (10, 17);

/// By how much room for output grows, in bytes.
const OUTPUT: usize = 8 * 1024;

/// Encodes one body.
pub(super) enum Encoder {
    Gzip(Compress),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// An encoder for a body of `length` bytes.
    pub(super) fn new(coding: Coding, length: u64) -> io::Result<Self> {
        Ok(match coding {
            Coding::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Self::Gzip(Compress::new_gzip(level, window(length, GZIP_WINDOW)))
            }
            Coding::Brotli => {
                let window = window(length, BROTLI_WINDOW).into();
                Self::Brotli(Box::new(CompressorWriter::new(Vec::new(), OUTPUT, BROTLI_QUALITY, window)))
            }
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.set_pledged_src_size(Some(length))?;
                encoder.window_log(window(length, ZSTD_WINDOW).into())?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Takes `data`; gives what is ready of the output, which may be nothing.
    pub(super) fn encode(&mut self, data: &[u8]) -> io::Result<Bytes> {
        match self {
            Self::Gzip(gzip) => deflate(gzip, data, FlushCompress::None),
            Self::Brotli(brotli) => {
                brotli.write_all(data)?;
                Ok(taken(brotli.get_mut()))
            }
            Self::Zstd(zstd) => {
                zstd.write_all(data)?;
                Ok(taken(zstd.get_mut()))
            }
        }
    }

    /// Gives all that whoever decodes needs for what was taken so far.
    pub(super) fn flush(&mut self) -> io::Result<Bytes> {
        match self {
            Self::Gzip(gzip) => deflate(gzip, &[], FlushCompress::Sync),
            Self::Brotli(brotli) => {
                brotli.flush()?;
                Ok(taken(brotli.get_mut()))
            }
            Self::Zstd(zstd) => {
                zstd.flush()?;
                Ok(taken(zstd.get_mut()))
            }
        }
    }

    /// Gives the rest, the end included.
    pub(super) fn finish(self) -> io::Result<Bytes> {
        match self {
            Self::Gzip(mut gzip) => deflate(&mut gzip, &[], FlushCompress::Finish),
            Self::Brotli(brotli) => Ok(brotli.into_inner().into()),
            Self::Zstd(zstd) => Ok(zstd.finish()?.into()),
        }
    }
}

/// The window for a body of `length` bytes: no wider than the body is long, which costs less.
fn window(length: u64, (least, most): (u8, u8)) -> u8 {
    let bits = u64::BITS - length.saturating_sub(1).leading_zeros();
    u8::try_from(bits).unwrap_or(most).clamp(least, most)
}

fn taken(output: &mut Vec<u8>) -> Bytes {
    mem::take(output).into()
}

fn deflate(gzip: &mut Compress, mut data: &[u8], flush: FlushCompress) -> io::Result<Bytes> {
    let mut output = Vec::new();
    loop {
        output.reserve(OUTPUT);
        let before = gzip.total_in();
        let status = gzip.compress_vec(data, &mut output, flush).map_err(io::Error::other)?;
        let read = usize::try_from(gzip.total_in() - before).unwrap_or(data.len());
        data = data.get(read..).unwrap_or_default();
        // Where room is left, nothing more is to come for now.
        if status == Status::StreamEnd || (data.is_empty() && output.len() < output.capacity()) {
            return Ok(output.into());
        }
    }
}

/// What a viewer makes of a body that came so; panics where it is not whole.
#[cfg(test)]
pub(crate) fn decoded(coding: Coding, body: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut text = Vec::new();
    match coding {
        Coding::Gzip => flate2::bufread::GzDecoder::new(body).read_to_end(&mut text),
        Coding::Brotli => brotli::Decompressor::new(body, 4096).read_to_end(&mut text),
        Coding::Zstd => zstd::stream::read::Decoder::new(body).unwrap().read_to_end(&mut text),
    }
    .unwrap();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_no_wider_than_the_body_and_within_its_bounds() {
        let rows = [
            (0, 10),
            (1, 10),
            (1000, 10),
            (1024, 10),
            (1025, 11),
            (65_536, 16),
            (65_537, 17),
            (u64::MAX, 17),
        ];
        for (length, bits) in rows {
            assert_eq!(window(length, ZSTD_WINDOW), bits, "{length}");
        }
    }

    #[test]
    fn what_is_flushed_can_be_read_before_the_end() {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding, 2000).unwrap();
            let mut sent = encoder.encode(&[b'a'; 1000]).unwrap().to_vec();
            sent.extend(encoder.flush().unwrap());
            let mut so_far = vec![0; 1000];
            read_exact(coding, &sent, &mut so_far);
            assert_eq!(so_far, [b'a'; 1000], "{coding:?}");
            sent.extend(encoder.encode(&[b'b'; 1000]).unwrap());
            sent.extend(encoder.finish().unwrap());
            assert_eq!(decoded(coding, &sent).len(), 2000, "{coding:?}");
        }
    }

    fn read_exact(coding: Coding, body: &[u8], into: &mut [u8]) {
        use std::io::Read;
        match coding {
            Coding::Gzip => flate2::bufread::GzDecoder::new(body).read_exact(into),
            Coding::Brotli => brotli::Decompressor::new(body, 4096).read_exact(into),
            Coding::Zstd => zstd::stream::read::Decoder::new(body).unwrap().read_exact(into),
        }
        .unwrap();
    }
}
