//! The pieces of a pattern, which its stars part: where they are in a path.
//!
//! A piece is octets, of which `?` takes any. To search one looks at each octet of a path a few times at most,
//! however the piece is made.

use memchr::memmem;

/// Words enough for the longest pattern of the API, 255 characters; for most pieces one is.
const MOST_WORDS: usize = 4;

/// How many characters of a piece a word stands for.
const IN_WORD: usize = 64;

/// Whether a piece is the whole of `bytes`.
pub(super) fn fits(piece: &[u8], bytes: &[u8]) -> bool {
    piece.len() == bytes.len()
        && piece.iter().zip(bytes).all(|(wanted, found)| *wanted == b'?' || wanted == found)
}

/// What follows a piece at the beginning of `bytes`.
pub(super) fn behind_beginning<'b>(piece: &[u8], bytes: &'b [u8]) -> Option<&'b [u8]> {
    let (beginning, behind) = bytes.split_at_checked(piece.len())?;
    fits(piece, beginning).then_some(behind)
}

/// What precedes a piece at the end of `bytes`.
pub(super) fn before_end<'b>(piece: &[u8], bytes: &'b [u8]) -> Option<&'b [u8]> {
    let (before, end) = bytes.split_at_checked(bytes.len().checked_sub(piece.len())?)?;
    fits(piece, end).then_some(before)
}

/// What follows a piece at the first place in `bytes` where it is.
pub(super) fn behind_first<'b>(piece: &[u8], bytes: &'b [u8]) -> Option<&'b [u8]> {
    if !piece.contains(&b'?') {
        let at = memmem::find(bytes, piece)?;
        bytes.get(at + piece.len()..)
    } else if piece.len() <= IN_WORD {
        behind_first_in_words::<1>(piece, bytes)
    } else {
        behind_first_in_words::<MOST_WORDS>(piece, bytes)
    }
}

/// The same for pieces with `?`, which a search for text cannot take: Shift-And (Baeza-Yates and Gonnet, "A New
/// Approach to Text Searching", 1992), where a bit is a place in the piece and each octet moves all of them at once.
///
/// The masks are made for each search, which costs no more than to fetch kept ones from memory would. What exceeds
/// the words, as no pattern of the API does, is compared wherever the rest is found.
fn behind_first_in_words<'b, const WORDS: usize>(piece: &[u8], bytes: &'b [u8]) -> Option<&'b [u8]> {
    let (piece, excess) = piece.split_at_checked(WORDS * IN_WORD).unwrap_or((piece, &[]));
    // For each octet, the places that are written so; that of `?` are the places for any.
    let mut takes = [[0_u64; WORDS]; 256];
    for (at, byte) in piece.iter().enumerate() {
        takes[usize::from(*byte)][at / IN_WORD] |= 1 << (at % IN_WORD);
    }
    let takes_any = takes[usize::from(b'?')];
    let last = piece.len().checked_sub(1)?;
    // Which of the beginnings of the piece end with the octet looked at.
    let mut begun = [0_u64; WORDS];
    for (at, byte) in bytes.iter().enumerate() {
        let mut carried = 1;
        for ((begun, takes), any) in begun.iter_mut().zip(&takes[usize::from(*byte)]).zip(&takes_any) {
            let moved = *begun << 1 | carried;
            carried = *begun >> (IN_WORD - 1);
            *begun = moved & (takes | any);
        }
        if begun[last / IN_WORD] >> (last % IN_WORD) & 1 == 1
            && let Some(behind) = behind_beginning(excess, bytes.get(at + 1..)?)
        {
            return Some(behind);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Place by place.
    fn behind_first_tried<'b>(piece: &[u8], bytes: &'b [u8]) -> Option<&'b [u8]> {
        (0..=bytes.len()).find_map(|at| behind_beginning(piece, bytes.get(at..)?))
    }

    proptest! {
        #[test]
        fn the_first_place_is_found(piece in "[ab?]{0,5}", bytes in "[ab]{0,40}") {
            let (piece, bytes) = (piece.as_bytes(), bytes.as_bytes());
            prop_assert_eq!(behind_first(piece, bytes), behind_first_tried(piece, bytes));
        }

        /// Cut out of the path, with a few octets more or less: nearly found, and often.
        #[test]
        fn so_is_that_of_a_piece_of_many_words(
            bytes in "(aaaaaaa|b){20,120}",
            from in 0..60_usize,
            long in 1..400_usize,
            any in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
            wrong in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let bytes = bytes.as_bytes();
            let mut piece: Vec<u8> = bytes.iter().copied().skip(from).take(long).collect();
            prop_assume!(!piece.is_empty());
            let places = piece.len();
            if let Some(wrong) = wrong {
                piece[wrong.index(places)] = b'b';
            }
            for any in any {
                piece[any.index(places)] = b'?';
            }
            prop_assert_eq!(behind_first(&piece, bytes), behind_first_tried(&piece, bytes));
        }
    }

    #[test]
    fn no_length_of_a_piece_is_special() {
        for length in [1, 2, 63, 64, 65, 127, 128, 129, 192, 255, 256, 257, 300] {
            let piece = ["?".repeat(length - 1), "b".to_owned()].concat();
            let path = ["a".repeat(length), "bc".to_owned()].concat();
            assert_eq!(behind_first(piece.as_bytes(), path.as_bytes()), Some(&b"c"[..]), "{length}");
            let without = path.replace('b', "a");
            assert_eq!(behind_first(piece.as_bytes(), without.as_bytes()), None, "{length}");
        }
    }
}
